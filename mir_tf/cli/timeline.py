"""Predictions in a terminal: tables, lines, and timelines with a row for each instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mir_tf.cli.plain import PlainConsole
from mir_tf.cli.shared import drawing_width, fits, print_table
from mir_tf.config import LABEL_RATE
from mir_tf.inference.prediction import Prediction, format_confidence, format_duration
from mir_tf.io.files import recording_title
from mir_tf.vocabulary import describe_class

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
"""Levels of a character: from probability 0 to 1."""

_GROUND = "#e4e4e4"
"""Background of the rows. Every class colour stands out from it, on dark and on light terminals."""

_NARROWEST = 12
"""Minimum width of the time axis in characters; below it, no timeline is drawn."""

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_TICK_WIDTH = 8
"""Minimum distance of two ticks in characters."""


def print_prediction(console: Console | PlainConsole, prediction: Prediction, show_all: bool = False) -> None:
    """Print a recording: the headline, a table of its instruments in two groups, and a timeline.

    The table explains the classes if the terminal is wide enough for that.

    Args:
        console: Where to print.
        prediction: The prediction.
        show_all: Whether to list all classes of the model, also those that are not named.
    """
    console.print(
        f"{recording_title(prediction.path)}, {format_duration(prediction.seconds)}", style="bold", soft_wrap=True
    )
    console.print(prediction.headline, soft_wrap=True)
    shown = prediction.all_classes if show_all else prediction.instruments
    if not shown:
        return
    rows = [["instrument", "group", "confidence", "playing time", "share"]]
    for each in shown:
        group = each.group if each.playing_time else "no"
        figures = (format_duration(each.playing_time), f"{100 * each.share:.1f} %")
        rows.append([each.name, group, format_confidence(each.confidence) or "–", *figures])
    explained = [rows[0], *([describe_class(name), *others] for name, *others in rows[1:])]
    print_table(console, "", explained if fits(console, explained) else rows)
    if isinstance(console, PlainConsole):
        for line in timeline(prediction, drawing_width(console)):
            console.print(line.plain)
        return
    for line in timeline(prediction, drawing_width(console), ascii_only=console.options.ascii_only):
        console.print(line)


def print_line(console: Console | PlainConsole, name: str, prediction: Prediction) -> None:
    """Print a recording in one line: its headline with the name of the file."""
    console.print(f"{name}, {format_duration(prediction.seconds)}: {prediction.headline}", soft_wrap=True)


class Line(NamedTuple):
    """A line of a timeline.

    Attributes:
        name: What is left of the drawing, and the space between the two.
        drawing: The drawing.
        style: Style of the drawing, as rich names it.
    """

    name: str
    drawing: str
    style: str

    @property
    def plain(self) -> str:
        """The line without colours."""
        return self.name + self.drawing

    def __rich__(self) -> Text:
        """Return the line for a console of rich."""
        from rich.text import Text

        return Text(self.name, no_wrap=True).append(self.drawing, self.style)


def timeline(prediction: Prediction, width: int, ascii_only: bool = False) -> list[Line]:
    """Return the timeline as lines: a row for each instrument that has an interval, and a time axis.

    The height of a character is the mean probability in the intervals, over the time that the character stands for.

    Args:
        prediction: The prediction to draw.
        width: Width of the terminal in characters.
        ascii_only: Whether to use ASCII characters only.

    Returns:
        The lines; empty if there are no intervals or the terminal is too narrow.
    """
    smoothed = prediction.smoothed
    shown = [each for each in prediction.instruments if smoothed[:, each.index].any()]
    labels = [each.name if each.is_detected else f"{each.name} ?" for each in shown]
    names = max(map(len, labels), default=0)
    cells = width - names - 1
    if not shown or cells < _NARROWEST:
        return []
    levels = _ASCII if ascii_only else _BLOCKS
    heights = np.where(smoothed, prediction.probabilities, 0)  # [label frames, classes]
    lines = []
    for label, each in zip(labels, shown, strict=True):
        height = np.ceil(_means(heights[:, each.index], cells) * (len(levels) - 1) - 1e-6).astype(int)  # [cells]
        drawing = "".join(levels[level] for level in height)
        lines.append(Line(f"{label:<{names}} ", drawing, f"{each.color} on {_GROUND}"))
    axis = _axis(len(smoothed) / LABEL_RATE, cells, "|" if ascii_only else "╵")
    return [*lines, Line(" " * (names + 1), axis, "dim")]


def _means(values: NDArray[np.float32], cells: int) -> NDArray[np.float64]:
    """Return the mean of ``values`` [label frames] over each cell's time: float64 [cells]."""
    before = np.append(0.0, np.cumsum(values, dtype=np.float64))  # sum of the values before each frame, and of all
    edges = np.linspace(0, len(values), cells + 1)
    means: NDArray[np.float64] = np.diff(np.interp(edges, np.arange(len(before)), before)) * cells / len(values)
    return means


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
