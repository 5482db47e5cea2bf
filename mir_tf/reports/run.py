"""A run on one page: what the model is, how it was trained, how good it is on unseen songs, and where it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.bundle import Bundle
from mir_tf.bundle.history import HISTORY_FILE, read_history
from mir_tf.bundle.predict import predict_split
from mir_tf.evaluation.result import Evaluation, assess
from mir_tf.figures import run as run_figures
from mir_tf.figures.colors import color_of
from mir_tf.figures.evaluation import matrix_figure
from mir_tf.figures.timelines import timeline_figure
from mir_tf.inference.prediction import format_duration
from mir_tf.io.files import as_path
from mir_tf.metrics import calibration
from mir_tf.metrics import counts as metrics
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.dominance import dominant, dominant_classes, playing_time, same_dominant
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models.cost import macs, parameters
from mir_tf.reports.page import Highlight, Page, Picture, Section, Table

SONGS = 3
"""Of the best songs, and of the worst, so many are drawn."""

_NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Songs:
    """What is known of each track of a split, in one order.

    Attributes:
        ids: of the tracks.
        answers: what the model says of them.
        detected: bool [label frames, classes] of each, at the thresholds of the model.
        counts: [tracks, classes].
    """

    ids: tuple[str, ...]
    answers: tuple[TrackPrediction, ...]
    detected: tuple[NDArray[np.bool_], ...]
    counts: ConfusionCounts

    @classmethod
    def of(cls, answers: Mapping[str, TrackPrediction], thresholds: NDArray[np.float32]) -> Songs:
        """From the answers by track, and the threshold of each class."""
        heard = tuple(answer.probabilities >= thresholds for answer in answers.values())
        counts = [
            ConfusionCounts.of(active, answer.truth) for active, answer in zip(heard, answers.values(), strict=True)
        ]
        return cls(tuple(answers), tuple(answers.values()), heard, ConfusionCounts.stack(counts))

    def best_first(self) -> list[int]:
        """The tracks, that of the highest micro F1 first."""
        f1: NDArray[np.float64] = metrics.track_micro_f1(self.counts)
        return [int(index) for index in np.argsort(-f1, kind="stable")]


def write(
    bundle: Bundle,
    run: str | Path,
    data: str | Path,
    split: str,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Evaluates a model on a split and writes ``report.html``, its pictures and ``evaluation.json`` into ``out``.

    Args:
        bundle: the model.
        run: its folder, of which the page bears the name; its ``history.csv`` tells how it was trained.
        data: folder of a data set.
        split: name of the split.
        out: made if need be.
        progress: called with tracks done and tracks in all after each track.

    Returns:
        the page.

    Raises:
        DataError: as :func:`mir_tf.evaluation.evaluate.evaluate`, or the run's history is damaged.
        OSError: ``out`` cannot be written.
    """
    history = read_history(as_path(run) / HISTORY_FILE)
    predictions = predict_split(bundle.windowed, bundle.config, data, split, progress)
    answers = {each.id: each for each in predictions}
    evaluation = assess(
        list(answers.values()), bundle.thresholds, bundle.post_processing, bundle.vocabulary, str(data), split
    )
    as_path(out).mkdir(parents=True, exist_ok=True)
    evaluation.save_json(as_path(out) / "evaluation.json")
    return page(bundle, as_path(run).resolve().name, history, answers, evaluation).save(out)


def page(
    bundle: Bundle,
    name: str,
    history: Sequence[Mapping[str, float]],
    answers: Mapping[str, TrackPrediction],
    evaluation: Evaluation,
) -> Page:
    """The page of a run.

    Args:
        bundle: the model.
        name: of the run.
        history: of its training, as :func:`mir_tf.bundle.history.read_history` gives it.
        answers: of each track by its id.
        evaluation: of these.
    """
    songs = Songs.of(answers, bundle.thresholds)
    colors = {name: color_of(bundle.vocabulary.name, index) for index, name in enumerate(bundle.classes)}
    sounding = [index for index, scores in enumerate(evaluation.classes) if scores.tracks]
    histogram = ScoreHistogram(len(bundle.classes))
    for answer in songs.answers:
        histogram.update(answer.probabilities, answer.truth)
    figures = evaluation.figures()
    return Page(
        title=f"Report: {name}",
        lead=f"{_described(bundle)}, measured on the {evaluation.title}: {evaluation.tracks} tracks, "
        f"{evaluation.seconds / 3600:.2f} hours.",
        highlights=_highlights(evaluation),
        sections=[
            _quality(evaluation),
            _classes(evaluation, figures["f1_per_class"], colors),
            _curves(evaluation, figures["pr_curves"], histogram, sounding, colors),
            _confusion(figures["confusion"]),
            _dominance(songs, evaluation, sounding, colors),
            _calibration(evaluation, histogram, sounding, colors),
            timelines(songs, bundle, list(colors.values())),
            _training(bundle, history),
            _model(bundle, evaluation),
            _all_songs(songs, bundle.classes),
        ],
    )


def _described(bundle: Bundle) -> str:
    architecture = bundle.config.model.architecture.upper().replace("_", " + ")
    return f"A {architecture} of {parameters(bundle.model):,} parameters that names {len(bundle.classes)} classes"


def _highlights(evaluation: Evaluation) -> list[Highlight]:
    constants = {"micro_f1": evaluation.baseline.micro_f1, "macro_f1": evaluation.baseline.macro_f1}
    shown = {
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "track_averaged_micro_f1": "F1 of a song, mean",
        "dominant_accuracy": "dominant instrument right",
    }
    highlights = []
    for name, label in shown.items():
        estimate = evaluation.headlines[name]
        note = f"95 %: {estimate.interval_text()}"
        if name in constants:
            note += f"; best constant {constants[name]:.3f}"
        highlights.append(Highlight(label, f"{estimate.value:.3f}", note))
    return highlights


def _quality(evaluation: Evaluation) -> Section:
    tables = [
        Table("The measures of the whole", evaluation.headline_table()),
        Table("Intervals: frames as they are, and by the event rule", evaluation.interval_table()),
    ]
    return Section("How good it is", [*tables, *evaluation.notes()])


def _classes(evaluation: Evaluation, figure: Figure, colors: Mapping[str, str]) -> Section:
    return Section(
        "Classes",
        [
            Picture(
                "f1_per_class",
                figure,
                "F1 of each class as bars, with intervals and the best constant answer",
                "A bar is the F1 of a class over frames of 0.1 s, its thin line the 95 % interval over songs: where "
                "it is long, few songs have the class. A diamond is what the better of the answers “always” and "
                "“never” gets: a bar that ends before its diamond has learnt nothing of use.",
            ),
            Table("The measures of each class", evaluation.class_table(), colors),
        ],
    )


def _curves(
    evaluation: Evaluation,
    figure: Figure,
    histogram: ScoreHistogram,
    sounding: Sequence[int],
    colors: Mapping[str, str],
) -> Section:
    shown = [evaluation.classes[index] for index in sounding]
    return Section(
        "Thresholds",
        [
            Picture(
                "pr_curves",
                figure,
                "Precision over recall of each class, with the threshold in use marked",
                "As the threshold of a class falls, more of it is found (recall, to the right) and more of what is "
                "named is wrong (precision, down). The nearer to the upper right corner the better; the dotted line "
                "is what guessing gets. The dot is where the model stands.",
            ),
            Picture(
                "thresholds",
                run_figures.threshold_figure(
                    histogram.f1()[sounding],
                    [(scores.threshold, scores.f1.value) for scores in shown],
                    [scores.name for scores in shown],
                    [colors[scores.name] for scores in shown],
                    f"F1 by threshold, {evaluation.title}",
                ),
                "F1 of each class over its threshold, with the threshold in use and the best one marked",
                "The thresholds in use (dots) were tuned on validation songs, but for classes that did not sound there "
                "(see Model). The cross is the best one for the songs measured here: where it is much higher than the "
                "dot, the class is heard well but cut at the wrong place, and more validation songs, or "
                "train.threshold_shrinkage, help. A flat top means that the threshold hardly matters.",
            ),
        ],
    )


def _confusion(figure: Figure) -> Section:
    return Section(
        "Confusion",
        [
            Picture(
                "confusion",
                figure,
                "Matrix of which class is heard where another one sounds",
                "A row holds the frames in which its class sounds. On the diagonal: it was named. Elsewhere: it was "
                "missed while the class of the column was named wrongly; several such share the frame. Under "
                "“nothing”: it was missed and nothing was named wrongly. Rows sum to 100 %.",
            )
        ],
    )


def _dominance(songs: Songs, evaluation: Evaluation, sounding: Sequence[int], colors: Mapping[str, str]) -> Section:
    classes = [scores.name for scores in evaluation.classes]
    matrix = dominance_matrix(songs.detected, [answer.truth for answer in songs.answers])
    rows, columns = np.flatnonzero(matrix.any(axis=1)), np.flatnonzero(matrix.any(axis=0))
    counts = matrix[np.ix_(rows, columns)]
    names = [*classes, _NOTHING]
    errors = [evaluation.classes[index].playing_time_error for index in sounding]
    return Section(
        "Dominance",
        [
            "The dominant instrument of a song is the one that plays longest. It is rightly named in "
            f"{100 * evaluation.headlines['dominant_accuracy'].value:.0f} % of the songs.",
            Picture(
                "dominance",
                matrix_figure(
                    counts / counts.sum(axis=1, keepdims=True),
                    [names[index] for index in rows],
                    [names[index] for index in columns],
                    f"The dominant instrument\n{evaluation.title}",
                    xlabel="dominant in what is heard",
                    ylabel="dominant in truth",
                    counts=counts,
                ),
                "Matrix of the dominant instrument in truth and as heard",
                "Cells count songs: the row is the instrument that truly dominates, the column the one that does in "
                "what the model hears. The darker, the larger the part of the row. A song in which several tie counts "
                "for the one that is named, or else in equal parts for all.",
            ),
            Picture(
                "playing_time",
                run_figures.playing_time_figure(
                    np.sum([playing_time(answer.truth) for answer in songs.answers], axis=0)[sounding],
                    np.sum([playing_time(active) for active in songs.detected], axis=0)[sounding],
                    np.array(errors),
                    [classes[index] for index in sounding],
                    [colors[classes[index]] for index in sounding],
                    f"Playing time, {evaluation.title}",
                ),
                "Minutes that each class plays in truth and as heard",
                "A coloured bar longer than the dark one: the class is named too often; shorter: too seldom. Equal "
                "lengths may still hide errors that cancel out between songs: the number at the right does not.",
            ),
        ],
    )


def dominance_matrix(detected: Sequence[NDArray[np.bool_]], truth: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Which instrument dominates in what is heard, by which one does in truth.

    Args:
        detected: bool [label frames, classes] of each track, predicted.
        truth: bool [label frames, classes] of each track.

    Returns:
        float64 [classes + 1, classes + 1] in tracks: rows truth, columns heard, the last of both silence. A track in
        which several tie counts for the one that is named or, if none of them is, in equal parts for all.
    """
    silence = truth[0].shape[1]
    matrix = np.zeros((silence + 1, silence + 1))
    for active, true in zip(detected, truth, strict=True):
        tied, named = dominant_classes(true) or [silence], dominant(active)
        column = silence if named is None else named
        rows = [column] if same_dominant(active, true) else tied
        matrix[rows, column] += 1 / len(rows)
    return matrix


def _calibration(
    evaluation: Evaluation, histogram: ScoreHistogram, sounding: Sequence[int], colors: Mapping[str, str]
) -> Section:
    every = calibration.reliability(histogram)
    together = calibration.reliability(histogram.pooled())
    shown = calibration.Reliability(*(getattr(every, field.name)[sounding] for field in dataclasses.fields(every)))
    names = [evaluation.classes[index].name for index in sounding]
    rows = [["class", "calibration error", "mean probability", "sounds"]]
    for name, row, diagram in [("all classes", 0, together), *((n, i, shown) for i, n in enumerate(names))]:
        frames = diagram.frames[row]
        of_all = [float(frames @ values[row] / frames.sum()) for values in (diagram.confidence, diagram.frequency)]
        rows.append([name, f"{diagram.error[row]:.3f}", *(f"{100 * share:.1f} %" for share in of_all)])
    return Section(
        "Calibration",
        [
            Picture(
                "calibration",
                run_figures.reliability_figure(
                    shown, together, names, [colors[name] for name in names], f"Calibration, {evaluation.title}"
                ),
                "Reliability diagram of all classes together and of each",
                "Of all frames that were given about one probability (across), in how many the class truly sounds "
                "(up). On the dotted diagonal a probability can be taken at its word; under it the model is too sure "
                "of what it hears, above it too timid. The grey bars show where the frames lie. Decisions are made by "
                "thresholds, which do not need this; whoever uses the probabilities themselves does.",
            ),
            Table(
                f"Expected calibration error: the mean gap to the diagonal, in {calibration.RELIABILITY_BINS} bins",
                rows,
                colors,
            ),
        ],
    )


def timelines(songs: Songs, bundle: Bundle, colors: Sequence[str]) -> Section:
    """The best and the worst songs, :data:`SONGS` of each and no song twice, as timelines beside their truth."""
    order = songs.best_first()
    drawn = min(SONGS, len(order) // 2) or 1
    chosen = {f"best-{rank + 1}": index for rank, index in enumerate(order[:drawn])}
    if len(order) > 1:
        chosen |= {f"worst-{rank + 1}": index for rank, index in enumerate(order[: -drawn - 1 : -1])}
    pictures = []
    for name, index in chosen.items():
        micro = songs.counts.micro
        title = (
            f"{songs.ids[index]}: F1 {metrics.track_micro_f1(songs.counts)[index]:.2f}, "
            f"precision {_share(micro.tp[index], micro.tp[index] + micro.fp[index], 2)}, "
            f"recall {_share(micro.tp[index], micro.tp[index] + micro.fn[index], 2)}"
        )
        answer = songs.answers[index]
        figure = timeline_figure(
            answer.probabilities, songs.detected[index], answer.truth, bundle.classes, colors, title
        )
        named = dominant(songs.detected[index])
        caption = (
            f"Number {order.index(index) + 1} of {len(order)} songs. "
            f"Dominant: {', '.join(bundle.classes[each] for each in dominant_classes(answer.truth)) or _NOTHING}; "
            f"in what is heard: {_NOTHING if named is None else bundle.classes[named]}."
        )
        pictures.append(Picture(name, figure, f"Timeline of {songs.ids[index]}, heard and true", caption))
    return Section(
        "Best and worst songs",
        [
            "By the micro F1 of each song. A row is a class: coloured bars where it is heard, their pale ground the "
            "probability, the dark bars below where it truly sounds. Colour without a dark bar is a false alarm, a "
            "dark bar without colour a miss.",
            *pictures,
        ],
    )


def _share(part: int, whole: int, digits: int) -> str:
    """Precision or recall of a song; a dash where nothing is heard, or nothing sounds."""
    return f"{part / whole:.{digits}f}" if whole else "–"


def _training(bundle: Bundle, history: Sequence[Mapping[str, float]]) -> Section:
    if not history:
        return Section(
            "Training",
            [f"The run has no {HISTORY_FILE}: it was not trained by mir-tf fit, or the file was not copied with it."],
        )
    kept = bundle.info.get("epoch")
    best = None if kept is None else next((row for row in history if row["epoch"] == kept), None)
    rows = [
        ["", "value"],
        ["epochs", str(len(history))],
        ["kept epoch", "unknown" if best is None else f"{best['epoch']:.0f}"],
        *([["macro F1 on validation, kept epoch", f"{best['val_macro_f1']:.3f}"]] if best else []),
        *([["micro F1 on validation, kept epoch", f"{best['val_micro_f1']:.3f}"]] if best else []),
        ["time", format_duration(sum(row["seconds"] for row in history))],
    ]
    return Section(
        "Training",
        [
            Picture(
                "training",
                run_figures.training_figure(history, None if best is None else best["epoch"], "Training by epoch"),
                "Losses, F1 on validation and learning rate by epoch",
                "Both losses should fall. Where validation rises while training goes on falling, the model learns its "
                "songs by heart: more songs, more augmentation or a smaller network help. The epoch with the best "
                "macro F1 on validation is kept (dotted line); a curve still rising at its end wants more epochs.",
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
        ["multiply-adds for a second of audio", f"{cost / 1e6:.1f} M"],
        ["thresholds that were not tuned", ", ".join(bundle.untuned) or "none"],
        ["data set measured on", evaluation.data],
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


def _all_songs(songs: Songs, classes: Sequence[str]) -> Section:
    micro, f1 = songs.counts.micro, metrics.track_micro_f1(songs.counts)
    rows = [["track", "length", "F1", "precision", "recall", "dominant", "heard as dominant"]]
    for index in songs.best_first():
        truth = songs.answers[index].truth
        named = dominant(songs.detected[index])
        rows.append(
            [
                songs.ids[index],
                format_duration(playing_time(np.ones((len(truth), 1), bool))[0]),
                f"{f1[index]:.3f}",
                _share(micro.tp[index], micro.tp[index] + micro.fp[index], 3),
                _share(micro.tp[index], micro.tp[index] + micro.fn[index], 3),
                ", ".join(classes[each] for each in dominant_classes(truth)) or _NOTHING,
                _NOTHING if named is None else classes[named],
            ]
        )
    return Section("All songs", [Table("Micro measures of each track, the best first", rows)])
