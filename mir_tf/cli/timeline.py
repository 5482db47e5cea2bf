"""Predictions in a terminal: tables, lines, and timelines with a row for each instrument."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from mir_tf.cli.shared import print_table
from mir_tf.config import LABEL_RATE
from mir_tf.inference.prediction import Prediction, format_duration
from mir_tf.io.files import recording_title

_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
"""Levels of a character: from silent to playing all of its time."""

_GROUND = "#e4e4e4"
"""Background of the rows. Every class colour stands out from it, on dark and on light terminals."""

_NARROWEST = 12
"""Minimum width of the time axis in characters; below it, no timeline is drawn."""

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_TICK_WIDTH = 8
"""Minimum distance of two ticks in characters."""


def print_prediction(console: Console, prediction: Prediction) -> None:
    """Print a recording with a table of its instruments and a timeline."""
    rows = [["instrument", "playing time", "share"]]
    seconds, share = prediction.playing_time, prediction.share
    for index in prediction.detected:
        rows.append([prediction.classes[index], format_duration(seconds[index]), f"{100 * share[index]:.1f} %"])
    title = f"{recording_title(prediction.path)}, {format_duration(prediction.seconds)}: "
    if prediction.dominant is None:
        console.print(title + "no instrument detected", soft_wrap=True)
        return
    print_table(console, title + f"dominant {prediction.dominant}", rows)
    for line in timeline(prediction, console.width, ascii_only=console.options.ascii_only):
        console.print(line)


def print_line(console: Console, name: str, prediction: Prediction) -> None:
    """Print a recording in one line: its instruments and their shares of its time, the dominant one first."""
    share = prediction.share
    detected = ", ".join(f"{prediction.classes[index]} {100 * share[index]:.0f} %" for index in prediction.detected)
    duration = format_duration(prediction.seconds)
    console.print(f"{name}, {duration}: {detected or 'no instrument detected'}", soft_wrap=True)


def timeline(prediction: Prediction, width: int, ascii_only: bool = False) -> list[Text]:
    """Return the timeline as lines: the intervals of each instrument, longest playing time first, and a time axis.

    Args:
        prediction: The prediction to draw.
        width: Width of the terminal in characters.
        ascii_only: Whether to use ASCII characters only.

    Returns:
        The lines; empty if there are no intervals or the terminal is too narrow.
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
    """Return the share of each cell's time in which ``active`` [label frames] is true: float64 [cells]."""
    before = np.append(0, np.cumsum(active))  # number of active frames before each frame, and before the end
    edges = np.linspace(0, len(active), cells + 1)
    shares: NDArray[np.float64] = np.diff(np.interp(edges, np.arange(len(before)), before)) * cells / len(active)
    return shares


def _axis(seconds: float, cells: int, mark: str) -> str:
    """Return a line of ticks with minutes and seconds."""
    steps = (step for step in _TICK_SECONDS if step * cells / seconds >= _TICK_WIDTH)
    step = next(steps, _TICK_SECONDS[-1] * -(-_TICK_WIDTH * seconds // (cells * _TICK_SECONDS[-1])))
    axis = ""
    for second in np.arange(0, seconds, step):
        label = f"{mark}{int(second) // 60}:{int(second) % 60:02d}"
        start = int(second * cells / seconds)
        if start + len(label) <= cells:
            axis = f"{axis:<{start}}{label}"
    return axis
