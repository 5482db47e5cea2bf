"""Precision and recall of one class as its threshold moves: average precision and the area under the ROC curve."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.thresholds import ratio

RESAMPLED_THRESHOLDS = 1000
"""Thresholds by numbers of frames, and as many by those of true frames, at which resamples of a ranking are counted."""


@dataclasses.dataclass(frozen=True)
class ThresholdSweep:
    """What is found of one class as the threshold falls: in the frames, or in each of many resamples of them.

    Attributes:
        thresholds: [scores], descending; a frame is predicted where its score is at least the threshold.
        tp: int64 [..., scores], predicted and true.
        fp: int64 [..., scores], predicted, not true.
    """

    thresholds: NDArray[np.float32]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> ThresholdSweep:
        """Ranks the frames of one class, with a threshold at every distinct score.

        Args:
            scores: [frames], at least one.
            truth: bool [frames].
        """
        order = np.argsort(-scores, kind="stable")
        scores, truth = scores[order], truth[order]
        # Equal scores fall to one threshold together: only the last of each run counts.
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
        """The ranking in each resample of the tracks, at up to twice :data:`RESAMPLED_THRESHOLDS` of the thresholds.

        Args:
            scores: [frames] that were ranked.
            truth: bool [frames].
            tracks: int64 [frames], the track that each frame is of.
            weights: int64 [samples, tracks], how often each track is drawn.
        """
        # At about equal numbers of frames, so that what differs is told apart wherever the scores lie; and of true
        # ones, for the few of a rare class lie close together.
        chosen_by = (
            np.searchsorted(counts, np.linspace(0, counts[-1], RESAMPLED_THRESHOLDS + 1)[1:])
            for counts in (self.tp + self.fp, self.tp)  # [scores]
        )
        thresholds = self.thresholds[np.unique(np.concatenate(list(chosen_by)))]  # [kept]
        # Of each frame the first threshold at which it is predicted.
        steps = np.searchsorted(-thresholds, -scores)  # [frames]
        kept = len(thresholds)

        def cumulated(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
            cells = tracks[chosen] * kept + steps[chosen]
            counts = np.bincount(cells, minlength=weights.shape[1] * kept).reshape(-1, kept)  # [tracks, kept]
            # As floats, which are multiplied some thirty times faster, and hold these counts exactly.
            drawn = weights.astype(np.float64) @ counts.astype(np.float64)  # [samples, kept]
            return drawn.astype(np.int64).cumsum(axis=1)

        return ThresholdSweep(thresholds, cumulated(truth), cumulated(~truth))

    @property
    def precision(self) -> NDArray[np.float64]:
        """[..., scores]; 0 where nothing is predicted."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """[..., scores]; 0 where the class is never true."""
        return ratio(self.tp, self.tp[..., -1:])

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """[...]: precision averaged over the steps of recall, as scikit-learn; NaN where the class is never true."""
        mean = np.sum(np.diff(self.recall, prepend=0) * self.precision, axis=-1)
        return np.where(self.tp[..., -1] > 0, mean, np.nan)

    @property
    def roc_auc(self) -> NDArray[np.float64]:
        """[...]: chance that a true frame scores above a false one, ties for half; NaN where one kind is missing."""
        heights = np.diff(self.fp, prepend=0)
        middles = self.tp - np.diff(self.tp, prepend=0) / 2
        pairs = self.tp[..., -1] * self.fp[..., -1]
        return np.where(pairs > 0, np.sum(heights * middles, axis=-1) / np.maximum(pairs, 1), np.nan)
