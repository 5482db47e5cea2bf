"""Calibration of probabilities whose truth is known, against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from mir_tf.metrics.calibration import RELIABILITY_BINS, reliability
from mir_tf.metrics.thresholds import BINS, ScoreHistogram

Scores = tuple[np.ndarray, np.ndarray]


def histogram(probabilities: np.ndarray, truth: np.ndarray) -> ScoreHistogram:
    made = ScoreHistogram(probabilities.shape[1])
    made.update(probabilities.astype(np.float32), truth)
    return made


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Return probabilities and truth [frames, 2]: one class is calibrated, one is active half as often."""
    generator = np.random.default_rng(0)
    probabilities = generator.random((50_000, 2))
    return probabilities, generator.random((50_000, 2)) < probabilities * (1, 0.5)


def test_diagrams_equal_scikit_learn(scores: Scores) -> None:
    probabilities, truth = scores
    found = reliability(histogram(probabilities, truth))
    for index in range(2):
        frequency, confidence = calibration_curve(truth[:, index], probabilities[:, index], n_bins=RELIABILITY_BINS)
        np.testing.assert_allclose(found.frequency[index], frequency, atol=1e-6)
        np.testing.assert_allclose(found.confidence[index], confidence, atol=0.5 / BINS)
    np.testing.assert_array_equal(found.frames.sum(axis=1), [50_000, 50_000])


def test_the_error_is_the_gap_that_was_made(scores: Scores) -> None:
    error = reliability(histogram(*scores)).error
    assert error[0] < 0.01
    assert error[1] == pytest.approx(0.25, abs=0.01)  # the mean of p - p / 2


def test_a_class_and_a_bin_without_frames_have_no_gap() -> None:
    probabilities, truth = np.full((4, 2), 0.75), np.array([[True, False]] * 4)
    found = reliability(histogram(probabilities, truth))
    assert np.count_nonzero(found.frames) == 2
    np.testing.assert_allclose(found.error, [0.25, 0.75], atol=0.5 / BINS)
    assert (reliability(ScoreHistogram(3)).error == 0).all()


def test_pooled_decisions_are_those_of_all_classes(scores: Scores) -> None:
    probabilities, truth = scores
    together = histogram(probabilities, truth).pooled()
    expected = histogram(probabilities.reshape(-1, 1), truth.reshape(-1, 1))
    np.testing.assert_array_equal(together.positives, expected.positives)
    np.testing.assert_array_equal(together.negatives, expected.negatives)
