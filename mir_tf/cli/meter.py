"""A live display of a stream in a terminal, with a meter for each instrument."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mir_tf.confidence import highest_frames
from mir_tf.inference.metadata import Metadata
from mir_tf.inference.prediction import DETECTED, PERHAPS, format_duration
from mir_tf.stream import Stream

_WIDTH = 24
"""Width of a meter in characters."""

_NOW_FRAMES = 5
"""Number of newest frames whose mean a meter shows."""

_REFRESH_SECONDS = 0.5
"""Time between two updates; each one costs the prediction of a window."""

_AROUND_ROWS = 6
"""Lines of the display around the meters."""


class Meter:
    """A display of the current probabilities, final or not, and of the playing time of each instrument so far.

    An instrument is detected, or perhaps plays, as if the recording ended now.

    If the terminal has too few lines for all instruments, those that play now or have played longest are shown.
    """

    def __init__(self, console: Console, metadata: Metadata, stream: Stream) -> None:
        """Prepare to draw ``stream`` on ``console`` from :meth:`__enter__` to :meth:`__exit__`."""
        self._console, self._metadata, self._stream = console, metadata, stream
        self._thresholds = np.array(metadata.thresholds, np.float32)
        self._active = np.zeros(len(metadata.classes), np.int64)  # final active frames [classes]
        self._num_frames = 0
        self._total = np.zeros(len(metadata.classes))  # sum of the final frames [classes]
        self._highest = np.zeros((0, len(metadata.classes)), np.float32)  # see highest_frames
        self._newest = np.zeros((0, len(metadata.classes)), np.float32)  # the last final frames
        self._drawn = time.monotonic()
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Meter:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._draw()
        self._live.stop()

    def add(self, frames: NDArray[np.float32]) -> None:
        """Add frames [label frames, classes] that have become final, and redraw if it is time to."""
        self._num_frames += len(frames)
        self._active += (frames >= self._thresholds).sum(axis=0)
        self._newest = np.concatenate([self._newest, frames])[-_NOW_FRAMES:]
        self._total += frames.sum(axis=0)
        self._highest = highest_frames(np.concatenate([self._highest, frames]))
        if time.monotonic() >= self._drawn + _REFRESH_SECONDS:
            self._draw()
            self._drawn = time.monotonic()

    def _draw(self) -> None:
        self._live.update(self._display(self._stream.provisional()), refresh=True)

    def _display(self, provisional: NDArray[np.float32]) -> Table:
        """Return the display, with the provisional frames after the final ones."""
        active = self._active + (provisional >= self._thresholds).sum(axis=0)  # [classes]
        num_frames, rate = self._num_frames + len(provisional), self._metadata.label_rate
        newest = np.concatenate([self._newest, provisional])[-_NOW_FRAMES:]  # [label frames, classes]
        now = newest.mean(axis=0) if len(newest) else np.zeros(len(active), np.float32)
        is_detected = self._detected(active, provisional)
        longest = "nothing detected"
        if is_detected.any():
            longest = f"plays longest: {self._metadata.classes[int(np.where(is_detected, active, 0).argmax())]}"
        table = Table(title=f"{format_duration(num_frames / rate)}, {longest}", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("instrument", no_wrap=True)
        table.add_column("now", no_wrap=True)
        table.add_column("so far", no_wrap=True)
        table.add_column("playing time", no_wrap=True, justify="right")
        shown = np.argsort(-(now + active / max(num_frames, 1)), kind="stable")
        for index in sorted(shown[: max(self._console.height - _AROUND_ROWS, 1)]):
            is_active = now[index] >= self._thresholds[index]
            table.add_row(
                Text(self._metadata.classes[index], "bold" if is_active else ""),
                _bar(float(now[index]), float(self._thresholds[index])),
                DETECTED if is_detected[index] else PERHAPS if active[index] else "",
                format_duration(active[index] / rate),
            )
        return table

    def _detected(self, active: NDArray[np.int64], provisional: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each class is detected so far: bool [classes]."""
        num_frames, model = self._num_frames + len(provisional), self._metadata.confidence
        if model is None or not num_frames:
            return active > 0
        mean = (self._total + provisional.sum(axis=0)) / num_frames
        confidence = model.confidence(np.concatenate([self._highest, provisional]), mean)
        return model.detects(confidence, active > 0)


def _bar(probability: float, threshold: float) -> Text:
    """Return a bar as long as the probability, with a mark at the threshold."""
    filled, mark = round(probability * _WIDTH), min(round(threshold * _WIDTH), _WIDTH - 1)
    cells = ["█" if index < filled else "·" for index in range(_WIDTH)]
    cells[mark] = "┃" if mark < filled else "│"
    return Text("".join(cells), "green" if probability >= threshold else "dim")
