"""The pictures: what they show, and that they appear whole."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.image import imread

from mir_tf.config import FRONT_ENDS
from mir_tf.figures import evaluation, style, timelines
from mir_tf.figures.colors import color_of
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
COLORS = [color_of("family", index) for index in range(len(FAMILY))]


def timeline(seconds=60.0, truth=True, sounding=(0, 4, 16)):
    """A timeline in which the classes ``sounding`` are heard in its first half, and sound a second later."""
    frames = round(seconds * 10)
    active = np.zeros((frames, len(FAMILY)), bool)
    active[: frames // 2, list(sounding)] = True
    probabilities = np.where(active, 0.9, 0.1).astype(np.float32)
    true = np.roll(active, 10, axis=0) if truth else None
    return timelines.timeline_figure(probabilities, active, true, FAMILY.classes, COLORS, "song")


def overlapping(texts) -> list[tuple[str, str]]:
    """Pairs of texts of a drawn figure whose boxes overlap."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    return [
        (name, other)
        for index, (name, box) in enumerate(boxes)
        for other, other_box in boxes[index + 1 :]
        if box.overlaps(other_box)
    ]


def test_timeline_is_1600_by_900_and_names_only_the_classes_that_sound(tmp_path):
    figure = timeline()
    style.save_png(figure, tmp_path / "timeline.png")
    assert imread(tmp_path / "timeline.png").shape == (900, 1600, 4)
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Drums", "Bass", "Piano"]


def test_timeline_draws_heard_and_true_stretches_in_their_places():
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


def test_timeline_without_truth_has_no_truth_in_its_legend():
    def legend(figure):
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert legend(timeline(truth=True)) == ["heard", "probability (height)", "truth"]
    assert legend(timeline(truth=False)) == ["heard", "probability (height)"]


def test_a_song_stands_above_its_truth_and_its_answers_on_one_clock():
    front_end = FRONT_ENDS["default"].replace(n_mels=8)
    generator = np.random.default_rng(0)
    truth = generator.random((20, 17)) < 0.5
    probabilities = generator.random((20, 17)).astype(np.float32)
    log_mel = generator.normal(-40, 10, (100, 8)).astype(np.float32)
    figure = timelines.song_figure(log_mel, front_end, truth, probabilities, FAMILY.classes, "song")
    drawn = [axes.images[0] for axes in figure.axes]
    for image, expected in zip(drawn, (log_mel, truth, probabilities), strict=True):
        np.testing.assert_allclose(image.get_array(), expected.T)
        assert image.origin == "lower"
        assert image.get_extent()[:2] == [0, 2.0]
    assert [image.get_clim() for image in drawn[1:]] == [(0, 1), (0, 1)]
    picture = timelines.pixels(figure)
    assert picture.shape == (1000, 1400, 3)
    assert picture.dtype == np.uint8


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
def test_time_axis_is_in_minutes_and_seconds_without_overlaps(seconds, first_labels):
    figure = timeline(seconds=seconds)
    figure.canvas.draw()
    labels = figure.axes[0].get_xticklabels()
    shown = [label for label in labels if 0 <= label.get_position()[0] <= seconds]
    assert [label.get_text() for label in shown][: len(first_labels)] == first_labels
    assert overlapping(shown) == []


def test_timeline_of_all_classes_has_no_overlapping_labels():
    figure = timeline(sounding=range(17))
    [axes] = figure.axes
    texts = [axes.title, axes._left_title, *axes.get_yticklabels(), *axes.get_legend().get_texts()]
    figure.canvas.draw()
    assert overlapping(texts) == []


def test_timeline_of_silence_says_so():
    figure = timeline(sounding=())
    figure.canvas.draw()
    assert "Nothing sounds" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("count", [1, 17])
def test_class_pictures_draw_any_number_of_classes(tmp_path, count):
    generator = np.random.default_rng(0)
    names, colors = FAMILY.classes[:count], COLORS[:count]
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
    assert [label.get_text() for label in figures["f1"].axes[0].get_yticklabels()] == list(names)
    assert [patch.get_width() for patch in figures["f1"].axes[0].patches] == pytest.approx(f1)
    np.testing.assert_allclose(figures["confusion"].axes[0].images[0].get_array().sum(axis=1), 1)


def test_no_title_is_taken_for_mathematics():
    """A folder may be called so, and stands in the titles."""
    figure, _ = style.class_grid(["Piano"])
    style.entitle_panels(figure, "data $a_{b$", "recall", "precision")
    curves = {"crnn": [([{"epoch": 1, "val_loss": 1.0, "val_macro_f1": 0.5}], 1)]}
    for drawn in (figure, evaluation.curves_figure(curves, "data $a_{b$")):
        assert timelines.pixels(drawn).any()
        assert not drawn._suptitle.get_parse_math()


@pytest.mark.parametrize(("count", "text"), [(0.5, "0.5"), (1 / 3, "0.333"), (12.0, "12"), (1234.0, "1234")])
def test_songs_are_counted_in_plain_digits(count, text):
    figure = evaluation.matrix_figure(np.ones((1, 1)), ["Piano"], ["Piano"], "", "", "", counts=np.array([[count]]))
    assert [each.get_text() for each in figure.axes[0].texts] == [text]


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path):
    path = tmp_path / "timeline.png"
    path.write_bytes(b"old")

    class Unwritable:
        def savefig(self, target, **_):
            target.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        style.save_png(Unwritable(), path)
    assert path.read_bytes() == b"old"
