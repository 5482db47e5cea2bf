"""Figures of a data set: how much each class plays, with which others, for how long, and its spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from mir_tf.figures.colors import SPLIT_COLORS
from mir_tf.figures.style import (
    class_panels,
    draw_legend_above,
    label_panels,
    line_style,
    matrix_figure,
    new_class_rows,
    new_plot,
)

_MARKERS = {"train": "o", "validation": "s", "test": "^"}
_DASHES = {"train": "-", "validation": "--", "test": ":"}

_SPECTRUM_DB = 60
"""Spectra are drawn down to this many dB below their peaks."""


def balance_figure(
    shares: Mapping[str, NDArray[np.float64]], classes: Sequence[str], colors: Sequence[str], title: str
) -> Figure:
    """Draw in which share of each split every class is active.

    Args:
        shares: Maps a split to float64 [classes], shares of its frames.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, axes, rows = new_class_rows(classes, title)
    axes.barh(rows, np.max(list(shares.values()), axis=0), height=0.6, color=list(colors))
    for split, values in shares.items():
        offset = 0.2 * (list(SPLIT_COLORS).index(split) - 1)  # beside one another, because they may be equal
        style: dict[str, Any] = {"markeredgecolor": "white", "linestyle": "", "clip_on": False}
        axes.plot(values, rows + offset, label=split, **_marker(split), **style)
    axes.set_xlim(0)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the frames in which the class is active; the bar shows the largest")
    draw_legend_above(axes, 3)
    return figure


def polyphony_figure(shares: Mapping[str, NDArray[np.float64]], title: str) -> Figure:
    """Draw how many classes are active at once.

    Args:
        shares: Maps a split to float64 [classes + 1], shares of its frames in which that many classes are active.
        title: Title of the figure.
    """
    figure, axes = new_plot(12, 4.5, title, "both")
    most = max(int(np.flatnonzero(values).max(initial=0)) for values in shares.values())
    for split, values in shares.items():
        axes.plot(values[: most + 1], linestyle=_DASHES[split], linewidth=2, label=split, **_marker(split))
    axes.set_xticks(range(most + 1))
    axes.set_ylim(0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("classes that are active at once")
    axes.set_ylabel("share of the frames")
    axes.legend(frameon=False)
    return figure


def _marker(split: str) -> dict[str, Any]:
    return {"marker": _MARKERS[split], "markersize": 7, "color": SPLIT_COLORS[split]}


def lengths_figure(seconds: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Draw a histogram of the lengths of the tracks.

    Args:
        seconds: Maps a split to the length of each of its tracks.
        title: Title of the figure.
    """
    figure, axes = new_plot(12, 4, title, "y")
    minutes = [np.array(lengths) / 60 for lengths in seconds.values()]
    together = np.concatenate(minutes)
    edges = np.histogram_bin_edges(together, bins=min(30, max(5, len(together) // 4)))
    colors = [SPLIT_COLORS[split] for split in seconds]
    axes.hist(
        minutes, edges.tolist(), stacked=True, color=colors, label=list(seconds), edgecolor="white", linewidth=0.8
    )
    axes.set_xlabel("length in minutes")
    axes.set_ylabel("tracks")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def together_figure(shares: NDArray[np.float64], classes: Sequence[str], title: str) -> Figure:
    """Draw how often one class is active while another one is.

    Args:
        shares: float64 [classes, classes], shares of the frames in which the class of the row is active.
        classes: Class names.
        title: Title of the figure.
    """
    return matrix_figure(shares, classes, classes, title, xlabel="also active", ylabel="active")


def spectra_figure(
    spectra: NDArray[np.float64],
    centres: NDArray[np.float64],
    stems: Sequence[int],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """Draw the mean spectrum of each class in front of the mean of all classes, in panels.

    Args:
        spectra: float64 [classes, mels], power in dB. Each is drawn relative to its own peak.
        centres: float64 [mels], Hz.
        stems: Number of stems behind each mean.
        classes: Class names.
        colors: Colour of each class.
        title: Title of the figure.
    """
    figure, panels = class_panels([f"{name}  ({count})" for name, count in zip(classes, stems, strict=True)])
    relative = spectra - spectra.max(axis=1, keepdims=True)
    mean = np.maximum(relative, -_SPECTRUM_DB).mean(axis=0)
    for index, axes in enumerate(panels):
        axes.plot(centres, mean, color="#888888", linewidth=1.2, linestyle="--", label="mean of all classes")
        axes.fill_between(centres, relative[index], -_SPECTRUM_DB, color=colors[index], alpha=0.25, linewidth=0)
        axes.plot(centres, relative[index], **line_style(colors[index]))
        axes.set_xscale("log")
        shown = [hertz for hertz in (100, 1000, 10000) if centres[0] <= hertz <= centres[-1]]
        axes.set_xticks(shown, [f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz:g}" for hertz in shown])
        axes.minorticks_off()
        axes.set_xlim(centres[0], centres[-1])
        axes.set_ylim(-_SPECTRUM_DB, 3)
        axes.set_yticks((-60, -40, -20, 0))
    label_panels(figure, f"{title}\nbeside each name: number of stems", "Hz", "dB below the peak")
    return figure
