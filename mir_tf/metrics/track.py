"""A track's prediction beside its ground truth, from which all scores of a data set are computed."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class TrackPrediction:
    """A model's prediction for one track, beside the ground truth.

    Attributes:
        id: Name of the track, unique in its data set.
        song: Name of the song that the track belongs to. Tracks of one song are resampled together.
        probabilities: float32 [label frames, classes].
        truth: bool [label frames, classes].
    """

    id: str
    song: str
    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
