"""Evaluation of a model on the tracks of a split, with the thresholds and the post-processing of its bundle."""

from __future__ import annotations

from pathlib import Path

from mir_tf.bundle import Bundle
from mir_tf.bundle.predict import OnTrack, predict_split
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.evaluation.result import Evaluation


def evaluate_split(
    bundle: Bundle, data: str | Path, split: str = "test", progress: OnTrack | None = None
) -> Evaluation:
    """Evaluate a model on all tracks of a split, each at its full length.

    Args:
        bundle: The model with its thresholds.
        data: Folder of a data set.
        split: Name of the split.
        progress: Called after each track with the number of tracks done and the number of all tracks.

    Raises:
        DataError: The data set is missing or damaged, has no such split or no active class there, or its
            front end is not the model's.
    """
    predictions = list(predict_split(bundle.windowed, bundle.config, data, split, progress))
    return evaluate_predictions(
        predictions, bundle.thresholds, bundle.post_processing, bundle.vocabulary, str(data), split, bundle.confidence
    )
