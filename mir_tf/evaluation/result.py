"""How good answers are beside the truth: frames, intervals, tracks. No TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.figures import evaluation, style
from mir_tf.figures.colors import color_of
from mir_tf.io import markdown
from mir_tf.io.files import as_path, write_text
from mir_tf.metrics.bootstrap import BOOTSTRAP_SAMPLES, FEWEST_SONGS, bootstrap_weights, interval
from mir_tf.metrics.counts import (
    Baseline,
    ConfusionCounts,
    confusion_matrix,
    constant_baseline,
    mean_defined,
    track_micro_f1,
)
from mir_tf.metrics.dominance import dominant_classes, playing_time, same_dominant
from mir_tf.metrics.events import COLLAR_FRAMES, LENGTH_DIVISOR, event_counts, segment_counts
from mir_tf.metrics.ranking import ThresholdSweep
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import Vocabulary

CURVE_POINTS = 200
"""Points, at most, that are kept of a precision-recall curve."""

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From how often each track is drawn [samples, tracks] to a measure of each sample [samples, ...]."""

_OVERALL_METRICS = {
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "micro_f1": "micro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "track_averaged_micro_f1": "track-averaged micro F1",
    "macro_average_precision": "macro average precision",
    "macro_roc_auc": "macro ROC AUC",
    "presence_micro_precision": "presence, micro precision",
    "presence_micro_recall": "presence, micro recall",
    "presence_micro_f1": "presence, micro F1",
    "presence_macro_precision": "presence, macro precision",
    "presence_macro_recall": "presence, macro recall",
    "presence_macro_f1": "presence, macro F1",
    "dominant_accuracy": "dominant instrument, accuracy",
    "dominant_playing_time_error": "time error, dominant (s)",
    "playing_time_error": "time error, all (s)",
}
"""The measures of the whole, and what the tables call them."""


_INTERVALS = {
    "frame": "frames",
    "segment": "segments of 1 s",
    "onset": "intervals, starts",
    "event": "intervals, starts and ends",
}
"""What is counted of intervals, and what the table calls it."""


@dataclasses.dataclass(frozen=True)
class ConfidenceInterval:
    """A measure and its 95 % bootstrap interval over songs; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def interval_text(self) -> str:
        """The interval as a table shows it."""
        return "–" if math.isnan(self.low) else f"{self.low:.3f} to {self.high:.3f}"


@dataclasses.dataclass(frozen=True)
class PostProcessingEffect:
    """A measure of intervals made of the frames as they are, and made by the event rule.

    Attributes:
        thresholds: of the frames as they are, each decided by its class's threshold.
        rule: by the event rule.
        gain: of the rule, in the same resamples of the songs.
    """

    thresholds: ConfidenceInterval
    rule: ConfidenceInterval
    gain: ConfidenceInterval


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """What is known of one class. Measures of a class that never sounds in the split are NaN.

    Attributes:
        name: of the class.
        threshold: at and above which it counts as heard.
        prevalence: share of the frames in which it sounds.
        tracks: in which it sounds.
        precision: over frames; 0 where it is never heard.
        recall: over frames.
        f1: over frames.
        baseline_f1: of the better of the answers "always" and "never".
        average_precision: over frames.
        roc_auc: over frames; NaN also where the class always sounds.
        presence_precision: over tracks, in which it counts as heard, or sounding, if it is in any frame.
        presence_recall: over tracks.
        presence_f1: over tracks.
        playing_time_error: mean absolute error in seconds over the tracks in which it sounds or is heard.
        curve: recall and precision [2, points] as the threshold falls.
    """

    name: str
    threshold: float
    prevalence: float
    tracks: int
    precision: float
    recall: float
    f1: ConfidenceInterval
    baseline_f1: float
    average_precision: float
    roc_auc: float
    presence_precision: float
    presence_recall: float
    presence_f1: float
    playing_time_error: float
    curve: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All measures of a model on a split. Macro means are over the classes that ever sound in the split.

    Attributes:
        data: folder of the data set, or of the references.
        split: name of the split; None of references.
        vocabulary: the classes.
        tracks: number of tracks.
        songs: number of songs that they are of.
        seconds: of all tracks.
        headlines: the measures of the whole, by name.
        intervals: micro and macro F1 of frames, segments and intervals, by name: how the event rule changes them.
        intervals_found: number of intervals in the truth, by the thresholds alone, and by the event rule.
        classes: the measures of each class, in the order of the vocabulary.
        baseline: the best constant answers.
        dominant_ties: tracks in which several classes share the longest playing time: naming any is right.
        confusion: float64 [classes, classes + 1] in frames, see :func:`mir_tf.metrics.counts.confusion_matrix`.
    """

    data: str
    split: str | None
    vocabulary: Vocabulary
    tracks: int
    songs: int
    seconds: float
    headlines: dict[str, ConfidenceInterval]
    intervals: dict[str, PostProcessingEffect]
    intervals_found: tuple[int, int, int]
    classes: tuple[ClassScores, ...]
    baseline: Baseline
    dominant_ties: int
    confusion: NDArray[np.float64]

    @property
    def title(self) -> str:
        """What was evaluated."""
        return (
            f"recordings and references in {self.data}" if self.split is None else f"{self.split} split of {self.data}"
        )

    def headline_table(self) -> list[list[str]]:
        """The measures of the whole as rows of text, the first one the header."""
        constants = {"micro_f1": self.baseline.micro_f1, "macro_f1": self.baseline.macro_f1}
        rows = [["measure", "value", "95 % interval", "baseline", "gain"]]
        for name, label in _OVERALL_METRICS.items():
            estimate, constant = self.headlines[name], constants.get(name, math.nan)
            gain = estimate.value - constant
            gain_text = "–" if math.isnan(gain) else f"{gain:+.3f}"
            rows.append([label, _text(estimate.value), estimate.interval_text(), _text(constant), gain_text])
        return rows

    def interval_table(self) -> list[list[str]]:
        """What the event rule changes, as rows of text, the first one the header."""
        rows = [["F1", "thresholds", "event rule", "gain", "95 % interval", "of thresholds", "of event rule"]]
        for name, label in _INTERVALS.items():
            for average in ("micro", "macro"):
                effect = self.intervals[f"{name}_{average}_f1"]
                values = (f"{effect.thresholds.value:.3f}", f"{effect.rule.value:.3f}", f"{effect.gain.value:+.3f}")
                bounds = (each.interval_text() for each in (effect.gain, effect.thresholds, effect.rule))
                rows.append([f"{label}, {average}", *values, *bounds])
        return rows

    def class_table(self) -> list[list[str]]:
        """The measures of each class as rows of text, the first one the header; what matters most stands left."""
        columns: dict[str, Callable[[ClassScores], str]] = {
            "class": lambda scores: scores.name,
            "F1": lambda scores: _text(scores.f1.value),
            "95 % interval": lambda scores: scores.f1.interval_text(),
            "baseline": lambda scores: _text(scores.baseline_f1),
            "precision": lambda scores: _text(scores.precision),
            "recall": lambda scores: _text(scores.recall),
            "AP": lambda scores: _text(scores.average_precision),
            "ROC AUC": lambda scores: _text(scores.roc_auc),
            "sounds": lambda scores: f"{100 * scores.prevalence:.1f} %",
            "tracks": lambda scores: str(scores.tracks),
            "presence F1": lambda scores: _text(scores.presence_f1),
            "time error (s)": lambda scores: _text(scores.playing_time_error, 1),
            "threshold": lambda scores: _text(scores.threshold),
        }
        return [[*columns], *([column(scores) for column in columns.values()] for scores in self.classes)]

    def notes(self) -> list[str]:
        """What a reader of the tables must know."""
        chosen = zip(self.vocabulary.classes, self.baseline.micro_always, strict=True)
        always = [name for name, is_always in chosen if is_always]
        absent = [scores.name for scores in self.classes if not scores.tracks]
        notes = [
            f"{self.tracks} tracks of {self.songs} songs, {self.seconds / 3600:.2f} h, {LABEL_RATE} frames a second. "
            f"Intervals: the middle 95 % of {BOOTSTRAP_SAMPLES} bootstrap resamples of the songs.",
            'Baseline: for each class its better constant, "always" or "never", knowing the truth. For macro '
            'F1 it is "always" for every class that sounds; for micro F1 it is "always" for '
            f"{', '.join(always)}.",
            "Presence: whether a class is heard, or sounds, in any frame of a track. The dominant instrument has the "
            f"longest playing time; naming any of several tied ones is right ({self.dominant_ties} of {self.tracks} "
            "tracks have a tie).",
            "Time errors are mean absolute errors of playing time: of the dominant instrument of each track, and of "
            "all instruments that sound or are heard in a track.",
        ]
        (true, plain, smoothed), collar = self.intervals_found, 1000 * COLLAR_FRAMES // LABEL_RATE
        notes.append(
            f"Intervals: {true} in the truth; the thresholds alone find {plain}, the event rule {smoothed}. One is "
            f"right where it starts within {collar} ms of a true one of its class and, if ends count, ends as close to "
            f"its end or within {100 // LENGTH_DIVISOR} % of its length; each is matched once."
        )
        if self.songs < FEWEST_SONGS:
            notes.append(f"Intervals of so few songs say little: measure {FEWEST_SONGS} at least.")
        if absent:
            notes.append(f"Never sounding here, and so out of macro means: {', '.join(absent)}.")
        return notes

    def figures(self) -> dict[str, Figure]:
        """The pictures of the classes that sound: ``f1_per_class``, ``pr_curves`` and ``confusion``."""
        sounding = [index for index, scores in enumerate(self.classes) if scores.tracks]
        shown = [self.classes[index] for index in sounding]
        names = [scores.name for scores in shown]
        colors = [color_of(self.vocabulary.name, index) for index in sounding]
        # Columns: the classes that sound, the others together, nothing.
        others = np.delete(self.confusion[sounding], [*sounding, len(self.classes)], axis=1)
        taken_for = np.column_stack(
            [self.confusion[np.ix_(sounding, sounding)], others.sum(axis=1), self.confusion[sounding, -1]]
        )
        frames = taken_for.sum(axis=1, keepdims=True)
        return {
            "f1_per_class": evaluation.f1_figure(
                f1=np.array([scores.f1.value for scores in shown]),
                bounds=np.array([(scores.f1.low, scores.f1.high) for scores in shown]).T,
                baseline=np.array([scores.baseline_f1 for scores in shown]),
                classes=names,
                colors=colors,
                title=f"F1 per class, {self.title}",
            ),
            "pr_curves": evaluation.pr_figure(
                curves=[scores.curve for scores in shown],
                average_precision=[scores.average_precision for scores in shown],
                chosen=[(scores.recall, scores.precision) for scores in shown],
                prevalence=[scores.prevalence for scores in shown],
                classes=names,
                colors=colors,
                title=f"Precision and recall, {self.title}",
            ),
            "confusion": evaluation.confusion_figure(
                shares=taken_for / frames,
                classes=names,
                taken_for=[*names, "other classes", "nothing"],
                title=f"Which class is taken for which, {self.title}",
            ),
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it; what is not defined is null."""
        content = dataclasses.asdict(self) | {"vocabulary": self.vocabulary.name}
        plain: dict[str, Any] = _plain(content)
        return plain

    def to_markdown(self) -> str:
        """The tables and notes, with the pictures of :meth:`save` below them."""
        page = markdown.markdown(
            f"Evaluation: {self.title}",
            (self.headline_table(), self.interval_table(), self.class_table()),
            self.notes(),
        )
        return (
            f"{page}\n![F1 per class](f1_per_class.png)\n"
            "![Precision and recall](pr_curves.png)\n"
            "![Which class is taken for which](confusion.png)\n"
        )

    def save(self, folder: str | Path) -> None:
        """Writes ``evaluation.json``, ``evaluation.md`` and the pictures: each whole or not at all."""
        folder = as_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.save_json(folder / "evaluation.json")
        write_text(folder / "evaluation.md", self.to_markdown())
        for name, figure in self.figures().items():
            style.save_png(figure, folder / f"{name}.png")

    def save_json(self, path: str | Path) -> None:
        """Writes everything as JSON: whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")


def assess(
    answers: Sequence[TrackPrediction],
    thresholds: NDArray[np.float32],
    post_processing: PostProcessing,
    vocabulary: Vocabulary,
    data: str,
    split: str | None,
) -> Evaluation:
    """Measures answers against the truth.

    Args:
        answers: of each track, at least one.
        thresholds: float32 [classes].
        post_processing: of the same classes.
        vocabulary: the classes.
        data: folder of the data set, or of the references, for the report.
        split: name of the split, for the report; None of references.
    """
    probabilities = np.concatenate([answer.probabilities for answer in answers])  # [frames, classes]
    truth = np.concatenate([answer.truth for answer in answers])  # [frames, classes]
    pairs = [(answer.probabilities >= thresholds, answer.truth) for answer in answers]
    tracks = ConfusionCounts.stack([ConfusionCounts.of(heard, true) for heard, true in pairs])  # [tracks, classes]
    presence = ConfusionCounts.stack(
        [ConfusionCounts.of(heard.any(axis=0, keepdims=True), true.any(axis=0, keepdims=True)) for heard, true in pairs]
    )  # [tracks, classes]
    concerned = presence.tp + presence.fp + presence.fn  # [tracks, classes], 1 where a class sounds or is heard
    time_errors = np.stack([np.abs(playing_time(heard) - playing_time(true)) for heard, true in pairs])
    baseline = constant_baseline(np.count_nonzero(truth, axis=0), len(truth))
    bootstrap = _Bootstrap([answer.song for answer in answers])
    track_of = np.repeat(np.arange(len(answers)), [len(true) for _, true in pairs])  # [frames]
    ranked = _rank(probabilities, truth, track_of, bootstrap)

    each = np.ones(len(answers), np.int64)
    whole, seen = tracks.resampled(each), presence.resampled(each)  # [classes]
    measures = {
        "precision": whole.where_positive(whole.precision),
        "recall": whole.where_positive(whole.recall),
        "baseline_f1": whole.where_positive(baseline.f1),
        "average_precision": ranked.average_precision[0],
        "roc_auc": ranked.roc_auc[0],
        "presence_precision": seen.where_positive(seen.precision),
        "presence_recall": seen.where_positive(seen.recall),
        "presence_f1": seen.where_positive(seen.f1),
        "playing_time_error": mean_defined(np.where(concerned > 0, time_errors, np.nan).T),
        "prevalence": whole.positives / len(truth),
        "threshold": thresholds,
    }  # [classes] each
    f1 = bootstrap(lambda weights: (drawn := tracks.resampled(weights)).where_positive(drawn.f1))  # [3, classes]
    classes = tuple(
        ClassScores(
            name=name,
            tracks=int(seen.positives[index]),
            f1=ConfidenceInterval(*f1[:, index].tolist()),
            curve=ranked.curves[index],
            **{measure: float(values[index]) for measure, values in measures.items()},
        )
        for index, name in enumerate(vocabulary.classes)
    )

    dominants = [dominant_classes(true) for _, true in pairs]
    dominant_errors = [errors[tied[0]] if tied else 0.0 for errors, tied in zip(time_errors, dominants, strict=True)]
    headlines = {
        **_agreement(tracks, bootstrap),
        "track_averaged_micro_f1": bootstrap.ratio(track_micro_f1(tracks), each),
        "macro_average_precision": bootstrap.macro(ranked.average_precision),
        "macro_roc_auc": bootstrap.macro(ranked.roc_auc),
        **{f"presence_{name}": estimate for name, estimate in _agreement(presence, bootstrap).items()},
        "dominant_accuracy": bootstrap.ratio([same_dominant(heard, true) for heard, true in pairs], each),
        "dominant_playing_time_error": bootstrap.ratio(dominant_errors, [bool(tied) for tied in dominants]),
        "playing_time_error": bootstrap.ratio(time_errors.sum(axis=1), concerned.sum(axis=1)),
    }
    smoothed = [decode(answer.probabilities, thresholds, post_processing) for answer in answers]
    intervals, found = _intervals(pairs, smoothed, bootstrap)
    return Evaluation(
        data=data,
        split=split,
        vocabulary=vocabulary,
        tracks=len(answers),
        songs=len({answer.song for answer in answers}),
        seconds=len(truth) / LABEL_RATE,
        headlines=headlines,
        intervals=intervals,
        intervals_found=found,
        classes=classes,
        baseline=baseline,
        dominant_ties=sum(len(tied) > 1 for tied in dominants),
        confusion=confusion_matrix(probabilities >= thresholds, truth),
    )


def _intervals(
    pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    smoothed: Sequence[NDArray[np.bool_]],
    bootstrap: _Bootstrap,
) -> tuple[dict[str, PostProcessingEffect], tuple[int, int, int]]:
    """:attr:`Evaluation.intervals` and :attr:`Evaluation.intervals_found`.

    Args:
        pairs: what is heard at the thresholds and the truth, bool [label frames, classes], of each track.
        smoothed: what is heard by the event rule.
        bootstrap: of the songs.
    """
    truths = [true for _, true in pairs]
    num_classes = truths[0].shape[1]
    reference = Events.joined([Events.of(true) for true in truths], num_classes)

    def counted(active: Sequence[NDArray[np.bool_]]) -> tuple[dict[str, ConfusionCounts], int]:
        """The counts [tracks, classes] of everything, and the number of intervals."""
        events = Events.joined([Events.of(each) for each in active], num_classes)
        both = [
            event_counts(events, reference, len(active) * num_classes, with_offsets) for with_offsets in (False, True)
        ]
        onset, event = (
            ConfusionCounts(*(column.reshape(-1, num_classes) for column in (each.tp, each.fp, each.fn, each.tn)))
            for each in both
        )
        return {
            "frame": ConfusionCounts.stack([ConfusionCounts.of(*pair) for pair in zip(active, truths, strict=True)]),
            "segment": ConfusionCounts.stack([segment_counts(*pair) for pair in zip(active, truths, strict=True)]),
            "onset": onset,
            "event": event,
        }, len(events)

    plain, num_plain = counted([heard for heard, _ in pairs])
    ruled, num_ruled = counted(smoothed)

    def effect(name: str, f1: Callable[[ConfusionCounts], NDArray[np.float64]]) -> PostProcessingEffect:
        before, after = (
            functools.partial(lambda counts, weights: f1(counts.resampled(weights)), counts[name])
            for counts in (plain, ruled)
        )
        return PostProcessingEffect(
            thresholds=bootstrap.estimate(before),
            rule=bootstrap.estimate(after),
            gain=bootstrap.estimate(lambda weights: after(weights) - before(weights)),
        )

    effects = {}
    for name in _INTERVALS:
        effects[f"{name}_micro_f1"] = effect(name, lambda counts: counts.micro.f1)
        effects[f"{name}_macro_f1"] = effect(name, lambda counts: counts.macro_f1)
    return effects, (len(reference), num_plain, num_ruled)


class _Bootstrap:
    """Measures of a split and their intervals, all from the same resamples of its songs."""

    def __init__(self, songs: Sequence[str]) -> None:
        self._each = np.ones((1, len(songs)), np.int64)
        # One song has no spread to show.
        self.weights = bootstrap_weights(songs) if len(set(songs)) > 1 else None

    def __call__(self, statistic: Statistic) -> NDArray[np.float64]:
        """Value, low and high of a statistic: [3, ...]."""
        value = statistic(self._each)
        if self.weights is None:
            return np.concatenate([value, np.full((2, *value.shape[1:]), np.nan)])
        return np.concatenate([value, interval(statistic(self.weights))])

    def estimate(self, statistic: Statistic) -> ConfidenceInterval:
        """Of a single measure."""
        return ConfidenceInterval(*self(statistic).tolist())

    def macro(self, samples: NDArray[np.float64]) -> ConfidenceInterval:
        """Of the mean over the classes of a measure [1 + samples, classes], that of the split itself first."""
        value, *drawn = mean_defined(samples).tolist()
        return ConfidenceInterval(value, *interval(np.array(drawn)).tolist()) if drawn else ConfidenceInterval(value)

    def ratio(self, parts: ArrayLike, wholes: ArrayLike) -> ConfidenceInterval:
        """Of the quotient of two sums over the tracks [tracks]; 0 where there is nothing to divide by."""
        parts, wholes = np.asarray(parts, float), np.asarray(wholes, float)
        return self.estimate(lambda weights: weights @ parts / np.maximum(weights @ wholes, 1))


@dataclasses.dataclass(frozen=True)
class _Ranked:
    """What the rankings of all classes come to.

    Attributes:
        average_precision: [1 + samples, classes] of the split and of each of its resamples.
        roc_auc: likewise.
        curves: recall and precision [2, points] of each class.
    """

    average_precision: NDArray[np.float64]
    roc_auc: NDArray[np.float64]
    curves: list[NDArray[np.float64]]


def _rank(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], tracks: NDArray[np.int64], bootstrap: _Bootstrap
) -> _Ranked:
    """Ranks the frames [frames, classes] class by class: the rankings of all at once would fill the memory.

    ``tracks`` [frames] are the tracks that the frames are of.
    """
    average_precision, roc_auc, curves = [], [], []
    for scores, true in zip(probabilities.T, truth.T, strict=True):
        ranking = ThresholdSweep.of(scores, true)
        drawn = [] if bootstrap.weights is None else [ranking.resampled(scores, true, tracks, bootstrap.weights)]
        average_precision.append(np.hstack([each.average_precision for each in (ranking, *drawn)]))
        roc_auc.append(np.hstack([each.roc_auc for each in (ranking, *drawn)]))
        curves.append(_curve(ranking))
    return _Ranked(np.stack(average_precision, axis=1), np.stack(roc_auc, axis=1), curves)


def _agreement(tracks: ConfusionCounts, bootstrap: _Bootstrap) -> dict[str, ConfidenceInterval]:
    """Precision, recall and F1, micro and macro, of counts [tracks, classes]."""
    estimate, drawn = bootstrap.estimate, tracks.resampled
    return {
        "micro_precision": estimate(lambda weights: drawn(weights).micro.precision),
        "micro_recall": estimate(lambda weights: drawn(weights).micro.recall),
        "micro_f1": estimate(lambda weights: drawn(weights).micro.f1),
        "macro_precision": estimate(lambda weights: drawn(weights).macro_precision),
        "macro_recall": estimate(lambda weights: drawn(weights).macro_recall),
        "macro_f1": estimate(lambda weights: drawn(weights).macro_f1),
    }


def _curve(ranking: ThresholdSweep) -> NDArray[np.float64]:
    """Recall and precision [2, points] at thresholds whose recalls lie about evenly between 0 and 1."""
    recall = ranking.recall
    wanted = np.linspace(recall[0], recall[-1], CURVE_POINTS - 1)
    # The last point too: below the first threshold that finds everything, precision goes on falling.
    chosen = np.unique([*np.searchsorted(recall, wanted), len(recall) - 1])
    return np.stack([recall[chosen], ranking.precision[chosen]])


def _text(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it: arrays as lists, NaN as None, six decimals."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
