"""The pictures of a data set: how much each class sounds, with which others, and what its spectrum is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from mir_tf.figures.style import GRID, TITLE_SIZE, class_grid, entitle_panels, line, new_figure

SPLIT_COLORS = {"train": "#0072b2", "validation": "#e69f00", "test": "#333333"}
"""Blue and orange of Okabe and Ito, and a dark grey."""

_MARKERS = {"train": "o", "validation": "s", "test": "^"}
_DASHES = {"train": "-", "validation": "--", "test": ":"}

_SPECTRUM_DB = 60
"""Down to so far under its peak a spectrum is drawn."""


def balance_figure(
    shares: Mapping[str, NDArray[np.float64]], classes: Sequence[str], colors: Sequence[str], title: str
) -> Figure:
    """How much of each split every class sounds.

    Args:
        shares: split → float64 [classes], share of its frames.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure = new_figure(12, max(3.0, 1.5 + 0.42 * len(classes)))
    axes = figure.add_subplot()
    rows = np.arange(len(classes))
    largest = np.max(list(shares.values()), axis=0)
    axes.barh(rows, largest, height=0.6, color=list(colors))
    for split, values in shares.items():
        offset = 0.2 * (list(SPLIT_COLORS).index(split) - 1)  # beside one another where they are equal
        mark: dict[str, Any] = {
            "marker": _MARKERS[split],
            "markersize": 7,
            "markeredgecolor": "white",
            "color": SPLIT_COLORS[split],
            "clip_on": False,
        }
        axes.plot(values, rows + offset, linestyle="", label=split, **mark)
    axes.set_yticks(rows, classes)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(0)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the frames in which the class sounds; the bar ends at the largest")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", size=TITLE_SIZE)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return figure


def polyphony_figure(shares: Mapping[str, NDArray[np.float64]], title: str) -> Figure:
    """How many classes sound at once.

    Args:
        shares: split → float64 [classes + 1], share of its frames in which so many classes sound.
        title: of the picture.
    """
    figure = new_figure(12, 4.5)
    axes = figure.add_subplot()
    most = max(int(np.flatnonzero(values).max(initial=0)) for values in shares.values())
    for split, values in shares.items():
        style: dict[str, Any] = {
            "marker": _MARKERS[split],
            "markersize": 7,
            "color": SPLIT_COLORS[split],
            "linestyle": _DASHES[split],
        }
        axes.plot(values[: most + 1], linewidth=2, label=split, **style)
    axes.set_xticks(range(most + 1))
    axes.set_ylim(0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("classes that sound at once")
    axes.set_ylabel("share of the frames")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_title(title, loc="left", size=TITLE_SIZE)
    axes.legend(frameon=False)
    return figure


def lengths_figure(seconds: Mapping[str, Sequence[float]], title: str) -> Figure:
    """How long the pieces are.

    Args:
        seconds: split → length of each of its tracks.
        title: of the picture.
    """
    figure = new_figure(12, 4)
    axes = figure.add_subplot()
    minutes = [np.array(lengths) / 60 for lengths in seconds.values()]
    together = np.concatenate(minutes)
    edges = np.histogram_bin_edges(together, bins=min(30, max(5, len(together) // 4)))
    colors = [SPLIT_COLORS[split] for split in seconds]
    axes.hist(
        minutes, edges.tolist(), stacked=True, color=colors, label=list(seconds), edgecolor="white", linewidth=0.8
    )
    axes.set_xlabel("minutes")
    axes.set_ylabel("tracks")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", size=TITLE_SIZE)
    axes.legend(frameon=False)
    return figure


def spectra_figure(
    spectra: NDArray[np.float64],
    centres: NDArray[np.float64],
    stems: Sequence[int],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """The mean spectrum of each class, in panels, each before the mean of all of them.

    Args:
        spectra: float64 [classes, mels], power in dB; each is drawn from its own peak.
        centres: float64 [mels], Hz.
        stems: how many stems each is the mean of.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure, panels = class_grid([f"{name}  ({count})" for name, count in zip(classes, stems, strict=True)])
    relative = spectra - spectra.max(axis=1, keepdims=True)
    mean = np.maximum(relative, -_SPECTRUM_DB).mean(axis=0)
    for index, axes in enumerate(panels):
        axes.plot(centres, mean, color="#888888", linewidth=1.2, linestyle="--", label="mean of the classes")
        axes.fill_between(centres, relative[index], -_SPECTRUM_DB, color=colors[index], alpha=0.25, linewidth=0)
        axes.plot(centres, relative[index], **line(colors[index]))
        axes.set_xscale("log")
        shown = [hertz for hertz in (100, 1000, 10000) if centres[0] <= hertz <= centres[-1]]
        axes.set_xticks(shown, [f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz:g}" for hertz in shown])
        axes.minorticks_off()
        axes.set_xlim(centres[0], centres[-1])
        axes.set_ylim(-_SPECTRUM_DB, 3)
        axes.set_yticks((-60, -40, -20, 0))
    entitle_panels(figure, f"{title}\nbeside each name: stems", "Hz", "dB under the peak")
    return figure
