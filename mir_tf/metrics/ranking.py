"""Precision and recall of one class at every threshold, average precision and the area under the ROC curve."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.arithmetic import ratio

RESAMPLED_THRESHOLDS = 1000
"""Number of thresholds, evenly spaced by frames and as many by true frames, at which resamples are counted."""


@dataclasses.dataclass(frozen=True)
class ThresholdSweep:
    """Counts of one class as its threshold falls, in the frames or in each of many resamples of them.

    Attributes:
        thresholds: [thresholds], descending. A frame is predicted if its score is at least the threshold.
        tp: int64 [..., thresholds], predicted and true.
        fp: int64 [..., thresholds], predicted, not true.
    """

    thresholds: NDArray[np.float32]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> ThresholdSweep:
        """Count the frames of one class, with a threshold at every distinct score.

        Args:
            scores: [frames], at least one frame.
            truth: bool [frames].
        """
        order = np.argsort(-scores, kind="stable")
        scores, truth = scores[order], truth[order]
        # Equal scores reach a threshold together, so only the last of each run counts.
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
        tp = np.cumsum(truth, dtype=np.int64)[last]
        return cls(scores[last], tp, last + 1 - tp)

    def resampled(
        self,
        scores: NDArray[np.float32],
        truth: NDArray[np.bool_],
        tracks: NDArray[np.int64],
        weights: NDArray[np.int64],
    ) -> ThresholdSweep:
        """Count each resample of the tracks, at up to twice :data:`RESAMPLED_THRESHOLDS` of the thresholds.

        Args:
            scores: [frames], as given to :meth:`of`.
            truth: bool [frames], as given to :meth:`of`.
            tracks: int64 [frames], track of each frame.
            weights: int64 [samples, tracks], how often each track is drawn.
        """
        # Thresholds at equal numbers of frames resolve the scores wherever they lie. Thresholds at equal numbers of
        # true frames are added for rare classes, whose few true frames have similar scores.
        chosen_by = (
            np.searchsorted(counts, np.linspace(0, counts[-1], RESAMPLED_THRESHOLDS + 1)[1:])
            for counts in (self.tp + self.fp, self.tp)  # [scores]
        )
        thresholds = self.thresholds[np.unique(np.concatenate(list(chosen_by)))]  # [kept]
        # The first threshold at which each frame is predicted.
        steps = np.searchsorted(-thresholds, -scores)  # [frames]
        kept = len(thresholds)

        def cumulated(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
            cells = tracks[chosen] * kept + steps[chosen]
            counts = np.bincount(cells, minlength=weights.shape[1] * kept).reshape(-1, kept)  # [tracks, kept]
            # Floats represent these counts exactly, and multiply some thirty times faster than integers.
            drawn = weights.astype(np.float64) @ counts.astype(np.float64)  # [samples, kept]
            return drawn.astype(np.int64).cumsum(axis=1)

        return ThresholdSweep(thresholds, cumulated(truth), cumulated(~truth))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Precision [..., thresholds]; 0 if nothing is predicted."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Recall [..., thresholds]; 0 if the class is never true."""
        return ratio(self.tp, self.tp[..., -1:])

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """Mean precision over the steps of recall [...], as in scikit-learn; NaN if the class is never true."""
        mean = np.sum(np.diff(self.recall, prepend=0) * self.precision, axis=-1)
        return np.where(self.tp[..., -1] > 0, mean, np.nan)

    @property
    def roc_auc(self) -> NDArray[np.float64]:
        """Probability [...] that a true frame scores above a false one, ties counted half; NaN if either is missing."""
        heights = np.diff(self.fp, prepend=0)
        middles = self.tp - np.diff(self.tp, prepend=0) / 2
        pairs = self.tp[..., -1] * self.fp[..., -1]
        return np.where(pairs > 0, ratio(np.sum(heights * middles, axis=-1), pairs), np.nan)
