"""How good a model is on people's own recordings, beside references that they have written as JAMS or CSV.

A reference goes with the recording of its name: ``song.jams``, ``song.csv`` or ``song.mp3.csv`` with ``song.mp3``. No
TensorFlow, unless the model needs it.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import AudioError, BundleError, DataError
from mir_tf.evaluation.result import Evaluation, assess
from mir_tf.events import frames_of
from mir_tf.io.audio import SUFFIXES as AUDIO_SUFFIXES
from mir_tf.loading import Model
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

NAMESPACES = ("tag_open", "segment_open")
"""Namespaces of JAMS annotations whose values name what sounds."""

COLUMNS = ("start", "end", "instrument")
"""Columns that a CSV must have, in any order and among others: those of ``mir-tf predict --format csv`` are such."""

SUFFIXES = (".jams", ".csv")
"""Of references."""

TOLERANCE = 1.0
"""Seconds by which a reference may go on after its recording: encoders add and players cut a little."""

_Row = tuple[str, Any, Any, Any]
"""Where it stands in its file, start and end in seconds, label: as read."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """When each class sounds in a recording.

    Attributes:
        path: of the file.
        intervals: of each interval start and end in seconds, and the index of its class.
    """

    path: Path
    intervals: tuple[tuple[float, float, int], ...]

    def activity(self, seconds: float, frames: int, classes: int) -> NDArray[np.bool_]:
        """Whether each class sounds, bool [frames, classes]: in all label frames that an interval touches.

        Args:
            seconds: of the recording.
            frames: its label frames.
            classes: number of classes.

        Raises:
            DataError: an interval begins after the recording, or ends more than :data:`TOLERANCE` after it.
        """
        active = np.zeros((frames, classes), bool)
        for start, end, index in self.intervals:
            if start >= seconds or end > seconds + TOLERANCE:
                raise DataError(
                    f"{self.path}: {start:g} to {end:g} s is outside of its recording of {seconds:.2f} s: "
                    "is it of another one?"
                )
            (first,), (stop,) = frames_of(np.array([start]), np.array([end]))
            active[first:stop, index] = True
        return active


def read(path: Path, vocabulary: Vocabulary) -> Reference:
    """Reads a reference.

    Labels are names of classes or of General MIDI programs, which stand for their class, in small letters or capitals.

    Args:
        path: ``.jams`` (one annotation of :data:`NAMESPACES`), or ``.csv`` with the columns :data:`COLUMNS`; without an
            interval it says that nothing sounds.
        vocabulary: the classes.

    Raises:
        DataError: it cannot be read or is damaged; a time is not one; labels name no class (they are listed, and the
            classes).
    """
    try:
        rows = list((_jams_rows if path.suffix.lower() == ".jams" else _csv_rows)(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}") from error
    intervals, unknown = [], []
    for where, start, end, label in rows:
        times = [_seconds(path, where, value) for value in (start, end)]
        if not 0 <= times[0] < times[1]:
            raise DataError(
                f"{path}: {where}: {times[0]:g} to {times[1]:g} s; it must start at 0 or later and then end"
            )
        index = vocabulary.index_of(label) if isinstance(label, str) else None
        if index is None:
            unknown.append(f"{label!r} ({where})")
        else:
            intervals.append((times[0], times[1], index))
    if unknown:
        raise DataError(
            f"{path}: no class of the model: {', '.join(unknown)}; its classes are {', '.join(vocabulary.classes)}; "
            "names of General MIDI programs stand for theirs"
        )
    return Reference(path, tuple(intervals))


def _csv_rows(path: Path) -> Iterable[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # Excel's UTF-8 begins with a mark
        table = csv.DictReader(file, skipinitialspace=True, strict=True)
        if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
            raise DataError(
                f"{path}: no column {', '.join(missing)}; its first line must be {','.join(COLUMNS)}, "
                "with commas between"
            )
        for row in table:
            where = f"line {table.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{path}: {where}: it must have as many values as the first line has columns")
            yield where, row["start"], row["end"], row["instrument"].strip()


def _jams_rows(path: Path) -> Iterable[_Row]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    try:
        found = [each for each in content["annotations"] if each["namespace"] in NAMESPACES]
        if len(found) != 1:
            raise DataError(
                f"{path}: {len(found)} annotations of namespace {' or '.join(NAMESPACES)}; there must be one"
            )
        for number, each in enumerate(found[0]["data"], 1):
            where = f"observation {number}"
            start, duration = (_seconds(path, where, each[name]) for name in ("time", "duration"))
            yield where, start, start + duration, each["value"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a JAMS file of intervals: {error!r}") from error


def _seconds(path: Path, where: str, value: Any) -> float:
    """A time as a number."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{path}: {where}: {value!r} is no time in seconds")
    return seconds


def pair(references: Path, audio: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Finds what belongs together.

    Args:
        references: folder of :data:`SUFFIXES`.
        audio: folder of recordings, known by :data:`mir_tf.io.audio.SUFFIXES`; may be the same.

    Returns:
        references with their recordings, and a sentence for each file that has no partner or several.

    Raises:
        DataError: there is no reference at all.
    """
    written, recorded = _files(references, SUFFIXES), _files(audio, AUDIO_SUFFIXES)
    if not written:
        raise DataError(f"{references}: no reference: no file named *.jams or *.csv")
    partners: dict[Path, list[Path]] = {recording: [] for recording in recorded}
    problems = []
    for path in written:
        exact = [recording for recording in recorded if recording.name == path.stem]
        fitting = exact or [recording for recording in recorded if recording.stem == path.stem]
        if not fitting:
            problems.append(f"{path}: no recording of that name in {audio}")
        elif len(fitting) > 1:
            names = ", ".join(recording.name for recording in fitting)
            problems.append(f"{path}: it could be of {names}; name it {fitting[0].name}{path.suffix} or likewise")
        for recording in fitting:
            partners[recording].append(path)
    pairs = []
    ambiguous = {path for path in written if sum(path in found for found in partners.values()) > 1}
    for recording, found in partners.items():
        if not found:
            problems.append(f"{recording}: no reference of that name in {references}")
        elif len(found) > 1:
            problems.append(f"{recording}: several references, {', '.join(path.name for path in found)}; leave one")
        elif found[0] not in ambiguous:
            pairs.append((found[0], recording))
    return pairs, problems


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of the suffixes, but for hidden ones, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def evaluate(
    model: Model,
    references: Path,
    audio: Path,
    on_problem: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluates a model on recordings with references; what cannot be used is left out, and said.

    Args:
        model: as :func:`mir_tf.loading.load` gives it.
        references: folder of ``.jams`` and ``.csv`` files.
        audio: folder of the recordings.
        on_problem: called with a sentence for each file that cannot be used.
        progress: called with recordings done and recordings in all after each one.

    Raises:
        DataError: no recording with a reference can be used, or nothing sounds in any.
        BundleError: the model's classes are none of ours, or it gives no timeline.
    """
    vocabulary = next((each for each in VOCABULARIES.values() if each.classes == model.classes), None)
    if vocabulary is None:
        raise BundleError("the model's classes are of no vocabulary of this version; train or export it again")
    pairs, problems = pair(references, audio)
    for problem in problems:
        on_problem(problem)
    answers = []
    for done, (path, recording) in enumerate(pairs, 1):
        try:
            reference = read(path, vocabulary)  # first: it is soon done
            heard = model.predict(recording)
            truth = reference.activity(heard.seconds, *heard.probabilities.shape)
            answers.append(TrackPrediction(str(path), str(path), heard.probabilities, truth))
            thresholds, post_processing = heard.thresholds, heard.post_processing
        except (AudioError, DataError) as error:
            on_problem(str(error))
        if progress is not None:
            progress(done, len(pairs))
    if not answers:
        raise DataError(f"{references}: no reference and recording that can be used together")
    if not any(answer.truth.any() for answer in answers):
        raise DataError(f"{references}: nothing sounds in any reference, so there is nothing to measure")
    return assess(answers, thresholds, post_processing, vocabulary, str(references), None)
