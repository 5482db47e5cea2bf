"""Confidence intervals by resampling whole songs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SAMPLES = 1000
"""Resamples behind an interval."""


FEWEST_SONGS = 6
"""Of fewer no difference is real at 95 %, even where it has one sign in all: by the sign test, 2 / 2⁵ > 0.05."""


def bootstrap_weights(songs: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """How often each track is drawn in each resample of the songs with replacement.

    Tracks of one song are drawn together: they are alike, and intervals that took them for independent were too
    narrow. The cluster bootstrap of Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.

    Args:
        songs: the song of each track.
        seed: of the drawing.

    Returns:
        int64 [:data:`BOOTSTRAP_SAMPLES`, tracks].
    """
    numbers = {song: number for number, song in enumerate(dict.fromkeys(songs))}
    count = len(numbers)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_SAMPLES)
    return drawn[:, [numbers[song] for song in songs]]


def interval(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 95 % percentile interval of a statistic over resamples.

    Args:
        statistic: [samples, ...]; resamples for which it is undefined (NaN) are left out.

    Returns:
        [2, ...], low and high; NaN where no resample defines it.
    """
    is_never_defined = np.isnan(statistic).all(axis=0)
    bounds = np.nanpercentile(np.where(is_never_defined, 0.0, statistic), (2.5, 97.5), axis=0)
    return np.where(is_never_defined, np.nan, bounds)
