"""The pictures: songs and timelines, F1 per class, precision-recall curves, confusion, runs side by side.

A picture is made of arrays, as a matplotlib ``Figure``, without pyplot and its global state. The caller gives the
colours, those of :mod:`mir_tf.figures.colors`. :func:`markdown` makes the page in which pictures stand.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE, FrontEndConfig
from mir_tf.events import Events
from mir_tf.io.files import whole

# Where a song's name is in a script that the font lacks, boxes stand in the picture: no warning for each letter.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)

INK = "#333333"
GRID = "#d9d9d9"
TITLE_SIZE = 14
"""Points."""
_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MAX_TICKS = 16
_MAX_POINTS = 1500
_RANGE_DB = 80
_RUN_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
"""Of Okabe and Ito."""
_RUN_DASHES = ("-", "--", ":")
_HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)


def save_png(figure: Figure, path: str | Path) -> None:
    """Writes ``figure`` as a PNG: whole under its name, or not at all."""
    with whole(path) as temporary:
        figure.savefig(temporary, format="png")


def markdown(title: str, tables: Sequence[Sequence[Sequence[str]]], notes: Sequence[str]) -> str:
    """A page in Markdown: tables, whose first rows are headers, and notes below them."""
    lines = [f"# {title}", ""]
    for header, *rows in tables:
        ruler = ["---", *["---:"] * (len(header) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in (header, ruler, *rows)]
        lines.append("")
    for note in notes:
        lines += [note, ""]
    return "\n".join(lines)


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


def f1_figure(
    f1: NDArray[np.float64],
    bounds: NDArray[np.float64],
    baseline: NDArray[np.float64],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """F1 of each class with its interval, and of its better constant answer.

    Args:
        f1: float64 [classes].
        bounds: float64 [2, classes], low and high.
        baseline: float64 [classes], F1 of the better of "always" and "never".
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure = new_figure(12, max(3.0, 1.5 + 0.4 * len(classes)))
    axes = figure.add_subplot()
    rows = np.arange(len(classes))
    axes.barh(rows, f1, height=0.72, color=list(colors))
    axes.hlines(rows, *bounds, color="white", linewidth=5)  # a halo, to stand out from dark bars
    axes.hlines(rows, *bounds, color=INK, linewidth=2, label="95 % interval over songs")
    diamond: dict[str, Any] = {
        "marker": "D",
        "markersize": 7,
        "markeredgecolor": INK,
        "markerfacecolor": "white",
    }
    axes.plot(baseline, rows, **diamond, linestyle="", label="better constant (always or never)")
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 over frames of 0.1 s")
    label_class_rows(axes, classes, [f"{value:.2f}" for value in f1], title)
    return figure


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


def pr_figure(
    curves: Sequence[NDArray[np.float64]],
    average_precision: Sequence[float],
    chosen: Sequence[tuple[float, float]],
    prevalence: Sequence[float],
    classes: Sequence[str],
    colors: Sequence[str],
    title: str,
) -> Figure:
    """A precision-recall curve for each class, in panels.

    Args:
        curves: float64 [2, points] for each class: recall and precision.
        average_precision: of each class.
        chosen: recall and precision of each class at the threshold in use.
        prevalence: share of the frames in which each class sounds: chance's precision.
        classes: class names.
        colors: a colour for each class.
        title: of the picture.
    """
    figure, panels = class_panels(
        [f"{name}  {average:.2f}" for name, average in zip(classes, average_precision, strict=True)]
    )
    for index, axes in enumerate(panels):
        axes.axhline(prevalence[index], color=INK, linewidth=1, linestyle=":", label="chance")
        axes.plot(*curves[index], **line(colors[index]))
        axes.plot(*chosen[index], **dot(colors[index]), label="threshold in use")
    entitle_panels(figure, f"{title}\nbeside each name: average precision", "recall", "precision")
    return figure


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


def confusion_figure(
    shares: NDArray[np.float64], classes: Sequence[str], taken_for: Sequence[str], title: str
) -> Figure:
    """Which class is taken for which, see :func:`mir_tf.metrics.counts.confusion`.

    Args:
        shares: float64 [classes, columns] of the frames in which each class sounds.
        classes: names of the rows.
        taken_for: names of the columns.
        title: of the picture.
    """
    return matrix_figure(
        shares,
        classes,
        taken_for,
        f"{title}\n% of the frames in which the class of the row sounds",
        xlabel="heard instead (on the diagonal: rightly heard)",
        ylabel="sounds",
    )


def matrix_figure(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    xlabel: str,
    ylabel: str,
    counts: NDArray[np.float64] | None = None,
) -> Figure:
    """A matrix as cells, the darker the more.

    Args:
        shares: float64 [rows, columns] from 0 to 1; NaN where there is none.
        rows: names.
        columns: names.
        title: of the picture.
        xlabel: what the columns are.
        ylabel: what the rows are.
        counts: [rows, columns], what to write into the cells; else the shares stand there, in %.
    """
    cell, text_size = (0.5, 9) if len(rows) <= 40 else (0.25, 5)  # inches, points
    figure = new_figure(5 + cell * len(columns), 3 + cell * len(rows))
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = float(shares[row, column])
        text = f"{100 * share:.0f}" if counts is None else _count_text(counts[row, column])
        ink = readable_ink(image.cmap(share))
        axes.text(column, row, text, ha="center", va="center", color=ink, size=text_size)
    axes.set_xticks(np.arange(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)), rows)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows)), minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", size=TITLE_SIZE, parse_math=False)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1], format=lambda share, _: f"{share:.0%}")
    return figure


def _count_text(count: float) -> str:
    """A number of songs, of which some count in parts, in three digits if it has no more."""
    return f"{count:.0f}" if count >= 100 else f"{count:.3g}"


def readable_ink(ground: Sequence[float]) -> str:
    """Black or white: the one with more contrast to ``ground``, red, green and blue from 0 to 1.

    Contrast as the Web Content Accessibility Guidelines 2.2 define it; the better of the two is 4.58 at least.
    """
    channels = np.array(ground[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "white"


def curves_figure(curves: Mapping[str, Sequence[tuple[Sequence[Mapping[str, float]], int]]], title: str) -> Figure:
    """Validation loss and macro F1 of several runs by epoch.

    Args:
        curves: of each run, by name, and of each of its seeds: the history, rows with ``epoch``, ``val_loss`` and
            ``val_macro_f1``, and the best epoch, which gets a dot.
        title: of the picture.
    """
    figure = new_figure(14, 5)
    for column, (field, label) in enumerate({"val_loss": "validation loss", "val_macro_f1": "macro F1"}.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        for index, (name, histories) in enumerate(curves.items()):
            color = _RUN_COLORS[index % len(_RUN_COLORS)]
            dashes = _RUN_DASHES[index // len(_RUN_COLORS) % len(_RUN_DASHES)]
            for seed, (rows, best_epoch) in enumerate(histories):
                epochs, values = [row["epoch"] for row in rows], [row[field] for row in rows]
                axes.plot(epochs, values, color=color, linestyle=dashes, linewidth=1.8, label=None if seed else name)
                axes.plot(best_epoch, values[best_epoch - 1], "o", color=color, markeredgecolor=INK, markersize=7)
        axes.set_xlabel("epoch")
        axes.set_title(label, loc="left", size=11)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.8)
    text = f"{title}\na line each seed, a dot at its best epoch"
    figure.suptitle(text, x=0.01, ha="left", size=TITLE_SIZE, parse_math=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _averaged(roll: NDArray[np.float32]) -> NDArray[np.float32]:
    """``roll`` [frames, rows] as a bounded number of columns [columns, rows]; frames that share one are averaged."""
    starts = np.arange(0, len(roll), math.ceil(len(roll) / _MAX_POINTS))
    sizes = np.diff(starts, append=len(roll))[:, np.newaxis]
    return np.add.reduceat(roll, starts) / sizes


def _draw_roll(axes: Axes, columns: NDArray[np.float32], seconds: float, **style: Any) -> None:
    """Draws [columns, rows] over ``seconds``, the first row at the bottom."""
    extent = (0, seconds, -0.5, columns.shape[1] - 0.5)
    axes.imshow(columns.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **style)


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


def _time_axis(axes: Axes, seconds: float) -> None:
    """An x axis from 0 to ``seconds``, in minutes and seconds."""
    step = next((step for step in _TICK_SECONDS if seconds / step <= _MAX_TICKS), seconds)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02d}")
    axes.set_xlabel("time (min:s)")
