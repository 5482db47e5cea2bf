"""Tuned and shrunk thresholds against trying every threshold."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from mir_tf.metrics.thresholds import BINS, ScoreHistogram, TunedThresholds, shrink, tune

Scores = tuple[np.ndarray, np.ndarray]


def tuned(probabilities: np.ndarray, truth: np.ndarray) -> TunedThresholds:
    histogram = ScoreHistogram(truth.shape[1])
    histogram.update(probabilities.astype(np.float32), truth)
    return tune(histogram)


@pytest.fixture
def scores() -> Scores:
    """Return scores that separate three classes well, badly and not at all."""
    rng = np.random.default_rng(0)
    truth = rng.random((4000, 3)) < [0.5, 0.1, 0.02]
    separation = np.array([3.0, 1.0, 0.0])
    logits = rng.normal(0, 1, truth.shape) + separation * truth
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth


def test_finds_what_trying_every_threshold_finds(scores: Scores) -> None:
    probabilities, truth = scores
    result = tuned(probabilities, truth)
    for index in range(truth.shape[1]):
        best = max(f1_score(truth[:, index], probabilities[:, index] >= k / BINS, zero_division=0) for k in range(BINS))
        assert result.f1[index] == pytest.approx(best, abs=1e-12)


def test_its_scores_are_those_of_deciding_by_its_thresholds(scores: Scores) -> None:
    probabilities, truth = scores
    result = tuned(probabilities, truth)
    active = probabilities >= result.thresholds
    arguments = {"average": None, "zero_division": 0}
    np.testing.assert_allclose(result.precision, precision_score(truth, active, **arguments))
    np.testing.assert_allclose(result.recall, recall_score(truth, active, **arguments))
    np.testing.assert_allclose(result.f1, f1_score(truth, active, **arguments))
    assert result.macro_f1 == pytest.approx(f1_score(truth, active, average="macro"))
    assert result.micro_f1 == pytest.approx(f1_score(truth, active, average="micro"))


def test_scores_on_the_edge_of_a_bin_are_decided_alike_everywhere() -> None:
    edges = (np.arange(BINS) / BINS).astype(np.float32)
    probabilities = np.concatenate([edges, np.nextafter(edges[1:], np.float32(0)), [np.float32(1)]])
    histogram = ScoreHistogram(1)
    histogram.update(probabilities[:, np.newaxis], np.ones((len(probabilities), 1), bool))
    found, _ = histogram.at_least()
    expected = (probabilities[:, np.newaxis] >= edges).sum(axis=0)
    np.testing.assert_array_equal(found[0], expected)


def test_a_gap_is_split_in_the_middle() -> None:
    result = tuned(np.array([[0.25], [0.75]]), np.array([[False], [True]]))
    assert result.thresholds[0] == pytest.approx(0.5, abs=1 / BINS)
    assert result.f1[0] == 1


def test_a_class_that_is_always_active_is_always_detected() -> None:
    result = tuned(np.array([[0.1], [0.9]]), np.array([[True], [True]]))
    assert 0 <= result.thresholds[0] <= 0.1
    assert result.f1[0] == 1


def test_a_class_without_positives_gets_one_half_and_stays_out_of_macro_f1() -> None:
    probabilities = np.array([[0.9, 0.6], [0.1, 0.2]])
    result = tuned(probabilities, np.array([[True, False], [False, False]]))
    assert result.has_positives.tolist() == [True, False]
    assert result.thresholds[1] == 0.5
    assert result.macro_f1 == 1
    # Its false alarm counts all the same: one hit, one alarm.
    assert result.micro_f1 == pytest.approx(2 / 3)


def test_silence_has_no_macro_f1() -> None:
    assert np.isnan(tuned(np.array([[0.2]]), np.array([[False]])).macro_f1)


def test_frames_may_come_in_pieces(scores: Scores) -> None:
    probabilities, truth = scores
    histogram = ScoreHistogram(truth.shape[1])
    for start in range(0, len(truth), 333):
        histogram.update(probabilities[start : start + 333], truth[start : start + 333])
    np.testing.assert_array_equal(tune(histogram).thresholds, tuned(probabilities, truth).thresholds)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_values_outside_of_0_and_1_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or outside"):
        ScoreHistogram(1).update(np.array([[value]], np.float32), np.array([[True]]))


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[frames, 2\]"):
        ScoreHistogram(2).update(np.zeros((3, 1), np.float32), np.zeros((3, 1), bool))


class TestShrink:
    def both(self, scores: Scores) -> tuple[TunedThresholds, ScoreHistogram, np.ndarray]:
        probabilities, truth = scores
        truth = np.column_stack([truth, np.zeros(len(truth), bool)])  # and a class that is never active
        histogram = ScoreHistogram(4)
        histogram.update(np.column_stack([probabilities, probabilities[:, 0]]), truth)
        return tune(histogram), histogram, truth

    def test_0_gives_the_best_of_each_class(self, scores: Scores) -> None:
        tuned, histogram, _ = self.both(scores)
        np.testing.assert_array_equal(shrink(tuned, histogram, 0.0), tuned.thresholds)

    def test_1_gives_the_one_best_for_all(self, scores: Scores) -> None:
        tuned, histogram, truth = self.both(scores)
        common = shrink(tuned, histogram, 1.0)
        assert len(set(common[:3])) == 1
        probabilities = np.column_stack([scores[0], scores[0][:, 0]])
        best = max(f1_score(truth.ravel(), probabilities.ravel() >= k / BINS, zero_division=0) for k in range(BINS))
        assert f1_score(truth.ravel(), probabilities.ravel() >= common[0]) == pytest.approx(best, abs=1e-3)

    def test_one_half_lies_in_the_middle_of_the_log_odds(self, scores: Scores) -> None:
        tuned, histogram, _ = self.both(scores)
        ends = [shrink(tuned, histogram, part)[:3].astype(float) for part in (1e-12, 0.5, 1.0)]
        own, half, common = (np.log(values / (1 - values)) for values in ends)
        np.testing.assert_allclose(half, (own + common) / 2, atol=1e-4)
        assert np.abs(own - common).max() > 0.3

    def test_a_class_without_positives_keeps_its_threshold(self, scores: Scores) -> None:
        tuned, histogram, _ = self.both(scores)
        assert shrink(tuned, histogram, 0.7)[3] == 0.5

    def test_thresholds_at_the_ends_stay_thresholds(self) -> None:
        histogram = ScoreHistogram(2)
        histogram.update(np.array([[0.0, 0.9], [0.0, 0.1]], np.float32), np.array([[True, True], [True, False]]))
        drawn = shrink(tune(histogram), histogram, 0.5)
        assert np.isfinite(drawn).all()
        assert ((drawn > 0) & (drawn < 1)).all()
