"""Measures of a multi-label prediction. Every array has its classes on the last axis."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.thresholds import ratio


@dataclasses.dataclass(frozen=True)
class ConfusionCounts:
    """How often predictions and truth agree, int64 [..., classes] each.

    Attributes:
        tp: predicted and true.
        fp: predicted, not true.
        fn: true, not predicted.
        tn: neither.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]

    @classmethod
    def of(cls, active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ConfusionCounts:
        """Counts over the frames.

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
    def stack(cls, counts: list[ConfusionCounts]) -> ConfusionCounts:
        """Counts [classes] of many tracks as one [tracks, classes]."""
        return cls(*(np.stack(column) for column in zip(*map(_columns, counts), strict=True)))

    def resampled(self, weights: NDArray[np.int64]) -> ConfusionCounts:
        """Counts [tracks, classes] summed over the tracks of each row of ``weights`` [samples, tracks]."""
        return ConfusionCounts(*(weights @ column for column in _columns(self)))  # [samples, classes]

    @property
    def micro(self) -> ConfusionCounts:
        """All classes thrown together: [...]."""
        return ConfusionCounts(*(column.sum(axis=-1) for column in _columns(self)))

    @property
    def positives(self) -> NDArray[np.int64]:
        """How often each class is true."""
        return self.tp + self.fn

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predictions that are true; 0 where there are none."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the truth that is predicted; 0 where there is none."""
        return ratio(self.tp, self.positives)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall; 0 where nothing is true or predicted."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def macro_precision(self) -> NDArray[np.float64]:
        """Mean precision [...] of the classes that are ever true; NaN where none is."""
        return mean_defined(self.where_positive(self.precision))

    @property
    def macro_recall(self) -> NDArray[np.float64]:
        """Mean recall [...] of the classes that are ever true; NaN where none is."""
        return mean_defined(self.where_positive(self.recall))

    @property
    def macro_f1(self) -> NDArray[np.float64]:
        """Mean F1 [...] of the classes that are ever true; NaN where none is."""
        return mean_defined(self.where_positive(self.f1))

    def where_positive(self, measure: NDArray[np.float64]) -> NDArray[np.float64]:
        """A measure [..., classes], NaN for the classes that are never true."""
        return np.where(self.positives > 0, measure, np.nan)


def _columns(counts: ConfusionCounts) -> tuple[NDArray[np.int64], ...]:
    return counts.tp, counts.fp, counts.fn, counts.tn


def mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of the values that are not NaN; NaN where all are."""
    is_defined = ~np.isnan(values)
    total = np.where(is_defined, values, 0).sum(axis=-1)
    count = np.count_nonzero(is_defined, axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def track_micro_f1(tracks: ConfusionCounts) -> NDArray[np.float64]:
    """Micro F1 of each track [tracks]; their mean is the PyTorch project's track-averaged micro F1.

    A track in which nothing sounds and nothing is predicted is answered perfectly: 1.

    Args:
        tracks: counts [tracks, classes].
    """
    micro = tracks.micro
    is_empty = micro.tp + micro.fp + micro.fn == 0
    return np.where(is_empty, 1.0, micro.f1)


def confusion_matrix(active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Which class is taken for which.

    Each frame in which class i sounds counts 1 in row i: on the diagonal where i is predicted; otherwise in
    equal parts for every class wrongly predicted there; in the last column where none is. These are the
    categories 1 and 3 of Heydarian et al., "MLCM: Multi-Label Confusion Matrix" (IEEE Access 10, 2022), which
    counts each pair of a missed and a wrong class whole; shared out, a row sums to the frames of its class.

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
    """The answers that need no ears: for each class, always or never.

    Attributes:
        f1: float64 [classes] of each class's better constant: "always" where it ever sounds, else 0.
        macro_f1: their mean over the classes that ever sound.
        micro_f1: of the choice of constants that is best for micro F1.
        micro_always: bool [classes]: the classes to which that choice answers "always".
    """

    f1: NDArray[np.float64]
    macro_f1: float
    micro_f1: float
    micro_always: NDArray[np.bool_]


def constant_baseline(positives: NDArray[np.int64], frames: int) -> Baseline:
    """The best constant answers for a split, with its own truth known: no constant can do better there.

    Args:
        positives: int64 [classes], frames in which each class sounds.
        frames: frames of the split.
    """
    f1 = ratio(2 * positives, positives + frames)
    # Every class answered "always" adds equally many predictions, so the best k of them are the k most
    # frequent: the best choice is among these prefixes.
    order = np.argsort(-positives, kind="stable")
    hits = np.append(0, np.cumsum(positives[order]))  # [classes + 1], of the first k classes
    predicted = frames * np.arange(len(positives) + 1)
    micro_f1 = ratio(2 * hits, predicted + positives.sum())
    best = int(np.argmax(micro_f1))
    micro_always = np.zeros(len(positives), bool)
    micro_always[order[:best]] = True
    return Baseline(f1, float(mean_defined(np.where(positives > 0, f1, np.nan))), float(micro_f1[best]), micro_always)
