"""The result of an evaluation: its metrics, and how they become tables, sentences, figures and files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.confidence import MIN_SECONDS
from mir_tf.config import LABEL_RATE
from mir_tf.figures import evaluation as evaluation_figures
from mir_tf.figures import style
from mir_tf.figures.colors import color_of
from mir_tf.io import locks
from mir_tf.io.files import as_path, write_text
from mir_tf.io.markdown import markdown
from mir_tf.metrics.bootstrap import BOOTSTRAP_SAMPLES, FEWEST_SONGS, ConfidenceInterval
from mir_tf.metrics.confidence import ConfidenceMetrics
from mir_tf.metrics.counts import Baseline
from mir_tf.metrics.events import COLLAR_FRAMES, LENGTH_DIVISOR
from mir_tf.metrics.text import format_count, format_gain, format_percent, format_value
from mir_tf.vocabulary import Vocabulary

EVALUATION_FORMAT = 3
"""Version of the format of ``evaluation.json``, written into it.

The first format had other names and no number, the second no intervals of the presence of each class.
"""

EVALUATION_FILE = "evaluation.json"
"""Name of the file with everything for programs."""

OVERALL_METRICS = {
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
"""Metrics of all classes together, and their names in tables."""

MAIN_SCORES = {
    "frames, micro": ("micro_precision", "micro_recall", "micro_f1"),
    "frames, macro": ("macro_precision", "macro_recall", "macro_f1"),
    "tracks, all names": ("presence_micro_precision", "presence_micro_recall", "presence_micro_f1"),
    "dominant, accuracy": (None, None, "dominant_accuracy"),
}
"""Rows of the first table: the overall metrics in its columns precision, recall and F1."""

COUNTED_UNITS = {
    "frame": "frames",
    "segment": "segments of 1 s",
    "onset": "events, starts",
    "event": "events, starts and ends",
}
"""Units in which the effect of post-processing is counted, and their names in tables."""


@dataclasses.dataclass(frozen=True)
class PostProcessingEffect:
    """A metric with and without post-processing.

    Attributes:
        thresholds: Metric of the frames as the class thresholds decide them.
        post_processed: Metric after post-processing.
        gain: The second minus the first, in the same resamples of the songs.
    """

    thresholds: ConfidenceInterval
    post_processed: ConfidenceInterval
    gain: ConfidenceInterval


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class; they are NaN if the class is never active in the evaluated tracks.

    Attributes:
        name: Name of the class.
        threshold: Probability from which the class is detected.
        prevalence: Share of the frames in which it is active.
        tracks: Number of tracks in which it is active.
        precision: Precision over frames; 0 if it is never detected.
        recall: Recall over frames.
        f1: F1 over frames.
        baseline_f1: F1 of the better constant prediction, always on or always off.
        average_precision: Average precision over frames.
        roc_auc: Area under the ROC curve over frames; NaN also if the class is always active.
        presence_precision: Precision over tracks. A class is present in a track, or detected there, if it is so in any
            frame.
        presence_recall: Recall over tracks.
        presence_f1: F1 over tracks.
        playing_time_error: Mean absolute error in seconds over the tracks in which it is present or detected.
        curve: Recall and precision [2, points] as the threshold falls.
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
    presence_precision: ConfidenceInterval
    presence_recall: ConfidenceInterval
    presence_f1: float
    playing_time_error: float
    curve: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All metrics of a model on a set of tracks. Macro means are over the classes that are ever active there.

    Attributes:
        data: Folder of the data set, or of the references.
        split: Name of the split; None for references.
        vocabulary: The classes.
        tracks: Number of tracks.
        songs: Number of songs that the tracks belong to.
        seconds: Length of all tracks together.
        overall_metrics: Metrics of all classes together, by the keys of :data:`OVERALL_METRICS`.
        post_processing_effects: Micro and macro F1 of each of :data:`COUNTED_UNITS`, by ``UNIT_micro_f1`` and
            ``UNIT_macro_f1``, with and without post-processing.
        num_events: Number of events in the ``truth``, with ``thresholds`` alone, and ``post_processed``.
        classes: Metrics of each class, in the order of the vocabulary.
        baseline: The best constant predictions of frames.
        presence_baseline: The best constant predictions of the presence in tracks.
        dominant_baseline: Share of the tracks in which the class that is most often dominant is dominant.
        dominant_ties: Number of tracks in which several classes share the longest playing time. Any of them is right.
        confusion: float64 [classes, classes + 1] in frames, see :func:`mir_tf.metrics.counts.confusion_matrix`.
        confidence: Metrics of the named classes; None if the model has no confidence.
    """

    data: str
    split: str | None
    vocabulary: Vocabulary
    tracks: int
    songs: int
    seconds: float
    overall_metrics: dict[str, ConfidenceInterval]
    post_processing_effects: dict[str, PostProcessingEffect]
    num_events: dict[str, int]
    classes: tuple[ClassMetrics, ...]
    baseline: Baseline
    presence_baseline: Baseline
    dominant_baseline: float
    dominant_ties: int
    confusion: NDArray[np.float64]
    confidence: ConfidenceMetrics | None = None

    @property
    def title(self) -> str:
        """The data that was evaluated, in words."""
        return (
            f"recordings and references in {self.data}" if self.split is None else f"{self.split} split of {self.data}"
        )

    @property
    def active_classes(self) -> list[int]:
        """Indices of the classes that are ever active."""
        return [index for index, scores in enumerate(self.classes) if scores.tracks]

    @property
    def baselines(self) -> dict[str, float]:
        """Overall metrics of the constant baseline, as far as they are known."""
        return {
            "micro_f1": self.baseline.micro_f1,
            "macro_f1": self.baseline.macro_f1,
            "presence_micro_f1": self.presence_baseline.micro_f1,
            "presence_macro_f1": self.presence_baseline.macro_f1,
            "dominant_accuracy": self.dominant_baseline,
        }

    @property
    def headline(self) -> str:
        """The main result in one sentence."""
        if self.confidence is None:
            found, right = (self.overall_metrics[f"presence_micro_{score}"].value for score in ("recall", "precision"))
            verb, number = "name", self.num_events["thresholds"]
        else:
            found, right = self.confidence.recall.value, self.confidence.precision.value
            verb, number = "detect", self.confidence.detected[0]
            if not self.confidence.playing:
                nothing = f"No class plays for at least {MIN_SECONDS:g} s in any of these tracks"
                return f"{nothing}, so none of the {number} names that the model detects is right."
        sentence = f"The model {verb}s {format_percent(found, 0)} of the instruments that play in a track"
        if not number:
            return f"{sentence}."
        return f"{sentence}, and {format_percent(right, 0)} of those it {verb}s do play."

    def summary(self) -> list[str]:
        """Return the main results as sentences, the headline first."""
        metrics = {name: estimate.value for name, estimate in self.overall_metrics.items()}
        active = sorted((self.classes[index] for index in self.active_classes), key=lambda scores: -scores.f1.value)
        useless = [scores.name for scores in active if scores.f1.value <= scores.baseline_f1]
        onset = self.post_processing_effects["onset_micro_f1"]
        return [
            self.headline,
            *self._names_summary(),
            f"{self._dominant_summary()} The best constant prediction is right in "
            f"{format_percent(self.dominant_baseline, 0)}.",
            f"Frame by frame, the micro F1 is {format_value(metrics['micro_f1'])} and the macro F1 "
            f"{format_value(metrics['macro_f1'])}. The best constant predictions have "
            f"{format_value(self.baseline.micro_f1)} and {format_value(self.baseline.macro_f1)}.",
            f"The best class is {active[0].name} (F1 {format_value(active[0].f1.value)}), the worst is "
            f"{active[-1].name} (F1 {format_value(active[-1].f1.value)})."
            + (f" No better than a constant prediction: {', '.join(useless)}." if useless else ""),
            f"Post-processing changes the micro F1 of event starts from {format_value(onset.thresholds.value)} to "
            f"{format_value(onset.post_processed.value)}.",
        ]

    def _dominant_summary(self) -> str:
        """Return a sentence about the dominant instrument; with a confidence, about the one that is named."""
        if (names := self.confidence) is None:
            right = self.overall_metrics["dominant_accuracy"].value
            return f"It finds the dominant instrument in {format_percent(right, 0)} of the tracks."
        if not names.detected[0]:
            return "It detects nothing, so it names no dominant instrument."
        return (
            "It names a dominant instrument, among the detected ones, in "
            f"{format_percent(names.dominant_named.value, 0)} of the tracks, and is right in "
            f"{format_percent(names.dominant_precision.value, 0)} of these."
        )

    def _names_summary(self) -> list[str]:
        """Return a sentence about all names that a prediction shows; empty without confidence."""
        if (names := self.confidence) is None or not names.playing or not names.named[0]:
            return []
        return [
            f"Detected and perhaps together, it names {format_percent(names.named_recall.value, 0)} of the instruments "
            f"that play, but {format_percent(1 - names.named_precision.value, 0)} of these names are wrong."
        ]

    def main_table(self) -> list[list[str]]:
        """Return the main metrics beside the constant baseline as rows of text, the header first."""
        rows = [["score", "precision", "recall", "F1", "baseline", "95 % interval"]]
        for label, names in MAIN_SCORES.items():
            *_, last = names
            values = [math.nan if name is None else self.overall_metrics[name].value for name in names]
            interval = self.overall_metrics[last].interval_text()
            rows.append([label, *map(format_value, [*values, self.baselines[last]]), interval])
        return rows

    def names_table(self) -> list[list[str]]:
        """Return the counts of right and wrong names as rows of text, the header first; empty without confidence."""
        if (names := self.confidence) is None:
            return []
        perhaps = tuple(every - part for every, part in zip(names.named, names.detected, strict=True))
        rows = [["names", "number", "right", "precision", "95 % interval", "recall", "95 % interval"]]
        for label, (number, right), precision, recall in (
            ("detected", names.detected, names.precision, names.recall),
            ("perhaps", perhaps, None, None),
            ("all names", names.named, names.named_precision, names.named_recall),
        ):
            values = [right / number if number else math.nan, right / names.playing if names.playing else math.nan]
            bounds = ["" if each is None else each.interval_text() for each in (precision, recall)]
            shares = [text for pair in zip(map(format_value, values), bounds, strict=True) for text in pair]
            rows.append([label, str(number), str(right), *shares])
        return rows

    def names_notes(self) -> list[str]:
        """Return sentences that explain :meth:`names_table`; empty without confidence."""
        if (names := self.confidence) is None:
            return []
        return [
            "Detected and perhaps: a class is named in a track if it reaches its threshold in any frame. It is "
            f"detected if its confidence is at least {names.cut:.3f}, otherwise it perhaps plays. A name is right if "
            f"the class plays for at least {MIN_SECONDS:g} s, which is so {names.playing} times in all tracks. "
            f"Precision is the share of right names, recall the share of the {names.playing} that are named. The "
            f"confidence has a Brier score of {names.brier:.3f} (0 is best). If it were always the class's share of "
            f"these tracks, it would have {names.constant_brier:.3f}.",
        ]

    def overall_table(self) -> list[list[str]]:
        """Return the overall metrics as rows of text, the header first."""
        rows = [["metric", "value", "95 % interval", "baseline", "gain"]]
        for name, label in OVERALL_METRICS.items():
            estimate, constant = self.overall_metrics[name], self.baselines.get(name, math.nan)
            gain = format_gain(estimate.value - constant)
            rows.append([label, format_value(estimate.value), estimate.interval_text(), format_value(constant), gain])
        return rows

    def post_processing_table(self) -> list[list[str]]:
        """Return the effect of post-processing as rows of text, the header first."""
        intervals = (f"95 % interval of {name}" for name in ("gain", "thresholds", "post-processed"))
        rows = [["F1", "thresholds", "post-processed", "gain", *intervals]]
        for name, label in COUNTED_UNITS.items():
            for average in ("micro", "macro"):
                effect = self.post_processing_effects[f"{name}_{average}_f1"]
                values = (format_value(effect.thresholds.value), format_value(effect.post_processed.value))
                bounds = (each.interval_text() for each in (effect.gain, effect.thresholds, effect.post_processed))
                rows.append([f"{label}, {average}", *values, format_gain(effect.gain.value), *bounds])
        return rows

    def class_table(self) -> list[list[str]]:
        """Return the frame metrics of each class as rows of text, the header first and the main metrics on the left."""
        return self._class_table(
            {
                "F1": lambda scores: format_value(scores.f1.value),
                "95 % interval": lambda scores: scores.f1.interval_text(),
                "baseline": lambda scores: format_value(scores.baseline_f1),
                "precision": lambda scores: format_value(scores.precision),
                "recall": lambda scores: format_value(scores.recall),
                "AP": lambda scores: format_value(scores.average_precision),
                "ROC AUC": lambda scores: format_value(scores.roc_auc),
                "active": lambda scores: format_percent(scores.prevalence),
                "threshold": lambda scores: format_value(scores.threshold),
            }
        )

    def class_presence_table(self) -> list[list[str]]:
        """Return the track metrics of each class as rows of text, the header first."""
        return self._class_table(
            {
                "tracks": lambda scores: str(scores.tracks),
                "precision": lambda scores: format_value(scores.presence_precision.value),
                "recall": lambda scores: format_value(scores.presence_recall.value),
                "F1": lambda scores: format_value(scores.presence_f1),
                "time error (s)": lambda scores: format_value(scores.playing_time_error, 1),
                "95 % interval of precision": lambda scores: scores.presence_precision.interval_text(),
                "95 % interval of recall": lambda scores: scores.presence_recall.interval_text(),
            }
        )

    def _class_table(self, columns: dict[str, Callable[[ClassMetrics], str]]) -> list[list[str]]:
        rows = ([scores.name, *(column(scores) for column in columns.values())] for scores in self.classes)
        return [["class", *columns], *rows]

    def notes(self) -> list[str]:
        """Return sentences that explain the tables."""
        always = [name for name, on in zip(self.vocabulary.classes, self.baseline.micro_always, strict=True) if on]
        collar = 1000 * COLLAR_FRAMES // LABEL_RATE
        events = self.num_events
        notes = [
            f"Data: {format_count(self.tracks, 'track')} of {format_count(self.songs, 'song')}, "
            f"{self.seconds / 3600:.2f} h, {LABEL_RATE} frames a second.",
            f"The 95 % intervals are the middle 95 % of {BOOTSTRAP_SAMPLES} bootstrap resamples of the songs. Two "
            "kinds of scores have Wilson intervals instead, in which each song is one trial: the shares of tracks "
            "(dominant accuracy, presence of a class), and a precision, recall or F1 that is the same in all "
            "resamples, such as that of a class that is never found. A class that counts in a single song has no "
            "interval.",
            "Micro scores count all classes together, so frequent classes weigh most. Macro scores are means over the "
            "classes.",
            "Baseline: the best constant prediction, which ignores the audio. Each class is always on or always off, "
            "and the dominant instrument is always the same, whichever the truth shows to be better. For macro F1, "
            f"every active class is always on; for the micro F1 of frames, these are always on: {', '.join(always)}.",
            "Presence: a class is present in a track, or detected there, if it is in any of its frames. The dominant "
            "instrument has the longest playing time. In a tie, any of the tied instruments is right "
            f"({self.dominant_ties} of {format_count(self.tracks, 'track')}).",
            "Time errors are mean absolute errors of the playing time: of each track's dominant instrument, and of all "
            "instruments that are present or detected in a track.",
            f"Events: {events['truth']} in the truth, {events['thresholds']} with the thresholds alone, "
            f"{events['post_processed']} after post-processing. A detected event is right if it starts within {collar} "
            "ms of a true event of its class. If ends count, it must also end within that time or within "
            f"{100 // LENGTH_DIVISOR} % of the true event's length. Each event is matched once.",
        ]
        if self.songs < FEWEST_SONGS:
            notes.append(
                "The 95 % intervals of so few songs mean little: evaluate at least "
                f"{format_count(FEWEST_SONGS, 'song')}."
            )
        if absent := [scores.name for scores in self.classes if not scores.tracks]:
            notes.append(f"Never active here, and so not in the macro means: {', '.join(absent)}.")
        return notes

    def figures(self) -> dict[str, Figure]:
        """Draw the classes that are ever active: ``f1_per_class``, ``pr_curves`` and ``confusion``.

        With a confidence, ``confidence`` is its reliability diagram.
        """
        active = self.active_classes
        shown = [self.classes[index] for index in active]
        names = [scores.name for scores in shown]
        colors = [color_of(self.vocabulary.name, index) for index in active]
        # Columns: the active classes, the other classes together, nothing.
        others = np.delete(self.confusion[active], [*active, len(self.classes)], axis=1)
        predicted = np.column_stack(
            [self.confusion[np.ix_(active, active)], others.sum(axis=1), self.confusion[active, -1]]
        )
        figures = {
            "f1_per_class": evaluation_figures.f1_figure(
                f1=np.array([scores.f1.value for scores in shown]),
                bounds=np.array([(scores.f1.low, scores.f1.high) for scores in shown]).T,
                baseline=np.array([scores.baseline_f1 for scores in shown]),
                classes=names,
                colors=colors,
                title=f"F1 of each class, {self.title}",
            ),
            "pr_curves": evaluation_figures.pr_figure(
                curves=[scores.curve for scores in shown],
                average_precision=[scores.average_precision for scores in shown],
                chosen=[(scores.recall, scores.precision) for scores in shown],
                prevalence=[scores.prevalence for scores in shown],
                classes=names,
                colors=colors,
                title=f"Precision and recall of each class, {self.title}",
            ),
            "confusion": evaluation_figures.confusion_figure(
                shares=predicted / predicted.sum(axis=1, keepdims=True),
                classes=names,
                predicted=[*names, "other classes", "nothing"],
                title=f"Which class is predicted instead, {self.title}",
            ),
        }
        if self.confidence:
            figures["confidence"] = evaluation_figures.confidence_figure(
                self.confidence.reliability, self.confidence.cut, f"Calibration of the confidence, {self.title}"
            )
        return figures

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; undefined metrics are None."""
        content = {"format": EVALUATION_FORMAT} | dataclasses.asdict(self) | {"vocabulary": self.vocabulary.name}
        plain: dict[str, Any] = _plain(content)
        return plain

    def to_markdown(self) -> str:
        """Return a page with the summary, the tables, the notes and the figures of :meth:`save`."""
        opening, *details = self.summary()
        return markdown(
            f"Evaluation: {self.title}",
            opening,
            self.main_table(),
            *details,
            "## All metrics",
            self.overall_table(),
            *(["## Detected and perhaps", self.names_table()] if self.confidence else []),
            "## Effect of post-processing",
            self.post_processing_table(),
            "## Classes in frames",
            self.class_table(),
            "## Classes in tracks",
            self.class_presence_table(),
            "## How to read the tables",
            *self.notes(),
            *self.names_notes(),
            "## Figures",
            "![F1 of each class](f1_per_class.png)",
            "![Precision and recall of each class](pr_curves.png)",
            "![Which class is predicted instead of a missed one](confusion.png)",
            *(["![Calibration of the confidence](confidence.png)"] if self.confidence else []),
        )

    def save(self, folder: str | Path) -> None:
        """Write ``evaluation.json``, ``evaluation.md`` and the figures. Each file is complete or not there."""
        folder = as_path(folder)
        with locks.exclusive(folder):
            self.save_json(folder / EVALUATION_FILE)
            write_text(folder / "evaluation.md", self.to_markdown())
            for name, figure in self.figures().items():
                style.save_png(figure, folder / f"{name}.png")

    def save_json(self, path: str | Path) -> None:
        """Write everything as JSON. The file is complete or not there."""
        write_text(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    """Return ``value`` as plain JSON: arrays as lists, NaN as None, numbers with six decimals."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
