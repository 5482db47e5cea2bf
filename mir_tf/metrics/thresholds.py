"""The threshold of each class with the best F1, found in one pass over histograms of the scores."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mir_tf.metrics.arithmetic import ratio

BINS = 1024
"""Number of bins of a histogram.

It is a power of two, so k / BINS is exact in float32 and in JSON: a score lies in bin k or above if and only if it is
at least the threshold k / BINS.
"""

NO_POSITIVES_THRESHOLD = 0.5
"""Threshold of a class that is never active in the data for tuning."""


class ScoreHistogram:
    """Histograms of each class's scores, one for the frames in which it is active and one for the others.

    Attributes:
        positives: int64 [classes, BINS], number of frames in which the class is active.
        negatives: int64 [classes, BINS], number of the other frames.
    """

    def __init__(self, num_classes: int) -> None:
        """Make an empty histogram of ``num_classes`` classes."""
        self.positives = np.zeros((num_classes, BINS), np.int64)
        self.negatives = np.zeros((num_classes, BINS), np.int64)

    def update(self, probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Add frames.

        Args:
            probabilities: float32 [frames, classes] in [0, 1].
            truth: bool [frames, classes], whether the class is active.

        Raises:
            ValueError: The shapes differ, or a probability is NaN or outside [0, 1].
        """
        if probabilities.shape != truth.shape or truth.shape[1:] != self.positives.shape[:1]:
            raise ValueError(
                f"probabilities {probabilities.shape} and truth {truth.shape} must both be "
                f"[frames, {len(self.positives)}]"
            )
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ValueError("a probability is NaN or outside [0, 1]")
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)  # [frames, classes]
        bins += np.arange(len(self.positives)) * BINS
        for counts, chosen in ((self.positives, bins[truth]), (self.negatives, bins[~truth])):
            counts += np.bincount(chosen, minlength=counts.size).reshape(counts.shape)

    def pooled(self) -> ScoreHistogram:
        """Return the histogram of all classes taken together as one class."""
        pooled = ScoreHistogram(1)
        pooled.positives += self.positives.sum(axis=0)
        pooled.negatives += self.negatives.sum(axis=0)
        return pooled

    def at_least(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the true and false positives [classes, BINS] at the threshold k / BINS, for each k."""
        return _reversed_sum(self.positives), _reversed_sum(self.negatives)

    def f1(self) -> NDArray[np.float64]:
        """Return F1 [classes, BINS] at the threshold k / BINS, for each k; 0 if nothing is true or predicted."""
        true_positives, false_positives = self.at_least()
        return ratio(2 * true_positives, true_positives + false_positives + true_positives[:, :1])


def _reversed_sum(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return counts[:, ::-1].cumsum(axis=1)[:, ::-1]


@dataclasses.dataclass(frozen=True)
class TunedThresholds:
    """The best threshold of each class. A class is detected if its probability is at least the threshold.

    Attributes:
        thresholds: float32 [classes].
        precision: float64 [classes] at the threshold; 0 if nothing is detected.
        recall: float64 [classes] at the threshold; 0 if the class is never active.
        f1: float64 [classes] at the threshold.
        has_positives: bool [classes], whether the class is ever active. The other classes have the threshold 0.5 and
            do not count for :attr:`macro_f1`.
        macro_f1: Mean F1 of the classes with positives; NaN if there are none.
        micro_f1: F1 of the decisions of all classes together.
    """

    thresholds: NDArray[np.float32]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    has_positives: NDArray[np.bool_]
    macro_f1: float
    micro_f1: float


def tune(histogram: ScoreHistogram) -> TunedThresholds:
    """Find the threshold of each class with the best F1, to 1 / :data:`BINS`.

    Several thresholds are often equally good, because no score lies between them. Of the first run of best ones the
    middle is chosen, which is farthest from the scores on either side.
    """
    true_positives, false_positives = histogram.at_least()  # [classes, BINS]
    positives = true_positives[:, 0]
    has_positives = positives > 0
    f1 = histogram.f1()  # [classes, BINS]
    is_best = f1 == f1.max(axis=1, keepdims=True)
    first = is_best.argmax(axis=1)
    # The first run ends before the first worse threshold that follows it.
    is_worse_after = ~is_best & (np.arange(BINS) > first[:, np.newaxis])
    end = np.where(is_worse_after.any(axis=1), is_worse_after.argmax(axis=1), BINS)
    best = np.where(has_positives, (first + end - 1) // 2, int(NO_POSITIVES_THRESHOLD * BINS))

    classes = np.arange(len(best))
    hits, alarms = true_positives[classes, best], false_positives[classes, best]
    f1_at_best = f1[classes, best]
    return TunedThresholds(
        thresholds=(best / BINS).astype(np.float32),
        precision=ratio(hits, hits + alarms),
        recall=ratio(hits, positives),
        f1=f1_at_best,
        has_positives=has_positives,
        macro_f1=float(f1_at_best[has_positives].mean()) if has_positives.any() else float("nan"),
        micro_f1=float(ratio(2 * hits.sum(), hits.sum() + alarms.sum() + positives.sum())),
    )


def shrink(tuned: TunedThresholds, histogram: ScoreHistogram, shrinkage: float) -> NDArray[np.float32]:
    """Move the best thresholds towards the one threshold that has the best micro F1 if all classes share it.

    If a class plays in few songs, its best threshold there can be far from its best threshold in other songs. The
    common threshold is known far better. A threshold between the two generalises best, as for other estimates from
    little data (James and Stein, 1961).

    Args:
        tuned: Best thresholds of ``histogram``.
        histogram: Histogram of the scores.
        shrinkage: How far to move, in log-odds, from 0 (each class's best) to 1 (the common threshold).

    Returns:
        float32 [classes]. A class without positives keeps its threshold.
    """
    # A threshold of 0 or 1 has no log-odds.
    own, common = (
        np.clip(thresholds.astype(np.float64), 0.5 / BINS, 1 - 0.5 / BINS)
        for thresholds in (tuned.thresholds, tune(histogram.pooled()).thresholds)
    )
    log_odds = (1 - shrinkage) * np.log(own / (1 - own)) + shrinkage * np.log(common / (1 - common))
    drawn = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
    return np.where(tuned.has_positives & (shrinkage > 0), drawn, tuned.thresholds)
