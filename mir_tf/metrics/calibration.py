"""Whether probabilities mean what they say: of the frames answered 0.3, does the class sound in three of ten?"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.thresholds import BINS, ScoreHistogram, ratio

RELIABILITY_BINS = 16
"""Bins of a reliability diagram, equally wide; a divisor of :data:`mir_tf.metrics.thresholds.BINS`."""


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Frames by the probability that they were given: the reliability diagram of each class.

    Attributes:
        frames: int64 [classes, bins], frames whose probability lies in the bin.
        confidence: float64 [classes, bins], their mean probability; 0 where there are none.
        frequency: float64 [classes, bins], the share of them in which the class sounds; 0 where there are none.
    """

    frames: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]

    @property
    def error(self) -> NDArray[np.float64]:
        """Expected calibration error [classes]: the mean gap between confidence and frequency over the frames.

        Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015),
        of the probability that a class sounds; 0 is best. It is 0 where there are no frames.
        """
        gaps: NDArray[np.float64] = np.abs(self.confidence - self.frequency)
        weighted: NDArray[np.float64] = (self.frames * gaps).sum(axis=1) / np.maximum(self.frames.sum(axis=1), 1)
        return weighted


def reliability(histogram: ScoreHistogram) -> Reliability:
    """The reliability diagram of every class.

    A score is taken for the middle of its bin of the histogram, from which it differs by 1 / (2 ·
    :data:`mir_tf.metrics.thresholds.BINS`) at most.
    """
    positives, negatives = (
        counts.reshape(len(counts), RELIABILITY_BINS, -1) for counts in (histogram.positives, histogram.negatives)
    )  # [classes, bins, bins of the histogram]
    scores = ((np.arange(BINS) + 0.5) / BINS).reshape(RELIABILITY_BINS, -1)
    each = positives + negatives
    frames = each.sum(axis=2)
    confidence = (each * scores).sum(axis=2) / np.maximum(frames, 1)
    return Reliability(frames, confidence, ratio(positives.sum(axis=2), frames))
