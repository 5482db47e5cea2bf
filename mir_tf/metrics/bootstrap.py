"""Confidence intervals from resampling whole songs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.metrics.arithmetic import mean_defined, ratio
from mir_tf.metrics.text import UNDEFINED, format_value

BOOTSTRAP_SAMPLES = 1000
"""Number of resamples behind a confidence interval."""

FEWEST_SONGS = 6
"""Smallest number of songs from which a difference can be significant at 95 %.

With 5 songs, a difference of the same sign in all of them is still not significant by the sign test: 2 / 2⁵ > 0.05.
"""

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Maps how often each track is drawn [samples, tracks] to the metric in each sample [samples, ...]."""


def bootstrap_weights(songs: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Count how often each track is drawn when the songs are resampled with replacement.

    The tracks of a song are drawn together. They resemble one another, so intervals that took them for independent
    would be too narrow. This is the cluster bootstrap of Davison and Hinkley, Bootstrap Methods and their Application
    (1997), section 3.8.

    Args:
        songs: Song of each track.
        seed: Seed of the random generator.

    Returns:
        int64 [:data:`BOOTSTRAP_SAMPLES`, tracks].
    """
    numbers = {song: number for number, song in enumerate(dict.fromkeys(songs))}
    count = len(numbers)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_SAMPLES)
    return drawn[:, [numbers[song] for song in songs]]


def interval(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 95 % percentile interval of a statistic over resamples.

    Args:
        statistic: [samples, ...]. Resamples in which it is undefined (NaN) are ignored.

    Returns:
        Low and high [2, ...], NaN if no resample defines the statistic.
    """
    is_never_defined = np.isnan(statistic).all(axis=0)
    bounds = np.nanpercentile(np.where(is_never_defined, 0.0, statistic), (2.5, 97.5), axis=0)
    return np.where(is_never_defined, np.nan, bounds)


@dataclasses.dataclass(frozen=True)
class ConfidenceInterval:
    """A metric with its 95 % bootstrap confidence interval over songs.

    Attributes:
        value: Metric of the data itself; NaN if it is undefined.
        low: Lower bound; NaN if there is no interval.
        high: Upper bound; NaN if there is no interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def interval_text(self) -> str:
        """Return the bounds as text for a table."""
        return UNDEFINED if math.isnan(self.low) else f"{format_value(self.low)} to {format_value(self.high)}"


class Bootstrap:
    """Metrics of a set of tracks with confidence intervals, all from the same resamples of the songs.

    Attributes:
        weights: How often each resample draws each track, int64 [samples, tracks]; None if there is only one song,
            whose spread nobody can estimate.
    """

    def __init__(self, songs: Sequence[str]) -> None:
        """Draw the resamples; ``songs`` has the song of each track."""
        self._each = np.ones((1, len(songs)), np.int64)
        self.weights = bootstrap_weights(songs) if len(set(songs)) > 1 else None

    def bounds(self, statistic: Statistic) -> NDArray[np.float64]:
        """Return value, low and high of an array of metrics: [3, ...]."""
        value = statistic(self._each)
        if self.weights is None:
            return np.concatenate([value, np.full((2, *value.shape[1:]), np.nan)])
        return np.concatenate([value, interval(statistic(self.weights))])

    def estimate(self, statistic: Statistic) -> ConfidenceInterval:
        """Return a single metric with its interval."""
        return ConfidenceInterval(*self.bounds(statistic).tolist())

    def macro(self, samples: NDArray[np.float64]) -> ConfidenceInterval:
        """Return the mean over classes of a metric that was computed for each resample.

        Args:
            samples: [1 + samples, classes]: the metric in the data itself, then in each resample.
        """
        value, *drawn = mean_defined(samples).tolist()
        return ConfidenceInterval(value, *interval(np.array(drawn)).tolist()) if drawn else ConfidenceInterval(value)

    def ratio(self, parts: ArrayLike, wholes: ArrayLike) -> ConfidenceInterval:
        """Return the quotient of two sums over the tracks; 0 if the divisor is 0.

        Args:
            parts: Dividend of each track [tracks].
            wholes: Divisor of each track [tracks], counts.
        """
        parts, wholes = np.asarray(parts, float), np.asarray(wholes, float)
        return self.estimate(lambda weights: ratio(weights @ parts, weights @ wholes))
