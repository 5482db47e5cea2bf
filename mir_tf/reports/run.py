"""The report of a run: how good the model is on unseen songs, where it fails, how it was trained, and what it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.bundle import Bundle
from mir_tf.bundle.history import HISTORY_FILE, read_history
from mir_tf.bundle.predict import predict_split
from mir_tf.config import LABEL_RATE
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.evaluation.result import EVALUATION_FILE, ClassMetrics, Evaluation
from mir_tf.figures import evaluation as evaluation_figures
from mir_tf.figures.colors import color_of
from mir_tf.figures.run import training_figure
from mir_tf.figures.timelines import timeline_figure
from mir_tf.inference.prediction import format_duration
from mir_tf.io import locks
from mir_tf.io.files import as_path
from mir_tf.metrics.calibration import RELIABILITY_BINS, Reliability, reliability
from mir_tf.metrics.counts import ConfusionCounts, track_micro_f1
from mir_tf.metrics.dominance import dominance_matrix, dominant, dominant_classes, playing_time
from mir_tf.metrics.text import format_count, format_percent, format_value
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models.cost import macs, parameters
from mir_tf.pretrained import display_name
from mir_tf.reports.page import Highlight, Page, Picture, Section, Table

DRAWN_SONGS = 3
"""Largest number of best songs, and of worst songs, whose timelines are drawn."""

_NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """The prediction for a track and its micro scores.

    Attributes:
        prediction: Probabilities and truth.
        detected: bool [label frames, classes], at the thresholds of the model.
        f1: Micro F1.
        precision: Micro precision; NaN if nothing is detected.
        recall: Micro recall; NaN if nothing is active.
    """

    prediction: TrackPrediction
    detected: NDArray[np.bool_]
    f1: float
    precision: float
    recall: float

    def scores(self, digits: int) -> list[str]:
        """Return F1, precision and recall as text."""
        return [format_value(value, digits) for value in (self.f1, self.precision, self.recall)]

    def dominant(self, classes: Sequence[str]) -> tuple[str, str]:
        """Return the names of the dominant instruments, in truth and as predicted."""
        named = dominant(self.detected)
        true = ", ".join(classes[index] for index in dominant_classes(self.prediction.truth))
        return true or _NOTHING, _NOTHING if named is None else classes[named]


def best_first(predictions: Sequence[TrackPrediction], thresholds: NDArray[np.float32]) -> list[TrackResult]:
    """Score each track, and sort the tracks by their micro F1, the best one first.

    Args:
        predictions: Prediction for each track.
        thresholds: float32 [classes].
    """
    detected = [each.probabilities >= thresholds for each in predictions]
    counts = ConfusionCounts.of_tracks(detected, [each.truth for each in predictions])
    micro = counts.micro
    precision = np.where(micro.tp + micro.fp > 0, micro.precision, math.nan)
    recall = np.where(micro.positives > 0, micro.recall, math.nan)
    scores = np.stack([track_micro_f1(counts), precision, recall], axis=1)  # [tracks, 3]
    results = [TrackResult(*each) for each in zip(predictions, detected, *scores.T.tolist(), strict=True)]
    return sorted(results, key=lambda result: -result.f1)


@dataclasses.dataclass(frozen=True)
class _Findings:
    """Everything that the sections show.

    Attributes:
        bundle: The model.
        evaluation: Its evaluation.
        tracks: The tracks, the best one first.
        histogram: Histogram of the scores.
        colors: Colour of each class by name.
    """

    bundle: Bundle
    evaluation: Evaluation
    tracks: Sequence[TrackResult]
    histogram: ScoreHistogram
    colors: Mapping[str, str]

    @property
    def active(self) -> list[ClassMetrics]:
        """Metrics of the classes that are ever active."""
        return [self.evaluation.classes[index] for index in self.evaluation.active_classes]

    @property
    def active_names(self) -> list[str]:
        """Names of these classes."""
        return [scores.name for scores in self.active]

    @property
    def active_colors(self) -> list[str]:
        """Colours of these classes."""
        return [self.colors[name] for name in self.active_names]


def write(
    bundle: Bundle,
    run: str | Path,
    data: str | Path,
    split: str,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Evaluate a model on a split, and write ``report.html``, its figures and ``evaluation.json``.

    Args:
        bundle: The model.
        run: Folder of the run. Its name is in the title, and its ``history.csv`` tells how the model was trained.
        data: Folder of a data set.
        split: Name of the split.
        out: Folder for the files; made if it does not exist.
        progress: Called after each track with the number of tracks done and the number of all tracks.

    Returns:
        The path of the page.

    Raises:
        DataError: See :func:`mir_tf.evaluation.evaluate.evaluate_split`; or the run's history is damaged.
        OSError: ``out`` cannot be written.
    """
    with locks.exclusive(as_path(out)):
        history = read_history(as_path(run) / HISTORY_FILE)
        predictions = list(predict_split(bundle.windowed, bundle.config, data, split, progress))
        evaluation = evaluate_predictions(
            predictions,
            bundle.thresholds,
            bundle.post_processing,
            bundle.vocabulary,
            str(data),
            split,
            bundle.confidence,
        )
        evaluation.save_json(as_path(out) / EVALUATION_FILE)
        return page(bundle, display_name(as_path(run)), history, predictions, evaluation).save(out)


def page(
    bundle: Bundle,
    name: str,
    history: Sequence[Mapping[str, float]],
    predictions: Sequence[TrackPrediction],
    evaluation: Evaluation,
) -> Page:
    """Make the page of a run.

    Args:
        bundle: The model.
        name: Name of the run.
        history: Epochs of its training from :func:`mir_tf.bundle.history.read_history`.
        predictions: Prediction for each track.
        evaluation: Evaluation of these predictions.
    """
    histogram = ScoreHistogram(len(bundle.classes))
    for each in predictions:
        histogram.update(each.probabilities, each.truth)
    colors = {name: color_of(bundle.vocabulary.name, index) for index, name in enumerate(bundle.classes)}
    found = _Findings(bundle, evaluation, best_first(predictions, bundle.thresholds), histogram, colors)
    figures = evaluation.figures()
    architecture = bundle.config.model.architecture.upper().replace("_", " + ")
    return Page(
        title=f"Report: {name}",
        lead=[
            " ".join(evaluation.summary()),
            f"The model is a {architecture} with {parameters(bundle.model):,} parameters for {len(bundle.classes)} "
            f"classes, evaluated on the {evaluation.title}: {format_count(evaluation.tracks, 'track')}, "
            f"{evaluation.seconds / 3600:.2f} hours.",
        ],
        highlights=_highlights(evaluation),
        sections=[
            Section(
                "How good it is",
                [
                    Table("In short", evaluation.main_table()),
                    Table("All metrics", evaluation.overall_table()),
                    Table("Effect of post-processing", evaluation.post_processing_table()),
                    *evaluation.notes(),
                ],
            ),
            *_names(evaluation, figures),
            Section(
                "Classes",
                [
                    Picture(
                        "f1_per_class",
                        figures["f1_per_class"],
                        "Bars of the F1 of each class, with confidence intervals and the constant baseline",
                        "Each bar is the F1 of a class over frames of 0.1 s. The thin line is its 95 % interval over "
                        "songs; it is long if few songs contain the class. The diamond is the constant baseline, "
                        "always on or always off. A bar that ends before its diamond is of no use.",
                    ),
                    Table("Metrics of each class in frames", evaluation.class_table(), colors),
                    Table("Metrics of each class in tracks", evaluation.class_presence_table(), colors),
                ],
            ),
            _thresholds(
                found,
                Picture(
                    "pr_curves",
                    figures["pr_curves"],
                    "Precision over recall of each class, with the threshold in use marked",
                    "As the threshold of a class falls, recall rises (to the right) and precision falls (down). The "
                    "closer to the upper right corner, the better. The dot is the threshold in use, the dotted line is "
                    "guessing.",
                ),
            ),
            Section(
                "Confusion",
                [
                    Picture(
                        "confusion",
                        figures["confusion"],
                        "Matrix of the class that is predicted while another one is active",
                        "Each row shows the frames in which its class is active, and sums to 100 %. On the diagonal, "
                        "the class is predicted. In the other columns it is missed while the class of the column is "
                        "predicted wrongly; several wrong classes share the frame. Under “nothing”, it is missed and "
                        "no class is predicted wrongly.",
                    )
                ],
            ),
            _dominance(found),
            _calibration(found),
            timelines(found.tracks, bundle.classes, list(colors.values())),
            _training(bundle, history),
            _model(bundle, evaluation),
            all_songs(found.tracks, bundle.classes),
        ],
    )


def _highlights(evaluation: Evaluation) -> list[Highlight]:
    shown = {
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "track_averaged_micro_f1": "mean F1 of a song",
        "dominant_accuracy": "dominant instrument right",
    }
    highlights = []
    for name, label in shown.items():
        estimate = evaluation.overall_metrics[name]
        note = f"95 % interval: {estimate.interval_text()}"
        if name in evaluation.baselines:
            note += f"; baseline {format_value(evaluation.baselines[name])}"
        highlights.append(Highlight(label, format_value(estimate.value), note))
    return highlights


def _thresholds(found: _Findings, pr_curves: Picture) -> Section:
    figure = evaluation_figures.threshold_figure(
        found.histogram.f1()[found.evaluation.active_classes],
        [(scores.threshold, scores.f1.value) for scores in found.active],
        found.active_names,
        found.active_colors,
        f"F1 by threshold, {found.evaluation.title}",
    )
    return Section(
        "Thresholds",
        [
            pr_curves,
            Picture(
                "thresholds",
                figure,
                "F1 of each class over its threshold, with the threshold in use and the best one marked",
                "The dot is the threshold in use. It was tuned on the validation songs, unless the class is not active "
                "there (see Model). The cross is the best threshold for the songs of this report. If it is much higher "
                "than the dot, the model separates the class well but the threshold is wrong: more validation songs or "
                "train.threshold_shrinkage help. If the curve is flat at the top, the threshold hardly matters.",
            ),
        ],
    )


def _dominance(found: _Findings) -> Section:
    evaluation, active = found.evaluation, found.evaluation.active_classes
    detected, truth = [each.detected for each in found.tracks], [each.prediction.truth for each in found.tracks]
    matrix = dominance_matrix(detected, truth)
    rows, columns = np.flatnonzero(matrix.any(axis=1)), np.flatnonzero(matrix.any(axis=0))
    names = [*found.bundle.classes, _NOTHING]
    true, predicted = (np.sum([playing_time(roll) for roll in each], axis=0)[active] for each in (truth, detected))
    return Section(
        "Dominance",
        [
            "The dominant instrument of a song is the one that plays longest. The model finds it in "
            f"{format_percent(evaluation.overall_metrics['dominant_accuracy'].value, 0)} of the songs.",
            Picture(
                "dominance",
                evaluation_figures.dominance_figure(
                    matrix[np.ix_(rows, columns)],
                    [names[index] for index in rows],
                    [names[index] for index in columns],
                    f"Dominant instrument\n{evaluation.title}",
                ),
                "Matrix of the dominant instrument in truth and as predicted",
                "Cells count songs. The row is the dominant instrument in truth, the column the one that the model "
                "predicts. Darker cells are a larger share of their row. In a tie, a song counts for the tied "
                "instrument that is predicted, or else in equal parts for all of them.",
            ),
            Picture(
                "playing_time",
                evaluation_figures.playing_time_figure(
                    true,
                    predicted,
                    np.array([scores.playing_time_error for scores in found.active]),
                    found.active_names,
                    found.active_colors,
                    f"Playing time, {evaluation.title}",
                ),
                "Minutes that each class plays, in truth and as predicted",
                "If the coloured bar is longer than the dark one, the class is predicted too often; if it is shorter, "
                "too rarely. Bars of equal length can still hide errors that cancel out between songs; the number on "
                "the right shows them.",
            ),
        ],
    )


def _names(evaluation: Evaluation, figures: Mapping[str, Figure]) -> list[Section]:
    """Return the section about detected and perhaps, or no section if the model has no confidence."""
    if evaluation.confidence is None:
        return []
    picture = Picture(
        "confidence",
        figures["confidence"],
        "Reliability diagram of the confidence that a class plays in a track",
        "For tracks and classes with about the same confidence (across), the share in which the class plays (up). On "
        "the dotted diagonal you can take the confidence at face value. Classes to the right of the dashed line are "
        "listed as detected, the others as perhaps.",
    )
    table = Table("Right and wrong names", evaluation.names_table())
    return [Section("Detected and perhaps", [table, *evaluation.names_notes(), picture])]


def _calibration(found: _Findings) -> Section:
    together = reliability(found.histogram.pooled())
    every = reliability(found.histogram)
    shown = Reliability(
        *(getattr(every, field.name)[found.evaluation.active_classes] for field in dataclasses.fields(every))
    )
    rows = [["class", "calibration error", "mean probability", "active"]]
    each = enumerate(found.active_names)
    for name, row, diagram in [("all classes", 0, together), *((name, row, shown) for row, name in each)]:
        frames = diagram.frames[row]
        means = [float(frames @ values[row] / frames.sum()) for values in (diagram.confidence, diagram.frequency)]
        rows.append([name, format_value(diagram.error[row]), *map(format_percent, means)])
    return Section(
        "Calibration",
        [
            Picture(
                "calibration",
                evaluation_figures.reliability_figure(
                    shown, together, found.active_names, found.active_colors, f"Calibration, {found.evaluation.title}"
                ),
                "Reliability diagrams of all classes together and of each class",
                "For frames with about the same predicted probability (across), the share in which the class is really "
                "active (up). On the dotted diagonal you can take probabilities at face value. Below it they are too "
                "high, above it too low. The grey bars show how many frames there are. This does not matter for "
                "decisions by thresholds; it matters if you use the probabilities themselves.",
            ),
            Table(
                f"Expected calibration error: the mean distance from the diagonal, in {RELIABILITY_BINS} bins",
                rows,
                found.colors,
            ),
        ],
    )


def timelines(tracks: Sequence[TrackResult], classes: Sequence[str], colors: Sequence[str]) -> Section:
    """Draw the best and the worst songs: up to :data:`DRAWN_SONGS` of each, and no song twice.

    Args:
        tracks: The tracks, the best one first.
        classes: Class names.
        colors: Colour of each class.
    """
    count = min(DRAWN_SONGS, len(tracks) // 2) or 1
    drawn = [(f"best-{rank + 1}", rank) for rank in range(count)]
    if len(tracks) > 1:
        drawn += [(f"worst-{rank + 1}", len(tracks) - 1 - rank) for rank in range(count)]
    pictures = []
    for name, place in drawn:
        track = tracks[place]
        prediction = track.prediction
        f1, precision, recall = track.scores(2)
        true, predicted = track.dominant(classes)
        figure = timeline_figure(
            prediction.probabilities,
            track.detected,
            prediction.truth,
            classes,
            colors,
            f"{prediction.id}: F1 {f1}, precision {precision}, recall {recall}",
        )
        caption = f"Number {place + 1} of {len(tracks)} songs. Dominant: {true}; predicted: {predicted}."
        pictures.append(Picture(name, figure, f"Timeline of {prediction.id}, predicted and true", caption))
    return Section(
        "Best and worst songs",
        [
            "Songs are sorted by their micro F1. Each row is a class. Coloured bars show where it is predicted, the "
            "pale area behind them its probability, and the dark bars below where it really plays. Colour without a "
            "dark bar is a false alarm, a dark bar without colour is a miss.",
            *pictures,
        ],
    )


def _training(bundle: Bundle, history: Sequence[Mapping[str, float]]) -> Section:
    if not history:
        return Section(
            "Training",
            [f"The run has no {HISTORY_FILE}: mir-tf fit did not train it, or the file was not copied with it."],
        )
    kept = bundle.info.get("epoch")
    best = None if kept is None else next((row for row in history if row["epoch"] == kept), None)
    rows = [
        ["", "value"],
        ["epochs", str(len(history))],
        ["kept epoch", "unknown" if best is None else f"{best['epoch']:.0f}"],
        *([["validation macro F1, kept epoch", format_value(best["val_macro_f1"])]] if best else []),
        *([["validation micro F1, kept epoch", format_value(best["val_micro_f1"])]] if best else []),
        ["time", format_duration(sum(row["seconds"] for row in history))],
    ]
    return Section(
        "Training",
        [
            Picture(
                "training",
                training_figure(history, None if best is None else best["epoch"], "Training by epoch"),
                "Losses, validation F1 and learning rate by epoch",
                "Both losses should fall. If the validation loss rises while the training loss falls, the model "
                "memorises its songs: more songs, more augmentation or a smaller network help. The epoch with the best "
                "validation macro F1 is kept (dotted line). A curve that still rises at its end needs more epochs.",
            ),
            Table("Training", rows),
        ],
    )


def _model(bundle: Bundle, evaluation: Evaluation) -> Section:
    config = bundle.config
    window = config.window
    cost = macs(bundle.model, window.window_frames * config.front_end.subframes) / window.window_seconds
    rows = [
        ["", "value"],
        ["architecture", config.model.architecture],
        ["classes", f"{len(bundle.classes)}, vocabulary {bundle.vocabulary.name}"],
        ["parameters", f"{parameters(bundle.model):,}"],
        ["multiply-adds per second of audio", f"{cost / 1e6:.1f} M"],
        ["classes without a tuned threshold", ", ".join(bundle.untuned) or "none"],
        ["evaluated data set", evaluation.data],
    ]
    settings = [
        [section, ", ".join(f"{name}: {value}" for name, value in fields.items())]
        for section, fields in config.to_dict().items()
    ]
    return Section(
        "Model",
        [
            Table("The model", rows, is_words=True),
            Table("Its configuration", [["section", "fields"], *settings], is_words=True),
        ],
    )


def all_songs(tracks: Sequence[TrackResult], classes: Sequence[str]) -> Section:
    """List all tracks with their scores.

    Args:
        tracks: The tracks, the best one first.
        classes: Class names.
    """
    rows = [["track", "length", "F1", "precision", "recall", "dominant", "predicted as dominant"]]
    for track in tracks:
        length = format_duration(len(track.detected) / LABEL_RATE)
        rows.append([track.prediction.id, length, *track.scores(3), *track.dominant(classes)])
    return Section("All songs", [Table("Micro metrics of each track, the best one first", rows)])
