"""Bootstrap over songs: the resamples, and how often the intervals cover the truth."""

import numpy as np
import pytest
import scipy.stats

from mir_tf.metrics import bootstrap
from mir_tf.metrics.bootstrap import Bootstrap, Score, wilson
from mir_tf.metrics.counts import ConfusionCounts


def test_bootstrap_resamples_whole_songs_reproducibly() -> None:
    songs = [*"abcdefghijkl"]
    weights = bootstrap.bootstrap_weights(songs)
    assert weights.shape == (bootstrap.BOOTSTRAP_SAMPLES, 12)
    np.testing.assert_array_equal(weights.sum(axis=1), 12)
    np.testing.assert_array_equal(weights, bootstrap.bootstrap_weights(songs))
    assert (weights != bootstrap.bootstrap_weights(songs, seed=1)).any()
    # A song is left out of a resample with probability (1 - 1/12)^12.
    assert (weights == 0).mean() == pytest.approx((11 / 12) ** 12, abs=0.01)
    # The tracks of a song are drawn together, wherever they are.
    np.testing.assert_array_equal(bootstrap.bootstrap_weights([*songs, *songs[::-1]])[:, :12], weights)
    np.testing.assert_array_equal(bootstrap.bootstrap_weights([*songs, *songs[::-1]])[:, :11:-1], weights)


def test_interval_covers_the_truth_in_95_percent_of_trials() -> None:
    """Each song has three tracks that differ little from one another."""
    generator = np.random.default_rng(5)
    songs, covered = [str(number) for number in range(60) for _ in range(3)], 0
    for trial in range(200):
        values = np.repeat(generator.normal(size=60), 3) + 0.3 * generator.normal(size=180)
        low, high = bootstrap.interval(bootstrap.bootstrap_weights(songs, seed=trial) @ values / 180)
        covered += low < 0 < high
    assert 180 <= covered <= 199


def test_interval_ignores_undefined_resamples() -> None:
    statistic = np.stack([np.arange(101.0), np.full(101, np.nan)], axis=1)
    statistic[::2, 0] = np.nan  # 1, 3, ..., 99 remain
    bounds = bootstrap.interval(statistic)
    np.testing.assert_allclose(bounds[:, 0], np.percentile(np.arange(1, 100, 2), [2.5, 97.5]))
    assert np.isnan(bounds[:, 1]).all()


def test_wilson_equals_scipy() -> None:
    for trials in (1, 6, 51, 400):
        for right in {0, 1, trials // 3, trials}:
            expected = scipy.stats.binomtest(right, trials).proportion_ci(0.95, "wilson")
            np.testing.assert_allclose(wilson(right / trials, trials), expected, atol=1e-12)
    assert np.isnan(wilson(0, 0)).all()


def test_shares_of_none_or_all_of_six_songs_are_not_certain() -> None:
    bootstrapped = Bootstrap([*"abcdef"])
    for right, low, high in ((0, 0, 0.390), (1, 0.610, 1)):
        found = bootstrapped.share(6 * [right], 6 * [1])
        assert (found.value, found.low, found.high) == (
            right,
            pytest.approx(low, abs=1e-3),
            pytest.approx(high, abs=1e-3),
        )


def test_tracks_of_one_song_count_once_as_trials() -> None:
    right = np.repeat([1, 1, 1, 0], 3)
    found = Bootstrap([*"aaabbbcccddd"]).share(right, np.ones(12))
    assert (found.value, found.low, found.high) == pytest.approx((0.75, *wilson(0.75, 4)))
    of_two = np.repeat([1, 0, 1, 0], 3)
    some = Bootstrap([*"aaabbbcccddd"]).share(right * of_two, of_two)
    assert (some.low, some.high) == pytest.approx(tuple(wilson(1, 2)))


def counts(tp: list[int], fp: list[int], fn: list[int]) -> ConfusionCounts:
    return ConfusionCounts(*(np.array(column, np.int64) for column in (tp, fp, fn, [0] * len(tp))))


@pytest.mark.parametrize(
    ("score", "counted", "trials"),
    [
        ("precision", counts([0] * 6, [3, 1, 0, 0, 0, 0], [9] * 6), 2),
        ("recall", counts([0] * 6, [3, 1, 0, 0, 0, 0], [9, 9, 9, 0, 0, 0]), 3),
        ("f1", counts([0] * 6, [3, 1, 0, 0, 0, 0], [0, 9, 9, 0, 9, 0]), 4),
    ],
)
def test_a_class_that_is_never_found_may_be_found_in_other_songs(
    score: Score, counted: ConfusionCounts, trials: int
) -> None:
    found = Bootstrap([*"abcdef"]).score(counted, score)
    _, most = wilson(0, trials)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0, 0, 2 * most / (1 + most) if score == "f1" else most)
    )


def test_scores_that_vary_have_the_bootstrap_s_interval() -> None:
    counted = counts([5, 0, 9, 2, 4, 7], [3, 1, 0, 0, 0, 0], [0, 9, 9, 0, 9, 0])
    bootstrapped = Bootstrap([*"abcdef"])
    low, high = bootstrap.interval(counted.resampled(bootstrapped.weights).f1)
    found = bootstrapped.score(counted, "f1")
    assert (found.value, found.low, found.high) == (54 / (54 + 4 + 27), low, high)


def test_a_single_song_gives_no_interval() -> None:
    for songs, counted in (
        ("a", counts([5], [3], [2])),
        ("aaa", counts([5, 0, 0], [3, 0, 0], [2, 0, 0])),
        ("abc", counts([5, 0, 0], [3, 0, 0], [2, 0, 0])),  # the class plays in one of three songs
    ):
        value, *bounds = Bootstrap([*songs]).score_bounds(counted, "f1", where_positive=True).tolist()
        assert value == 10 / 15
        assert np.isnan(bounds).all()
    assert Bootstrap(["a", "a"]).share([1, 1], [1, 1]).interval_text() == "–"


def test_counts_that_are_all_right_have_wilson_s_interval_and_others_the_bootstrap_s() -> None:
    bootstrapped = Bootstrap([*"abcdef"])
    all_right = bootstrapped.proportion([3, 1, 0, 4, 2, 5], [3, 1, 0, 4, 2, 5])
    assert (all_right.value, all_right.low, all_right.high) == pytest.approx((1, *wilson(1, 5)))
    some = ([3, 0, 0, 4, 1, 5], [3, 1, 0, 4, 2, 5])
    assert bootstrapped.proportion(*some) == bootstrapped.ratio(*some)


def test_where_all_resamples_agree_only_differences_have_an_interval() -> None:
    bootstrapped = Bootstrap([*"abcdef"])
    assert bootstrapped.ratio([2.0] * 6, [1] * 6).interval_text() == "–"
    assert bootstrapped.macro(np.full((1001, 3), 0.7)).interval_text() == "–"
    nothing = bootstrapped.difference(lambda weights: np.zeros(len(weights)))
    assert (nothing.low, nothing.high) == (0, 0)
