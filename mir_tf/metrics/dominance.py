"""Playing time of each class, and the dominant class: the one that plays longest in total."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE


def playing_time(active: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the seconds during which each class is active.

    Args:
        active: bool [label frames, classes].

    Returns:
        float64 [classes].
    """
    seconds: NDArray[np.float64] = np.count_nonzero(active, axis=0) / LABEL_RATE
    return seconds


def dominant_classes(active: NDArray[np.bool_]) -> list[int]:
    """Return the classes that share the longest playing time, in ascending order; an empty list in silence.

    Args:
        active: bool [label frames, classes].
    """
    frames = np.count_nonzero(active, axis=0)  # [classes]
    if not frames.any():
        return []
    return [int(index) for index in np.flatnonzero(frames == frames.max())]


def dominant(active: NDArray[np.bool_]) -> int | None:
    """Return the dominant class, the lowest one in a tie, or None in silence.

    Args:
        active: bool [label frames, classes].
    """
    return next(iter(dominant_classes(active)), None)


def same_dominant(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> bool:
    """Return whether a prediction has the right dominant class.

    It does if its dominant class is any of those that tie in the truth, or if both are silent.

    Args:
        predicted: bool [label frames, classes].
        truth: bool [label frames, classes].
    """
    tied = dominant_classes(truth)
    named = dominant(predicted)
    return named in tied if tied else named is None


def constant_accuracy(dominants: Sequence[Sequence[int]]) -> float:
    """Return the share of tracks in which the best constant prediction of the dominant class is right.

    It is always the same class, or always silence.

    Args:
        dominants: The classes that are dominant in each track, as :func:`dominant_classes` returns them.
    """
    silence = -1
    right = collections.Counter(itertools.chain.from_iterable(tied or [silence] for tied in dominants))
    return max(right.values()) / len(dominants)


def dominance_matrix(detected: Sequence[NDArray[np.bool_]], truth: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Count the tracks by their dominant class in truth and as predicted.

    Args:
        detected: bool [label frames, classes] of each track, predicted.
        truth: bool [label frames, classes] of each track.

    Returns:
        float64 [classes + 1, classes + 1]: rows are the truth, columns the prediction, and the last of both is silence.
        In a tie, a track counts for the tied class that is predicted, or else in equal parts for all of them.
    """
    silence = truth[0].shape[1]
    matrix = np.zeros((silence + 1, silence + 1))
    for active, true in zip(detected, truth, strict=True):
        tied, named = dominant_classes(true) or [silence], dominant(active)
        column = silence if named is None else named
        rows = [column] if same_dominant(active, true) else tied
        matrix[rows, column] += 1 / len(rows)
    return matrix
