"""Confidence that a class plays in a recording: its features and its logistic regression, worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from mir_tf.confidence import MIN_SECONDS, NUM_FEATURES, TOP_SECONDS, ConfidenceModel, features, sigmoid
from mir_tf.config import LABEL_RATE


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_features_are_the_log_odds_of_means_over_all_and_over_the_highest_frames() -> None:
    """Wherever the highest frames are: 10 of 0.9 and 40 of 0.5 in one class, and their mirror image in the other."""
    column = np.full(200, 0.1)
    column[[3, 9, 20, 21, 30, 77, 100, 150, 198, 199]] = 0.9
    column[40:80:1] = np.where(column[40:80] == 0.9, 0.9, 0.5)
    column[95] = 0.5
    roll = np.stack([column, column[::-1]], axis=1).astype(np.float32)
    found = features(roll)
    assert found.shape == (2, NUM_FEATURES)
    assert found.dtype == np.float64
    descending = [0.9] * 10 + [0.5] * 40 + [0.1] * 150
    assert sorted(column, reverse=True) == descending
    expected = [logit(sum(descending) / 200)]
    expected += [logit(sum(descending[: seconds * 10]) / (seconds * 10)) for seconds in TOP_SECONDS]
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-6)
    assert expected[0] == pytest.approx(logit(0.22))


@pytest.mark.parametrize("frames", [1, 4, 9])
def test_features_of_an_excerpt_that_is_shorter_than_a_second_are_all_of_its_mean(frames: int) -> None:
    roll = np.linspace(0.2, 0.8, frames * 2, dtype=np.float32).reshape(frames, 2)
    expected = [[logit(float(mean))] * NUM_FEATURES for mean in roll.mean(axis=0)]
    np.testing.assert_allclose(features(roll), expected, rtol=1e-5, atol=1e-6)


def test_features_of_certain_probabilities_are_finite() -> None:
    found = features(np.tile(np.array([0.0, 1.0], np.float32), (30, 1)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], -found[1])
    assert (found[0] < -9).all()


def test_features_do_not_change_their_input() -> None:
    roll = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    before = roll.copy()
    features(roll)
    np.testing.assert_array_equal(roll, before)


def test_the_confidence_is_the_sigmoid_of_the_weighted_features() -> None:
    weights = (
        (0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),  # the mean probability itself
        (-2.0, *(0.0,) * NUM_FEATURES),  # the bias alone
        tuple(0.1 * number for number in range(1 + NUM_FEATURES)),
    )
    roll = np.random.default_rng(0).random((80, 3)).astype(np.float32)
    found = ConfidenceModel(weights, 0.5).confidence(roll)
    log_odds = sum(0.1 * (number + 1) * value for number, value in enumerate(features(roll)[2]))
    expected = [roll[:, 0].mean(), 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-log_odds))]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_confidence_is_never_certain() -> None:
    found = ConfidenceModel(((500.0,) * (1 + NUM_FEATURES), (-500.0,) * (1 + NUM_FEATURES)), 0.5).confidence(
        np.full((20, 2), 0.9, np.float32)
    )
    assert found[0] < 1
    assert found[1] > 0
    np.testing.assert_allclose(sigmoid(np.array([0.0, math.log(3)])), [0.5, 0.75])


def test_a_model_comes_back_from_json() -> None:
    model = ConfidenceModel(tuple((0.25 * row, *(0.1,) * NUM_FEATURES) for row in range(3)), 0.625)
    assert ConfidenceModel.from_dict(model.to_dict()) == model


ROW = [0.0] * (1 + NUM_FEATURES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "weights"),
        ({"weights": [ROW]}, "cut"),
        ({"weights": None, "cut": 0.5}, "weights is None; it must be a list"),
        ({"weights": [None], "cut": 0.5}, r"weights\[0\] is None; it must be a list"),
        ({"weights": ["123"], "cut": 0.5}, r"weights\[0\] is '123'; it must be a list"),
        ({"weights": [ROW], "cut": True}, "cut is True; it must be a number"),
        ({"weights": [ROW], "cut": 10**400}, "cut is a whole number of very many digits; it must be a number"),
        ({"weights": [["high"] * (1 + NUM_FEATURES)], "cut": 0.5}, "high"),
        ({"weights": [ROW, ROW[1:]], "cut": 0.5}, f"each class must have {1 + NUM_FEATURES} confidence weights"),
        ({"weights": [[*ROW, 0.0]], "cut": 0.5}, "each class must have"),
        ({"weights": [[math.nan, *ROW[1:]]], "cut": 0.5}, r"weights\[0\]\[0\] is nan; it must be a number"),
        ({"weights": [[*ROW[1:], math.inf]], "cut": 0.5}, r"\[\d\] is inf; it must be a number"),
        ({"weights": [ROW], "cut": "high"}, "high"),
        ({"weights": [ROW], "cut": 1.5}, "the cut of the confidence is 1.5; it must be between 0 and 1"),
        ({"weights": [ROW], "cut": -0.1}, "the cut of the confidence is -0.1"),
        ({"weights": [ROW], "cut": math.nan}, "cut is nan; it must be a number"),
        ({"weights": [ROW], "cut": 0.5, "curve": 1, "age": 2}, "confidence has an unknown field curve"),
    ],
)
def test_a_wrong_description_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        ConfidenceModel.from_dict(values)


def test_a_class_plays_from_a_second_on() -> None:
    """The number that documentation and reports state."""
    assert MIN_SECONDS == 1.0


def test_the_documentation_names_the_features() -> None:
    """Programs in other languages compute them from its description."""
    text = (Path(__file__).parents[1] / "docs" / "export-formats.md").read_text("utf-8")
    for seconds in TOP_SECONDS:
        assert f"of the {seconds * LABEL_RATE} frames ({seconds} s)" in text
    assert text.count(" s) with the highest") == len(TOP_SECONDS) == NUM_FEATURES - 1
