"""Timelines: what they show, and that their labels do not overlap."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from helpers.figures import overlapping
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from mir_tf.figures import style, timelines
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
COLORS = list(CLASS_COLORS.values())


def timeline(seconds: float = 60.0, truth: bool = True, playing: Iterable[int] = (0, 4, 16)) -> Figure:
    """Draw a timeline in which the classes ``playing`` are predicted in the first half, and play a second later."""
    frames = round(seconds * 10)
    active = np.zeros((frames, len(FAMILY)), bool)
    active[: frames // 2, list(playing)] = True
    probabilities = np.where(active, 0.9, 0.1).astype(np.float32)
    true = np.roll(active, 10, axis=0) if truth else None
    return timelines.timeline_figure(probabilities, active, true, FAMILY.classes, COLORS, "song")


def test_timeline_is_1600_by_900_and_names_only_active_classes(tmp_path: Path) -> None:
    figure = timeline()
    style.save_png(figure, tmp_path / "timeline.png")
    assert imread(tmp_path / "timeline.png").shape == (900, 1600, 4)
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Drums", "Bass", "Piano"]


def test_timeline_draws_predicted_and_true_events_in_their_places() -> None:
    figure = timeline(seconds=60)
    bars = [
        (to_hex(item.get_facecolor()[0]), *item.get_paths()[0].get_extents().intervalx.tolist())
        for item in figure.axes[0].collections
        if isinstance(item, PolyCollection)
    ]
    piano, drums = COLORS[0], COLORS[16]
    assert (piano, 0.0, 30.0) in bars
    assert (drums, 0.0, 30.0) in bars
    assert bars.count((style.INK, 1.0, 31.0)) == 3  # the truth of each row, a second later


def test_timeline_without_truth_has_no_truth_in_its_legend() -> None:
    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert legend(timeline(truth=True)) == ["predicted", "probability (height)", "truth"]
    assert legend(timeline(truth=False)) == ["predicted", "probability (height)"]


@pytest.mark.parametrize(
    ("seconds", "first_labels"),
    [
        (0.1, ["0:00"]),
        (8, ["0:00", "0:01"]),
        (195, ["0:00", "0:15"]),
        (3600, ["0:00", "5:00"]),
        (9000, ["0:00", "10:00"]),
    ],
)
def test_time_axis_is_in_minutes_and_seconds_without_overlaps(seconds: float, first_labels: list[str]) -> None:
    figure = timeline(seconds=seconds)
    figure.canvas.draw()
    labels = figure.axes[0].get_xticklabels()
    shown = [label for label in labels if 0 <= label.get_position()[0] <= seconds]
    assert [label.get_text() for label in shown][: len(first_labels)] == first_labels
    assert overlapping(shown) == []


def test_timeline_of_all_classes_has_no_overlapping_labels() -> None:
    figure = timeline(playing=range(17))
    [axes] = figure.axes
    texts = [axes.title, axes._left_title, *axes.get_yticklabels(), *axes.get_legend().get_texts()]
    figure.canvas.draw()
    assert overlapping(texts) == []


def test_timeline_of_silence_says_so() -> None:
    figure = timeline(playing=())
    figure.canvas.draw()
    assert "No instrument" in [text.get_text() for text in figure.axes[0].texts]
