"""Precision, recall and F1 of multi-label predictions. The last axis of every array is the classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.arithmetic import mean_defined, ratio


@dataclasses.dataclass(frozen=True)
class ConfusionCounts:
    """Counts of true and false, positive and negative predictions, int64 [..., classes] each.

    Attributes:
        tp: Predicted and true.
        fp: Predicted, not true.
        fn: True, not predicted.
        tn: Neither.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]

    @classmethod
    def of(cls, active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ConfusionCounts:
        """Count the frames.

        Args:
            active: bool [..., frames, classes], predicted.
            truth: bool [..., frames, classes].
        """
        return cls(
            tp=np.count_nonzero(active & truth, axis=-2),
            fp=np.count_nonzero(active & ~truth, axis=-2),
            fn=np.count_nonzero(~active & truth, axis=-2),
            tn=np.count_nonzero(~active & ~truth, axis=-2),
        )

    @classmethod
    def of_tracks(cls, active: Iterable[NDArray[np.bool_]], truth: Iterable[NDArray[np.bool_]]) -> ConfusionCounts:
        """Count the frames of each track, bool [frames, classes]: counts [tracks, classes]."""
        return cls.stack([cls.of(mine, true) for mine, true in zip(active, truth, strict=True)])

    @classmethod
    def stack(cls, counts: list[ConfusionCounts]) -> ConfusionCounts:
        """Stack the counts [classes] of many tracks into [tracks, classes]."""
        return cls(*(np.stack(column) for column in zip(*map(_columns, counts), strict=True)))

    def resampled(self, weights: NDArray[np.int64]) -> ConfusionCounts:
        """Sum counts [tracks, classes] over the tracks, weighted by each row of ``weights`` [samples, tracks]."""
        return ConfusionCounts(*(weights @ column for column in _columns(self)))  # [samples, classes]

    @property
    def micro(self) -> ConfusionCounts:
        """Counts of all classes together: [...]."""
        return ConfusionCounts(*(column.sum(axis=-1) for column in _columns(self)))

    @property
    def positives(self) -> NDArray[np.int64]:
        """How often each class is true."""
        return self.tp + self.fn

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predictions that are true; 0 if there are none."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the truth that is predicted; 0 if the class is never true."""
        return ratio(self.tp, self.positives)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall; 0 if nothing is true or predicted."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def macro_precision(self) -> NDArray[np.float64]:
        """Mean precision [...] of the classes that are ever true; NaN if there are none."""
        return mean_defined(self.where_positive(self.precision))

    @property
    def macro_recall(self) -> NDArray[np.float64]:
        """Mean recall [...] of the classes that are ever true; NaN if there are none."""
        return mean_defined(self.where_positive(self.recall))

    @property
    def macro_f1(self) -> NDArray[np.float64]:
        """Mean F1 [...] of the classes that are ever true; NaN if there are none."""
        return mean_defined(self.where_positive(self.f1))

    def where_positive(self, metric: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a metric [..., classes] with NaN for the classes that are never true."""
        return np.where(self.positives > 0, metric, np.nan)


def _columns(counts: ConfusionCounts) -> tuple[NDArray[np.int64], ...]:
    return counts.tp, counts.fp, counts.fn, counts.tn


def track_micro_f1(tracks: ConfusionCounts) -> NDArray[np.float64]:
    """Compute the micro F1 of each track [tracks]; their mean is the PyTorch project's track-averaged micro F1.

    A track has an F1 of 1 if nothing is active and nothing is predicted: the prediction is perfect.

    Args:
        tracks: Counts [tracks, classes].
    """
    micro = tracks.micro
    is_empty = micro.tp + micro.fp + micro.fn == 0
    return np.where(is_empty, 1.0, micro.f1)


def confusion_matrix(active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Count which class is predicted in place of which.

    Each frame in which class i is active adds 1 to row i. If i is predicted, it goes to the diagonal. If i is missed,
    it is shared equally among the classes that are wrongly predicted in the frame, or goes to the last column if there
    are none. These are the categories 1 and 3 of Heydarian et al., "MLCM: Multi-Label Confusion Matrix" (IEEE Access
    10, 2022). They count each pair of a missed and a wrong class as 1; sharing makes a row sum to the frames of its
    class.

    Args:
        active: bool [frames, classes], predicted.
        truth: bool [frames, classes].

    Returns:
        float64 [classes, classes + 1], in frames.
    """
    missed = (truth & ~active).astype(np.float32)  # [frames, classes]
    wrong = (active & ~truth).astype(np.float32)
    wrong_classes = wrong.sum(axis=1, keepdims=True)  # [frames, 1]
    taken_for = np.hstack([wrong / np.maximum(wrong_classes, 1), wrong_classes == 0])  # [frames, classes + 1]
    matrix: NDArray[np.float64] = (missed.T @ taken_for).astype(np.float64)  # [classes, classes + 1]
    np.fill_diagonal(matrix, np.count_nonzero(active & truth, axis=0))
    return matrix


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The constant baseline: predict each class as always on or always off.

    Attributes:
        f1: float64 [classes], F1 of each class's better constant: "always" if it is ever active, else 0.
        macro_f1: Mean of these over the classes that are ever active.
        micro_f1: F1 of the combination of constants with the best micro F1.
        micro_always: bool [classes], the classes that this combination predicts as always on.
    """

    f1: NDArray[np.float64]
    macro_f1: float
    micro_f1: float
    micro_always: NDArray[np.bool_]


def constant_baseline(positives: NDArray[np.int64], frames: int) -> Baseline:
    """Find the best constant predictions for a split. They are chosen by its truth, so no constant does better.

    Args:
        positives: int64 [classes], number of frames in which each class is active.
        frames: Number of frames of the split.
    """
    f1 = ratio(2 * positives, positives + frames)
    # Every class that is always on adds the same number of predictions, so the best k classes are the k most frequent
    # ones, and the best combination is one of these prefixes.
    order = np.argsort(-positives, kind="stable")
    hits = np.append(0, np.cumsum(positives[order]))  # [classes + 1], of the first k classes
    predicted = frames * np.arange(len(positives) + 1)
    micro_f1 = ratio(2 * hits, predicted + positives.sum())
    best = int(np.argmax(micro_f1))
    micro_always = np.zeros(len(positives), bool)
    micro_always[order[:best]] = True
    return Baseline(f1, float(mean_defined(np.where(positives > 0, f1, np.nan))), float(micro_f1[best]), micro_always)
