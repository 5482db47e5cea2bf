"""The work: a pool of processes turns tracks into records, which then become a data set."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from mir_tf.data import manifest as records
from mir_tf.data.manifest import Manifest
from mir_tf.errors import DataError
from tfrecords_builder import processes, resume
from tfrecords_builder.processes import Failure, TrackProgress
from tfrecords_builder.records import tfds_metadata, writer
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.records.writer import TrackPart
from tfrecords_builder.slakh import splits
from tfrecords_builder.slakh.tree import Skipped, Track


class TrackSource(Protocol):
    """Where the files of tracks come from."""

    def open(self, wanted: Sequence[Track]) -> Iterator[Track]:
        """Yields each of ``wanted`` once, in any order, when its files can be read."""

    def close(self, track: Track) -> None:
        """Says that nobody reads the files of ``track`` any more."""


class FilesOnDisk:
    """The track_source of tracks whose files lie in a folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, wanted: Sequence[Track]) -> Iterator[Track]:
        """Yields all at once."""
        yield from wanted

    def close(self, track: Track) -> None:
        """Makes sure that it was not the whole folder that vanished, as with a disk that was unplugged.

        Raises:
            DataError: it was.
        """
        if not self._root.exists():
            raise DataError(f"{self._root}: vanished during the build")


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What came of a build.

    Attributes:
        manifest: as it was written.
        skipped: what is not in the data set, by name.
        resumed: tracks that an interrupted build had finished.
    """

    manifest: Manifest
    skipped: list[Skipped]
    resumed: int


def build(
    tracks: list[Track],
    skipped: list[Skipped],
    unfinished: Path,
    config: RecordConfig,
    source: dict[str, Any],
    workers: int,
    track_source: TrackSource,
    progress: TrackProgress | None = None,
) -> BuildReport:
    """Builds a data set. The same tracks give the same shards, bit for bit, with any number of workers.

    Args:
        tracks: what to build; those that turn out to be damaged are left out.
        skipped: what has been left out before, for the manifest and the report.
        unfinished: the folder that :func:`tfrecords_builder.resume.unfinished` yields; tracks that are finished
            there are taken up. The data set comes into the folder that holds it.
        config: of the records.
        source: what the tracks were made from and how, for the manifest.
        workers: processes, of at most 1 GB of memory each.
        track_source: of the tracks' files.
        progress: called after each track.

    Raises:
        DataError: no track could be built, a worker was killed, the files vanished.
        OSError: the disk is full, or cannot be written.
    """
    found, wanted = find_parts(tracks, unfinished)
    built, failed = _build_parts(wanted, unfinished / resume.PARTS, config, workers, track_source, progress)
    return join_parts(found, built, skipped + failed, unfinished, config, source)


def find_parts(tracks: Sequence[Track], unfinished: Path) -> tuple[list[TrackPart], list[Track]]:
    """The tracks that an interrupted build had finished, and those that are still to be built."""
    folder = unfinished / resume.PARTS
    folder.mkdir(exist_ok=True)
    found = {track.id: part for track in tracks if (part := writer.find_part(folder, track)) is not None}
    return list(found.values()), [track for track in tracks if track.id not in found]


def join_parts(
    found: list[TrackPart],
    built: list[TrackPart],
    skipped: list[Skipped],
    unfinished: Path,
    config: RecordConfig,
    source: dict[str, Any],
) -> BuildReport:
    """Makes the data set of all parts, whoever built them.

    Args:
        found: of an interrupted build.
        built: of this one.
        skipped: as in the report, in any order.
        unfinished: see :func:`build`.
        config: of the records.
        source: see :func:`build`.

    Raises:
        DataError: there is no part.
        OSError: the disk is full, or cannot be written.
    """
    out = unfinished.parent
    parts = found + built
    skipped = sorted(skipped, key=lambda item: (item.item, item.reason))
    if not parts:
        causes = "".join(f"\n  {item.item}: {item.reason}" for item in skipped[:10])
        raise DataError(f"{out}: not built, because no track could be used:{causes}")
    mean, deviation = writer.feature_statistics([part for part in parts if part.split == "train"])
    manifest = Manifest(
        front_end=config.front_end,
        splits=writer.write_shards(out, unfinished / resume.PARTS, parts),
        feature_mean=mean,
        feature_std=deviation,
        skipped=[{"item": item.item, "reason": item.reason} for item in skipped],
        source=source,
        labels=config.labels,
        leaks=splits.find_leaks(parts),
        stem_checks={part.id: part.stem_checks for part in sorted(parts, key=lambda part: part.id) if part.stem_checks},
    )
    tfds_metadata.write(out, manifest)
    records.write_manifest(out, manifest)  # last: a folder without one is no data set
    return BuildReport(manifest, skipped, len(found))


def _build_parts(
    tracks: list[Track],
    folder: Path,
    config: RecordConfig,
    workers: int,
    track_source: TrackSource,
    progress: TrackProgress | None,
) -> tuple[list[TrackPart], list[Skipped]]:
    parts: list[TrackPart] = []
    failed: list[Skipped] = []
    with processes.pool(max(1, min(workers, len(tracks))), use_one_core) as pool:
        work = functools.partial(build_part, folder=folder, config=config)
        for track, part in pool.results(work, track_source.open(tracks)):
            track_source.close(track)
            if isinstance(part, Failure):
                failed.append(Skipped(track.id, part.reason))
            else:
                parts.append(part)
            if progress is not None:
                progress(len(tracks), 0.0 if isinstance(part, Failure) else part.seconds)
    return parts, failed


def use_one_core() -> None:
    """Keeps a worker from the other workers' cores, and from the accelerator."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def build_part(track: Track, folder: Path, config: RecordConfig) -> TrackPart:
    """What a worker does with a track."""
    return writer.write_part(folder, track, make_records(track, config), config.labels)
