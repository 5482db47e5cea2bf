"""Pictures of one song over time: its log-mel spectrogram, its labels and a model's predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE, FrontEndConfig
from mir_tf.figures.style import GRID, INK, TITLE_SIZE, draw_bars, new_figure

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


_MAX_TICKS = 16


_MAX_POINTS = 1500

_RANGE_DB = 80


_HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """``figure`` as uint8 [height, width, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def draw_log_mel(axes: Axes, log_mel: NDArray[np.float32], front_end: FrontEndConfig) -> None:
    """Draws log-mel [frames, mels] in dB over seconds and Hz."""
    columns = _averaged(log_mel)  # [columns, mels]
    seconds = len(log_mel) / front_end.frame_rate
    limits: dict[str, Any] = {"vmin": columns.max() - _RANGE_DB, "vmax": columns.max(), "cmap": "magma"}
    _draw_roll(axes, columns, seconds, **limits)
    centres = mel_centres(front_end)
    shown = [hertz for hertz in _HERTZ if centres[0] <= hertz <= centres[-1]]
    axes.set_yticks(np.interp(shown, centres, np.arange(front_end.n_mels)), [f"{hertz:g}" for hertz in shown])
    axes.set_ylabel("Hz")


def mel_centres(front_end: FrontEndConfig) -> NDArray[np.float64]:
    """The middle of each mel band in Hz, [mels]."""
    edges: NDArray[np.float64] = librosa.mel_frequencies(
        front_end.n_mels + 2, fmin=front_end.f_min, fmax=front_end.band_edge, htk=front_end.mel_scale == "htk"
    )
    return edges[1:-1]


def song_figure(
    log_mel: NDArray[np.float32],
    front_end: FrontEndConfig,
    truth: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    title: str,
) -> Figure:
    """What a model is given of a song, what plays, and what it answers for every class, one above the other.

    Args:
        log_mel: float32 [frames, mels], dB.
        front_end: of these.
        truth: bool [label frames, classes].
        probabilities: float32 [label frames, classes].
        classes: class names.
        title: of the picture.
    """
    figure = new_figure(14, 10)
    picture, *rolls = figure.subplots(3, 1, sharex=True)
    draw_log_mel(picture, log_mel, front_end)
    picture.set_title(f"{title}: log-mel, dB", loc="left", parse_math=False)
    seconds = len(truth) / LABEL_RATE
    for axes, name, roll in zip(rolls, ("truth", "probability"), (truth, probabilities), strict=True):
        _draw_roll(axes, _averaged(roll.astype(np.float32)), seconds, vmin=0, vmax=1)
        axes.set_title(name, loc="left")
        axes.set_yticks(range(len(classes)), classes, fontsize=7 if len(classes) <= 40 else 2)
    _time_axis(rolls[-1], seconds)
    return figure


def timeline_figure(
    probabilities: NDArray[np.float32],
    active: NDArray[np.bool_],
    truth: NDArray[np.bool_] | None,
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """What is heard, and, where it is known, what truly sounds: one row for each class that either names.

    Args:
        probabilities: float32 [label frames, classes].
        active: bool [label frames, classes], predicted.
        truth: bool [label frames, classes], or None where it is not known.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    shown = np.flatnonzero(active.any(axis=0) if truth is None else (active | truth).any(axis=0))
    figure = new_figure(16, max(9.0, 0.45 * len(shown)))
    axes = figure.add_subplot()
    seconds = len(active) / LABEL_RATE
    # A row is one unit high: the prediction in its upper part, the truth below it.
    bottom, height = (0.1, 0.8) if truth is None else (0.36, 0.56)
    # Of frames that fall on one pixel the highest probability is drawn: long polygons take minutes.
    starts = np.arange(0, len(active), math.ceil(len(active) / _MAX_POINTS))
    edges = np.append(starts, len(active)) / LABEL_RATE
    highest = np.maximum.reduceat(probabilities, starts)  # [points, classes]
    for row, index in enumerate(reversed(shown)):
        color = colors[index]
        axes.stairs(
            row + bottom + height * highest[:, index],
            edges,
            baseline=row + bottom,
            fill=True,
            color=color,
            alpha=0.3,
            linewidth=0,
        )
        draw_bars(axes, active[:, index], row + bottom, height, facecolor=color, alpha=0.75)
        if truth is not None:
            draw_bars(axes, truth[:, index], row + 0.1, 0.2, facecolor=INK)
    axes.set_yticks(np.arange(len(shown)) + 0.5, [classes[index] for index in reversed(shown)])
    axes.set_yticks(np.arange(len(shown) + 1), minor=True)
    axes.grid(axis="y", which="minor", color=GRID, linewidth=0.8)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(0, max(len(shown), 1))
    _time_axis(axes, seconds)
    if not len(shown):
        axes.text(0.5, 0.5, "Nothing sounds", transform=axes.transAxes, ha="center", color=INK, size=16)
    handles = [
        Patch(facecolor="#888888", alpha=0.75, label="heard"),
        Patch(facecolor="#888888", alpha=0.3, label="probability (height)"),
    ]
    if truth is not None:
        handles.append(Patch(facecolor=INK, label="truth"))
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return figure


def _draw_roll(axes: Axes, columns: NDArray[np.float32], seconds: float, **style: Any) -> None:
    """Draws [columns, rows] over ``seconds``, the first row at the bottom."""
    extent = (0, seconds, -0.5, columns.shape[1] - 0.5)
    axes.imshow(columns.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **style)


def _time_axis(axes: Axes, seconds: float) -> None:
    """An x axis from 0 to ``seconds``, in minutes and seconds."""
    step = next((step for step in _TICK_SECONDS if seconds / step <= _MAX_TICKS), seconds)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02d}")
    axes.set_xlabel("time (min:s)")


def _averaged(roll: NDArray[np.float32]) -> NDArray[np.float32]:
    """``roll`` [frames, rows] as a bounded number of columns [columns, rows]; frames that share one are averaged."""
    starts = np.arange(0, len(roll), math.ceil(len(roll) / _MAX_POINTS))
    sizes = np.diff(starts, append=len(roll))[:, np.newaxis]
    return np.add.reduceat(roll, starts) / sizes
