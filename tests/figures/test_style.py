"""Building blocks of figures: titles, matrices and files."""

from pathlib import Path
from typing import IO

import numpy as np
import pytest

from mir_tf.figures import style
from mir_tf.figures.run import comparison_figure


def test_no_title_is_taken_for_mathematics() -> None:
    """Titles contain names of folders, which may contain dollar signs."""
    figure, _ = style.class_panels(["Piano"])
    style.label_panels(figure, "data $a_{b$", "recall", "precision")
    curves = {"crnn": [([{"epoch": 1, "val_loss": 1.0, "val_macro_f1": 0.5}], 1)]}
    for drawn in (figure, comparison_figure(curves, "data $a_{b$")):
        assert style.to_pixels(drawn).any()
        assert not drawn._suptitle.get_parse_math()


@pytest.mark.parametrize(("count", "text"), [(0.5, "0.5"), (1 / 3, "0.333"), (12.0, "12"), (1234.0, "1234")])
def test_songs_are_counted_in_plain_digits(count: float, text: str) -> None:
    figure = style.matrix_figure(np.ones((1, 1)), ["Piano"], ["Piano"], "", "", "", counts=np.array([[count]]))
    assert [each.get_text() for each in figure.axes[0].texts] == [text]


def test_a_figure_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "timeline.png"
    path.write_bytes(b"old")

    class Unwritable:
        def savefig(self, target: IO[bytes], **_: object) -> None:
            target.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        style.save_png(Unwritable(), path)
    assert path.read_bytes() == b"old"
