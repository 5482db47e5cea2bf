"""The look and the building blocks that all figures share: sizes, plots, panels, matrices and files.

Figures are made from arrays, as Matplotlib ``Figure`` objects, without pyplot and its global state.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import Events
from mir_tf.io.files import write_bytes

if os.environ.get("MATPLOTLIBRC") == os.devnull:  # set by mir_tf.io.environment for the commands
    # Matplotlib has read a matplotlibrc in the working directory nevertheless, which is that of another project.
    matplotlib.rcdefaults()

# A song's name may be in a script that the font lacks. The figure then has boxes; no warning for each letter.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)

INK = "#333333"
"""Colour of text-like marks."""

GRID_COLOR = "#d9d9d9"
"""Colour of grid lines."""

TITLE_SIZE = 14
"""Size of titles in points."""


class _NotebookFigure(Figure):
    """A figure that a notebook shows as a picture, although it is not made with pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of ``width`` × ``height`` hundreds of pixels."""
    figure = _NotebookFigure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_plot(width: float, height: float, title: str, grid: Literal["x", "y", "both"]) -> tuple[Figure, Axes]:
    """Make a figure with one plot, its title, and grid lines along the given axes."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    draw_grid(axes, grid)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    return figure, axes


def new_class_rows(classes: Sequence[str], title: str) -> tuple[Figure, Axes, NDArray[np.int64]]:
    """Make a figure with one plot that has a row for each class, and return the heights of the rows too."""
    figure, axes = new_plot(12, max(3.0, 1.5 + 0.4 * len(classes)), title, "x")
    rows = np.arange(len(classes))
    axes.set_yticks(rows, classes, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    return figure, axes, rows


def write_row_notes(axes: Axes, notes: Sequence[str]) -> None:
    """Write a note to the right of each row of :func:`new_class_rows`."""
    for row, note in enumerate(notes):
        axes.annotate(
            note, (1, row), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
        )


def draw_legend_above(axes: Axes, columns: int = 2, **options: Any) -> None:
    """Draw the legend above the plot, on the right."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, frameon=False, **options)


def draw_grid(axes: Axes, axis: Literal["x", "y", "both"] = "both", **options: Any) -> None:
    """Draw grid lines."""
    axes.grid(axis=axis, color=GRID_COLOR, linewidth=0.8, **options)


def unit_panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Make :func:`class_panels` whose axes go from 0 to 1 both ways."""
    figure, panels = class_panels(titles)
    for axes in panels:
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return figure, panels


def class_panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Make a figure with a small panel for each of ``titles``."""
    columns = min(6, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(max(2.6 * columns, 6), 2.5 * rows + 1)
    panels = []
    for index, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(title, size=10)
        draw_grid(axes)
        panels.append(axes)
    return figure, panels


def label_panels(figure: Figure, title: str, xlabel: str, ylabel: str) -> None:
    """Add the title, the axis labels and the legend that the panels share; the legend is that of the last one."""
    figure.suptitle(title, x=0.01, ha="left", size=TITLE_SIZE, parse_math=False)
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)


def matrix_figure(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    xlabel: str,
    ylabel: str,
    counts: NDArray[np.float64] | None = None,
) -> Figure:
    """Draw a matrix as cells that are darker for larger shares.

    Args:
        shares: float64 [rows, columns] from 0 to 1, or NaN.
        rows: Names of the rows.
        columns: Names of the columns.
        title: Title of the figure.
        xlabel: Meaning of the columns.
        ylabel: Meaning of the rows.
        counts: [rows, columns], numbers to write into the cells. Without them, the cells show the shares in %.
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
    axes.set_xticks(np.arange(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(np.arange(len(rows)), rows, parse_math=False)
    axes.set_xticks(np.arange(0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows)), minor=True)
    axes.tick_params(which="both", length=0)
    draw_grid(axes, which="minor")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1], format=lambda share, _: f"{share:.0%}")
    return figure


def _count_text(count: float) -> str:
    """Return a number of songs, some of which count in parts, with at most three digits if it has no more."""
    return f"{count:.0f}" if count >= 100 else f"{count:.3g}"


def line_style(color: str) -> dict[str, Any]:
    """Return the style of a curve, with an edge so that pale colours stand out on white."""
    return {"color": color, "linewidth": 2, "path_effects": [withStroke(linewidth=2.8, foreground=INK)]}


def dot_style(color: str) -> dict[str, Any]:
    """Return the style of a dot that marks the point in use on a curve."""
    style = {"marker": "o", "markersize": 8, "markeredgecolor": INK, "color": color}
    return {**style, "linestyle": "", "clip_on": False, "zorder": 3}


def readable_ink(ground: Sequence[float]) -> str:
    """Return black or white, whichever has more contrast to ``ground``: red, green and blue from 0 to 1.

    Contrast is that of the Web Content Accessibility Guidelines 2.2. The better of the two is at least 4.58.
    """
    channels = np.array(ground[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "white"


def draw_bars(axes: Axes, active: NDArray[np.bool_], bottom: float, height: float, **style: Any) -> None:
    """Draw a bar for each event of ``active``, bool [label frames], over an axis in seconds."""
    events = Events.of(active[:, np.newaxis])
    bars = np.stack([events.starts, events.ends - events.starts], axis=1) / LABEL_RATE
    axes.broken_barh(bars.tolist(), (bottom, height), linewidth=0, **style)


def save_png(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as a PNG. The file is complete or not there."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_bytes(path, content.getvalue())


def to_pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return ``figure`` as uint8 [height, width, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
