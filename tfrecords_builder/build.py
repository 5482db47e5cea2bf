"""The build: a pool of processes turns tracks into records, which become a data set."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import tensorflow as tf

from mir_tf.data.manifest import Manifest, write_manifest
from mir_tf.errors import DataError
from mir_tf.io.files import workspace
from tfrecords_builder import processes, resume
from tfrecords_builder.processes import Failure, TrackProgress
from tfrecords_builder.records import tfds_metadata, writer
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.records.writer import TrackPart
from tfrecords_builder.slakh import splits
from tfrecords_builder.slakh.tree import Skipped, Track

if TYPE_CHECKING:
    from tfrecords_builder.synthesis.plan import PlannedTrack

Item: TypeAlias = "Track | PlannedTrack"
"""A track that a build makes: its files exist, or it is rendered first."""

TrackT = TypeVar("TrackT")


class TrackSource(Protocol[TrackT]):
    """Interface of the place that the files of tracks come from."""

    def open(self, wanted: Sequence[TrackT]) -> Iterator[TrackT]:
        """Yield each track of ``wanted`` once, in any order, when its files can be read."""

    def close(self, track: TrackT) -> None:
        """Release the files of ``track``: nothing reads them any more."""

    def shown(self, message: str) -> str:
        """Return a message with the paths of files as the user knows them."""


class FilesOnDisk:
    """The source of tracks whose files are in folders.

    Args:
        roots: The folders, and single files that all tracks need.
    """

    def __init__(self, *roots: Path) -> None:
        self.roots = roots

    def open(self, wanted: Sequence[TrackT]) -> Iterator[TrackT]:
        """Yield all tracks at once."""
        yield from wanted

    def close(self, track: Item) -> None:
        """Check that the folders still exist; they would not if their disk were unplugged.

        Raises:
            DataError: A folder has disappeared.
        """
        for root in self.roots:
            if not root.exists():
                raise DataError(f"{root}: disappeared during the build")

    def shown(self, message: str) -> str:
        """Return the message as it is."""
        return message


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """Outcome of a build.

    Attributes:
        manifest: The manifest as written.
        skipped: Everything that is not in the data set, sorted by name.
        resumed: Number of tracks that an interrupted build had finished.
    """

    manifest: Manifest
    skipped: list[Skipped]
    resumed: int


def build(
    tracks: Sequence[Item],
    skipped: list[Skipped],
    unfinished: Path,
    config: RecordConfig,
    source: dict[str, Any],
    workers: int,
    track_source: TrackSource[Any],
    progress: TrackProgress | None = None,
) -> BuildReport:
    """Build a data set. The same tracks give the same shards, bit for bit, with any number of workers.

    Args:
        tracks: Tracks to build; damaged ones are skipped.
        skipped: Tracks skipped before, for the manifest and the report.
        unfinished: The folder that :func:`tfrecords_builder.resume.unfinished` yields. Tracks that are finished there
            are kept. The data set is written into its parent folder.
        config: Configuration of the records.
        source: Source and settings, for the manifest.
        workers: Number of processes; each needs at most 1 GB of memory.
        track_source: Source of the tracks' files.
        progress: Called after each track.

    Raises:
        DataError: No track could be built, a worker was killed, or the files disappeared.
        OSError: The disk is full or not writable.
    """
    found, wanted = find_parts(tracks, unfinished)
    built, failed = _build_parts(wanted, unfinished / resume.PARTS, config, workers, track_source, progress)
    return join_parts(found, built, skipped + failed, unfinished, config, source)


def find_parts(tracks: Sequence[Item], unfinished: Path) -> tuple[list[TrackPart], list[Item]]:
    """Return the parts of an interrupted build, and the tracks that are still to be built."""
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
    """Join all parts into the data set.

    Args:
        found: Parts of an interrupted build.
        built: Parts of this build.
        skipped: As in the report, in any order.
        unfinished: See :func:`build`.
        config: Configuration of the records.
        source: See :func:`build`.

    Raises:
        DataError: There is no part.
        OSError: The disk is full or not writable.
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
    write_manifest(out, manifest)  # last: a folder without it is not a data set
    return BuildReport(manifest, skipped, len(found))


def _build_parts(
    tracks: list[Item],
    folder: Path,
    config: RecordConfig,
    workers: int,
    track_source: TrackSource[Any],
    progress: TrackProgress | None,
) -> tuple[list[TrackPart], list[Skipped]]:
    parts: list[TrackPart] = []
    failed: list[Skipped] = []
    with processes.pool(max(1, min(workers, len(tracks))), use_one_core) as pool:
        work = functools.partial(build_part, folder=folder, config=config)
        for track, part in pool.results(work, track_source.open(tracks)):
            track_source.close(track)
            if isinstance(part, Failure):
                failed.append(Skipped(track.item, track_source.shown(part.reason)))
            else:
                parts.append(part)
            if progress is not None:
                progress(len(tracks), 0.0 if isinstance(part, Failure) else part.seconds)
    return parts, failed


def use_one_core() -> None:
    """Keep a worker off the other workers' cores and off the accelerator."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def build_part(track: Item, folder: Path, config: RecordConfig) -> TrackPart:
    """Build a track in a worker process, after it was rendered if that is needed."""
    with contextlib.ExitStack() as stack:
        if not isinstance(track, Track):
            from tfrecords_builder.synthesis import render

            track = stack.enter_context(render.rendered(track, stack.enter_context(workspace(folder))))
        return writer.write_part(folder, track, make_records(track, config), config.labels)
