"""Computation of all metrics from the predictions and the truth of a set of tracks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mir_tf.confidence import ConfidenceModel
from mir_tf.config import LABEL_RATE
from mir_tf.evaluation.result import COUNTED_UNITS, ClassMetrics, Evaluation, PostProcessingEffect
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.metrics.arithmetic import mean_defined
from mir_tf.metrics.bootstrap import Bootstrap, ConfidenceInterval
from mir_tf.metrics.confidence import measure
from mir_tf.metrics.counts import ConfusionCounts, confusion_matrix, constant_baseline, track_micro_f1
from mir_tf.metrics.dominance import constant_accuracy, dominant_classes, playing_time, same_dominant
from mir_tf.metrics.events import event_counts, segment_counts
from mir_tf.metrics.ranking import ThresholdSweep
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import Vocabulary

CURVE_POINTS = 200
"""Largest number of points of a precision-recall curve."""

_Rolls = Sequence[NDArray[np.bool_]]
"""Whether each class is active, bool [label frames, classes], for each track."""


def evaluate_predictions(
    predictions: Sequence[TrackPrediction],
    thresholds: NDArray[np.float32],
    post_processing: PostProcessing,
    vocabulary: Vocabulary,
    data: str,
    split: str | None,
    confidence: ConfidenceModel | None = None,
) -> Evaluation:
    """Compute all metrics of predictions beside their truth.

    Args:
        predictions: Prediction for each track; at least one.
        thresholds: float32 [classes].
        post_processing: Post-processing for the same classes.
        vocabulary: The classes.
        data: Folder of the data set, or of the references, for the title.
        split: Name of the split, for the title; None for references.
        confidence: The model's confidence, if it has one.
    """
    probabilities = np.concatenate([each.probabilities for each in predictions])  # [frames, classes]
    detected = [each.probabilities >= thresholds for each in predictions]
    truth = [each.truth for each in predictions]
    all_truth = np.concatenate(truth)  # [frames, classes]
    track_of = np.repeat(np.arange(len(truth)), [len(true) for true in truth])  # [frames]

    tracks = ConfusionCounts.of_tracks(detected, truth)  # [tracks, classes]
    presence = ConfusionCounts.of_tracks(
        *([roll.any(axis=0, keepdims=True) for roll in each] for each in (detected, truth))
    )
    involved = presence.tp + presence.fp + presence.fn  # [tracks, classes], 1 if a class is present or detected
    time_errors = np.stack(
        [np.abs(playing_time(mine) - playing_time(true)) for mine, true in zip(detected, truth, strict=True)]
    )  # [tracks, classes]
    baseline = constant_baseline(np.count_nonzero(all_truth, axis=0), len(all_truth))
    bootstrap = Bootstrap([each.song for each in predictions])
    sweeps = _sweep(probabilities, all_truth, track_of, bootstrap)

    each_once = np.ones(len(truth), np.int64)
    frames, present = tracks.resampled(each_once), presence.resampled(each_once)  # [classes]
    values = {
        "precision": frames.where_positive(frames.precision),
        "recall": frames.where_positive(frames.recall),
        "baseline_f1": frames.where_positive(baseline.f1),
        "average_precision": sweeps.average_precision[0],
        "roc_auc": sweeps.roc_auc[0],
        "presence_f1": present.where_positive(present.f1),
        "playing_time_error": mean_defined(np.where(involved > 0, time_errors, np.nan).T),
        "prevalence": frames.positives / len(all_truth),
        "threshold": thresholds,
    }  # [classes] each

    def of_classes(bounds: NDArray[np.float64]) -> list[ConfidenceInterval]:
        return [ConfidenceInterval(*each) for each in present.where_positive(bounds).T.tolist()]

    f1 = of_classes(bootstrap.score_bounds(tracks, "f1", where_positive=True))
    presence_precision = of_classes(bootstrap.share_bounds(presence.tp, presence.tp + presence.fp))
    presence_recall = of_classes(bootstrap.share_bounds(presence.tp, presence.positives))
    dominants = [dominant_classes(true) for true in truth]
    dominant_errors = [errors[tied[0]] if tied else 0.0 for errors, tied in zip(time_errors, dominants, strict=True)]
    is_dominant_right = [same_dominant(mine, true) for mine, true in zip(detected, truth, strict=True)]
    smoothed = [decode(each.probabilities, thresholds, post_processing) for each in predictions]
    effects, num_events = _post_processing_effects(detected, smoothed, truth, bootstrap)
    return Evaluation(
        data=data,
        split=split,
        vocabulary=vocabulary,
        tracks=len(predictions),
        songs=len({each.song for each in predictions}),
        seconds=len(all_truth) / LABEL_RATE,
        overall_metrics={
            **_agreement(tracks, bootstrap),
            "track_averaged_micro_f1": bootstrap.ratio(track_micro_f1(tracks), each_once),
            "macro_average_precision": bootstrap.macro(sweeps.average_precision),
            "macro_roc_auc": bootstrap.macro(sweeps.roc_auc),
            **{f"presence_{name}": estimate for name, estimate in _agreement(presence, bootstrap).items()},
            "dominant_accuracy": bootstrap.share(is_dominant_right, each_once),
            "dominant_playing_time_error": bootstrap.ratio(dominant_errors, [bool(tied) for tied in dominants]),
            "playing_time_error": bootstrap.ratio(time_errors.sum(axis=1), involved.sum(axis=1)),
        },
        post_processing_effects=effects,
        num_events=num_events,
        classes=tuple(
            ClassMetrics(
                name=name,
                tracks=int(present.positives[index]),
                f1=f1[index],
                presence_precision=presence_precision[index],
                presence_recall=presence_recall[index],
                curve=sweeps.curves[index],
                **{metric: float(of_class[index]) for metric, of_class in values.items()},
            )
            for index, name in enumerate(vocabulary.classes)
        ),
        baseline=baseline,
        presence_baseline=constant_baseline(present.positives, len(truth)),
        dominant_baseline=constant_accuracy(dominants),
        dominant_ties=sum(len(tied) > 1 for tied in dominants),
        confusion=confusion_matrix(probabilities >= thresholds, all_truth),
        confidence=None if confidence is None else measure(confidence, predictions, thresholds, bootstrap),
    )


def _agreement(tracks: ConfusionCounts, bootstrap: Bootstrap) -> dict[str, ConfidenceInterval]:
    """Return precision, recall and F1, micro and macro, of counts [tracks, classes]."""
    estimate, drawn, micro = bootstrap.estimate, tracks.resampled, tracks.micro
    return {
        "micro_precision": bootstrap.score(micro, "precision"),
        "micro_recall": bootstrap.score(micro, "recall"),
        "micro_f1": bootstrap.score(micro, "f1"),
        "macro_precision": estimate(lambda weights: drawn(weights).macro_precision),
        "macro_recall": estimate(lambda weights: drawn(weights).macro_recall),
        "macro_f1": estimate(lambda weights: drawn(weights).macro_f1),
    }


def _post_processing_effects(
    detected: _Rolls, smoothed: _Rolls, truth: _Rolls, bootstrap: Bootstrap
) -> tuple[dict[str, PostProcessingEffect], dict[str, int]]:
    """Return :attr:`Evaluation.post_processing_effects` and :attr:`Evaluation.num_events`."""
    reference = Events.joined([Events.of(true) for true in truth], truth[0].shape[1])
    plain, num_plain = _unit_counts(detected, truth, reference)
    processed, num_processed = _unit_counts(smoothed, truth, reference)

    def drawn_f1(counts: ConfusionCounts, average: str, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        drawn = counts.resampled(weights)
        return drawn.micro.f1 if average == "micro" else drawn.macro_f1

    def f1(counts: ConfusionCounts, average: str) -> ConfidenceInterval:
        if average == "micro":
            return bootstrap.score(counts.micro, "f1")
        return bootstrap.estimate(functools.partial(drawn_f1, counts, average))

    def gain(before: ConfusionCounts, after: ConfusionCounts, average: str) -> ConfidenceInterval:
        return bootstrap.difference(
            lambda weights: drawn_f1(after, average, weights) - drawn_f1(before, average, weights)
        )

    effects = {
        f"{unit}_{average}_f1": PostProcessingEffect(
            thresholds=f1(plain[unit], average),
            post_processed=f1(processed[unit], average),
            gain=gain(plain[unit], processed[unit], average),
        )
        for unit in COUNTED_UNITS
        for average in ("micro", "macro")
    }
    return effects, {"truth": len(reference), "thresholds": num_plain, "post_processed": num_processed}


def _unit_counts(active: _Rolls, truth: _Rolls, reference: Events) -> tuple[dict[str, ConfusionCounts], int]:
    """Return counts [tracks, classes] of each of :data:`COUNTED_UNITS`, and the number of predicted events."""
    num_classes = truth[0].shape[1]
    events = Events.joined([Events.of(each) for each in active], num_classes)
    onset, event = (
        ConfusionCounts(*(column.reshape(-1, num_classes) for column in (each.tp, each.fp, each.fn, each.tn)))
        for each in (event_counts(events, reference, len(active) * num_classes, ends) for ends in (False, True))
    )
    return {
        "frame": ConfusionCounts.of_tracks(active, truth),
        "segment": ConfusionCounts.stack([segment_counts(*pair) for pair in zip(active, truth, strict=True)]),
        "onset": onset,
        "event": event,
    }, len(events)


@dataclasses.dataclass(frozen=True)
class _Sweeps:
    """Metrics from the threshold sweeps of all classes.

    Attributes:
        average_precision: [1 + samples, classes] of the tracks themselves, then of each resample.
        roc_auc: The same of the area under the ROC curve.
        curves: Recall and precision [2, points] of each class.
    """

    average_precision: NDArray[np.float64]
    roc_auc: NDArray[np.float64]
    curves: list[NDArray[np.float64]]


def _sweep(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], tracks: NDArray[np.int64], bootstrap: Bootstrap
) -> _Sweeps:
    """Sweep the thresholds class by class, because the sweeps of all classes at once would fill the memory.

    Args:
        probabilities: float32 [frames, classes].
        truth: bool [frames, classes].
        tracks: int64 [frames], track of each frame.
        bootstrap: Resamples of the songs.
    """
    average_precision, roc_auc, curves = [], [], []
    for scores, true in zip(probabilities.T, truth.T, strict=True):
        sweep = ThresholdSweep.of(scores, true)
        drawn = [] if bootstrap.weights is None else [sweep.resampled(scores, true, tracks, bootstrap.weights)]
        average_precision.append(np.hstack([each.average_precision for each in (sweep, *drawn)]))
        roc_auc.append(np.hstack([each.roc_auc for each in (sweep, *drawn)]))
        curves.append(_curve(sweep))
    return _Sweeps(np.stack(average_precision, axis=1), np.stack(roc_auc, axis=1), curves)


def _curve(sweep: ThresholdSweep) -> NDArray[np.float64]:
    """Return recall and precision [2, points] at thresholds whose recalls are about evenly spaced."""
    recall = sweep.recall
    wanted = np.linspace(recall[0], recall[-1], CURVE_POINTS - 1)
    # Include the last point: below the first threshold that finds everything, precision falls further.
    chosen = np.unique([*np.searchsorted(recall, wanted), len(recall) - 1])
    return np.stack([recall[chosen], sweep.precision[chosen]])
