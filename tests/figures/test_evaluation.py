"""Figures of an evaluation: what they show for few and many classes."""

from pathlib import Path

import numpy as np
import pytest
from helpers.figures import overlapping

from mir_tf.figures import evaluation, style
from mir_tf.figures.colors import CLASS_COLORS

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
