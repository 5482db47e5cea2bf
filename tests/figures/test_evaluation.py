"""Figures of an evaluation: what they show for few and many classes."""

from pathlib import Path

import numpy as np
import pytest
from helpers.figures import overlapping
from matplotlib.text import Text

from mir_tf.figures import evaluation, style
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.metrics.calibration import RELIABILITY_BINS, Reliability

COLORS = list(CLASS_COLORS.values())


@pytest.mark.parametrize("count", [1, 17])
def test_class_figures_draw_any_number_of_classes(tmp_path: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    names, colors = list(CLASS_COLORS)[:count], COLORS[:count]
    f1 = generator.random(count)
    recall = np.linspace(0, 1, 20)
    figures = {
        "f1": evaluation.f1_figure(f1, np.stack([f1 - 0.1, f1 + 0.1]), f1 / 2, names, colors, "F1"),
        "pr": evaluation.pr_figure(
            [np.stack([recall, 1 - recall])] * count, f1, [(0.5, 0.5)] * count, f1 / 2, names, colors, "PR"
        ),
        "confusion": evaluation.confusion_figure(
            generator.dirichlet(np.ones(count + 1), count), names, [*names, "nothing"], "Confusion"
        ),
    }
    for name, figure in figures.items():
        style.save_png(figure, tmp_path / f"{name}.png")
        axes = figure.axes[0]
        assert overlapping([*axes.get_yticklabels(), axes._left_title]) == []
    assert len(figures["pr"].axes) == count
    assert [label.get_text() for label in figures["f1"].axes[0].get_yticklabels()] == names
    assert [patch.get_width() for patch in figures["f1"].axes[0].patches] == pytest.approx(f1)
    np.testing.assert_allclose(figures["confusion"].axes[0].images[0].get_array().sum(axis=1), 1)


def test_the_reliability_of_the_confidence_has_its_cut(tmp_path: Path) -> None:
    centres = (np.arange(RELIABILITY_BINS) + 0.5) / RELIABILITY_BINS
    counts = np.arange(RELIABILITY_BINS)  # the first bin is empty
    diagram = Reliability(counts[np.newaxis], centres[np.newaxis], centres[np.newaxis] ** 2)
    figure = evaluation.confidence_figure(diagram, 0.62, "Calibration")
    style.save_png(figure, tmp_path / "confidence.png")
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["cut: detected from here"].get_xdata(), [0.62, 0.62])
    (curve,) = [line for line in axes.lines if len(line.get_xdata()) == RELIABILITY_BINS - 1]
    np.testing.assert_allclose(curve.get_xdata(), centres[1:])
    np.testing.assert_allclose(curve.get_ydata(), centres[1:] ** 2)
    heights = np.array([bar.get_height() for bar in axes.patches])
    np.testing.assert_allclose(heights / heights.max(), counts / counts.max())
    texts = [text.get_text() for text in figure.findobj(Text)]
    for text in ("Calibration", "confidence", "share in which the class plays", "tracks and classes (height)"):
        assert text in texts
    assert f"expected calibration error {diagram.error[0]:.3f}" in texts
