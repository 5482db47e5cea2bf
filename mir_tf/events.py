"""Post-processing of probabilities into intervals: hysteresis, then gap filling and minimum durations, for each class.

A class is detected where its probability reaches its threshold, and from there forward and backward as long as it stays
at or above a second, lower threshold. This is hysteresis, or the double threshold of Dinkel and Yu, "Duration Robust
Weakly Supervised Sound Event Detection" (ICASSP 2020). Then short gaps are filled, and events that are still short are
removed. These parameters and their order are those of pyannote.audio's ``Binarize``, after Gelly and Gauvain, "Minimum
Word Error Training of RNN-based Voice Activity Detection" (Interspeech 2015). Requires only NumPy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.io import stored_json

_MOST_FRAMES = 10**9
"""Longest duration, in label frames: three years."""


@dataclasses.dataclass(frozen=True)
class PostProcessing:
    """Parameters that turn the frames of each class into intervals, beside the model's thresholds.

    Attributes:
        offset_thresholds: Probability of each class at and above which an interval continues; at most its threshold.
        min_durations: Minimum duration of each class's intervals in seconds; shorter ones are removed.
        max_gaps: Longest gap in seconds between two intervals of each class that is filled.
    """

    offset_thresholds: tuple[float, ...]
    min_durations: tuple[float, ...]
    max_gaps: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check every number.

        Raises:
            ValueError: Two lists differ in length, a threshold is outside [0, 1], or a time is negative or not a whole
                number of label frames.
        """
        if len({len(values) for values in dataclasses.astuple(self)}) != 1:
            raise ValueError("offset_thresholds, min_durations and max_gaps must have one number for each class")
        for value in self.offset_thresholds:
            if not 0 <= value <= 1:
                raise ValueError(f"offset_thresholds contains {value}; each must be between 0 and 1")
        for name in ("min_durations", "max_gaps"):
            for value in getattr(self, name):
                frames = value * LABEL_RATE
                if not (0 <= frames <= _MOST_FRAMES and math.isclose(frames, round(frames), abs_tol=1e-6)):
                    raise ValueError(
                        f"{name} contains {value}; each must be a whole number of label frames (1/{LABEL_RATE} s)"
                    )

    @classmethod
    def plain(cls, thresholds: NDArray[np.float32]) -> PostProcessing:
        """Return parameters that change nothing: a class is detected where it reaches ``thresholds`` [classes]."""
        zeros = (0.0,) * len(thresholds)
        return cls(tuple(map(float, thresholds)), zeros, zeros)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the fields as lists, for JSON."""
        return {field.name: list(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PostProcessing:
        """Build the parameters from the result of :meth:`to_dict`.

        Raises:
            ValueError: ``values`` is not such a result.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        stored_json.fields(values, "post_processing", *names)
        return cls(*(stored_json.numbers(values[name], f"post_processing.{name}") for name in names))

    def fits(self, thresholds: NDArray[np.float32]) -> bool:
        """Return whether ``thresholds`` [classes] has the same classes, each at or above its offset threshold."""
        offsets = np.array(self.offset_thresholds, np.float32)  # [classes]
        return offsets.shape == thresholds.shape and bool((offsets <= thresholds).all())


@dataclasses.dataclass(frozen=True)
class Events:
    """Intervals of frames, ordered by class and then by time; intervals of the same class never touch.

    Attributes:
        classes: int64 [events], class of each event.
        starts: int64 [events], first frame of each event.
        ends: int64 [events], the frame after the last one of each event.
    """

    classes: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.classes)

    @classmethod
    def of(cls, active: NDArray[np.bool_]) -> Events:
        """Return the longest intervals in which a class is active.

        Args:
            active: bool [frames, classes].
        """
        edges = np.diff(active.T.astype(np.int8), prepend=0, append=0, axis=1)  # [classes, frames + 1]
        classes, starts = np.nonzero(edges == 1)
        return cls(classes, starts, np.nonzero(edges == -1)[1])

    @classmethod
    def joined(cls, events: Sequence[Events], num_classes: int) -> Events:
        """Join the events of several tracks: class c of track t becomes class ``num_classes * t + c``."""
        return cls(
            classes=np.concatenate([each.classes + num_classes * track for track, each in enumerate(events)]),
            starts=np.concatenate([each.starts for each in events]),
            ends=np.concatenate([each.ends for each in events]),
        )

    def selected(self, mask: NDArray[np.bool_]) -> Events:
        """Return the events for which ``mask`` [events] is True."""
        return Events(self.classes[mask], self.starts[mask], self.ends[mask])

    def filled(self, max_gaps: NDArray[np.int64]) -> Events:
        """Join events of the same class whose gap is at most ``max_gaps`` [classes] frames."""
        gaps = self.starts[1:] - self.ends[:-1]
        joins = (self.classes[1:] == self.classes[:-1]) & (gaps <= max_gaps[self.classes[1:]])  # [events - 1]
        opens, closes = np.ones((2, len(self)), bool)
        opens[1:], closes[:-1] = ~joins, ~joins
        return Events(self.classes[opens], self.starts[opens], self.ends[closes])

    def lasting(self, min_durations: NDArray[np.int64]) -> Events:
        """Return the events that last at least ``min_durations`` [classes] frames."""
        return self.selected(self.ends - self.starts >= min_durations[self.classes])

    def active(self, frames: int, classes: int) -> NDArray[np.bool_]:
        """Return the events as bool [frames, classes]; the inverse of :meth:`of`."""
        edges = np.zeros((frames + 1, classes), np.int8)
        edges[self.starts, self.classes] = 1
        edges[self.ends, self.classes] = -1  # no event of the same class starts here: they never touch
        return edges[:-1].cumsum(axis=0, dtype=np.int8).astype(bool)


def hysteresis(
    probabilities: NDArray[np.float32], thresholds: NDArray[np.float32], offset_thresholds: NDArray[np.float32]
) -> Events:
    """Return the intervals at or above the offset thresholds that contain a frame at or above the threshold.

    Args:
        probabilities: float32 [frames, classes].
        thresholds: float32 [classes].
        offset_thresholds: float32 [classes], at most the thresholds.
    """
    events = Events.of(probabilities >= offset_thresholds)
    reached = np.zeros((len(probabilities) + 1, probabilities.shape[1]), np.int64)
    np.cumsum(probabilities >= thresholds, axis=0, out=reached[1:])  # earlier frames at or above the threshold
    return events.selected(reached[events.ends, events.classes] > reached[events.starts, events.classes])


def decode(
    probabilities: NDArray[np.float32], thresholds: NDArray[np.float32], post_processing: PostProcessing
) -> NDArray[np.bool_]:
    """Return the frames in which each class is detected.

    Args:
        probabilities: float32 [frames, classes].
        thresholds: float32 [classes]; an interval of a class contains a frame at or above its threshold.
        post_processing: Parameters for the same classes.

    Returns:
        bool [frames, classes]. Each interval in it contains a frame at or above the threshold, so post-processing
        detects no class that the thresholds alone do not detect.
    """
    events = hysteresis(probabilities, thresholds, np.array(post_processing.offset_thresholds, np.float32))
    events = events.filled(in_frames(post_processing.max_gaps)).lasting(in_frames(post_processing.min_durations))
    return events.active(*probabilities.shape)


def in_frames(seconds: tuple[float, ...]) -> NDArray[np.int64]:
    """Convert times to whole label frames."""
    frames: NDArray[np.int64] = np.rint(np.array(seconds) * LABEL_RATE).astype(np.int64)
    return frames


def frames_of(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the label frames that intervals overlap, at least one frame for each.

    Args:
        starts: Seconds, float64 [intervals].
        ends: Seconds, float64 [intervals].

    Returns:
        The first frame of each interval and the frame after its last one, int64 [intervals].
    """
    # Rounded because 0.3 s after 0.1 s must end frame 3, not begin frame 4.
    first = np.floor(np.round(starts * LABEL_RATE, 6)).astype(np.int64)
    stop = np.ceil(np.round(ends * LABEL_RATE, 6)).astype(np.int64)
    return first, np.maximum(first + 1, stop)
