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
from matplotlib.patches import StepPatch
from matplotlib.text import Annotation

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
    assert bars.count((style.INK, 1.0, 31.0)) == 3  # the truth of each row, a second later
    for row, color in ((2, piano), (0, drums)):
        curve, predicted = heights(figure, color)
        np.testing.assert_allclose(predicted, np.repeat([0.9, 0], 300), atol=1e-6)
        np.testing.assert_allclose(curve, np.repeat([0.9, 0.1], 300), atol=1e-6)
        assert [row < base < row + 0.5 for base in baselines(figure, color)] == [True, True]


def stairs(figure: Figure, color: str) -> list[StepPatch]:
    """Return the probability curve and the prediction of a row."""
    found = [item for item in figure.axes[0].patches if isinstance(item, StepPatch)]
    return sorted(
        (item for item in found if to_hex(item.get_facecolor()) == color), key=lambda item: item.get_alpha() or 0
    )


def baselines(figure: Figure, color: str) -> list[float]:
    return [float(item.get_data().baseline) for item in stairs(figure, color)]


def heights(figure: Figure, color: str) -> list[np.ndarray]:
    """Return the heights of the curve and of the prediction, as probabilities [points] each."""
    found = [(item.get_data().values - item.get_data().baseline) for item in stairs(figure, color)]
    return [values / PROBABILITY_1 for values in found]


PROBABILITY_1 = 0.56
"""Height of probability 1 in a row that also has a truth."""


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_the_height_of_a_prediction_is_its_probability(level: float) -> None:
    """A block at 0.1 never looks like one at 0.9."""
    probabilities, active = np.zeros((50, 17), np.float32), np.zeros((50, 17), bool)
    probabilities[10:20, 4], active[10:20, 4] = level, True
    probabilities[30:40, 4] = 0.8  # not predicted, because it is below a high threshold
    figure = timelines.timeline_figure(probabilities, active, active, FAMILY.classes, COLORS, "song")
    curve, predicted = heights(figure, COLORS[4])
    np.testing.assert_allclose(predicted, np.repeat([0, level, 0, 0, 0], 10), atol=1e-6)
    np.testing.assert_allclose(curve, np.repeat([0, level, 0, 0.8, 0], 10), atol=1e-6)


def test_groups_are_rows_from_the_top_with_their_name_and_a_line_between_them() -> None:
    probabilities = np.full((50, 17), 0.1, np.float32)
    active = np.zeros((50, 17), bool)

    def draw(groups: dict[str, list[int]]) -> tuple[list[str], dict[str, float], list[float]]:
        figure = timelines.timeline_figure(probabilities, active, None, FAMILY.classes, COLORS, "song", groups)
        (axes,) = figure.axes
        figure.canvas.draw()
        names = {text.get_text(): text.xy[1] for text in axes.texts if isinstance(text, Annotation)}
        lines = [float(line.get_ydata()[0]) for line in axes.lines if len(set(line.get_ydata())) == 1]
        assert overlapping([axes._left_title, *axes.get_yticklabels(), *axes.texts]) == []
        return [label.get_text() for label in axes.get_yticklabels()], names, lines

    rows, names, lines = draw({"detected": [16, 0], "perhaps": [4]})
    assert rows == ["Bass", "Piano", "Drums"]  # from the bottom
    assert names == {"detected": 2, "perhaps": 0.5}
    assert lines == [1]
    assert draw({"detected": [16], "perhaps": []}) == (["Drums"], {"detected": 0.5}, [])
    assert draw({"detected": [], "perhaps": [16]}) == (["Drums"], {"perhaps": 0.5}, [])


def test_timeline_without_truth_has_no_truth_in_its_legend() -> None:
    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert legend(timeline(truth=True)) == ["predicted (height: probability)", "below the threshold", "truth"]
    assert legend(timeline(truth=False)) == ["predicted (height: probability)", "below the threshold"]


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


def test_a_long_title_is_broken_into_lines_within_the_figure() -> None:
    title = f"song.mp3, 3:00.0. Detected: {', '.join(FAMILY.classes)}. Plays longest: Chromatic Percussion."
    roll = np.full((50, 17), 0.9, np.float32)
    labels = [f"{name} 99 %" for name in FAMILY.classes]
    figure = timelines.timeline_figure(roll, roll > 0.5, None, labels, COLORS, title, {"detected": [*range(17)]})
    [axes] = figure.axes
    figure.canvas.draw()
    text = axes._left_title
    assert text.get_text().split() == title.split()
    box = text.get_window_extent()
    assert (box.x0 > 0, box.x1 < 1600, box.y1 < 900) == (True, True, True)
    assert overlapping([text, *axes.get_yticklabels(), *axes.get_legend().get_texts()]) == []
