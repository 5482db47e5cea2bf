"""Fit of the confidence that a class plays in a recording, choice of its cut, and how good both are.

The model is in :mod:`mir_tf.confidence`. A class plays if it is active for at least
:data:`mir_tf.confidence.MIN_SECONDS`. A class is *named* in a recording if it reaches its threshold in any frame: these
are the names that a prediction shows, as detected or as perhaps.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mir_tf.confidence import MIN_SECONDS, NUM_FEATURES, ConfidenceModel, apply_weights, features, sigmoid
from mir_tf.metrics.bootstrap import Bootstrap, ConfidenceInterval
from mir_tf.metrics.calibration import Reliability, reliability
from mir_tf.metrics.dominance import dominant_classes, playing_time
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.metrics.track import TrackPrediction

TARGET_PRECISION = 0.9
"""Smallest share of right names among the detected classes of validation songs."""

LOWEST_CUT = 0.5
"""Smallest cut: a name that is more likely wrong is not detected, even if few songs make a lower cut look precise."""

FEW_SONGS = 10
"""Number of validation songs below which users are warned that the confidence is of little worth."""

FOLDS = 5
"""Number of groups of songs; the confidences of a group come from a fit to the other groups."""

PRIOR_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Precisions to try of the normal prior of each class's weights, around those of all classes together.

With many songs a low one is best, so that a class has its own weights; with few songs, a high one."""


@dataclasses.dataclass(frozen=True)
class TrackTable:
    """What the confidence is fitted to and evaluated on: a row for each track, an entry for each class.

    Attributes:
        features: float64 [tracks, classes, features], see :func:`mir_tf.confidence.features`.
        plays: bool [tracks, classes], whether the class plays for at least :data:`mir_tf.confidence.MIN_SECONDS`.
        is_named: bool [tracks, classes], whether the class reaches its threshold in any frame.
        songs: int64 [tracks], equal for the tracks of a song.
    """

    features: NDArray[np.float64]
    plays: NDArray[np.bool_]
    is_named: NDArray[np.bool_]
    songs: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Sequence[TrackPrediction], thresholds: NDArray[np.float32]) -> TrackTable:
        """Summarise predictions beside their truth, at ``thresholds`` [classes]."""
        shape = (len(predictions), len(thresholds))
        flags = (np.zeros(shape, bool), np.zeros(shape, bool))
        table = cls(np.zeros((*shape, NUM_FEATURES)), *flags, np.zeros(shape[0], np.int64))
        for row, each in enumerate(predictions):
            table.features[row] = features(each.probabilities)
            table.plays[row] = playing_time(each.truth) >= MIN_SECONDS
            table.is_named[row] = (each.probabilities >= thresholds).any(axis=0)
            table.songs[row] = zlib.crc32(each.song.encode())  # the same number in every worker
        return table

    def to_array(self) -> NDArray[np.float64]:
        """Return all values as one array [tracks, ...], to send it to other workers."""
        columns = (self.features, self.plays[..., np.newaxis], self.is_named[..., np.newaxis])
        cells = np.concatenate(columns, axis=2)  # [tracks, classes, values]; a worker may have no track
        return np.column_stack([self.songs, cells.reshape(len(cells), cells.shape[1] * cells.shape[2])])

    @classmethod
    def from_array(cls, array: NDArray[np.float64]) -> TrackTable:
        """Return the inverse of :meth:`to_array`."""
        cells = array[:, 1:].reshape(len(array), -1, NUM_FEATURES + 2)
        return cls(cells[..., :-2], cells[..., -2] > 0, cells[..., -1] > 0, array[:, 0].astype(np.int64))

    @classmethod
    def joined(cls, tables: Sequence[TrackTable]) -> TrackTable:
        """Return the tracks of all tables in one."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(table, name) for table in tables]) for name in names))

    def rows(self, is_chosen: NDArray[np.bool_]) -> TrackTable:
        """Return the table of some tracks, given as bool [tracks]."""
        return TrackTable(*(getattr(self, field.name)[is_chosen] for field in dataclasses.fields(self)))


def fit(table: TrackTable) -> tuple[ConfidenceModel, NDArray[np.float64]]:
    """Fit the confidence to validation songs, and choose its cut.

    The prior strength and the cut are chosen on confidences that come from a fit to other songs, see
    :func:`held_out_confidence`: the strength by the log loss, the cut by :func:`choose_cut`.

    Returns:
        The model, and the held-out confidences [tracks, classes] of the tracks.
    """
    held_out = {strength: held_out_confidence(table, strength) for strength in PRIOR_STRENGTHS}
    best = min(held_out, key=lambda strength: _log_loss(held_out[strength], table.plays))
    weights = tuple(tuple(row) for row in fit_weights(table.features, table.plays, best).tolist())
    return ConfidenceModel(weights, choose_cut(held_out[best], table)), held_out[best]


def _log_loss(confidence: NDArray[np.float64], plays: NDArray[np.bool_]) -> float:
    return -float(np.log(np.where(plays, confidence, 1 - confidence)).mean())


def choose_cut(confidence: NDArray[np.float64], table: TrackTable) -> float:
    """Return the lowest cut from :data:`LOWEST_CUT` on at which :data:`TARGET_PRECISION` of the names are right, or 1.

    Among the cuts that are precise enough, the lowest one finds most playing instruments.

    Args:
        confidence: float64 [tracks, classes].
        table: The tracks.
    """
    order = np.argsort(-confidence[table.is_named], kind="stable")
    ranked, is_right = confidence[table.is_named][order], table.plays[table.is_named][order]
    precision = np.cumsum(is_right) / np.arange(1, len(ranked) + 1)
    is_last = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]  # of several equal ones
    (good,) = np.nonzero((precision >= TARGET_PRECISION) & is_last & (ranked >= LOWEST_CUT))
    return float(ranked[good[-1]]) if len(good) else 1.0


def held_out_confidence(table: TrackTable, prior_strength: float) -> NDArray[np.float64]:
    """Return confidences [tracks, classes], each from a fit to the songs of other folds: cross-validation.

    With a single song, which leaves nothing to fit to, they come from the fit to that song.
    """
    songs, number = np.unique(table.songs, return_inverse=True)
    folds = np.random.default_rng(0).permutation(len(songs))[number] % min(FOLDS, len(songs))  # [tracks]
    confidence = np.zeros(table.plays.shape)
    for fold in np.unique(folds):
        is_held_out = folds == fold
        others = table.rows(~is_held_out) if len(songs) > 1 else table
        weights = fit_weights(others.features, others.plays, prior_strength)
        confidence[is_held_out] = apply_weights(weights, table.features[is_held_out])
    return confidence


def fit_weights(features: NDArray[np.float64], plays: NDArray[np.bool_], prior_strength: float) -> NDArray[np.float64]:
    """Fit the logistic regressions: one for all classes together, then each class's own, drawn towards it.

    A class that plays in few songs thus has the weights of all classes, and a common one has its own.

    Args:
        features: float64 [tracks, classes, features].
        plays: bool [tracks, classes].
        prior_strength: Precision of the normal prior of a class's weights.

    Returns:
        float64 [classes, 1 + features], the bias first.
    """
    inputs = np.concatenate([np.ones_like(features[..., :1]), features], axis=2)  # [tracks, classes, 1 + features]
    together = _fit(inputs.reshape(-1, inputs.shape[2]), plays.ravel(), np.zeros(inputs.shape[2]), 1.0)
    own = (_fit(inputs[:, index], plays[:, index], together, prior_strength) for index in range(plays.shape[1]))
    return np.stack([*own])


def _fit(
    inputs: NDArray[np.float64], targets: NDArray[np.bool_], prior: NDArray[np.float64], prior_strength: float
) -> NDArray[np.float64]:
    """Return the most probable weights [inputs] of a logistic regression, by Newton's method.

    Args:
        inputs: float64 [examples, inputs].
        targets: bool [examples].
        prior: Mean of the normal prior [inputs].
        prior_strength: Its precision.
    """
    weights = prior
    for _ in range(100):
        predicted = sigmoid(inputs @ weights)
        slope = inputs.T @ (predicted - targets) + prior_strength * (weights - prior)
        curvature = (inputs.T * (predicted * (1 - predicted))) @ inputs + prior_strength * np.eye(len(prior))
        step = np.linalg.solve(curvature, slope)
        weights = weights - step / max(1.0, float(np.abs(step).max()))  # a step of Newton's method can be far too long
        if np.abs(step).max() < 1e-6:
            break
    return weights


@dataclasses.dataclass(frozen=True)
class ConfidenceMetrics:
    """How good the named classes of tracks are, and how well the confidence is calibrated.

    All counts are of pairs of a track and a class.

    Attributes:
        cut: Confidence from which a named class is detected.
        playing: Number of pairs in which the class plays.
        named: Number of names, and of right ones: [2].
        detected: The same of detected names.
        precision: Share of the detected names that are right.
        recall: Share of the playing classes that are detected.
        named_precision: Share of all names that are right.
        named_recall: Share of the playing classes that are named.
        dominant_named: Share of the tracks for which a dominant class is named.
        dominant_precision: Share of these in which it is right.
        brier: Mean squared difference between confidence and truth (Brier 1950), over all pairs; 0 is best.
        constant_brier: The same if the confidence of a class is always its share of these tracks.
        reliability: Reliability diagram of all pairs, taken as one class.
    """

    cut: float
    playing: int
    named: tuple[int, int]
    detected: tuple[int, int]
    precision: ConfidenceInterval
    recall: ConfidenceInterval
    named_precision: ConfidenceInterval
    named_recall: ConfidenceInterval
    dominant_named: ConfidenceInterval
    dominant_precision: ConfidenceInterval
    brier: float
    constant_brier: float
    reliability: Reliability


def measure(
    model: ConfidenceModel,
    predictions: Sequence[TrackPrediction],
    thresholds: NDArray[np.float32],
    bootstrap: Bootstrap,
) -> ConfidenceMetrics:
    """Measure names and confidences on tracks.

    Args:
        model: The confidence model.
        predictions: Prediction and truth of each track.
        thresholds: float32 [classes].
        bootstrap: Resamples of the songs.
    """
    table = TrackTable.of(predictions, thresholds)
    confidence = apply_weights(np.array(model.weights), table.features)  # [tracks, classes]
    is_detected = model.detects(confidence, table.is_named)
    right, named = (is_detected & table.plays).sum(axis=1), (table.is_named & table.plays).sum(axis=1)  # [tracks]
    frames = np.stack([np.count_nonzero(each.probabilities >= thresholds, axis=0) for each in predictions])
    longest = np.where(is_detected, frames, -1).argmax(axis=1)  # [tracks]
    has_dominant = is_detected.any(axis=1)
    is_right = [
        has and index in dominant_classes(each.truth)
        for has, index, each in zip(has_dominant, longest, predictions, strict=True)
    ]
    histogram = ScoreHistogram(1)
    histogram.update(confidence.reshape(-1, 1).astype(np.float32), table.plays.reshape(-1, 1))
    return ConfidenceMetrics(
        cut=model.cut,
        playing=int(table.plays.sum()),
        named=(int(table.is_named.sum()), int(named.sum())),
        detected=(int(is_detected.sum()), int(right.sum())),
        precision=bootstrap.proportion(right, is_detected.sum(axis=1)),
        recall=bootstrap.proportion(right, table.plays.sum(axis=1)),
        named_precision=bootstrap.proportion(named, table.is_named.sum(axis=1)),
        named_recall=bootstrap.proportion(named, table.plays.sum(axis=1)),
        dominant_named=bootstrap.share(has_dominant, np.ones(len(predictions))),
        dominant_precision=bootstrap.share(is_right, has_dominant),
        brier=float(np.mean((confidence - table.plays) ** 2)),
        constant_brier=float(np.mean(table.plays.var(axis=0))),
        reliability=reliability(histogram),
    )
