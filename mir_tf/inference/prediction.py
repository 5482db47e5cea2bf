"""The prediction for a recording, from any runtime."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import mir_tf
from mir_tf.config import LABEL_RATE
from mir_tf.errors import ConfigError
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.figures.colors import color_of
from mir_tf.io.files import recording_title, write_text
from mir_tf.metrics.dominance import dominant, playing_time

if TYPE_CHECKING:
    from jams import JAMS
    from matplotlib.figure import Figure
    from pandas import DataFrame

DIGITS = 5
"""Decimal places of a probability in JSON: enough to compare two runtimes to 1e-4."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A period in which a class is detected.

    Attributes:
        start: Start in seconds.
        end: End in seconds, after the start.
        label: Name of the class.
        confidence: Mean probability of the class in the interval.
    """

    start: float
    end: float
    label: str
    confidence: float


INTERVAL_COLUMNS = ("path", "start", "end", "instrument", "confidence")
"""Columns of a table of intervals: path, start and end in seconds, class, and mean probability."""

Row = tuple[str, float, float, str, float]
"""A row with the columns :data:`INTERVAL_COLUMNS`."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A model's prediction for a recording or an array.

    Attributes:
        path: Path of the recording; empty for an array.
        seconds: Duration of the audio.
        model: Architecture, vocabulary, front end and training of the model.
        classes: Class names.
        thresholds: float32 [classes]: a class is detected in a frame where its probability reaches its threshold.
        post_processing: How frames become :attr:`intervals`.
        probabilities: float32 [label frames, classes].
    """

    path: str
    seconds: float
    model: dict[str, Any]
    classes: tuple[str, ...]
    thresholds: NDArray[np.float32]
    post_processing: PostProcessing
    probabilities: NDArray[np.float32]

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

    @property
    def dominant(self) -> str | None:
        """Name of the class with the longest playing time, the first in a tie; None if no class is detected."""
        index = dominant(self.active)
        return None if index is None else self.classes[index]

    @property
    def detected(self) -> list[int]:
        """Indices of the detected classes, the longest playing time first."""
        seconds = self.playing_time
        return [int(index) for index in np.argsort(-seconds, kind="stable") if seconds[index] > 0]

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
                confidence=float(self.probabilities[start:end, index].mean(dtype=np.float64)),
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
        """Return a copy with other thresholds [classes].

        The offset thresholds of the post-processing keep their ratio to the thresholds; its durations do not change.
        """
        offsets = [
            min(offset * (float(new) / float(old)), float(new)) if old else min(offset, float(new))
            for offset, old, new in zip(
                self.post_processing.offset_thresholds, self.thresholds, thresholds, strict=True
            )
        ]
        rule = dataclasses.replace(self.post_processing, offset_thresholds=tuple(offsets))
        return dataclasses.replace(self, thresholds=thresholds, post_processing=rule)

    def summary(self) -> dict[str, Any]:
        """Return the overview for JSON: the dominant class, and detected instruments, longest playing time first."""
        seconds, share, intervals = self.playing_time, self.share, self.intervals
        return {
            "path": self.path,
            "seconds": round(self.seconds, 6),
            "dominant": self.dominant,
            "instruments": [
                {
                    "class": self.classes[index],
                    "playing_time": round(float(seconds[index]), 1),
                    "share": round(float(share[index]), 4),
                    "intervals": [
                        {
                            "start": interval.start,
                            "end": round(interval.end, 6),  # a last frame may be covered by one sample
                            "confidence": round(interval.confidence, DIGITS),
                        }
                        for interval in intervals
                        if interval.label == self.classes[index]
                    ],
                }
                for index in self.detected
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: :meth:`summary`, the model, and every frame."""
        return {
            **self.summary(),
            "model": self.model,
            "frame_rate": LABEL_RATE,
            "classes": list(self.classes),
            "thresholds": [round(float(threshold), 6) for threshold in self.thresholds],
            "post_processing": self.post_processing.to_dict(),
            "probabilities": self.probabilities.astype(float).round(DIGITS).tolist(),
        }

    def to_jams(self) -> JAMS:
        """Return the intervals as a JAMS object, in one annotation of namespace ``tag_open`` with confidences.

        Tags, unlike segments, may overlap. The annotation's ``sandbox`` contains the dominant class, playing times in
        seconds, and the description of the model.

        Raises:
            ConfigError: The package jams is not installed.
        """
        try:
            import jams
        except ImportError:
            raise _not_installed("JAMS needs the package jams") from None
        annotation = jams.Annotation(namespace="tag_open", time=0, duration=self.seconds)
        annotation.annotation_metadata = jams.AnnotationMetadata(
            data_source="program", annotation_tools=f"mir-tf {mir_tf.__version__}"
        )
        for _, start, end, label, confidence in self.rows:
            annotation.append(time=start, duration=end - start, value=label, confidence=confidence)
        annotation.sandbox.update(
            dominant=self.dominant,
            playing_time={each["class"]: each["playing_time"] for each in self.summary()["instruments"]},
            model=self.model,
        )
        found = jams.JAMS(annotations=[annotation])
        found.file_metadata.title = recording_title(self.path)
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
        kinds = {"path": "object", "start": float, "end": float, "instrument": "object", "confidence": float}
        return pd.DataFrame.from_records(self.rows, columns=list(INTERVAL_COLUMNS)).astype(kinds)

    def plot(self) -> Figure:
        """Return the timeline as a matplotlib figure, with a row for each instrument that has an interval."""
        from mir_tf.figures.timelines import timeline_figure

        name = recording_title(self.path) or "audio"
        longest = f"dominant {self.dominant}" if self.dominant else "nothing detected"
        title = f"{name}, {format_duration(self.seconds)}: {longest}"
        return timeline_figure(self.probabilities, self.smoothed, None, self.classes, self.colors, title)

    def to_json(self) -> str:
        """Return :meth:`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False) + "\n"

    def save_json(self, path: str | Path) -> None:
        """Write :meth:`to_json` to a file, atomically."""
        write_text(path, self.to_json())


def rows(summary: dict[str, Any]) -> list[Row]:
    """Return the rows for a :meth:`Prediction.summary`."""
    found = [
        (summary["path"], interval["start"], interval["end"], instrument["class"], interval["confidence"])
        for instrument in summary["instruments"]
        for interval in instrument["intervals"]
    ]
    return sorted(found, key=lambda row: (row[1], row[3]))


def format_duration(seconds: float) -> str:
    """Return a duration as minutes, seconds and tenths, such as ``3:07.5``."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _not_installed(problem: str) -> ConfigError:
    return ConfigError(f"{problem}: pip install 'mir-tf[formats]'")
