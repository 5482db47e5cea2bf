"""The pictures: songs and timelines, F1 per class, precision-recall curves, confusion, runs side by side.

A picture is made of arrays, as a matplotlib ``Figure``, without pyplot and its global state. The caller gives the
colours, those of :mod:`mir_tf.figures.colors`. :func:`markdown` makes the page in which pictures stand.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mir_tf.figures.style import (
    GRID,
    INK,
    RUN_COLORS,
    RUN_DASHES,
    TITLE_SIZE,
    class_panels,
    dot,
    entitle_panels,
    label_class_rows,
    line,
    new_figure,
    readable_ink,
)

# Where a song's name is in a script that the font lacks, boxes stand in the picture: no warning for each letter.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)


def f1_figure(
    f1: NDArray[np.float64],
    bounds: NDArray[np.float64],
    baseline: NDArray[np.float64],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """F1 of each class with its interval, and of its better constant answer.

    Args:
        f1: float64 [classes].
        bounds: float64 [2, classes], low and high.
        baseline: float64 [classes], F1 of the better of "always" and "never".
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure = new_figure(12, max(3.0, 1.5 + 0.4 * len(classes)))
    axes = figure.add_subplot()
    rows = np.arange(len(classes))
    axes.barh(rows, f1, height=0.72, color=list(colors))
    axes.hlines(rows, *bounds, color="white", linewidth=5)  # a halo, to stand out from dark bars
    axes.hlines(rows, *bounds, color=INK, linewidth=2, label="95 % interval over songs")
    diamond: dict[str, Any] = {
        "marker": "D",
        "markersize": 7,
        "markeredgecolor": INK,
        "markerfacecolor": "white",
    }
    axes.plot(baseline, rows, **diamond, linestyle="", label="better constant (always or never)")
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 over frames of 0.1 s")
    label_class_rows(axes, classes, [f"{value:.2f}" for value in f1], title)
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
    """A precision-recall curve for each class, in panels.

    Args:
        curves: float64 [2, points] for each class: recall and precision.
        average_precision: of each class.
        chosen: recall and precision of each class at the threshold in use.
        prevalence: share of the frames in which each class sounds: chance's precision.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure, panels = class_panels(
        [f"{name}  {average:.2f}" for name, average in zip(classes, average_precision, strict=True)]
    )
    for index, axes in enumerate(panels):
        axes.axhline(prevalence[index], color=INK, linewidth=1, linestyle=":", label="chance")
        axes.plot(*curves[index], **line(colors[index]))
        axes.plot(*chosen[index], **dot(colors[index]), label="threshold in use")
    entitle_panels(figure, f"{title}\nbeside each name: average precision", "recall", "precision")
    return figure


def confusion_figure(
    shares: NDArray[np.float64], classes: Sequence[str], taken_for: Sequence[str], title: str
) -> Figure:
    """Which class is taken for which, see :func:`mir_tf.metrics.counts.confusion_matrix`.

    Args:
        shares: float64 [classes, columns] of the frames in which each class sounds.
        classes: names of the rows.
        taken_for: names of the columns.
        title: of the picture.
    """
    return matrix_figure(
        shares,
        classes,
        taken_for,
        f"{title}\n% of the frames in which the class of the row sounds",
        xlabel="heard instead (on the diagonal: rightly heard)",
        ylabel="sounds",
    )


def matrix_figure(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    xlabel: str,
    ylabel: str,
    counts: NDArray[np.float64] | None = None,
) -> Figure:
    """A matrix as cells, the darker the more.

    Args:
        shares: float64 [rows, columns] from 0 to 1; NaN where there is none.
        rows: names.
        columns: names.
        title: of the picture.
        xlabel: what the columns are.
        ylabel: what the rows are.
        counts: [rows, columns], what to write into the cells; else the shares stand there, in %.
    """
    cell, text_size = (0.5, 9) if len(rows) <= 40 else (0.25, 5)  # inches, points
    figure = new_figure(5 + cell * len(columns), 3 + cell * len(rows))
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = float(shares[row, column])
        text = f"{100 * share:.0f}" if counts is None else _count_text(counts[row, column])
        ink = readable_ink(image.cmap(share))
        axes.text(column, row, text, ha="center", va="center", color=ink, size=text_size)
    axes.set_xticks(np.arange(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)), rows)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows)), minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1], format=lambda share, _: f"{share:.0%}")
    return figure


def curves_figure(curves: Mapping[str, Sequence[tuple[Sequence[Mapping[str, float]], int]]], title: str) -> Figure:
    """Validation loss and macro F1 of several runs by epoch.

    Args:
        curves: of each run, by name, and of each of its seeds: the history, rows with ``epoch``, ``val_loss`` and
            ``val_macro_f1``, and the best epoch, which gets a dot.
        title: of the picture.
    """
    figure = new_figure(14, 5)
    for column, (field, label) in enumerate({"val_loss": "validation loss", "val_macro_f1": "macro F1"}.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        for index, (name, histories) in enumerate(curves.items()):
            color = RUN_COLORS[index % len(RUN_COLORS)]
            dashes = RUN_DASHES[index // len(RUN_COLORS) % len(RUN_DASHES)]
            for seed, (rows, best_epoch) in enumerate(histories):
                epochs, values = [row["epoch"] for row in rows], [row[field] for row in rows]
                axes.plot(epochs, values, color=color, linestyle=dashes, linewidth=1.8, label=None if seed else name)
                axes.plot(best_epoch, values[best_epoch - 1], "o", color=color, markeredgecolor=INK, markersize=7)
        axes.set_xlabel("epoch")
        axes.set_title(label, loc="left", size=11)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.8)
    text = f"{title}\na line each seed, a dot at its best epoch"
    figure.suptitle(text, x=0.01, ha="left", size=TITLE_SIZE, parse_math=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _count_text(count: float) -> str:
    """A number of songs, of which some count in parts, in three digits if it has no more."""
    return f"{count:.0f}" if count >= 100 else f"{count:.3g}"
