"""The prediction for a recording, from any runtime."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import mir_tf
from mir_tf.confidence import ConfidenceModel
from mir_tf.config import LABEL_RATE
from mir_tf.errors import ConfigError
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.figures.colors import color_of
from mir_tf.io.files import recording_title, write_text
from mir_tf.metrics.dominance import playing_time

if TYPE_CHECKING:
    from jams import JAMS
    from matplotlib.figure import Figure
    from pandas import DataFrame

DIGITS = 5
"""Decimal places of a probability in JSON: enough to compare two runtimes to 1e-4."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A period in which a class plays.

    Attributes:
        start: Start in seconds.
        end: End in seconds, after the start.
        label: Name of the class.
        probability: Mean probability of the class in the interval.
    """

    start: float
    end: float
    label: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Instrument:
    """A class that a prediction names.

    Attributes:
        index: Index of the class.
        name: Name of the class.
        is_detected: Whether the model is confident that the class plays; otherwise it *perhaps* plays.
        confidence: Probability that the class plays in the recording at all; NaN if the model gives none.
        playing_time: Seconds in which its probability reaches its threshold.
        share: These as a share of the recording.
        color: Colour in figures, as ``#rrggbb``.
    """

    index: int
    name: str
    is_detected: bool
    confidence: float
    playing_time: float
    share: float
    color: str

    @property
    def group(self) -> str:
        """``detected`` or ``perhaps``, as files store it."""
        return DETECTED if self.is_detected else PERHAPS


DETECTED, PERHAPS = "detected", "perhaps"
"""The two groups of named classes, as files store them."""

INTERVAL_COLUMNS = ("path", "start", "end", "instrument", "group", "confidence", "probability")
"""Columns of a table of intervals: path, start and end in seconds, class, its group and its confidence in the whole
recording, and its mean probability in the interval."""

Row = tuple[str, float, float, str, str, float | None, float]
"""A row with the columns :data:`INTERVAL_COLUMNS`; the confidence is None if the model gives none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """A model's prediction for a recording or an array.

    Two predictions are never equal, so that you can search lists for one and use it as a key; compare their fields.

    Attributes:
        path: Path of the recording; empty for an array.
        seconds: Duration of the audio.
        model: Architecture, vocabulary, front end and training of the model.
        classes: Class names.
        thresholds: float32 [classes]: a class is detected in a frame where its probability reaches its threshold.
        post_processing: How frames become :attr:`intervals`.
        probabilities: float32 [label frames, classes].
        confidence_model: How probabilities become :attr:`confidence`; None for models of earlier versions, for which
            every named class counts as detected.
        title: Title of the recording for people; empty: it is made from the path.
    """

    path: str
    seconds: float
    model: dict[str, Any]
    classes: tuple[str, ...]
    thresholds: NDArray[np.float32]
    post_processing: PostProcessing
    probabilities: NDArray[np.float32]
    confidence_model: ConfidenceModel | None = None
    title: str = ""

    @property
    def active(self) -> NDArray[np.bool_]:
        """Bool [label frames, classes]: whether each class is detected."""
        return self.probabilities >= self.thresholds

    @property
    def playing_time(self) -> NDArray[np.float64]:
        """float64 [classes]: seconds in which each class is detected."""
        return playing_time(self.active)

    @property
    def share(self) -> NDArray[np.float64]:
        """float64 [classes]: share of the label frames in which each class is detected."""
        share: NDArray[np.float64] = self.active.mean(axis=0)
        return share

    @functools.cached_property
    def confidence(self) -> NDArray[np.float64]:
        """float64 [classes]: probability that each class plays at least a second; NaN without a confidence model."""
        if self.confidence_model is None:
            return np.full(len(self.classes), np.nan)
        return self.confidence_model.confidence(self.probabilities)

    @functools.cached_property
    def instruments(self) -> list[Instrument]:
        """The named classes: those that reach their threshold in any frame.

        The detected ones come first, the longest playing time first; then the others, the highest confidence first.
        """
        return [each for each in self.all_classes if each.playing_time > 0]

    @functools.cached_property
    def all_classes(self) -> list[Instrument]:
        """All classes in the order of :attr:`instruments`, with those that are not named at the end."""
        seconds, share, confidence, colors = self.playing_time, self.share, self.confidence, self.colors
        is_named, model = seconds > 0, self.confidence_model
        is_detected = is_named if model is None else model.detects(confidence, is_named)
        found = [
            Instrument(
                index=index,
                name=name,
                is_detected=bool(is_detected[index]),
                confidence=float(confidence[index]),
                playing_time=float(seconds[index]),
                share=float(share[index]),
                color=colors[index],
            )
            for index, name in enumerate(self.classes)
        ]
        return sorted(
            found,
            key=lambda each: (
                not each.is_detected,
                each.playing_time == 0,
                -(each.playing_time if each.is_detected else each.confidence),
            ),
        )

    @property
    def detected(self) -> list[str]:
        """Names of the detected classes, the longest playing time first."""
        return [each.name for each in self.instruments if each.is_detected]

    @property
    def perhaps(self) -> list[str]:
        """Names of the classes that perhaps play, the highest confidence first."""
        return [each.name for each in self.instruments if not each.is_detected]

    @property
    def dominant(self) -> str | None:
        """Name of the detected class that plays longest, the first in a tie; None if no class is detected."""
        return next(iter(self.detected), None)

    @property
    def dominant_text(self) -> str:
        """The dominant class in words: a name, ``unclear, perhaps NAME``, or ``nothing``."""
        if not self.instruments:
            return "nothing"
        return self.dominant or f"unclear, perhaps {self.perhaps[0]}"

    @property
    def headline(self) -> str:
        """The result in a line: what is detected, what perhaps plays, and what plays longest."""
        if not self.instruments:
            return "No instrument detected."
        words = [f"Detected: {', '.join(self.detected) or 'nothing for certain'}."]
        if self.perhaps:
            words.append(f"Perhaps: {', '.join(self.perhaps)}.")
        return " ".join([*words, f"Plays longest: {self.dominant_text}."])

    @property
    def smoothed(self) -> NDArray[np.bool_]:
        """Bool [label frames, classes]: whether each class is detected after post-processing; see :attr:`intervals`."""
        return decode(self.probabilities, self.thresholds, self.post_processing)

    @property
    def intervals(self) -> list[Interval]:
        """The intervals in which classes are detected, ordered by start, then by class.

        They come from post-processed frames (:mod:`mir_tf.events`), whereas playing times count :attr:`active` frames.
        So a class that is detected in a few frames only may have no interval. No interval ends after the audio.
        """
        events = Events.of(self.smoothed)
        columns = (events.starts, events.classes, events.ends)
        return [
            Interval(
                start=start / LABEL_RATE,
                end=min(end / LABEL_RATE, self.seconds),  # the last frame may be covered in part
                label=self.classes[index],
                probability=float(self.probabilities[start:end, index].mean(dtype=np.float64)),
            )
            for start, index, end in sorted(zip(*map(np.ndarray.tolist, columns), strict=True))
        ]

    @property
    def rows(self) -> list[Row]:
        """A row with the columns :data:`INTERVAL_COLUMNS` for each interval, ordered by start, then by name."""
        return rows(self.summary())

    @property
    def colors(self) -> list[str]:
        """The colour of each class, as ``#rrggbb``."""
        return [color_of(self.model["vocabulary"], index) for index in range(len(self.classes))]

    def with_thresholds(self, thresholds: NDArray[np.float32]) -> Prediction:
        """Return a copy with other thresholds [classes], each from 0 to 1.

        The offset thresholds of the post-processing keep their ratio to the thresholds; its durations do not change.

        Raises:
            ConfigError: There is not one threshold for each class, or one is outside of 0 to 1.
        """
        thresholds = np.asarray(thresholds, np.float32)
        if thresholds.shape != (len(self.classes),) or not ((thresholds >= 0) & (thresholds <= 1)).all():
            raise ConfigError(
                f"thresholds must be {len(self.classes)} numbers from 0 to 1, one for each class; for the same one "
                f"everywhere: np.full({len(self.classes)}, 0.5)"
            )
        offsets = [
            min(offset * (float(new) / float(old)), float(new)) if old else min(offset, float(new))
            for offset, old, new in zip(
                self.post_processing.offset_thresholds, self.thresholds, thresholds, strict=True
            )
        ]
        rule = dataclasses.replace(self.post_processing, offset_thresholds=tuple(offsets))
        return dataclasses.replace(self, thresholds=thresholds, post_processing=rule)

    def summary(self) -> dict[str, Any]:
        """Return the overview for JSON: the dominant class, and :attr:`instruments` with their intervals."""
        intervals = self.intervals
        return {
            "path": self.path,
            "seconds": round(self.seconds, 6),
            "dominant": self.dominant,
            "instruments": [
                {
                    "class": each.name,
                    "group": each.group,
                    "confidence": _json_number(each.confidence),
                    "playing_time": round(each.playing_time, 1),
                    "share": round(each.share, 4),
                    "intervals": [
                        {
                            "start": interval.start,
                            "end": round(interval.end, 6),  # a last frame may be covered by one sample
                            "probability": round(interval.probability, DIGITS),
                        }
                        for interval in intervals
                        if interval.label == each.name
                    ],
                }
                for each in self.instruments
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: :meth:`summary`, the model, and every frame."""
        return {
            **self.summary(),
            "model": self.model,
            "frame_rate": LABEL_RATE,
            "classes": list(self.classes),
            "confidences": [_json_number(value) for value in self.confidence.tolist()],
            "cut": None if self.confidence_model is None else self.confidence_model.cut,
            "thresholds": [round(float(threshold), 6) for threshold in self.thresholds],
            "post_processing": self.post_processing.to_dict(),
            "probabilities": self.probabilities.astype(float).round(DIGITS).tolist(),
        }

    def to_jams(self) -> JAMS:
        """Return the intervals as a JAMS object, in annotations of namespace ``tag_open``.

        The first annotation has the detected classes; a second one, if it is needed, has those that perhaps play. Tags,
        unlike segments, may overlap. The confidence of a tag is its mean probability. The ``sandbox`` of an annotation
        contains its group, the confidence of each class in the recording, playing times in seconds, and the description
        of the model; that of the first also the dominant class.

        Raises:
            ConfigError: The package jams is not installed.
        """
        try:
            import jams
        except ImportError:
            raise _not_installed("JAMS needs the package jams") from None
        found = jams.JAMS()
        for group in (DETECTED, PERHAPS):
            members = [each for each in self.summary()["instruments"] if each["group"] == group]
            if group == PERHAPS and not members:
                continue
            annotation = jams.Annotation(namespace="tag_open", time=0, duration=self.seconds)
            annotation.annotation_metadata = jams.AnnotationMetadata(
                data_source="program", annotation_tools=f"mir-tf {mir_tf.__version__}"
            )
            for _, start, end, label, of_group, _, probability in self.rows:
                if of_group == group:
                    annotation.append(time=start, duration=end - start, value=label, confidence=probability)
            annotation.sandbox.update(
                group=group,
                confidences={each["class"]: each["confidence"] for each in members},
                playing_time={each["class"]: each["playing_time"] for each in members},
                model=self.model,
            )
            if group == DETECTED:
                annotation.sandbox.update(dominant=self.dominant)
            found.annotations.append(annotation)
        found.file_metadata.title = self.title or recording_title(self.path)
        found.file_metadata.duration = self.seconds
        return found

    def to_dataframe(self) -> DataFrame:
        """Return the intervals as a pandas data frame with the columns :data:`INTERVAL_COLUMNS`.

        Raises:
            ConfigError: The package pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise _not_installed("a data frame needs the package pandas") from None
        texts = dict.fromkeys(("path", "instrument", "group"), "object")
        kinds = dict.fromkeys(INTERVAL_COLUMNS, "float") | texts
        return pd.DataFrame.from_records(self.rows, columns=list(INTERVAL_COLUMNS)).astype(kinds)

    def plot(self) -> Figure:
        """Return the timeline as a matplotlib figure, with a row for each of :attr:`instruments`."""
        from mir_tf.figures.timelines import timeline_figure

        groups: dict[str, list[int]] = {DETECTED: [], PERHAPS: []}
        labels = list(self.classes)
        for each in self.instruments:
            groups[each.group].append(each.index)
            labels[each.index] = f"{each.name} {format_confidence(each.confidence)}".rstrip()
        title = (
            f"{self.title or recording_title(self.path) or 'audio'}, {format_duration(self.seconds)}. {self.headline}"
        )
        return timeline_figure(self.probabilities, self.smoothed, None, labels, self.colors, title, groups)

    def __repr__(self) -> str:
        detected = ", ".join(self.detected) or "nothing for certain"
        return f"<Prediction {self.path or 'audio'}, {self.seconds:.1f} s, detected: {detected}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the instruments and their timeline."""
        from mir_tf.inference.notebook import to_html

        return to_html(self)

    def to_json(self) -> str:
        """Return :meth:`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False) + "\n"

    def save_json(self, path: str | Path) -> None:
        """Write :meth:`to_json` to a file, atomically."""
        write_text(path, self.to_json())


def rows(summary: dict[str, Any]) -> list[Row]:
    """Return the rows for a :meth:`Prediction.summary`."""
    found = [
        (
            summary["path"],
            interval["start"],
            interval["end"],
            instrument["class"],
            instrument["group"],
            instrument["confidence"],
            interval["probability"],
        )
        for instrument in summary["instruments"]
        for interval in instrument["intervals"]
    ]
    return sorted(found, key=lambda row: (row[1], row[3]))


def format_duration(seconds: float) -> str:
    """Return a duration as minutes, seconds and tenths, such as ``3:07.5``."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def format_confidence(confidence: float) -> str:
    """Return a confidence in percent, never as 0 or 100, such as ``97 %``; empty text for NaN."""
    return "" if math.isnan(confidence) else f"{min(max(round(100 * confidence), 1), 99)} %"


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def _not_installed(problem: str) -> ConfigError:
    return ConfigError(f"{problem}: pip install 'mir-tf[formats]'")
