"""Figures with log-mel spectrograms, which need librosa: a track with its labels, or with a model's predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE, FrontEndConfig
from mir_tf.figures.style import draw_bars, new_figure
from mir_tf.figures.timelines import MAX_POINTS, time_axis

_RANGE_DB = 80
_HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)


def draw_log_mel(axes: Axes, log_mel: NDArray[np.float32], front_end: FrontEndConfig) -> None:
    """Draw log-mel [frames, mels] in dB over seconds and Hz."""
    columns = _averaged(log_mel)  # [columns, mels]
    seconds = len(log_mel) / front_end.frame_rate
    limits: dict[str, Any] = {"vmin": columns.max() - _RANGE_DB, "vmax": columns.max(), "cmap": "magma"}
    _draw_roll(axes, columns, seconds, **limits)
    centres = mel_centres(front_end)
    shown = [hertz for hertz in _HERTZ if centres[0] <= hertz <= centres[-1]]
    axes.set_yticks(np.interp(shown, centres, np.arange(front_end.n_mels)), [f"{hertz:g}" for hertz in shown])
    axes.set_ylabel("Hz")


def mel_centres(front_end: FrontEndConfig) -> NDArray[np.float64]:
    """Return the centre of each mel band in Hz, [mels]."""
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
    """Draw the input of a model, the truth and its predictions for every class, one above the other.

    Args:
        log_mel: float32 [frames, mels], dB.
        front_end: Front end of the log-mel.
        truth: bool [label frames, classes].
        probabilities: float32 [label frames, classes].
        classes: Class names.
        title: Title of the figure.
    """
    figure = new_figure(14, 10)
    spectrogram, *rolls = figure.subplots(3, 1, sharex=True)
    draw_log_mel(spectrogram, log_mel, front_end)
    spectrogram.set_title(f"{title}: log-mel spectrogram (dB)", loc="left", parse_math=False)
    seconds = len(truth) / LABEL_RATE
    for axes, name, roll in zip(rolls, ("truth", "probability"), (truth, probabilities), strict=True):
        _draw_roll(axes, _averaged(roll.astype(np.float32)), seconds, vmin=0, vmax=1)
        axes.set_title(name, loc="left")
        axes.set_yticks(range(len(classes)), classes, fontsize=7 if len(classes) <= 40 else 2)
    time_axis(rolls[-1], seconds)
    return figure


def labels_figure(
    tracks: Sequence[tuple[str, NDArray[np.float32], NDArray[np.bool_]]],
    front_end: FrontEndConfig,
    classes: Sequence[str],
    colors: Sequence[str],
) -> Figure:
    """Draw the log-mel spectrogram of each track, with its labels below it.

    Args:
        tracks: Title, log-mel [frames, mels] in dB, and truth [label frames, classes] of each track.
        front_end: Front end of the log-mel.
        classes: Class names.
        colors: Colour of each class.
    """
    lanes = [max(1, int(truth.any(axis=0).sum())) for *_, truth in tracks]
    heights = [inches for count in lanes for inches in (2.4, 0.5 + 0.22 * count)]
    figure = new_figure(16, sum(heights))
    grid = figure.add_gridspec(len(heights), height_ratios=heights)
    for row, (title, log_mel, truth) in enumerate(tracks):
        spectrogram = figure.add_subplot(grid[2 * row])
        draw_log_mel(spectrogram, log_mel, front_end)
        spectrogram.tick_params(labelbottom=False)
        spectrogram.set_title(title, loc="left", parse_math=False)
        _draw_labels(figure.add_subplot(grid[2 * row + 1], sharex=spectrogram), truth, classes, colors)
    return figure


def _draw_labels(axes: Axes, truth: NDArray[np.bool_], classes: Sequence[str], colors: Sequence[str]) -> None:
    """Draw truth [label frames, classes] as a lane for each active class."""
    active = np.flatnonzero(truth.any(axis=0))
    for lane, index in enumerate(reversed(active)):
        draw_bars(axes, truth[:, index], lane - 0.4, 0.8, color=colors[index])
    axes.set_yticks(range(len(active)), [classes[index] for index in reversed(active)], parse_math=False)
    axes.set_ylim(-0.5, max(len(active), 1) - 0.5)
    axes.set_xlim(0, len(truth) / LABEL_RATE)
    axes.set_xlabel("time (s)")
    axes.tick_params(axis="y", length=0)


def _draw_roll(axes: Axes, columns: NDArray[np.float32], seconds: float, **style: Any) -> None:
    """Draw [columns, rows] over ``seconds``, with the first row at the bottom."""
    extent = (0, seconds, -0.5, columns.shape[1] - 0.5)
    axes.imshow(columns.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **style)


def _averaged(roll: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average ``roll`` [frames, rows] into a bounded number of columns [columns, rows]."""
    starts = np.arange(0, len(roll), math.ceil(len(roll) / MAX_POINTS))
    sizes = np.diff(starts, append=len(roll))[:, np.newaxis]
    columns: NDArray[np.float32] = np.add.reduceat(roll, starts) / sizes
    return columns
