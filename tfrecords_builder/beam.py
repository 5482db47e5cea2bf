"""The build as an Apache Beam pipeline, for the machines of a cluster.

The pipeline makes the parts, one element per track. The machine that starts it reads the tree before, and joins the
parts into shards afterwards. Workers use the same paths as that machine to read the tree and to write the parts.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

import mir_tf
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.files import is_remote, write_text
from tfrecords_builder import build, processes, resume
from tfrecords_builder.build import BuildReport, Item
from tfrecords_builder.processes import Failure, TrackProgress
from tfrecords_builder.records import writer
from tfrecords_builder.records.make import RecordConfig
from tfrecords_builder.records.writer import TrackPart
from tfrecords_builder.slakh.tree import Skipped

_BAD = ".bad"
"""Suffix of a file beside the parts with the reason why a track was skipped."""

_POLL_SECONDS = 2.0

_ON_THIS_MACHINE = "--runner=FnApiRunner"
"""Beam's DirectRunner, without the Prism runner that it would first try to download."""

_DASK = "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"
"""Beam's runner for Dask, which Beam knows by its full name alone."""

_TASK_SIZES = ("--dask_npartitions", "--dask_partition_size")
"""Options of Dask that choose how many tracks one worker gets at a time: by default 128, here 1."""

_PATIENCE_SECONDS = 60.0
"""How long a pipeline on Dask waits while there is no worker at all."""


def _pipeline(options: Sequence[str]) -> beam.Pipeline:
    words = [_ON_THIS_MACHINE, *options]  # of two runners, the last one counts
    if PipelineOptions(words).view_as(StandardOptions).runner.lower() in ("dask", "daskrunner"):
        words.append(_DASK)
    pipeline = beam.Pipeline(options=PipelineOptions(words))
    if not _is_dask(pipeline) or any(word.startswith(_TASK_SIZES) for word in words):
        return pipeline
    return beam.Pipeline(options=PipelineOptions([*words, "--dask_partition_size=1"]))


def _is_dask(pipeline: beam.Pipeline) -> bool:
    return type(pipeline.runner).__name__ == "DaskRunner"


def check_options(options: Sequence[str]) -> None:
    """Let Beam parse its options; it ends the process with status 2 if a value is wrong.

    Raises:
        ConfigError: There is no such runner, its package is not installed, or an option is missing.
    """
    try:
        _pipeline(options)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        extra = "mir-tf[dask]" if missing in ("dask", "distributed") else missing
        raise ConfigError(f"--runner beam: {error}; the runner needs a package: pip install '{extra}'") from error
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"Apache Beam: {error}") from error


def build_on_beam(
    tracks: Sequence[Item],
    skipped: list[Skipped],
    unfinished: Path,
    config: RecordConfig,
    source: dict[str, Any],
    roots: Sequence[Path],
    options: Sequence[str],
    progress: TrackProgress | None = None,
) -> BuildReport:
    """Build a data set, bit for bit the same as :func:`tfrecords_builder.build.build`, wherever Beam runs.

    Args:
        tracks: Tracks to build; damaged ones are skipped.
        skipped: Tracks skipped before.
        unfinished: As for a local build. Either kind of build continues the other.
        config: Configuration of the records.
        source: Source and settings, for the manifest.
        roots: The folders with the files of all tracks, and single files that all tracks need.
        options: Beam's options as words of a command line, such as ``--runner=DaskRunner``; empty to run on this
            machine.
        progress: Called after each track, by another thread.

    Raises:
        DataError: The pipeline failed, no track could be built, or workers cannot access the folders.
        OSError: The disk is full or not writable.
    """
    found, wanted = build.find_parts(tracks, unfinished)
    folder = unfinished / resume.PARTS
    for stale in folder.glob(f"*{_BAD}"):
        stale.unlink()
    results = _run(wanted, roots, folder, config, options, progress) if wanted else []
    built = [result for result in results if isinstance(result, TrackPart)]
    failed = [result for result in results if isinstance(result, Skipped)]
    return build.join_parts(found, built, skipped + failed, unfinished, config, source)


def _run(
    tracks: Sequence[Item],
    roots: Sequence[Path],
    folder: Path,
    config: RecordConfig,
    options: Sequence[str],
    progress: TrackProgress | None,
) -> list[TrackPart | Skipped]:
    """Run the pipeline, and collect its results from ``folder`` at the same time."""
    # This logger prints the traceback of errors that are reported below.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    is_through = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        results = executor.submit(_collect, tracks, folder, is_through, progress)
        try:
            pipeline = _pipeline(options)
            items = pipeline | "Tracks" >> beam.Create(tracks)
            # Without a reshuffle, other runners may give all elements of one Create to one worker. On Dask each element
            # is a task of its own, and a reshuffle would put them together again.
            if not _is_dask(pipeline):
                items |= beam.Reshuffle()
            items |= "Records" >> beam.Map(build_part, roots, folder, config, versions())
            result = pipeline.run()
            if (client := getattr(result, "client", None)) is None:
                result.wait_until_finish()
            else:
                with client:  # which cancels what is left
                    _wait_on_dask(client, result)
        except Exception as error:  # each runner has its own errors
            # Runners return a worker's traceback as text; its last line with words names the error.
            lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)]
            cause = lines[-1] if lines else type(error).__name__
            raise DataError(f"the Beam pipeline failed: {cause}; see the messages of its runner above") from error
        finally:
            is_through.set()
    return results.result()


def _wait_on_dask(client: Any, result: Any) -> None:
    """Wait for a pipeline on Dask, which itself would wait for ever if there were no worker.

    Raises:
        DataError: There was no worker for :data:`_PATIENCE_SECONDS`.
    """
    last_seen = time.monotonic()
    while not all(future.done() for future in result.futures):
        time.sleep(_POLL_SECONDS / 10)
        if client.nthreads():
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > _PATIENCE_SECONDS:
            address = client.scheduler.address
            raise DataError(f"{address}: this scheduler has no worker; start some: dask worker {address} --nthreads 1")
    result.wait_until_finish()


def _collect(
    tracks: Sequence[Item], folder: Path, is_through: threading.Event, progress: TrackProgress | None
) -> list[TrackPart | Skipped]:
    """Return the results of the tracks from ``folder``, because not every runner returns results.

    Raises:
        DataError: The pipeline has ended, and a track has no result.
    """
    waiting = {writer.part_file(folder, track.id, "").name: track for track in tracks}
    results: list[TrackPart | Skipped] = []
    while waiting:
        is_last = is_through.wait(_POLL_SECONDS)
        there = {path.stem for pattern in ("*.json", f"*{_BAD}") for path in folder.glob(pattern)}
        for name in sorted(there & waiting.keys()):
            if (result := _result(waiting[name], folder)) is None:
                continue
            del waiting[name]
            results.append(result)
            if progress is not None:
                progress(len(tracks), result.seconds if isinstance(result, TrackPart) else 0.0)
        if is_last and waiting:
            raise DataError(
                f"{folder}: the pipeline ended without {waiting[min(waiting)].id}: its workers have another folder of "
                "this name, or it does not wait for its result"
            )
    return results


def _result(track: Item, folder: Path) -> TrackPart | Skipped | None:
    if (part := writer.find_part(folder, track)) is not None:
        return part
    with contextlib.suppress(FileNotFoundError):
        return Skipped(track.item, (folder / _bad(track)).read_text(encoding="utf-8"))
    return None


def versions() -> str:
    """Return the versions that records depend on."""
    return f"mir-tf {mir_tf.__version__} with TensorFlow {tf.__version__}"


def build_part(track: Item, roots: Sequence[Path], folder: Path, config: RecordConfig, expected: str) -> None:
    """Build a track in a worker.

    A runner may do this twice, even at the same time: each attempt has a folder of its own and gives the same bytes.

    Args:
        track: The track to build.
        roots: See :func:`build_on_beam`.
        folder: Folder of the parts, and of a file with the reason if the track is bad.
        config: Configuration of the records.
        expected: :func:`versions` on the machine that started the pipeline.

    Raises:
        DataError: This worker cannot access a folder, or has other versions than the starting machine.
        OSError: The disk is full or not writable.
    """
    if versions() != expected:
        raise DataError(f"a worker has {versions()}, the starting machine {expected}: their records would differ")
    build.use_one_core()
    _require_seen(folder.parent, *roots)
    # Objects in a store appear complete, whoever writes them; on disk, two attempts would share temporary names.
    attempt = folder if is_remote(folder) else folder / f".{uuid.uuid4().hex}"
    attempt.mkdir(exist_ok=True)
    try:
        result = processes.outcome(lambda: build.build_part(track, attempt, config))
        if isinstance(result, Failure):
            _require_seen(*roots)  # which may have disappeared since
            write_text(attempt / _bad(track), result.reason)
            if attempt != folder:
                os.replace(attempt / _bad(track), folder / _bad(track))
        elif attempt != folder:
            writer.move_part(track.id, attempt, folder)
    finally:
        if attempt != folder:
            shutil.rmtree(attempt, ignore_errors=True)


def _require_seen(*paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise DataError(
                f"{path}: a worker cannot access it; all workers must see the source and the data set by the same paths"
            )


def _bad(track: Item) -> str:
    return writer.part_file(Path(), track.id, _BAD).name
