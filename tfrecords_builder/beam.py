"""The work of :mod:`tfrecords_builder.build` as an Apache Beam pipeline, for the machines of a cluster.

The pipeline makes the parts, one element a track; the machine that starts it reads the tree before, and joins the parts
into shards after. Workers read the tree, and write into the folder of the data set, by the paths of that machine.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

import mir_tf
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.files import is_remote, write_text
from tfrecords_builder import build, processes, resume
from tfrecords_builder.build import BuildReport
from tfrecords_builder.processes import Failure, TrackProgress
from tfrecords_builder.records import writer
from tfrecords_builder.records.make import RecordConfig
from tfrecords_builder.records.writer import TrackPart
from tfrecords_builder.slakh.tree import Skipped, Track

_BAD = ".bad"
"""Suffix of a file beside the parts that says why a track has none."""

_POLL_SECONDS = 2.0

_ON_THIS_MACHINE = "--runner=FnApiRunner"
"""Beam's DirectRunner, without the Prism runner that it would first try to download."""


def _pipeline(options: Sequence[str]) -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions([_ON_THIS_MACHINE, *options]))  # of two runners the last one counts


def check_options(options: Sequence[str]) -> None:
    """Has Beam read its options, and end the process with status 2 where a value is wrong.

    Raises:
        ConfigError: there is no such runner, or an option is missing.
    """
    try:
        _pipeline(options)
    except ValueError as error:
        raise ConfigError(f"Apache Beam: {error}") from error


def build_on_beam(
    tracks: Sequence[Track],
    skipped: list[Skipped],
    unfinished: Path,
    config: RecordConfig,
    source: dict[str, Any],
    tree: Path,
    options: Sequence[str],
    progress: TrackProgress | None = None,
) -> BuildReport:
    """Builds the data set that :func:`tfrecords_builder.build.build` builds, bit for bit, wherever Beam runs.

    Args:
        tracks: what to build; those that turn out to be damaged are left out.
        skipped: what has been left out before.
        unfinished: as there: what a local build has finished is taken up, and the other way round.
        config: of the records.
        source: what the tracks were made from and how, for the manifest.
        tree: the folder in which the files of all tracks lie.
        options: of Beam, as words of a command line: ``--runner=FlinkRunner``, ...; none run it on this machine.
        progress: called after each track, by another thread.

    Raises:
        DataError: the pipeline failed, no track could be built, or workers do not see the folders.
        OSError: the disk is full, or cannot be written.
    """
    found, wanted = build.find_parts(tracks, unfinished)
    folder = unfinished / resume.PARTS
    for stale in folder.glob(f"*{_BAD}"):
        stale.unlink()
    results = _run(wanted, tree, folder, config, options, progress) if wanted else []
    built = [result for result in results if isinstance(result, TrackPart)]
    failed = [result for result in results if isinstance(result, Skipped)]
    return build.join_parts(found, built, skipped + failed, unfinished, config, source)


def _run(
    tracks: Sequence[Track],
    tree: Path,
    folder: Path,
    config: RecordConfig,
    options: Sequence[str],
    progress: TrackProgress | None,
) -> list[TrackPart | Skipped]:
    """Runs the pipeline, and meanwhile collects what it leaves in ``folder``."""
    # Logs the trace of what a worker in this process raises, which is told below.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    is_through = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        results = executor.submit(_collect, tracks, folder, is_through, progress)
        try:
            with _pipeline(options) as pipeline:
                # Reshuffled, for a runner may otherwise give all elements of one Create to one worker.
                (
                    pipeline
                    | "Tracks" >> beam.Create(tracks)
                    | beam.Reshuffle()
                    | "Records" >> beam.Map(build_part, tree, folder, config, versions())
                )
        except Exception as error:  # each runner has its own
            # Of what a worker raised, runners give the trace too, as text: the last line with words says what happened.
            lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)]
            cause = lines[-1] if lines else type(error).__name__
            raise DataError(f"the Beam pipeline failed: {cause}; what its runner said stands above") from error
        finally:
            is_through.set()
    return results.result()


def _collect(
    tracks: Sequence[Track], folder: Path, is_through: threading.Event, progress: TrackProgress | None
) -> list[TrackPart | Skipped]:
    """What becomes of the tracks; not every runner hands results back, so they are looked for in ``folder``.

    Raises:
        DataError: the pipeline is through, and a track has no result.
    """
    waiting = {track.id: track for track in tracks}
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
                f"{folder}: the pipeline ended without {min(waiting)}; its workers have another folder of this name, "
                "or it was told not to wait"
            )
    return results


def _result(track: Track, folder: Path) -> TrackPart | Skipped | None:
    if (part := writer.find_part(folder, track)) is not None:
        return part
    with contextlib.suppress(FileNotFoundError):
        return Skipped(track.id, (folder / _bad(track)).read_text(encoding="utf-8"))
    return None


def versions() -> str:
    """Of what records depend on."""
    return f"mir-tf {mir_tf.__version__} with TensorFlow {tf.__version__}"


def build_part(track: Track, tree: Path, folder: Path, config: RecordConfig, expected: str) -> None:
    """What a worker does with a track.

    A runner may have it done twice, even at one time: each attempt has a folder of its own, and gives the same bytes.

    Args:
        track: what to build.
        tree: see :func:`build_on_beam`.
        folder: of the parts; beside them, where the track is bad, a file says why.
        config: of the records.
        expected: :func:`versions` on the machine that started the pipeline.

    Raises:
        DataError: this worker cannot work for that machine: it does not see a folder, or has other versions.
        OSError: the disk is full, or cannot be written.
    """
    if versions() != expected:
        raise DataError(f"a worker has {versions()}, the starting machine {expected}; records would differ")
    build.use_one_core()
    _require_seen(folder.parent)
    # Objects in a store appear whole, whoever writes them; on disk two attempts would share temporary names.
    attempt = folder if is_remote(folder) else folder / f".{uuid.uuid4().hex}"
    attempt.mkdir(exist_ok=True)
    try:
        result = processes.outcome(lambda: build.build_part(track, attempt, config))
        if isinstance(result, Failure):
            _require_seen(tree)
            write_text(attempt / _bad(track), result.reason)
            if attempt != folder:
                os.replace(attempt / _bad(track), folder / _bad(track))
        elif attempt != folder:
            writer.move_part(track.id, attempt, folder)
    finally:
        if attempt != folder:
            shutil.rmtree(attempt, ignore_errors=True)


def _require_seen(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: a worker does not see it; the tree and the data set must lie where all workers have them "
            "under one path"
        )


def _bad(track: Track) -> str:
    return f"{track.id}{_BAD}"
