"""Counts, F1, confusion and baseline against scikit-learn and against brute force."""

import math

import numpy as np
import pytest
import sklearn.metrics

from mir_tf.metrics.counts import ConfusionCounts, confusion_matrix, constant_baseline, track_micro_f1

Rolls = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def rolls() -> Rolls:
    """Return predictions and truth [frames, classes]; the last two classes are never true and never predicted."""
    generator = np.random.default_rng(1)
    truth = generator.random((500, 7)) < generator.random(7)
    active = truth ^ (generator.random((500, 7)) < generator.random(7))
    truth[:, 5] = False
    active[:, 6] = False
    assert active[:, 5].any()
    assert truth[:, 6].any()
    return active, truth


def test_counts_of_a_class_equal_scikit_learn(rolls: Rolls) -> None:
    active, truth = rolls
    counts = ConfusionCounts.of(active, truth)
    expected = sklearn.metrics.multilabel_confusion_matrix(truth, active)
    np.testing.assert_array_equal(counts.tn, expected[:, 0, 0])
    np.testing.assert_array_equal(counts.fp, expected[:, 0, 1])
    np.testing.assert_array_equal(counts.fn, expected[:, 1, 0])
    np.testing.assert_array_equal(counts.tp, expected[:, 1, 1])


@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_precision_recall_and_f1_equal_scikit_learn(rolls: Rolls, metric: str) -> None:
    active, truth = rolls
    counts = ConfusionCounts.of(active, truth)
    oracle = getattr(sklearn.metrics, f"{metric}_score")
    active_classes = truth.any(axis=0)
    assert not active_classes.all()

    np.testing.assert_allclose(getattr(counts, metric), oracle(truth, active, average=None, zero_division=0))
    np.testing.assert_allclose(getattr(counts.micro, metric), oracle(truth, active, average="micro"))
    np.testing.assert_allclose(
        getattr(counts, f"macro_{metric}"),
        oracle(truth[:, active_classes], active[:, active_classes], average="macro", zero_division=0),
    )


def test_nothing_true_or_predicted_gives_0_and_an_undefined_macro() -> None:
    counts = ConfusionCounts.of(np.zeros((9, 3), bool), np.zeros((9, 3), bool))
    for metric in (counts.precision, counts.recall, counts.f1):
        np.testing.assert_array_equal(metric, [0, 0, 0])
    assert counts.micro.f1 == 0
    assert np.isnan(counts.macro_f1)


def test_track_micro_f1_is_the_micro_f1_of_each_track() -> None:
    generator = np.random.default_rng(2)
    truth = generator.random((4, 50, 3)) < 0.4
    active = generator.random((4, 50, 3)) < 0.4
    truth[2] = active[2] = False  # silence, rightly predicted
    truth[3] = False  # silence, but something is predicted
    tracks = ConfusionCounts.of_tracks(active, truth)
    expected = [sklearn.metrics.f1_score(t, a, average="micro") for t, a in zip(truth[:2], active[:2], strict=True)]
    np.testing.assert_allclose(track_micro_f1(tracks), [*expected, 1.0, 0.0])


def test_confusion_shares_a_miss_among_the_wrong_classes() -> None:
    truth = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    active = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    matrix = confusion_matrix(active, truth)
    np.testing.assert_allclose(
        matrix,
        [
            [1, 0, 1, 0, 1],  # predicted once, confused with class 2 once, missed once with nothing instead
            [0, 1, 0.5, 0.5, 0],  # predicted once, once confused with classes 2 and 3 at a time
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
        ],
    )


def test_rows_of_the_confusion_sum_to_the_frames_of_their_class(rolls: Rolls) -> None:
    active, truth = rolls
    np.testing.assert_allclose(confusion_matrix(active, truth).sum(axis=1), truth.sum(axis=0), rtol=1e-5)


def test_no_constant_prediction_is_better_than_the_baseline() -> None:
    truth = np.random.default_rng(3).random((40, 6)) < [0.9, 0.05, 0.4, 0.0, 0.3, 0.6]
    baseline = constant_baseline(np.count_nonzero(truth, axis=0), len(truth))

    constants = (np.arange(2**6)[:, np.newaxis] >> np.arange(6)) % 2 == 1  # all 64 choices of always and never
    counts = [ConfusionCounts.of(np.broadcast_to(constant, truth.shape), truth) for constant in constants]
    micro = [float(count.micro.f1) for count in counts]
    assert baseline.micro_f1 == pytest.approx(max(micro))
    np.testing.assert_array_equal(baseline.micro_always, constants[np.argmax(micro)])
    assert not baseline.micro_always.all()
    np.testing.assert_allclose(baseline.f1, np.max([count.f1 for count in counts], axis=0))
    assert baseline.macro_f1 == pytest.approx(max(float(count.macro_f1) for count in counts))


def test_baseline_of_silence() -> None:
    baseline = constant_baseline(np.zeros(3, int), 10)
    assert baseline.micro_f1 == 0
    assert math.isnan(baseline.macro_f1)
    assert not baseline.micro_always.any()


def test_resampled_counts_are_those_of_the_drawn_tracks() -> None:
    generator = np.random.default_rng(4)
    active, truth = generator.random((2, 5, 30, 3)) < 0.5
    tracks = ConfusionCounts.of_tracks(active, truth)
    weights = np.array([[2, 0, 1, 2, 0], [1, 1, 1, 1, 1]])
    drawn = [0, 0, 2, 3, 3]
    expected = ConfusionCounts.of(np.concatenate(active[drawn]), np.concatenate(truth[drawn]))
    whole = ConfusionCounts.of(np.concatenate(active), np.concatenate(truth))
    resampled = tracks.resampled(weights)
    for name in ("tp", "fp", "fn", "tn"):
        np.testing.assert_array_equal(getattr(resampled, name), [getattr(expected, name), getattr(whole, name)])
