"""What a shell prints and a notebook shows of a prediction."""

import base64
import dataclasses
import io
import re
import sys
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
from helpers.predictions import POST_PROCESSING, THRESHOLDS, random_predictions

from mir_tf.confidence import ConfidenceModel
from mir_tf.inference.prediction import Prediction
from mir_tf.vocabulary import VOCABULARIES


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """Return a prediction that is confident of the classes 0 and 8 alone, of many that reach their threshold."""
    track = random_predictions(1)[0]
    weights = tuple((3.5 if index in (0, 8) else -2.0, 0.0, 0.0) for index in range(17))
    return Prediction(
        path="music/<b>&.flac",
        seconds=len(track.probabilities) / 10,
        model={"architecture": "cnn", "vocabulary": "family"},
        classes=VOCABULARIES["family"].classes,
        thresholds=THRESHOLDS,
        post_processing=POST_PROCESSING,
        probabilities=track.probabilities,
        confidence_model=ConfidenceModel(weights, cut=0.5),
    )


class _Elements(HTMLParser):
    """The text of a page outside of elements, its pictures, and elements that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.pictures, self.open = "", [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attributes))
        elif tag != "br":
            self.open.append(tag)
        else:
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_repr_is_one_line_with_the_answer(prediction: Prediction) -> None:
    assert sorted(prediction.detected) == ["Piano", "Reed"]
    seconds = f"{prediction.seconds:.1f} s"
    detected = ", ".join(prediction.detected)
    assert repr(prediction) == f"<Prediction music/<b>&.flac, {seconds}, detected: {detected}>"
    silent = dataclasses.replace(prediction, path="", probabilities=prediction.probabilities * 0)
    assert repr(silent) == f"<Prediction audio, {seconds}, detected: nothing for certain>"


def test_a_notebook_shows_both_groups_and_the_timeline(prediction: Prediction) -> None:
    page = _Elements(prediction._repr_html_())
    assert not page.open
    title, detected, perhaps, longest, _ = page.text.split("\n")
    assert title.startswith("<b>&.flac, 0:")
    assert re.findall(r"([A-Z][\w ]+) \(97 %, 0:\d\d\.\d\)", detected) == prediction.detected
    assert re.findall(r"([A-Z][\w ]+) \(12 %, 0:\d\d\.\d\)", perhaps) == prediction.perhaps
    assert len(prediction.perhaps) > 5
    assert longest == f"Plays longest: {prediction.dominant}"
    (picture,) = page.pictures
    assert picture["alt"] == prediction.headline
    kind, _, encoded = (picture["src"] or "").partition(",")
    assert kind == "data:image/png;base64"
    assert len(encoded) < 200_000
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)))
    assert pixels.shape[1] == 1000
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100


def test_nothing_detected_is_shown_as_such(prediction: Prediction) -> None:
    page = _Elements(dataclasses.replace(prediction, probabilities=prediction.probabilities * 0)._repr_html_())
    assert "Detected: nothing for certain\nPlays longest: nothing\n" in page.text


def test_a_figure_is_shown_as_a_picture(prediction: Prediction) -> None:
    content: bytes = prediction.plot()._repr_png_()  # type: ignore[attr-defined]  # IPython calls it
    assert matplotlib.image.imread(io.BytesIO(content)).shape[1] == 1600


def test_a_prediction_is_shown_without_matplotlib(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mir_tf.figures.timelines", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    page = _Elements(prediction._repr_html_())
    assert "Detected: " in page.text
    assert not page.pictures
