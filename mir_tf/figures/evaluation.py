"""Figures of an evaluation: F1, curves, confusion, thresholds, calibration, dominant instruments and playing time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.figures.style import (
    GRID_COLOR,
    INK,
    TITLE_SIZE,
    dot_style,
    draw_grid,
    draw_legend_above,
    label_panels,
    line_style,
    matrix_figure,
    new_class_rows,
    new_figure,
    unit_panels,
    write_row_notes,
)
from mir_tf.metrics.calibration import RELIABILITY_BINS, Reliability


def f1_figure(
    f1: NDArray[np.float64],
    bounds: NDArray[np.float64],
    baseline: NDArray[np.float64],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """Draw the F1 of each class with its confidence interval, and the F1 of the constant baseline.

    Args:
        f1: float64 [classes].
        bounds: float64 [2, classes], low and high.
        baseline: float64 [classes], F1 of the better of always on and always off.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, axes, rows = new_class_rows(classes, title)
    axes.barh(rows, f1, height=0.72, color=list(colors))
    axes.hlines(rows, *bounds, color="white", linewidth=5)  # a halo, to stand out from dark bars
    axes.hlines(rows, *bounds, color=INK, linewidth=2, label="95 % interval over songs")
    diamond: dict[str, Any] = {
        "marker": "D",
        "markersize": 7,
        "markeredgecolor": INK,
        "markerfacecolor": "white",
    }
    axes.plot(baseline, rows, **diamond, linestyle="", label="baseline (always on or always off)")
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 over frames of 0.1 s")
    write_row_notes(axes, [f"{value:.2f}" for value in f1])
    draw_legend_above(axes)
    return figure


def pr_figure(
    curves: Sequence[NDArray[np.float64]],
    average_precision: Sequence[float],
    chosen: Sequence[tuple[float, float]],
    prevalence: Sequence[float],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """Draw a precision-recall curve for each class, in panels.

    Args:
        curves: float64 [2, points] for each class: recall and precision.
        average_precision: Average precision of each class.
        chosen: Recall and precision of each class at the threshold in use.
        prevalence: Share of the frames in which each class is active: the precision of guessing.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, panels = unit_panels(_with_values(classes, average_precision, 2))
    for index, axes in enumerate(panels):
        axes.axhline(prevalence[index], color=INK, linewidth=1, linestyle=":", label="guessing")
        axes.plot(*curves[index], **line_style(colors[index]))
        axes.plot(*chosen[index], **dot_style(colors[index]), label="threshold in use")
    label_panels(figure, f"{title}\nbeside each name: average precision", "recall", "precision")
    return figure


def confusion_figure(
    shares: NDArray[np.float64], classes: Sequence[str], predicted: Sequence[str], title: str
) -> Figure:
    """Draw which class is predicted instead of which, see :func:`mir_tf.metrics.counts.confusion_matrix`.

    Args:
        shares: float64 [classes, columns], shares of the frames in which each class is active.
        classes: Names of the rows.
        predicted: Names of the columns.
        title: Title of the figure.
    """
    return matrix_figure(
        shares,
        classes,
        predicted,
        f"{title}\n% of the frames in which the class of the row is active",
        xlabel="predicted instead (on the diagonal: predicted correctly)",
        ylabel="active",
    )


def dominance_figure(counts: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str) -> Figure:
    """Draw the dominant instrument in the truth and in the predictions.

    Args:
        counts: float64 [rows, columns], number of songs; every row has some.
        rows: Dominant instruments in the truth.
        columns: Dominant instruments in the predictions.
        title: Title of the figure.
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    return matrix_figure(
        shares, rows, columns, title, xlabel="dominant as predicted", ylabel="dominant in truth", counts=counts
    )


def threshold_figure(
    f1: NDArray[np.float64],
    chosen: Sequence[tuple[float, float]],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """Draw the F1 of each class by its threshold, in panels.

    Args:
        f1: float64 [classes, points], at thresholds evenly spaced from 0 up to, but without, 1.
        chosen: Threshold in use and its F1, for each class.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, panels = unit_panels(_with_values(classes, [value for _, value in chosen], 2))
    thresholds = np.arange(f1.shape[1]) / f1.shape[1]
    cross: dict[str, Any] = {"marker": "x", "markersize": 8, "color": INK, "linestyle": "", "clip_on": False}
    for index, axes in enumerate(panels):
        axes.plot(thresholds, f1[index], **line_style(colors[index]))
        best = int(f1[index].argmax())
        axes.plot(thresholds[best], f1[index, best], **cross, label="best for these songs")
        axes.axvline(chosen[index][0], color=INK, linewidth=1, linestyle=":")
        axes.plot(*chosen[index], **dot_style(colors[index]), label="threshold in use")
    label_panels(figure, f"{title}\nbeside each name: F1 at the threshold in use", "threshold", "F1")
    return figure


def reliability_figure(
    of_classes: Reliability, together: Reliability, classes: Sequence[str], colors: Sequence[str], title: str
) -> Figure:
    """Draw reliability diagrams of all classes together and of each class.

    Args:
        of_classes: Diagrams of the classes.
        together: Diagram of all classes taken as one.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, panels = unit_panels(_with_values(["all classes", *classes], [*together.error, *of_classes.error], 3))
    _draw_reliability(panels[0], together, 0, INK)
    for index, axes in enumerate(panels[1:]):
        _draw_reliability(axes, of_classes, index, colors[index])
    title += "\nbeside each name: expected calibration error"
    label_panels(figure, title, "predicted probability", "share of the frames in which the class is active")
    return figure


def confidence_figure(diagram: Reliability, cut: float, title: str) -> Figure:
    """Draw the reliability diagram of the confidence that a class plays in a track.

    Args:
        diagram: Pairs of a track and a class instead of frames, all in one row.
        cut: Confidence from which a class is detected.
        title: Title of the figure.
    """
    figure = new_figure(9, 8)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="confidence", ylabel="share in which the class plays")
    draw_grid(axes)
    _draw_reliability(axes, diagram, 0, INK, "tracks and classes (height)")
    axes.axvline(cut, color=INK, linewidth=1, linestyle="--", label="cut: detected from here")
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    axes.set_title(f"expected calibration error {diagram.error[0]:.3f}", loc="right")
    axes.legend(loc="upper left", frameon=False)
    return figure


def _draw_reliability(axes: Axes, diagram: Reliability, row: int, color: str, unit: str = "frames (height)") -> None:
    frames = diagram.frames[row]
    is_used = frames > 0
    axes.bar(
        (np.arange(RELIABILITY_BINS) + 0.5) / RELIABILITY_BINS,
        frames / max(frames.max(), 1) * 0.3,  # a few bins have nearly all frames; a third of the panel is enough
        width=1 / RELIABILITY_BINS,
        color=GRID_COLOR,
        label=unit,
    )
    axes.plot((0, 1), (0, 1), color=INK, linewidth=1, linestyle=":", label="perfect calibration")
    style: dict[str, Any] = {"marker": "o", "markersize": 4}
    axes.plot(diagram.confidence[row, is_used], diagram.frequency[row, is_used], **line_style(color), **style)


def playing_time_figure(
    true: NDArray[np.float64],
    predicted: NDArray[np.float64],
    errors: NDArray[np.float64],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """Draw how long each class plays in all songs together, in truth and as predicted.

    Args:
        true: float64 [classes], seconds.
        predicted: float64 [classes], seconds.
        errors: float64 [classes], mean absolute error in seconds per song.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, axes, rows = new_class_rows(classes, title)
    axes.barh(rows - 0.14, predicted / 60, height=0.5, color=list(colors), label="predicted")
    axes.barh(rows + 0.26, true / 60, height=0.2, color=INK, label="truth")
    axes.set_xlim(0)
    axes.set_xlabel("minutes in all songs together; on the right: mean absolute error per song")
    write_row_notes(axes, [f"{error:.1f} s" for error in errors])
    draw_legend_above(axes)
    return figure


def _with_values(names: Sequence[str], values: Sequence[float], digits: int) -> list[str]:
    return [f"{name}  {value:.{digits}f}" for name, value in zip(names, values, strict=True)]
