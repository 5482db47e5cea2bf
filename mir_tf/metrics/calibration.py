"""Calibration: how well predicted probabilities agree with how often a class is active."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.arithmetic import ratio
from mir_tf.metrics.thresholds import BINS, ScoreHistogram

RELIABILITY_BINS = 16
"""Number of equally wide bins of a reliability diagram; a divisor of :data:`mir_tf.metrics.thresholds.BINS`."""


@dataclasses.dataclass(frozen=True)
class Reliability:
    """The reliability diagram of each class: its frames, grouped by their predicted probability.

    Attributes:
        frames: int64 [classes, bins], number of frames whose probability lies in the bin.
        confidence: float64 [classes, bins], mean probability of these frames; 0 in an empty bin.
        frequency: float64 [classes, bins], share of these frames in which the class is active; 0 in an empty bin.
    """

    frames: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]

    @property
    def error(self) -> NDArray[np.float64]:
        """Expected calibration error [classes]: the mean gap between confidence and frequency, over the frames.

        Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015),
        applied to the probability that a class is active. 0 is best. A class without frames has 0.
        """
        gaps: NDArray[np.float64] = np.abs(self.confidence - self.frequency)
        return ratio((self.frames * gaps).sum(axis=1), self.frames.sum(axis=1))


def reliability(histogram: ScoreHistogram) -> Reliability:
    """Compute the reliability diagram of every class.

    Every score counts as the middle of its bin of the histogram. The error is at most 1 / (2 ·
    :data:`mir_tf.metrics.thresholds.BINS`).
    """
    positives, negatives = (
        counts.reshape(len(counts), RELIABILITY_BINS, -1) for counts in (histogram.positives, histogram.negatives)
    )  # [classes, bins, bins of the histogram]
    scores = ((np.arange(BINS) + 0.5) / BINS).reshape(RELIABILITY_BINS, -1)
    each = positives + negatives
    frames = each.sum(axis=2)
    return Reliability(frames, ratio((each * scores).sum(axis=2), frames), ratio(positives.sum(axis=2), frames))
