"""The work: a pool of processes turns tracks into records, which then become a data set."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import tensorflow as tf

from mir_tf import schema
from mir_tf.errors import DataError
from mir_tf.schema import Manifest
from tfrecords_builder import processes, splits, writer
from tfrecords_builder.archive import Archive
from tfrecords_builder.processes import Failure, Progress
from tfrecords_builder.record import Recipe, make_records
from tfrecords_builder.slakh import LeftOut, Track
from tfrecords_builder.writer import Part


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What came of a build.

    Attributes:
        manifest: as it was written.
        left_out: what is not in the data set, by name.
    """

    manifest: Manifest
    left_out: list[LeftOut]


def build(
    tracks: list[Track],
    left_out: list[LeftOut],
    out: str | Path,
    recipe: Recipe,
    source: dict[str, Any],
    workers: int,
    progress: Progress | None = None,
    archive: Archive | None = None,
) -> BuildReport:
    """Builds a data set. The same tracks give the same shards, bit for bit, with any number of workers.

    Args:
        tracks: what to build; those that turn out to be damaged are left out.
        left_out: what has been left out before, for the manifest and the report.
        out: folder of the data set, empty or not there yet.
        recipe: of the records.
        source: what the tracks were made from and how, for the manifest.
        workers: processes, of at most 1 GB of memory each.
        progress: called after each track.
        archive: which the tracks are unpacked from; None where they lie on disk.

    Raises:
        DataError: ``out`` is not empty or cannot be written, no track could be built, a worker was killed.
    """
    out = Path(out)
    try:
        with writer.new_data_set(out) as parts_folder:
            parts, failed = _build_parts(tracks, parts_folder, recipe, workers, progress, archive)
            left_out = sorted(left_out + failed, key=lambda item: item.item)
            if not parts:
                causes = "".join(f"\n  {item.item}: {item.reason}" for item in left_out[:10])
                raise DataError(f"{out}: not built, because no track could be used:{causes}")
            mean, deviation = writer.feature_statistics([part for part in parts if part.split == "train"])
            manifest = Manifest(
                front_end=recipe.front_end,
                splits=writer.write_shards(out, parts),
                feature_mean=mean,
                feature_deviation=deviation,
                left_out=[{"item": item.item, "reason": item.reason} for item in left_out],
                source=source,
                labels=recipe.labels,
                leaks=splits.find_leaks(parts),
                findings={part.id: part.findings for part in sorted(parts, key=lambda part: part.id) if part.findings},
            )
            schema.write_manifest(out, manifest)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error}") from error
    return BuildReport(manifest, left_out)


def _build_parts(
    tracks: list[Track],
    folder: Path,
    recipe: Recipe,
    workers: int,
    progress: Progress | None,
    archive: Archive | None,
) -> tuple[list[Part], list[LeftOut]]:
    parts: list[Part] = []
    failed: list[LeftOut] = []
    with processes.pool(max(1, min(workers, len(tracks))), _use_one_core) as pool:
        waiting = archive.open(tracks) if archive is not None else iter(tracks)
        futures: dict[Future[Part], Track] = {}
        while True:
            # As many on disk as keep the workers busy.
            for track in itertools.islice(waiting, 2 * workers - len(futures)):
                futures[pool.submit(_build_part, track, folder, recipe)] = track
            if not futures:
                return parts, failed
            done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
            for track, part in processes.finished({future: futures.pop(future) for future in done}):
                if archive is not None:
                    archive.close(track)
                if isinstance(part, Failure):
                    failed.append(LeftOut(track.id, part.reason))
                else:
                    parts.append(part)
                if progress is not None:
                    progress(len(tracks), 0.0 if isinstance(part, Failure) else part.seconds)


def _use_one_core() -> None:
    """Keeps a worker from the other workers' cores, and from the accelerator."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def _build_part(track: Track, folder: Path, recipe: Recipe) -> Part:
    """What a worker does with a track."""
    return writer.write_part(folder, track.split, make_records(track, recipe), recipe.labels)
