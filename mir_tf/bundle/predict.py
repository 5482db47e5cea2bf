"""The one loop over the tracks of a split: evaluation, comparison, export and training's validation all use it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from mir_tf.bundle.windows import WindowedModel
from mir_tf.config import RunConfig
from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest, class_frames, read_manifest
from mir_tf.errors import DataError
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import VOCABULARIES

OnTrack = Callable[[int, int], None]
"""Called with the number of tracks done and the number of all tracks."""


def predict_split(
    model: WindowedModel,
    config: RunConfig,
    data: str | Path,
    split: str,
    progress: OnTrack | None = None,
    *,
    manifest: Manifest | None = None,
    worker: int = 0,
    workers: int = 1,
) -> Iterator[TrackPrediction]:
    """Predict the tracks of a split, one after the other.

    Records of single stems are left out. The data set is checked before the first track is read. One track's log-mel is
    in memory at a time, so memory is bounded unless you keep all the predictions.

    Args:
        model: The model, or anything else with ``predict_track``.
        config: The model's configuration: its front end must be the data set's, and its vocabulary gives the classes.
        data: Folder of the data set.
        split: Name of the split.
        progress: Called after each track.
        manifest: The data set's manifest, if you have read it already.
        worker: Number of this worker, from 0. Worker i takes the tracks i, i + workers, i + 2 × workers, ...
        workers: Number of workers that share the tracks.

    Returns:
        An iterator over the predictions, in the order of the shards.

    Raises:
        DataError: The data set is missing or damaged, has another front end, has no tracks in the split, or nothing
            sounds in them.
    """
    manifest = manifest or read_manifest(data)
    vocabulary = VOCABULARIES[config.train.vocabulary]
    pipeline.check_front_end(data, manifest, config.front_end)
    if not class_frames(data, manifest, split, vocabulary).any():
        raise DataError(f"{data}: nothing sounds in split {split!r}, so there is nothing to measure")
    tracks = pipeline.tracks(data, manifest, split, vocabulary)
    total = len(range(worker, manifest.splits[split].tracks, workers))
    return _predictions(model, itertools.islice(tracks, worker, None, workers), total, progress)


def _predictions(
    model: WindowedModel, tracks: Iterator[pipeline.LabelledTrack], total: int, progress: OnTrack | None
) -> Iterator[TrackPrediction]:
    for done, track in enumerate(tracks, start=1):
        yield TrackPrediction(track.id, track.song, model.predict_track(track.log_mel), track.truth)
        if progress is not None:
            progress(done, total)
