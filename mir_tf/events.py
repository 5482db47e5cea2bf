"""From probabilities to the intervals that people are shown: hysteresis, gaps and durations, class by class.

A class is heard where its probability reaches its threshold and, from there forward and backward, as long as it is at
least a second, lower threshold: hysteresis, the double threshold of Dinkel and Yu, "Duration Robust Weakly Supervised
Sound Event Detection" (ICASSP 2020). Then short gaps are filled, and events that are still short are left out: the
numbers, and the order, of pyannote.audio's ``Binarize``, after Gelly and Gauvain, "Minimum Word Error Training of
RNN-based Voice Activity Detection" (Interspeech 2015). numpy alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE


@dataclasses.dataclass(frozen=True)
class PostProcessing:
    """How the frames of each class become intervals; the threshold at which one begins is the model's.

    Attributes:
        offset_thresholds: of each class the probability at and above which an interval goes on: at most its threshold.
        min_durations: of each class the seconds that an interval lasts at least; shorter ones are left out.
        max_gaps: of each class the longest gap in seconds between two of its intervals that is filled.
    """

    offset_thresholds: tuple[float, ...]
    min_durations: tuple[float, ...]
    max_gaps: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks every number.

        Raises:
            ValueError: a list is shorter than another, a threshold is outside [0, 1], or a time is negative or no whole
                number of label frames.
        """
        if len({len(values) for values in dataclasses.astuple(self)}) != 1:
            raise ValueError("offset_thresholds, min_durations and max_gaps must have one number for each class")
        for value in self.offset_thresholds:
            if not 0 <= value <= 1:
                raise ValueError(f"offset_thresholds holds {value}; they must be between 0 and 1")
        for name in ("min_durations", "max_gaps"):
            for value in getattr(self, name):
                frames = value * LABEL_RATE
                if not (0 <= frames < math.inf and math.isclose(frames, round(frames), abs_tol=1e-6)):
                    raise ValueError(
                        f"{name} holds {value}; they must be whole numbers of label frames (1/{LABEL_RATE} s)"
                    )

    @classmethod
    def plain(cls, thresholds: NDArray[np.float32]) -> PostProcessing:
        """The rule that leaves frames as they are: at and above its threshold [classes] a class is heard, else not."""
        none = (0.0,) * len(thresholds)
        return cls(tuple(map(float, thresholds)), none, none)

    def to_dict(self) -> dict[str, list[float]]:
        """The fields as JSON knows them."""
        return {field.name: list(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PostProcessing:
        """The inverse of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError: it is not what :meth:`to_dict` gives.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        rule = cls(*(tuple(map(float, values[name])) for name in names))
        if unknown := sorted(set(values) - set(names)):
            raise ValueError(f"post_processing has no {', '.join(unknown)}")
        return rule

    def fits(self, thresholds: NDArray[np.float32]) -> bool:
        """Whether it is of the classes of ``thresholds`` [classes], and none of its own exceeds theirs."""
        offsets = np.array(self.offset_thresholds, np.float32)  # [classes]
        return offsets.shape == thresholds.shape and bool((offsets <= thresholds).all())


@dataclasses.dataclass(frozen=True)
class Events:
    """Stretches of frames, in the order of their classes and, of one class, in time; those of a class never touch.

    Attributes:
        classes: int64 [events], the class of each.
        starts: int64 [events], its first frame.
        ends: int64 [events], the frame after its last one.
    """

    classes: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.classes)

    @classmethod
    def of(cls, active: NDArray[np.bool_]) -> Events:
        """Every stretch in which a class is active.

        Args:
            active: bool [frames, classes].
        """
        edges = np.diff(active.T.astype(np.int8), prepend=0, append=0, axis=1)  # [classes, frames + 1]
        classes, starts = np.nonzero(edges == 1)
        return cls(classes, starts, np.nonzero(edges == -1)[1])

    @classmethod
    def joined(cls, events: Sequence[Events], num_classes: int) -> Events:
        """The events of several tracks, in which class c of track t has the number ``num_classes * t + c``."""
        return cls(
            classes=np.concatenate([each.classes + num_classes * track for track, each in enumerate(events)]),
            starts=np.concatenate([each.starts for each in events]),
            ends=np.concatenate([each.ends for each in events]),
        )

    def chosen(self, which: NDArray[np.bool_]) -> Events:
        """The events that ``which`` [events] says."""
        return Events(self.classes[which], self.starts[which], self.ends[which])

    def filled(self, max_gaps: NDArray[np.int64]) -> Events:
        """With gaps of up to ``max_gaps`` [classes] frames between events of the same class filled."""
        gaps = self.starts[1:] - self.ends[:-1]
        joins = (self.classes[1:] == self.classes[:-1]) & (gaps <= max_gaps[self.classes[1:]])  # [events - 1]
        opens, closes = np.ones((2, len(self)), bool)
        opens[1:], closes[:-1] = ~joins, ~joins
        return Events(self.classes[opens], self.starts[opens], self.ends[closes])

    def lasting(self, min_durations: NDArray[np.int64]) -> Events:
        """Those that last at least ``min_durations`` [classes] frames."""
        return self.chosen(self.ends - self.starts >= min_durations[self.classes])

    def active(self, frames: int, classes: int) -> NDArray[np.bool_]:
        """The inverse of :meth:`of`: bool [frames, classes]."""
        edges = np.zeros((frames + 1, classes), np.int8)
        edges[self.starts, self.classes] = 1
        edges[self.ends, self.classes] = -1  # where one ends none of its class begins
        return edges[:-1].cumsum(axis=0, dtype=np.int8).astype(bool)


def hysteresis(
    probabilities: NDArray[np.float32], thresholds: NDArray[np.float32], offset_thresholds: NDArray[np.float32]
) -> Events:
    """The stretches at or above the offset thresholds in which a threshold is reached.

    Args:
        probabilities: float32 [frames, classes].
        thresholds: float32 [classes].
        offset_thresholds: float32 [classes], at most the thresholds.
    """
    events = Events.of(probabilities >= offset_thresholds)
    reached = np.zeros((len(probabilities) + 1, probabilities.shape[1]), np.int64)
    np.cumsum(probabilities >= thresholds, axis=0, out=reached[1:])  # frames before each in which the class is heard
    return events.chosen(reached[events.ends, events.classes] > reached[events.starts, events.classes])


def decode(
    probabilities: NDArray[np.float32], thresholds: NDArray[np.float32], rule: PostProcessing
) -> NDArray[np.bool_]:
    """The frames in which each class is heard, by the rule.

    Args:
        probabilities: float32 [frames, classes].
        thresholds: float32 [classes], at and above which a class begins to be heard.
        rule: of the same classes.

    Returns:
        bool [frames, classes]. Every stretch in it holds a frame at or above the threshold: no class is found that the
        thresholds alone do not find.
    """
    events = hysteresis(probabilities, thresholds, np.array(rule.offset_thresholds, np.float32))
    events = events.filled(in_frames(rule.max_gaps)).lasting(in_frames(rule.min_durations))
    return events.active(*probabilities.shape)


def in_frames(seconds: tuple[float, ...]) -> NDArray[np.int64]:
    """Times as whole label frames."""
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
