"""The measures against scikit-learn, on scores with ties and on degenerate classes."""

import math

import numpy as np
import pytest
import sklearn.metrics

from mir_tf.metrics import bootstrap
from mir_tf.metrics.counts import ConfusionCounts, confusion_matrix, constant_baseline, track_micro_f1
from mir_tf.metrics.ranking import RESAMPLED_THRESHOLDS, ThresholdSweep


@pytest.fixture
def rolls():
    """Predicted and true rolls [frames, classes]; the last two classes: never true, never predicted."""
    generator = np.random.default_rng(1)
    truth = generator.random((500, 7)) < generator.random(7)
    active = truth ^ (generator.random((500, 7)) < generator.random(7))
    truth[:, 5] = False
    active[:, 6] = False
    assert active[:, 5].any()
    assert truth[:, 6].any()
    return active, truth


def test_counts_of_a_class_equal_scikit_learn(rolls):
    active, truth = rolls
    counts = ConfusionCounts.of(active, truth)
    expected = sklearn.metrics.multilabel_confusion_matrix(truth, active)
    np.testing.assert_array_equal(counts.tn, expected[:, 0, 0])
    np.testing.assert_array_equal(counts.fp, expected[:, 0, 1])
    np.testing.assert_array_equal(counts.fn, expected[:, 1, 0])
    np.testing.assert_array_equal(counts.tp, expected[:, 1, 1])


@pytest.mark.parametrize("measure", ["precision", "recall", "f1"])
def test_precision_recall_and_f1_equal_scikit_learn(rolls, measure):
    active, truth = rolls
    counts = ConfusionCounts.of(active, truth)
    oracle = getattr(sklearn.metrics, f"{measure}_score")
    sounding = truth.any(axis=0)
    assert not sounding.all()

    np.testing.assert_allclose(getattr(counts, measure), oracle(truth, active, average=None, zero_division=0))
    np.testing.assert_allclose(getattr(counts.micro, measure), oracle(truth, active, average="micro"))
    np.testing.assert_allclose(
        getattr(counts, f"macro_{measure}"),
        oracle(truth[:, sounding], active[:, sounding], average="macro", zero_division=0),
    )


def test_nothing_true_or_predicted_gives_0_and_an_undefined_macro():
    counts = ConfusionCounts.of(np.zeros((9, 3), bool), np.zeros((9, 3), bool))
    for measure in (counts.precision, counts.recall, counts.f1):
        np.testing.assert_array_equal(measure, [0, 0, 0])
    assert counts.micro.f1 == 0
    assert np.isnan(counts.macro_f1)


def test_track_micro_f1_is_the_micro_f1_of_each_track():
    generator = np.random.default_rng(2)
    truth = generator.random((4, 50, 3)) < 0.4
    active = generator.random((4, 50, 3)) < 0.4
    truth[2] = active[2] = False  # silent, and rightly so
    truth[3] = False  # silent, but something is heard
    tracks = ConfusionCounts.stack([ConfusionCounts.of(mine, true) for mine, true in zip(active, truth, strict=True)])
    expected = [sklearn.metrics.f1_score(t, a, average="micro") for t, a in zip(truth[:2], active[:2], strict=True)]
    np.testing.assert_allclose(track_micro_f1(tracks), [*expected, 1.0, 0.0])


def scores_and_truth(frames: int, values: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that take few ``values``, and so tie often, and a truth that follows them."""
    generator = np.random.default_rng(seed)
    truth = generator.random(frames) < share
    scores = np.clip(generator.normal(truth * 0.3 + 0.4, 0.3), 0, 1)
    return (np.round(scores * values) / values).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("values", [1, 3, 20, 10**6])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_ranking_measures_equal_scikit_learn(values, share, seed):
    scores, truth = scores_and_truth(700, values, share, seed)
    ranking = ThresholdSweep.of(scores, truth)
    assert ranking.average_precision == pytest.approx(sklearn.metrics.average_precision_score(truth, scores), abs=1e-12)
    assert ranking.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores), abs=1e-12)
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(ranking.precision[::-1], precision[:-1])
    np.testing.assert_allclose(ranking.recall[::-1], recall[:-1])
    np.testing.assert_array_equal(ranking.thresholds[::-1], thresholds)


def test_ranking_measures_of_one_kind_only_are_undefined():
    scores = np.array([0.2, 0.2, 0.9], np.float32)
    never, always = ThresholdSweep.of(scores, np.zeros(3, bool)), ThresholdSweep.of(scores, np.ones(3, bool))
    assert math.isnan(never.average_precision)
    assert math.isnan(never.roc_auc)
    assert always.average_precision == 1
    assert math.isnan(always.roc_auc)
    np.testing.assert_array_equal(never.recall, [0, 0])


@pytest.mark.parametrize("values", [3, 30, 10**6])
def test_resampled_rankings_are_those_of_the_drawn_tracks(values):
    scores, truth = scores_and_truth(600, values, 0.3, 0)
    tracks = np.repeat(np.arange(3), [100, 300, 200])
    truth[tracks == 0] = False
    weights = np.array([[1, 1, 1], [0, 2, 1], [1, 0, 2], [3, 0, 0]])
    resampled = ThresholdSweep.of(scores, truth).resampled(scores, truth, tracks, weights)
    for index, drawn in enumerate(weights[:3]):
        frames = np.concatenate([np.flatnonzero(tracks == track) for track in np.repeat(np.arange(3), drawn)])
        args = truth[frames], scores[frames]
        assert resampled.average_precision[index] == pytest.approx(sklearn.metrics.average_precision_score(*args))
        assert resampled.roc_auc[index] == pytest.approx(sklearn.metrics.roc_auc_score(*args))
    assert np.isnan([resampled.average_precision[3], resampled.roc_auc[3]]).all()


def test_resampled_rankings_of_many_frames_are_close():
    scores, truth = scores_and_truth(50_000, 10**6, 0.02, 0)
    ranking = ThresholdSweep.of(scores, truth)
    drawn = ranking.resampled(scores, truth, np.zeros(50_000, int), np.ones((1, 1), int))
    assert len(ranking.thresholds) > 30_000
    assert drawn.tp.shape[1] <= 2 * RESAMPLED_THRESHOLDS
    assert drawn.average_precision[0] == pytest.approx(float(ranking.average_precision), abs=2e-3)
    assert drawn.roc_auc[0] == pytest.approx(float(ranking.roc_auc), abs=2e-4)


@pytest.mark.parametrize("prevalence", [0.01, 0.001])
def test_resampled_rankings_of_a_rare_class_are_those_of_all_thresholds(prevalence):
    """Its true frames are few, and rank close together."""
    rng = np.random.default_rng(0)
    truth = rng.random(100_000) < prevalence
    scores = (rng.normal(size=100_000) + 4 * truth).astype(np.float32)
    ranking = ThresholdSweep.of(scores, truth)
    drawn = ranking.resampled(scores, truth, np.zeros(100_000, int), np.ones((1, 1), int))
    assert drawn.average_precision[0] == pytest.approx(float(ranking.average_precision), abs=1e-3)


def test_confusion_shares_a_miss_out_over_what_is_wrongly_heard():
    truth = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    active = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    matrix = confusion_matrix(active, truth)
    np.testing.assert_allclose(
        matrix,
        [
            [1, 0, 1, 0, 1],  # heard once, taken for class 2 once, missed once with nothing instead
            [0, 1, 0.5, 0.5, 0],  # heard once, once taken for 2 and 3 at a time
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
        ],
    )


def test_rows_of_the_confusion_sum_to_the_frames_of_their_class(rolls):
    active, truth = rolls
    np.testing.assert_allclose(confusion_matrix(active, truth).sum(axis=1), truth.sum(axis=0), rtol=1e-5)


def test_no_constant_answers_are_better_than_the_baseline():
    truth = np.random.default_rng(3).random((40, 6)) < [0.9, 0.05, 0.4, 0.0, 0.3, 0.6]
    baseline = constant_baseline(np.count_nonzero(truth, axis=0), len(truth))

    answers = (np.arange(2**6)[:, np.newaxis] >> np.arange(6)) % 2 == 1  # all 64 choices of always and never
    counts = [ConfusionCounts.of(np.broadcast_to(answer, truth.shape), truth) for answer in answers]
    micro = [float(count.micro.f1) for count in counts]
    assert baseline.micro_f1 == pytest.approx(max(micro))
    np.testing.assert_array_equal(baseline.micro_always, answers[np.argmax(micro)])
    assert not baseline.micro_always.all()
    np.testing.assert_allclose(baseline.f1, np.max([count.f1 for count in counts], axis=0))
    assert baseline.macro_f1 == pytest.approx(max(float(count.macro_f1) for count in counts))


def test_baseline_of_silence():
    baseline = constant_baseline(np.zeros(3, int), 10)
    assert baseline.micro_f1 == 0
    assert math.isnan(baseline.macro_f1)
    assert not baseline.micro_always.any()


def test_bootstrap_resamples_whole_songs_reproducibly():
    songs = [*"abcdefghijkl"]
    weights = bootstrap.bootstrap_weights(songs)
    assert weights.shape == (bootstrap.BOOTSTRAP_SAMPLES, 12)
    np.testing.assert_array_equal(weights.sum(axis=1), 12)
    np.testing.assert_array_equal(weights, bootstrap.bootstrap_weights(songs))
    assert (weights != bootstrap.bootstrap_weights(songs, seed=1)).any()
    # A song is left out of a resample with probability (1 - 1/12)^12.
    assert (weights == 0).mean() == pytest.approx((11 / 12) ** 12, abs=0.01)
    # Its tracks, wherever they stand, are drawn together.
    np.testing.assert_array_equal(bootstrap.bootstrap_weights([*songs, *songs[::-1]])[:, :12], weights)
    np.testing.assert_array_equal(bootstrap.bootstrap_weights([*songs, *songs[::-1]])[:, :11:-1], weights)


def test_resampled_counts_are_those_of_the_drawn_tracks():
    generator = np.random.default_rng(4)
    active, truth = generator.random((2, 5, 30, 3)) < 0.5
    tracks = ConfusionCounts.stack([ConfusionCounts.of(mine, true) for mine, true in zip(active, truth, strict=True)])
    weights = np.array([[2, 0, 1, 2, 0], [1, 1, 1, 1, 1]])
    drawn = [0, 0, 2, 3, 3]
    expected = ConfusionCounts.of(np.concatenate(active[drawn]), np.concatenate(truth[drawn]))
    whole = ConfusionCounts.of(np.concatenate(active), np.concatenate(truth))
    resampled = tracks.resampled(weights)
    for name in ("tp", "fp", "fn", "tn"):
        np.testing.assert_array_equal(getattr(resampled, name), [getattr(expected, name), getattr(whole, name)])


def test_interval_covers_the_truth_as_often_as_it_says():
    """With three tracks a song, which have most of their differences in common."""
    generator = np.random.default_rng(5)
    songs, covered = [str(number) for number in range(60) for _ in range(3)], 0
    for trial in range(200):
        values = np.repeat(generator.normal(size=60), 3) + 0.3 * generator.normal(size=180)
        low, high = bootstrap.interval(bootstrap.bootstrap_weights(songs, seed=trial) @ values / 180)
        covered += low < 0 < high
    assert 180 <= covered <= 199


def test_interval_leaves_undefined_resamples_out():
    statistic = np.stack([np.arange(101.0), np.full(101, np.nan)], axis=1)
    statistic[::2, 0] = np.nan  # 1, 3, ..., 99 remain
    bounds = bootstrap.interval(statistic)
    np.testing.assert_allclose(bounds[:, 0], np.percentile(np.arange(1, 100, 2), [2.5, 97.5]))
    assert np.isnan(bounds[:, 1]).all()
