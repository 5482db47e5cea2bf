"""The work of :mod:`tfrecords_builder.build` as an Apache Beam pipeline, for the machines of a cluster.

The pipeline makes the parts, one element a track; the machine that starts it reads the tree before, and joins the parts
into shards after. Workers read the tree, and write into the folder of the data set, by the paths of that machine.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from mir_tf.errors import ConfigError, DataError
from mir_tf.files import write_text
from tfrecords_builder import build, processes, resume, writer
from tfrecords_builder.build import BuildReport
from tfrecords_builder.processes import Failure, Progress
from tfrecords_builder.record import Recipe
from tfrecords_builder.slakh import LeftOut, Track
from tfrecords_builder.writer import Part

_BAD = ".bad"
"""Suffix of a file beside the parts that says why a track has none: not every runner hands results back."""


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
    left_out: list[LeftOut],
    unfinished: Path,
    recipe: Recipe,
    source: dict[str, Any],
    tree: Path,
    options: Sequence[str],
    progress: Progress | None = None,
) -> BuildReport:
    """Builds the data set that :func:`tfrecords_builder.build.build` builds, bit for bit, wherever Beam runs.

    Args:
        tracks: as there, and so are ``left_out``, ``unfinished``, ``recipe`` and ``source``; either takes up what the
            other has finished.
        left_out: see above.
        unfinished: see above.
        recipe: see above.
        source: see above.
        tree: the folder that holds the files of all tracks.
        options: of Beam, as words of a command line: ``--runner=FlinkRunner``, ...; none run it on this machine.
        progress: called for each track, once the pipeline is through.

    Raises:
        DataError: the pipeline failed, no track could be built, or workers do not see the folders.
        OSError: the disk is full, or cannot be written.
    """
    found, wanted = build.find_parts(tracks, unfinished)
    folder = unfinished / resume.PARTS
    for stale in folder.glob(f"*{_BAD}"):
        stale.unlink()
    if wanted:
        _run(wanted, tree, folder, recipe, options)
    built: list[Part] = []
    failed: list[LeftOut] = []
    for track in wanted:
        result = _result(track, folder)
        if isinstance(result, LeftOut):
            failed.append(result)
        else:
            built.append(result)
        if progress is not None:
            progress(len(wanted), 0.0 if isinstance(result, LeftOut) else result.seconds)
    return build.join_parts(found, built, left_out + failed, unfinished, recipe, source)


def _run(tracks: Sequence[Track], tree: Path, folder: Path, recipe: Recipe, options: Sequence[str]) -> None:
    try:
        with _pipeline(options) as pipeline:
            # Reshuffled, for a runner may otherwise give all elements of one Create to one worker.
            (
                pipeline
                | "Tracks" >> beam.Create(tracks)
                | beam.Reshuffle()
                | "Records" >> beam.Map(_build_part, tree, folder, recipe)
            )
    except Exception as error:  # each runner has its own
        # Of what a worker raised, the runners give the trace too, as text: the last line says what happened.
        cause = str(error).strip().rpartition("\n")[2] or type(error).__name__
        raise DataError(f"the Beam pipeline failed: {cause}") from error


def _build_part(track: Track, tree: Path, folder: Path, recipe: Recipe) -> None:
    """What a worker does with a track.

    A runner may have it done twice, even at one time: each attempt has a folder of its own, and gives the same bytes.
    """
    build.use_one_core()
    _require_seen(folder)
    attempt = folder / f".{uuid.uuid4().hex}"
    attempt.mkdir()
    try:
        result = processes.outcome(lambda: build.build_part(track, attempt, recipe))
        if isinstance(result, Failure):
            _require_seen(tree)
            write_text(attempt / _bad(track), result.reason)
            os.replace(attempt / _bad(track), folder / _bad(track))
        else:
            writer.move_part(track.id, attempt, folder)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)


def _require_seen(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: a worker does not see it; the tree and the data set must lie where all workers have them "
            "under one path"
        )


def _result(track: Track, folder: Path) -> Part | LeftOut:
    if (part := writer.find_part(folder, track)) is not None:
        return part
    try:
        return LeftOut(track.id, (folder / _bad(track)).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder}: the pipeline ended without {track.id}; the workers have another folder under this path, or the "
            "runner was told not to wait"
        ) from None


def _bad(track: Track) -> str:
    return f"{track.id}{_BAD}"
