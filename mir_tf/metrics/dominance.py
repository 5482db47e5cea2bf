"""How long each class plays, and which one is dominant: the one with the longest cumulative playing time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE


def playing_time(active: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Seconds in which each class sounds.

    Args:
        active: bool [label frames, classes].

    Returns:
        float64 [classes].
    """
    seconds: NDArray[np.float64] = np.count_nonzero(active, axis=0) / LABEL_RATE
    return seconds


def dominant_classes(active: NDArray[np.bool_]) -> list[int]:
    """Every class that shares the longest playing time, in ascending order; none where nothing sounds.

    Args:
        active: bool [label frames, classes].
    """
    frames = np.count_nonzero(active, axis=0)  # [classes]
    if not frames.any():
        return []
    return [int(index) for index in np.flatnonzero(frames == frames.max())]


def dominant(active: NDArray[np.bool_]) -> int | None:
    """The dominant class: of a tie the lowest, None where nothing sounds.

    Args:
        active: bool [label frames, classes].
    """
    return next(iter(dominant_classes(active)), None)


def same_dominant(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> bool:
    """Whether a prediction finds the dominant class.

    It does where the one class it names is any of those tied in the truth, and where it hears nothing in
    silence.

    Args:
        predicted: bool [label frames, classes].
        truth: bool [label frames, classes].
    """
    tied = dominant_classes(truth)
    named = dominant(predicted)
    return named in tied if tied else named is None
