"""A prediction in a terminal: a row for each instrument, over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from mir_tf.config import LABEL_RATE
from mir_tf.inference.prediction import Prediction

_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
"""From never to all of the time that a character stands for."""

_GROUND = "#e4e4e4"
"""Behind the rows: every class's colour can be told from it, on dark terminals and on light ones."""

_NARROWEST = 12
"""Characters for time below which there is no timeline."""

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_TICK_WIDTH = 8
"""Characters between two ticks, at least."""


def timeline(prediction: Prediction, width: int, ascii_only: bool = False) -> list[Text]:
    """The timeline as lines: the intervals of each instrument, from the longest playing on, and an axis below.

    Args:
        prediction: what is heard.
        width: characters of a line.
        ascii_only: whether the terminal shows no others.

    Returns:
        no lines where no interval is heard, or the terminal is too narrow.
    """
    smoothed, classes = prediction.smoothed, prediction.classes
    shown = [index for index in prediction.detected if smoothed[:, index].any()]
    names = max((len(classes[index]) for index in shown), default=0)
    cells = width - names - 1
    if not shown or cells < _NARROWEST:
        return []
    levels = _ASCII if ascii_only else _BLOCKS
    lines = []
    for index in shown:
        height = np.ceil(_shares(smoothed[:, index], cells) * (len(levels) - 1) - 1e-9).astype(int)  # [cells]
        line = Text(f"{classes[index]:<{names}} ", no_wrap=True)
        line.append("".join(levels[level] for level in height), f"{prediction.colors[index]} on {_GROUND}")
        lines.append(line)
    axis = _axis(len(smoothed) / LABEL_RATE, cells, "|" if ascii_only else "╵")
    return [*lines, Text(" " * (names + 1) + axis, "dim", no_wrap=True)]


def _shares(active: NDArray[np.bool_], cells: int) -> NDArray[np.float64]:
    """The share of each cell's time in which ``active`` [label frames] holds: float64 [cells]."""
    before = np.append(0, np.cumsum(active))  # active frames before each, and before the end
    edges = np.linspace(0, len(active), cells + 1)
    shares: NDArray[np.float64] = np.diff(np.interp(edges, np.arange(len(before)), before)) * cells / len(active)
    return shares


def _axis(seconds: float, cells: int, mark: str) -> str:
    """Ticks with minutes and seconds."""
    steps = (step for step in _TICK_SECONDS if step * cells / seconds >= _TICK_WIDTH)
    step = next(steps, _TICK_SECONDS[-1] * -(-_TICK_WIDTH * seconds // (cells * _TICK_SECONDS[-1])))
    axis = ""
    for second in np.arange(0, seconds, step):
        label = f"{mark}{int(second) // 60}:{int(second) % 60:02d}"
        start = int(second * cells / seconds)
        if start + len(label) <= cells:
            axis = f"{axis:<{start}}{label}"
    return axis
