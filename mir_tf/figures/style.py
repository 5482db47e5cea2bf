"""The look that all figures share: colours, sizes, panels and files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import Events
from mir_tf.io.files import atomic_write

INK = "#333333"


GRID = "#d9d9d9"


TITLE_SIZE = 14
"""Points."""


RUN_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
"""Of Okabe and Ito."""


RUN_DASHES = ("-", "--", ":")


def save_png(figure: Figure, path: str | Path) -> None:
    """Writes ``figure`` as a PNG: whole under its name, or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def label_class_rows(axes: Axes, classes: Sequence[str], notes: Sequence[str], title: str) -> None:
    """Finishes bars that lie in a row for each class: its name at the left, a note at the right, title and legend."""
    rows = range(len(classes))
    for row, note in zip(rows, notes, strict=True):
        axes.annotate(
            note, (1, row), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
        )
    axes.set_yticks(rows, classes)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)


def class_panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """:func:`class_grid` with axes from 0 to 1 both ways."""
    figure, panels = class_grid(titles)
    for axes in panels:
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return figure, panels


def class_grid(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel under each of ``titles``."""
    columns = min(6, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(max(2.6 * columns, 6), 2.5 * rows + 1)
    panels = []
    for index, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(title, size=10)
        axes.grid(color=GRID, linewidth=0.8)
        panels.append(axes)
    return figure, panels


def entitle_panels(figure: Figure, title: str, xlabel: str, ylabel: str) -> None:
    """Gives the panels of ``figure`` what they share: title, names of the axes, and the legend of the last one."""
    figure.suptitle(title, x=0.01, ha="left", size=TITLE_SIZE, parse_math=False)
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)


def line(color: str) -> dict[str, Any]:
    """The style of a curve of ``color``, with an edge that shows pale colours on white."""
    return {"color": color, "linewidth": 2, "path_effects": [withStroke(linewidth=2.8, foreground=INK)]}


def dot(color: str) -> dict[str, Any]:
    """The style of a point that stands for a choice, on a curve of ``color``."""
    style = {"marker": "o", "markersize": 8, "markeredgecolor": INK, "color": color}
    return {**style, "linestyle": "", "clip_on": False, "zorder": 3}


def readable_ink(ground: Sequence[float]) -> str:
    """Black or white: the one with more contrast to ``ground``, red, green and blue from 0 to 1.

    Contrast as the Web Content Accessibility Guidelines 2.2 define it; the better of the two is 4.58 at least.
    """
    channels = np.array(ground[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "white"


def new_figure(width: float, height: float) -> Figure:
    """A figure of width × height hundreds of pixels."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_bars(axes: Axes, active: NDArray[np.bool_], bottom: float, height: float, **style: Any) -> None:
    """Draws the stretches in which ``active`` [label frames] holds, over an axis in seconds."""
    events = Events.of(active[:, np.newaxis])
    stretches = np.stack([events.starts, events.ends - events.starts], axis=1) / LABEL_RATE
    axes.broken_barh(stretches.tolist(), (bottom, height), linewidth=0, **style)
