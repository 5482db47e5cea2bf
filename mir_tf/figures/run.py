"""The pictures of a run and its answers that only its report has: training, thresholds, calibration, playing time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mir_tf.figures.style import (
    GRID,
    INK,
    TITLE_SIZE,
    class_panels,
    dot,
    entitle_panels,
    label_class_rows,
    line,
    new_figure,
)
from mir_tf.metrics.calibration import RELIABILITY_BINS, Reliability

_FIRST, _SECOND = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe and Ito, for two lines; the second one is dashed too."""


def training_figure(history: Sequence[Mapping[str, float]], best_epoch: float | None, title: str) -> Figure:
    """Losses, F1 on validation and learning rate of a run by epoch.

    Args:
        history: rows with ``epoch``, ``loss``, ``val_loss``, ``val_macro_f1``, ``val_micro_f1`` and ``learning_rate``.
        best_epoch: the epoch whose model was kept; None where it is not known.
        title: of the picture.
    """
    panels = {
        "loss": {"loss": "training", "val_loss": "validation"},
        "F1 on validation": {"val_macro_f1": "macro", "val_micro_f1": "micro"},
        "learning rate": {"learning_rate": ""},
    }
    figure = new_figure(14, 4.6)
    epochs = [row["epoch"] for row in history]
    for column, (label, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 3, column + 1)
        for (field, name), color, dashes in zip(lines.items(), (_FIRST, _SECOND), ("-", "--"), strict=False):
            # Points, because a single epoch has no line.
            style: dict[str, Any] = {"color": color, "linestyle": dashes, "marker": "o", "markersize": 3}
            axes.plot(epochs, [row[field] for row in history], linewidth=2, label=name, **style)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=":", label="kept epoch")
        axes.set_title(label, loc="left", size=11)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.8)
        if column < 2:
            axes.legend(frameon=False)
    figure.axes[1].set_ylim(0, 1)
    figure.axes[2].set_yscale("log")
    figure.suptitle(title, x=0.01, ha="left", size=TITLE_SIZE)
    return figure


def threshold_figure(
    f1: NDArray[np.float64],
    chosen: Sequence[tuple[float, float]],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """F1 of each class by its threshold, in panels.

    Args:
        f1: float64 [classes, points], of thresholds evenly from 0 up to 1, without 1.
        chosen: threshold in use and its F1, of each class.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure, panels = class_panels([f"{name}  {value:.2f}" for name, (_, value) in zip(classes, chosen, strict=True)])
    thresholds = np.arange(f1.shape[1]) / f1.shape[1]
    for index, axes in enumerate(panels):
        axes.plot(thresholds, f1[index], **line(colors[index]))
        best = int(f1[index].argmax())
        axes.plot(
            thresholds[best],
            f1[index, best],
            marker="x",
            markersize=8,
            color=INK,
            linestyle="",
            clip_on=False,
            label="best here",
        )
        axes.axvline(chosen[index][0], color=INK, linewidth=1, linestyle=":")
        axes.plot(*chosen[index], **dot(colors[index]), label="threshold in use")
    entitle_panels(figure, f"{title}\nbeside each name: F1 at the threshold in use", "threshold", "F1")
    return figure


def reliability_figure(
    of_classes: Reliability, together: Reliability, classes: Sequence[str], colors: Sequence[str], title: str
) -> Figure:
    """Reliability diagrams: of all classes together, and of each class.

    Args:
        of_classes: of the classes.
        together: of all their decisions as one class.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    errors = [*together.error, *of_classes.error]
    names = ["all classes", *classes]
    figure, panels = class_panels([f"{name}  {error:.3f}" for name, error in zip(names, errors, strict=True)])
    for index, axes in enumerate(panels):
        diagram, row = (together, 0) if index == 0 else (of_classes, index - 1)
        _draw_reliability(axes, diagram, row, INK if index == 0 else colors[index - 1])
    title += "\nbeside each name: expected calibration error"
    entitle_panels(figure, title, "probability", "share of the frames in which the class sounds")
    return figure


def _draw_reliability(axes: Axes, diagram: Reliability, row: int, color: str) -> None:
    frames = diagram.frames[row]
    there = frames > 0
    axes.bar(
        (np.arange(RELIABILITY_BINS) + 0.5) / RELIABILITY_BINS,
        frames / max(frames.max(), 1) * 0.3,  # a few bins hold nearly all: a third of the panel is for them
        width=1 / RELIABILITY_BINS,
        color=GRID,
        label="frames (height)",
    )
    axes.plot((0, 1), (0, 1), color=INK, linewidth=1, linestyle=":", label="perfectly calibrated")
    style: dict[str, Any] = {"marker": "o", "markersize": 4}
    axes.plot(diagram.confidence[row, there], diagram.frequency[row, there], **line(color), **style)


def playing_time_figure(
    true: NDArray[np.float64],
    heard: NDArray[np.float64],
    errors: NDArray[np.float64],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """How long each class plays in all songs together, and how long it is heard.

    Args:
        true: float64 [classes], seconds.
        heard: float64 [classes], seconds.
        errors: float64 [classes], mean absolute error in seconds a song.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure = new_figure(12, max(3.0, 1.5 + 0.4 * len(classes)))
    axes = figure.add_subplot()
    rows = np.arange(len(classes))
    axes.barh(rows - 0.14, heard / 60, height=0.5, color=list(colors), label="heard")
    axes.barh(rows + 0.26, true / 60, height=0.2, color=INK, label="truth")
    axes.set_xlim(0)
    axes.set_xlabel("minutes in all songs together; at the right: mean absolute error in a song")
    label_class_rows(axes, classes, [f"{error:.1f} s" for error in errors], title)
    return figure
