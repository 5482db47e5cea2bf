"""How good a model is on the tracks of a split, at the thresholds and by the event rule of its bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mir_tf.bundle import Bundle
from mir_tf.data import pipeline
from mir_tf.data.manifest import class_frames, read_manifest
from mir_tf.errors import DataError
from mir_tf.evaluation.result import Evaluation, TrackPrediction, assess


def evaluate(
    bundle: Bundle,
    data: str | Path,
    split: str = "test",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluates a model on all tracks of a split, whole.

    Args:
        bundle: the model, with its thresholds.
        data: folder of a data set.
        split: name of the split.
        progress: called with tracks done and tracks in all after each track.

    Raises:
        DataError: the data set is missing or damaged, has no such split, nothing sounds in that split, or its
            front end is not the model's.
    """
    answers = predict_split(bundle, data, split, progress)
    return assess(
        list(answers.values()), bundle.thresholds, bundle.post_processing, bundle.vocabulary, str(data), split
    )


def predict_split(
    bundle: Bundle,
    data: str | Path,
    split: str = "test",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, TrackPrediction]:
    """What a model says of all tracks of a split, whole, by their ids: as :func:`evaluate` takes and raises it."""
    manifest = read_manifest(data)
    pipeline.check_front_end(data, manifest, bundle.config.front_end)
    if not class_frames(data, manifest, split, bundle.vocabulary).any():
        raise DataError(f"{data}: nothing sounds in split {split!r}, so there is nothing to measure")
    answers: dict[str, TrackPrediction] = {}
    for track in pipeline.tracks(data, manifest, split, bundle.vocabulary):
        answers[track.id] = TrackPrediction(track.song, bundle.windowed.predict_track(track.log_mel), track.truth)
        if progress is not None:
            progress(len(answers), manifest.splits[split].tracks)
    return answers
