"""The scores of a model on the validation split, which decide the course of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from mir_tf.metrics.counts import Baseline, constant_baseline
from mir_tf.metrics.thresholds import ScoreHistogram, TunedThresholds, tune
from mir_tf.metrics.track import TrackPrediction
from mir_tf.training.distribution import Distribution


@dataclasses.dataclass(frozen=True)
class Validation:
    """Scores of a model on the validation split.

    Attributes:
        loss: The training loss, over all label frames.
        histogram: Histogram of the probabilities.
        tuned: The best threshold of each class, and F1 with these thresholds.
        predictions: Predictions of this worker, which are far smaller than log-mel.
    """

    loss: float
    histogram: ScoreHistogram
    tuned: TunedThresholds
    predictions: list[TrackPrediction]

    @property
    def baseline(self) -> Baseline:
        """The best constant predictions for the validation split, the same in every epoch."""
        positives, negatives = (counts.sum(axis=1) for counts in (self.histogram.positives, self.histogram.negatives))
        return constant_baseline(positives, int(positives[0] + negatives[0]))


def validate(
    predictions: Iterable[TrackPrediction], loss: keras.losses.Loss, num_classes: int, distribution: Distribution
) -> Validation:
    """Score predictions of the validation tracks.

    Args:
        predictions: Predictions for this worker's share of the tracks.
        loss: The training loss, of targets and logits [batch, label frames, classes].
        num_classes: Number of classes.
        distribution: All its workers must call this at the same point; all get the same scores.

    Raises:
        FloatingPointError: A probability is not finite.
    """
    histogram = ScoreHistogram(num_classes)
    losses = frames = 0.0
    kept = []
    for track in predictions:
        if not np.isfinite(track.probabilities).all():
            raise FloatingPointError("the model's probabilities are not finite")
        histogram.update(track.probabilities, track.truth)
        clipped = np.clip(track.probabilities, 1e-7, 1 - 1e-7)
        logits = np.log(clipped) - np.log1p(-clipped)
        losses += float(loss(track.truth[np.newaxis].astype(np.float32), logits[np.newaxis])) * len(logits)
        frames += len(logits)
        kept.append(track)
    losses, frames = distribution.total(np.array([losses, frames]))
    for counts in (histogram.positives, histogram.negatives):
        counts[:] = distribution.total(counts.astype(np.float64))
    return Validation(losses / frames, histogram, tune(histogram), kept)
