"""Confidence: the calibrated probability that a class plays in a recording at all, from its probabilities over time.

A model's probabilities are about frames. Alone, they do not tell whether an instrument plays in a recording: a class
that is just above its threshold for a few frames usually does not. A logistic regression on a few summary
features (Platt scaling) turns the frames of a class into one calibrated number. Classes at or above a cut are
*detected*; others are named as *perhaps*. :mod:`mir_tf.metrics.confidence` fits the regression and chooses the cut on
validation songs. Requires only NumPy.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.io import stored_json

MIN_SECONDS = 1.0
"""A class plays in a recording if its playing time is at least this long."""

TOP_SECONDS = (1,)
"""Durations in seconds of the parts with the highest probabilities, over which features average."""

NUM_FEATURES = 1 + len(TOP_SECONDS)

_LOWEST = 1e-4
"""Probabilities are clipped to [this, 1 - this], because 0 and 1 have no log-odds."""


def features(probabilities: NDArray[np.float32], mean: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Summarise the probabilities of each class over a recording.

    The features of a class are the log-odds of its mean probability over the recording, and of its mean over the
    highest frames that make up each of :data:`TOP_SECONDS`. They do not depend on thresholds.

    Args:
        probabilities: float32 [label frames, classes], at least one frame. With ``mean``, the frames that
            :func:`highest_frames` returns are enough.
        mean: float64 [classes], mean probability over the recording, if it is known.

    Returns:
        float64 [classes, :data:`NUM_FEATURES`].
    """
    if mean is None:
        mean = probabilities.mean(axis=0, dtype=np.float64)
    highest = highest_frames(probabilities).astype(np.float64)
    tops = (highest[: seconds * LABEL_RATE].mean(axis=0) for seconds in TOP_SECONDS)
    means = np.clip([mean, *tops], _LOWEST, 1 - _LOWEST)  # [features, classes]
    log_odds: NDArray[np.float64] = np.log(means / (1 - means))
    return log_odds.T


def highest_frames(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest probabilities of each class that :func:`features` needs, in descending order.

    Args:
        probabilities: float32 [label frames, classes].

    Returns:
        float32 [frames, classes], with at most max(:data:`TOP_SECONDS`) seconds of frames.
    """
    highest: NDArray[np.float32] = -np.sort(-probabilities, axis=0)[: max(TOP_SECONDS) * LABEL_RATE]
    return highest


@dataclasses.dataclass(frozen=True)
class ConfidenceModel:
    """A fitted logistic regression for each class, and the cut between *detected* and *perhaps*.

    Attributes:
        weights: Bias, then a weight for each of :func:`features`, for each class.
        cut: A class is detected if its confidence is at least this; 1 if no cut was precise enough, so that no class
            ever is.
    """

    weights: tuple[tuple[float, ...], ...]
    cut: float

    def __post_init__(self) -> None:
        """Check every number.

        Raises:
            ValueError: A class has the wrong number of weights, a weight is not finite, or the cut is outside [0, 1].
        """
        if any(len(row) != 1 + NUM_FEATURES for row in self.weights):
            raise ValueError(f"each class must have {1 + NUM_FEATURES} confidence weights")
        if not all(math.isfinite(weight) for row in self.weights for weight in row):
            raise ValueError("a confidence weight is not finite")
        if not 0 <= self.cut <= 1:
            raise ValueError(f"the cut of the confidence is {self.cut}; it must be between 0 and 1")

    def confidence(
        self, probabilities: NDArray[np.float32], mean: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the confidence of each class that it plays for at least :data:`MIN_SECONDS` in the recording.

        Args:
            probabilities: As for :func:`features`.
            mean: As for :func:`features`.

        Returns:
            float64 [classes], above 0 and below 1.
        """
        return apply_weights(np.array(self.weights), features(probabilities, mean))

    def detects(self, confidence: NDArray[np.float64], is_named: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which classes are detected: those that are named and whose confidence reaches the cut.

        Args:
            confidence: float64 [..., classes].
            is_named: bool [..., classes], whether a class reaches its threshold in any frame.
        """
        return is_named & (confidence >= self.cut)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {"weights": [list(row) for row in self.weights], "cut": self.cut}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ConfidenceModel:
        """Build the model from the result of :meth:`to_dict`.

        Raises:
            ValueError: ``values`` is not such a result.
        """
        stored_json.fields(values, "confidence", "weights", "cut")
        rows = stored_json.items(values["weights"], "confidence.weights")
        weights = (stored_json.numbers(row, f"confidence.weights[{index}]") for index, row in enumerate(rows))
        return cls(tuple(weights), stored_json.number(values["cut"], "confidence.cut"))


def apply_weights(weights: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the confidence [..., classes] that belongs to features [..., classes, features].

    Args:
        weights: float64 [classes, 1 + features], the bias first.
        features: See :func:`features`.
    """
    return sigmoid(weights[:, 0] + (features * weights[:, 1:]).sum(axis=-1))


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities that belong to log-odds; they are never exactly 0 or 1."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(log_odds, -15, 15)))
    return probabilities
