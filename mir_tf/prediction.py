"""What a model hears in a recording, by whichever runtime."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.dominance import dominant, playing_time
from mir_tf.events import EventRule, Events, decode
from mir_tf.files import write_text

DIGITS = 5
"""Digits of a probability in JSON: enough to compare two runtimes to 1e-4."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A stretch of time in which a class is heard.

    Attributes:
        start: in seconds.
        end: in seconds, after the start.
        label: the class.
        confidence: its mean probability in between.
    """

    start: float
    end: float
    label: str
    confidence: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model hears in a file.

    Attributes:
        path: of the file; empty where there is none.
        seconds: of audio.
        model: what tells the model apart: its architecture, vocabulary, front end and training.
        classes: class names.
        thresholds: float32 [classes], the probability at and above which a class counts as heard in a frame.
        event_rule: how frames become :attr:`intervals`.
        probabilities: float32 [label frames, classes].
    """

    path: str
    seconds: float
    model: dict[str, Any]
    classes: tuple[str, ...]
    thresholds: NDArray[np.float32]
    event_rule: EventRule
    probabilities: NDArray[np.float32]

    @property
    def active(self) -> NDArray[np.bool_]:
        """Whether each class is heard: [label frames, classes]."""
        return self.probabilities >= self.thresholds

    @property
    def playing_time(self) -> NDArray[np.float64]:
        """Seconds [classes] in which each class is heard."""
        return playing_time(self.active)

    @property
    def share(self) -> NDArray[np.float64]:
        """Share [classes] of the label frames in which each class is heard."""
        share: NDArray[np.float64] = self.active.mean(axis=0)
        return share

    @property
    def dominant(self) -> str | None:
        """Name of the class heard longest, the first of tied ones; None where nothing is heard."""
        index = dominant(self.active)
        return None if index is None else self.classes[index]

    @property
    def heard(self) -> list[int]:
        """Indices of the classes that are heard, the longest playing first."""
        seconds = self.playing_time
        return [int(index) for index in np.argsort(-seconds, kind="stable") if seconds[index] > 0]

    @property
    def intervals(self) -> list[Interval]:
        """When each class is heard, by the event rule: in the order of their starts, then of the classes.

        They are smoothed (:mod:`mir_tf.events`), and so differ a little from :attr:`active`, by which playing times are
        counted: a class that is heard for a few frames only may have none. None ends after the audio.
        """
        events = Events.of(decode(self.probabilities, self.thresholds, self.event_rule))
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

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it. ``instruments`` are those heard, the longest playing first."""
        seconds, share, intervals = self.playing_time, self.share, self.intervals
        return {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "dominant": self.dominant,
            "instruments": [
                {
                    "class": self.classes[index],
                    "playing_time": round(float(seconds[index]), 1),
                    "share": round(float(share[index]), 4),
                    "intervals": [
                        {
                            "start": interval.start,
                            "end": round(interval.end, 3),
                            "confidence": round(interval.confidence, DIGITS),
                        }
                        for interval in intervals
                        if interval.label == self.classes[index]
                    ],
                }
                for index in self.heard
            ],
            "model": self.model,
            "frame_rate": LABEL_RATE,
            "classes": list(self.classes),
            "thresholds": [round(float(threshold), 6) for threshold in self.thresholds],
            "event_rule": self.event_rule.to_dict(),
            "probabilities": self.probabilities.astype(float).round(DIGITS).tolist(),
        }

    def save_json(self, path: str | Path) -> None:
        """Writes :meth:`to_dict` as JSON, one line: whole under its name, or not at all."""
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False) + "\n")


def clock(seconds: float) -> str:
    """Minutes, seconds and tenths, for people."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
