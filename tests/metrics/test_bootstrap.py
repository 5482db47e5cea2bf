"""Bootstrap over songs: the resamples, and how often the intervals cover the truth."""

import numpy as np
import pytest

from mir_tf.metrics import bootstrap


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
