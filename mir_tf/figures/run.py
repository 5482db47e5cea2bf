"""Figures of training: one run in detail, or several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mir_tf.figures.colors import RUN_COLORS
from mir_tf.figures.style import INK, TITLE_SIZE, draw_grid, new_figure

_FIRST, _SECOND = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe and Ito, for two lines. The second one is dashed too."""

_RUN_DASHES = ("-", "--", ":")


def training_figure(history: Sequence[Mapping[str, float]], best_epoch: float | None, title: str) -> Figure:
    """Draw the losses, the validation F1 and the learning rate of a run by epoch.

    Args:
        history: Rows with ``epoch``, ``loss``, ``val_loss``, ``val_macro_f1``, ``val_micro_f1`` and ``learning_rate``.
        best_epoch: Epoch whose model was kept; None if it is unknown.
        title: Title of the figure.
    """
    panels = {
        "loss": {"loss": "training", "val_loss": "validation"},
        "validation F1": {"val_macro_f1": "macro", "val_micro_f1": "micro"},
        "learning rate": {"learning_rate": ""},
    }
    figure = new_figure(14, 4.6)
    epochs = [row["epoch"] for row in history]
    for column, (label, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 3, column + 1)
        for (field, name), color, dashes in zip(lines.items(), (_FIRST, _SECOND), ("-", "--"), strict=False):
            # Markers, because a single epoch has no line.
            style: dict[str, Any] = {"color": color, "linestyle": dashes, "marker": "o", "markersize": 3}
            axes.plot(epochs, [row[field] for row in history], linewidth=2, label=name, **style)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=":", label="kept epoch")
        _label_epochs(axes, label)
        if column < 2:
            axes.legend(frameon=False)
    figure.axes[1].set_ylim(0, 1)
    figure.axes[2].set_yscale("log")
    figure.suptitle(title, x=0.01, ha="left", size=TITLE_SIZE)
    return figure


def comparison_figure(curves: Mapping[str, Sequence[tuple[Sequence[Mapping[str, float]], int]]], title: str) -> Figure:
    """Draw the validation loss and the macro F1 of several runs by epoch.

    Args:
        curves: For each run by name, and for each of its seeds: the history, as rows with ``epoch``, ``val_loss`` and
            ``val_macro_f1``, and the best epoch, which gets a dot.
        title: Title of the figure.
    """
    figure = new_figure(14, 5)
    panels = {"val_loss": "validation loss", "val_macro_f1": "validation macro F1"}
    for column, (field, label) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        for index, (name, histories) in enumerate(curves.items()):
            color = RUN_COLORS[index % len(RUN_COLORS)]
            dashes = _RUN_DASHES[index // len(RUN_COLORS) % len(_RUN_DASHES)]
            for seed, (rows, best_epoch) in enumerate(histories):
                epochs, values = [row["epoch"] for row in rows], [row[field] for row in rows]
                axes.plot(epochs, values, color=color, linestyle=dashes, linewidth=1.8, label=None if seed else name)
                axes.plot(best_epoch, values[best_epoch - 1], "o", color=color, markeredgecolor=INK, markersize=7)
        _label_epochs(axes, label)
    text = f"{title}\none line for each seed, a dot at its best epoch"
    figure.suptitle(text, x=0.01, ha="left", size=TITLE_SIZE, parse_math=False)
    legend = figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    for entry in legend.get_texts():
        entry.set_parse_math(False)  # a name of a run may contain dollar signs
    return figure


def _label_epochs(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", size=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw_grid(axes)
