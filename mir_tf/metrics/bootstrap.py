"""Confidence intervals over songs, from resampling whole songs or, for shares, from Wilson's formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.metrics.arithmetic import mean_defined, ratio
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.text import UNDEFINED, format_value

BOOTSTRAP_SAMPLES = 1000
"""Number of resamples behind a confidence interval."""

FEWEST_SONGS = 6
"""Smallest number of songs from which a difference can be significant at 95 %.

With 5 songs, a difference of the same sign in all of them is still not significant by the sign test: 2 / 2⁵ > 0.05.
"""

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

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


def wilson(share: ArrayLike, trials: ArrayLike) -> NDArray[np.float64]:
    """Return Wilson's 95 % interval of a share of independent trials.

    A share of 0 or 1 has an interval too: 0 of 6 may be up to 39 %. It is the score interval of Wilson, "Probable
    Inference, the Law of Succession, and Statistical Inference" (JASA 22, 1927), which Brown, Cai and DasGupta,
    "Interval Estimation for a Binomial Proportion" (Statistical Science 16, 2001), recommend for few trials.

    Args:
        share: Share of the trials that succeeded [...], from 0 to 1.
        trials: Number of trials [...].

    Returns:
        Low and high [2, ...], NaN without a trial.
    """
    share, trials = np.asarray(share, float), np.asarray(trials, float)
    count = np.where(trials > 0, trials, np.nan)
    center = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    bounds: NDArray[np.float64] = np.clip([center - reach, center + reach], 0, 1)
    return bounds


@dataclasses.dataclass(frozen=True)
class ConfidenceInterval:
    """A metric with its 95 % confidence interval over songs.

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


Score = Literal["precision", "recall", "f1"]
"""A property of :class:`ConfusionCounts`."""

_OUT_OF: dict[Score, Callable[[ConfusionCounts], NDArray[np.int64]]] = {
    "precision": lambda counts: counts.tp + counts.fp,
    "recall": lambda counts: counts.positives,
    "f1": lambda counts: counts.tp + counts.fp + counts.fn,
}
"""The counts of which ``tp`` is a share. A score is that share or, for F1, 2 · share / (1 + share)."""

_SAME = 1e-9
"""Bounds that are closer are equal but for rounding."""


class Bootstrap:
    """Metrics of a set of tracks with confidence intervals, all from the same resamples of the songs.

    If all resamples agree, as they do on a class that is found in no song, they do not tell how certain a metric is.
    Then it has no interval, unless it is a precision, recall or F1: these have Wilson's interval, with the songs that
    count for them as trials. No interval comes from a single song.

    Attributes:
        weights: How often each resample draws each track, int64 [samples, tracks]; None if there is only one song.
    """

    def __init__(self, songs: Sequence[str]) -> None:
        """Draw the resamples; ``songs`` has the song of each track."""
        self._each = np.ones((1, len(songs)), np.int64)
        self._tracks_of_song = np.array([*dict.fromkeys(songs)])[:, np.newaxis] == np.array(songs)  # [songs, tracks]
        self.weights = bootstrap_weights(songs) if len(self._tracks_of_song) > 1 else None

    def bounds(self, statistic: Statistic) -> NDArray[np.float64]:
        """Return value, low and high of an array of metrics: [3, ...]."""
        return _without_agreement(self._spread(statistic))

    def estimate(self, statistic: Statistic) -> ConfidenceInterval:
        """Return a single metric with its interval."""
        return ConfidenceInterval(*self.bounds(statistic).tolist())

    def difference(self, statistic: Statistic) -> ConfidenceInterval:
        """Return a difference of two metrics with its interval, also if it is the same in every resample."""
        return ConfidenceInterval(*self._spread(statistic).tolist())

    def score_bounds(self, counts: ConfusionCounts, score: Score, where_positive: bool = False) -> NDArray[np.float64]:
        """Return value, low and high [3, ...] of a score of counts [tracks, ...], summed over the tracks.

        The interval is the bootstrap's, or Wilson's if all resamples agree. For F1, Wilson's is that of the share of
        ``tp`` in ``tp + fp + fn``, carried over to F1 (Lam, Gopal and Qian, "Confidence Intervals for the F1 Score: A
        Comparison of Four Methods", 2023).

        Args:
            counts: Counts of each track.
            score: The score.
            where_positive: Whether it is undefined (NaN) for the classes that are never true.
        """

        def statistic(weights: NDArray[np.int64]) -> NDArray[np.float64]:
            drawn = counts.resampled(weights)
            values: NDArray[np.float64] = getattr(drawn, score)
            return drawn.where_positive(values) if where_positive else values

        limits = self._wilson(counts.tp, _OUT_OF[score](counts))
        if score == "f1":
            limits = 2 * limits / (1 + limits)
        return _filled(self.bounds(statistic), limits)

    def score(self, counts: ConfusionCounts, score: Score) -> ConfidenceInterval:
        """Return a score of counts [tracks], summed over the tracks, with its interval as in :meth:`score_bounds`."""
        return ConfidenceInterval(*self.score_bounds(counts, score).tolist())

    def share_bounds(self, parts: ArrayLike, wholes: ArrayLike) -> NDArray[np.float64]:
        """Return value, low and high [3, ...] of a share of the tracks, with Wilson's interval.

        The trials are the songs that have such a track: tracks of one song resemble one another.

        Args:
            parts: Whether each track is right [tracks, ...].
            wholes: Whether each track counts [tracks, ...].
        """
        parts, wholes = np.asarray(parts, np.int64), np.asarray(wholes, np.int64)
        return np.stack([ratio(parts.sum(axis=0), wholes.sum(axis=0)), *self._wilson(parts, wholes)])

    def share(self, parts: ArrayLike, wholes: ArrayLike) -> ConfidenceInterval:
        """Return a single share of the tracks [tracks], as :meth:`share_bounds` does."""
        return ConfidenceInterval(*self.share_bounds(parts, wholes).tolist())

    def proportion(self, parts: ArrayLike, wholes: ArrayLike) -> ConfidenceInterval:
        """Return the quotient of two sums of counts over the tracks, parts of wholes, as :meth:`ratio` does.

        If all resamples agree, the interval is Wilson's.

        Args:
            parts: Number of each track [tracks], at most that of ``wholes``.
            wholes: Number of each track [tracks].
        """
        parts, wholes = np.asarray(parts, np.int64), np.asarray(wholes, np.int64)
        bounds = self.bounds(lambda weights: ratio(weights @ parts, weights @ wholes))
        return ConfidenceInterval(*_filled(bounds, self._wilson(parts, wholes)).tolist())

    def macro(self, samples: NDArray[np.float64]) -> ConfidenceInterval:
        """Return the mean over classes of a metric that was computed for each resample.

        Args:
            samples: [1 + samples, classes]: the metric in the data itself, then in each resample.
        """
        value, *drawn = mean_defined(samples)
        bounds = interval(np.array(drawn)) if drawn else np.full(2, np.nan)
        return ConfidenceInterval(*_without_agreement(np.array([value, *bounds])).tolist())

    def ratio(self, parts: ArrayLike, wholes: ArrayLike) -> ConfidenceInterval:
        """Return the quotient of two sums over the tracks; 0 if the divisor is 0.

        Args:
            parts: Dividend of each track [tracks].
            wholes: Divisor of each track [tracks], counts.
        """
        parts, wholes = np.asarray(parts, float), np.asarray(wholes, float)
        return self.estimate(lambda weights: ratio(weights @ parts, weights @ wholes))

    def _spread(self, statistic: Statistic) -> NDArray[np.float64]:
        """Return value, low and high [3, ...], also where all resamples agree."""
        value = statistic(self._each)
        if self.weights is None:
            return np.concatenate([value, np.full((2, *value.shape[1:]), np.nan)])
        return np.concatenate([value, interval(statistic(self.weights))])

    def _wilson(self, parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return Wilson's bounds [2, ...] of sums over the tracks, with the songs that count as trials, if several."""
        songs = np.count_nonzero(self._tracks_of_song @ wholes, axis=0)
        return wilson(ratio(parts.sum(axis=0), wholes.sum(axis=0)), np.where(songs > 1, songs, 0))


def _without_agreement(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return value, low and high [3, ...] without the bounds (NaN) where they are equal."""
    value, low, high = bounds
    return np.stack([value, *np.where(high - low < _SAME, np.nan, [low, high])])


def _filled(bounds: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return value, low and high [3, ...], with ``limits`` [2, ...] where a defined value has no bounds."""
    value, *known = bounds
    return np.stack([value, *np.where(np.isnan(known) & ~np.isnan(value), limits, known)])
