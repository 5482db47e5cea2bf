"""Threshold sweeps against scikit-learn, on scores with ties and on degenerate classes."""

import math

import numpy as np
import pytest
import sklearn.metrics

from mir_tf.metrics.ranking import RESAMPLED_THRESHOLDS, ThresholdSweep


def scores_and_truth(frames: int, values: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores that take few ``values``, and so tie often, and the truth that they follow."""
    generator = np.random.default_rng(seed)
    truth = generator.random(frames) < share
    scores = np.clip(generator.normal(truth * 0.3 + 0.4, 0.3), 0, 1)
    return (np.round(scores * values) / values).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("values", [1, 3, 20, 10**6])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_metrics_equal_scikit_learn(values: int, share: float, seed: int) -> None:
    scores, truth = scores_and_truth(700, values, share, seed)
    sweep = ThresholdSweep.of(scores, truth)
    assert sweep.average_precision == pytest.approx(sklearn.metrics.average_precision_score(truth, scores), abs=1e-12)
    assert sweep.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores), abs=1e-12)
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(sweep.precision[::-1], precision[:-1])
    np.testing.assert_allclose(sweep.recall[::-1], recall[:-1])
    np.testing.assert_array_equal(sweep.thresholds[::-1], thresholds)


def test_metrics_of_one_kind_only_are_undefined() -> None:
    scores = np.array([0.2, 0.2, 0.9], np.float32)
    never, always = ThresholdSweep.of(scores, np.zeros(3, bool)), ThresholdSweep.of(scores, np.ones(3, bool))
    assert math.isnan(never.average_precision)
    assert math.isnan(never.roc_auc)
    assert always.average_precision == 1
    assert math.isnan(always.roc_auc)
    np.testing.assert_array_equal(never.recall, [0, 0])


@pytest.mark.parametrize("values", [3, 30, 10**6])
def test_a_resampled_sweep_is_that_of_the_drawn_tracks(values: int) -> None:
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


def test_a_resampled_sweep_of_many_frames_is_close() -> None:
    scores, truth = scores_and_truth(50_000, 10**6, 0.02, 0)
    sweep = ThresholdSweep.of(scores, truth)
    drawn = sweep.resampled(scores, truth, np.zeros(50_000, int), np.ones((1, 1), int))
    assert len(sweep.thresholds) > 30_000
    assert drawn.tp.shape[1] <= 2 * RESAMPLED_THRESHOLDS
    assert drawn.average_precision[0] == pytest.approx(float(sweep.average_precision), abs=2e-3)
    assert drawn.roc_auc[0] == pytest.approx(float(sweep.roc_auc), abs=2e-4)


@pytest.mark.parametrize("prevalence", [0.01, 0.001])
def test_a_resampled_sweep_of_a_rare_class_is_close(prevalence: float) -> None:
    """A rare class has few true frames, whose scores are close together."""
    rng = np.random.default_rng(0)
    truth = rng.random(100_000) < prevalence
    scores = (rng.normal(size=100_000) + 4 * truth).astype(np.float32)
    sweep = ThresholdSweep.of(scores, truth)
    drawn = sweep.resampled(scores, truth, np.zeros(100_000, int), np.ones((1, 1), int))
    assert drawn.average_precision[0] == pytest.approx(float(sweep.average_precision), abs=1e-3)
