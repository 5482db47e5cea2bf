"""The figure of a prediction over time, and the time axis that such figures share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.figures.style import INK, TITLE_SIZE, draw_bars, draw_grid, draw_legend_above, new_figure

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MAX_TICKS = 16
_TITLE_CHARACTERS = 95
"""Longest line of a title: as many characters as fit between the labels of the rows and the legend."""

MAX_POINTS = 1500
"""Maximum number of columns to draw; frames beyond share them."""


def timeline_figure(
    probabilities: NDArray[np.float32],
    active: NDArray[np.bool_],
    truth: NDArray[np.bool_] | None,
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
    groups: Mapping[str, Sequence[int]] | None = None,
) -> Figure:
    """Draw a prediction, with the truth if it is known, as a row for each class.

    The height of a row's colour is the probability: strong where the class is predicted, pale elsewhere.

    Args:
        probabilities: float32 [label frames, classes].
        active: bool [label frames, classes], predicted.
        truth: bool [label frames, classes], or None if it is unknown.
        classes: Class names, or other labels of the rows.
        colors: Colour of each class.
        title: Title of the figure.
        groups: Name of each group of rows → indices of its classes, from the top; empty groups are left out. Without
            it, the rows are the classes that are active in the prediction or in the truth.
    """
    if groups is None:
        groups = {"": np.flatnonzero(active.any(axis=0) if truth is None else (active | truth).any(axis=0)).tolist()}
    shown = [index for members in groups.values() for index in members]
    figure = new_figure(16, max(9.0, 0.45 * len(shown)))
    axes = figure.add_subplot()
    seconds = len(active) / LABEL_RATE
    # A row is one unit high, with the prediction above the truth.
    bottom, height = (0.1, 0.8) if truth is None else (0.36, 0.56)
    # Frames that share a pixel are drawn as their highest probability, because long polygons take minutes.
    starts = np.arange(0, len(active), math.ceil(len(active) / MAX_POINTS))
    edges = np.append(starts, len(active)) / LABEL_RATE
    highest = np.maximum.reduceat(probabilities, starts)  # [points, classes]
    predicted = np.where(np.logical_or.reduceat(active, starts), highest, 0)  # [points, classes]
    for row, index in enumerate(reversed(shown)):
        style: dict[str, Any] = {"baseline": row + bottom, "fill": True, "color": colors[index], "linewidth": 0}
        for values, alpha in ((highest, 0.3), (predicted, 0.85)):
            axes.stairs(row + bottom + height * values[:, index], edges, alpha=alpha, **style)
        if truth is not None:
            draw_bars(axes, truth[:, index], row + 0.1, 0.2, facecolor=INK)
    axes.set_yticks(np.arange(len(shown)) + 0.5, [classes[index] for index in reversed(shown)], parse_math=False)
    axes.set_yticks(np.arange(len(shown) + 1), minor=True)
    draw_grid(axes, "y", which="minor")
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(0, max(len(shown), 1))
    time_axis(axes, seconds)
    if not len(shown):
        axes.text(0.5, 0.5, "No instrument", transform=axes.transAxes, ha="center", color=INK, size=16)
    _label_groups(axes, groups)
    handles = [
        Patch(facecolor="#888888", alpha=0.85, label="predicted (height: probability)"),
        Patch(facecolor="#888888", alpha=0.3, label="below the threshold"),
    ]
    if truth is not None:
        handles.append(Patch(facecolor=INK, label="truth"))
    lines = textwrap.fill(title, _TITLE_CHARACTERS)  # a song with many instruments has a long headline
    axes.set_title(lines, loc="left", size=TITLE_SIZE, parse_math=False)
    draw_legend_above(axes, 3, handles=handles)
    return figure


def _label_groups(axes: Axes, groups: Mapping[str, Sequence[int]]) -> None:
    """Write the names of groups of rows at their right, and draw lines between the groups."""
    height = float(sum(map(len, groups.values())))
    top = height
    for name, members in groups.items():
        if not (name and members):
            continue
        if top < height:
            axes.axhline(top, color=INK, linewidth=1.5)
        middle, top = top - len(members) / 2, top - len(members)
        axes.annotate(
            name,
            (1.01, middle),
            xycoords=axes.get_yaxis_transform(),
            rotation=270,
            va="center",
            color=INK,
            size=TITLE_SIZE,
            annotation_clip=False,
        )


def time_axis(axes: Axes, seconds: float) -> None:
    """Make the x axis go from 0 to ``seconds``, in minutes and seconds."""
    step = next((step for step in _TICK_SECONDS if seconds / step <= _MAX_TICKS), seconds)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02d}")
    axes.set_xlabel("time (min:s)")
