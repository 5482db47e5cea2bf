"""Evaluation of a model on your own recordings, with references that you write as JAMS or CSV.

A reference has the name of its recording: ``song.jams``, ``song.csv`` or ``song.mp3.csv`` for ``song.mp3``. TensorFlow
is loaded only if the model needs it.
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
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.evaluation.result import Evaluation
from mir_tf.events import frames_of
from mir_tf.inference.model import Model
from mir_tf.inference.prediction import DETECTED, PERHAPS
from mir_tf.io.audio import AUDIO_SUFFIXES
from mir_tf.io.csv_cells import unescape_cell
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

NAMESPACES = ("tag_open", "segment_open")
"""Namespaces of JAMS annotations whose values name instruments."""

COLUMNS = ("start", "end", "instrument")
"""Columns that a CSV must have, in any order, with or without others. ``mir-tf predict --format csv`` writes them."""

REFERENCE_SUFFIXES = (".jams", ".csv")
"""Suffixes of reference files."""

TOLERANCE = 1.0
"""Seconds by which a reference may outlast its recording: encoders add a little, and players cut a little."""

_Row = tuple[str, Any, Any, Any]
"""Place in the file, start in seconds, end in seconds and label, as read."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """The true intervals of each class in a recording.

    Attributes:
        path: Path of the reference file.
        intervals: Start in seconds, end in seconds and class index of each interval.
    """

    path: Path
    intervals: tuple[tuple[float, float, int], ...]

    def activity(self, seconds: float, frames: int, classes: int) -> NDArray[np.bool_]:
        """Return whether each class is active, bool [frames, classes]: in every label frame that an interval touches.

        Args:
            seconds: Length of the recording.
            frames: Its number of label frames.
            classes: Number of classes.

        Raises:
            DataError: An interval begins after the end of the recording, or ends more than :data:`TOLERANCE` after it.
        """
        active = np.zeros((frames, classes), bool)
        for start, end, index in self.intervals:
            if start >= seconds or end > seconds + TOLERANCE:
                raise DataError(
                    f"{self.path}: {start:g} to {end:g} s is outside of the recording, which lasts {seconds:.2f} s; "
                    "is this the reference of another recording?"
                )
            (first,), (stop,) = frames_of(np.array([start]), np.array([end]))
            active[first:stop, index] = True
        return active


def read(path: Path, vocabulary: Vocabulary) -> Reference:
    """Read a reference.

    A label is the name of a class, or of a General MIDI program, which stands for its class. Case does not matter.

    Args:
        path: A ``.jams`` file with one annotation of :data:`NAMESPACES`, or with the two that mir-tf writes for a
            prediction, or a ``.csv`` file with the columns :data:`COLUMNS`. A file without intervals means silence.
        vocabulary: The classes.

    Raises:
        DataError: The file cannot be read or is damaged, a time is invalid, or a label names no class. The message
            lists such labels, each with the first place where it stands, and the classes.
    """
    try:
        rows = list((_jams_rows if path.suffix.lower() == ".jams" else _csv_rows)(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}") from error
    intervals = []
    unknown: dict[str, str] = {}
    for where, start, end, label in rows:
        times = [_seconds(path, where, value) for value in (start, end)]
        if not 0 <= times[0] < times[1]:
            raise DataError(
                f"{path}: {where}: {times[0]:g} to {times[1]:g} s: the start must be at least 0, and the end later"
            )
        index = vocabulary.index_of(label) if isinstance(label, str) else None
        if index is None:
            unknown.setdefault(repr(label), where)
        else:
            intervals.append((times[0], times[1], index))
    if unknown:
        listed = ", ".join(f"{label} ({where})" for label, where in unknown.items())
        raise DataError(
            f"{path}: not a class of the model: {listed}; use the names of its classes or of their General MIDI "
            "programs, and remove what it has no class for; the classes are "
            f"{', '.join(vocabulary.classes)}"
        )
    return Reference(path, tuple(intervals))


def _csv_rows(path: Path) -> Iterable[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # Excel's UTF-8 begins with a byte-order mark
        table = csv.DictReader(file, skipinitialspace=True, strict=True)
        if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
            raise DataError(
                f"{path}: no column {', '.join(missing)}; the first line must have the columns {','.join(COLUMNS)}, "
                "separated by commas"
            )
        for row in table:
            where = f"line {table.line_num}"
            if None in row or None in row.values():
                raise DataError(
                    f"{path}: {where}: the number of values differs from the number of columns in the first line"
                )
            yield where, row["start"], row["end"], unescape_cell(row["instrument"].strip())


def _jams_rows(path: Path) -> Iterable[_Row]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    try:
        found = [each for each in content["annotations"] if each["namespace"] in NAMESPACES]
        groups = [each.get("sandbox", {}).get("group") for each in found]
        if len(found) != 1 and groups != [DETECTED, PERHAPS]:  # the two that mir-tf writes for one prediction
            raise DataError(
                f"{path}: {len(found)} annotations of namespace {' or '.join(NAMESPACES)}; there must be exactly one"
            )
        for annotation, group in zip(found, groups, strict=True):
            for number, each in enumerate(annotation["data"], 1):
                where = f"observation {number}" + (f" of group {group}" if len(found) > 1 else "")
                start, duration = (_seconds(path, where, each[name]) for name in ("time", "duration"))
                yield where, start, start + duration, each["value"]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a JAMS file with intervals: {error!r}") from error


def _seconds(path: Path, where: str, value: Any) -> float:
    """Return a time as a number.

    Raises:
        DataError: It is not a finite number.
    """
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{path}: {where}: {value!r} is not a valid time in seconds")
    return seconds


def pair(references: Path, audio: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair references with recordings by name.

    Args:
        references: Folder with reference files, recognised by :data:`REFERENCE_SUFFIXES`.
        audio: Folder with recordings, recognised by :data:`mir_tf.io.audio.AUDIO_SUFFIXES`. It may be the same folder.

    Returns:
        The pairs of reference and recording, and a sentence for each file that has no partner or several.

    Raises:
        DataError: There is no reference.
    """
    written, recorded = _files(references, REFERENCE_SUFFIXES), _files(audio, AUDIO_SUFFIXES)
    if not written:
        raise DataError(f"{references}: no reference found: put files named *.jams or *.csv there")
    partners: dict[Path, list[Path]] = {recording: [] for recording in recorded}
    problems = []
    for path in written:
        exact = [recording for recording in recorded if recording.name == path.stem]
        fitting = exact or [recording for recording in recorded if recording.stem == path.stem]
        if not fitting:
            problems.append(f"{path}: no recording of this name in {audio}")
        elif len(fitting) > 1:
            names = ", ".join(recording.name for recording in fitting)
            problems.append(
                f"{path}: could belong to {names}; add the recording's suffix, as in {fitting[0].name}{path.suffix}"
            )
        for recording in fitting:
            partners[recording].append(path)
    pairs = []
    ambiguous = {path for path in written if sum(path in found for found in partners.values()) > 1}
    for recording, found in partners.items():
        if not found:
            problems.append(f"{recording}: no reference of this name in {references}")
        elif len(found) > 1:
            problems.append(f"{recording}: several references, {', '.join(path.name for path in found)}; keep one")
        elif found[0] not in ambiguous:
            pairs.append((found[0], recording))
    return pairs, problems


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files with one of the suffixes, sorted, without hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def evaluate_references(
    model: Model,
    references: Path,
    audio: Path,
    on_problem: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on recordings with references. Unusable files are reported and skipped.

    Args:
        model: A model from :func:`mir_tf.loading.load`.
        references: Folder with ``.jams`` and ``.csv`` files.
        audio: Folder with the recordings.
        on_problem: Called with a sentence for each file that cannot be used.
        progress: Called after each recording with the number of recordings done and the number of all recordings.

    Raises:
        DataError: No recording with a reference can be used, or no reference contains an instrument.
        BundleError: The model's classes are not a vocabulary of this version, or it cannot predict timelines.
    """
    vocabulary = next((each for each in VOCABULARIES.values() if each.classes == model.classes), None)
    if vocabulary is None:
        raise BundleError("the model's classes are not a vocabulary of this version; train or export it again")
    pairs, problems = pair(references, audio)
    for problem in problems:
        on_problem(problem)
    predictions = []
    for done, (path, recording) in enumerate(pairs, 1):
        try:
            reference = read(path, vocabulary)  # first, because it is quick
            predicted = model.predict(recording)
            truth = reference.activity(predicted.seconds, *predicted.probabilities.shape)
            predictions.append(TrackPrediction(str(path), str(path), predicted.probabilities, truth))
            one = predicted  # thresholds, post-processing and confidence model are the same in all
        except (AudioError, DataError) as error:
            on_problem(str(error))
        if progress is not None:
            progress(done, len(pairs))
    if not predictions:
        raise DataError(f"{references}: no reference and recording can be used together")
    if not any(each.truth.any() for each in predictions):
        raise DataError(f"{references}: no reference contains an instrument, so there is nothing to evaluate")
    return evaluate_predictions(
        predictions, one.thresholds, one.post_processing, vocabulary, str(references), None, one.confidence_model
    )
