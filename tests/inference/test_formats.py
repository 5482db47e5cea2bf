"""Every output format, read by the library that it is meant for."""

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import jams
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.errors import ConfigError
from mir_tf.events import PostProcessing
from mir_tf.inference.formats import FILE_FORMATS, TABLE_FORMATS
from mir_tf.inference.prediction import INTERVAL_COLUMNS, Prediction
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"].classes
PATH = 'music/Für "Elise", [live] <&>.flac'


def prediction(frames: dict[str, list[float]], seconds: float | None = None) -> Prediction:
    """Return a prediction with these probabilities, 0.1 for other classes, and thresholds of 0.5.

    The confidence is the mean probability, and the cut 0.4.
    """
    count = max(map(len, frames.values()), default=5)
    roll = np.full((count, len(FAMILY)), 0.1, np.float32)
    for name, column in frames.items():
        roll[: len(column), FAMILY.index(name)] = column
    thresholds = np.full(len(FAMILY), 0.5, np.float32)
    return Prediction(
        path=PATH,
        seconds=seconds or count / 10,
        model={"vocabulary": "family", "epoch": 3},
        classes=FAMILY,
        thresholds=thresholds,
        post_processing=PostProcessing.plain(thresholds),
        probabilities=roll,
        confidence_model=ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * len(FAMILY), 0.4),
    )


@pytest.fixture(scope="module")
def song() -> Prediction:
    """Predict 0.47 s: the piano plays twice, the drums from 0.1 s to the end, and perhaps a reed in one frame."""
    return prediction(
        {"Piano": [0.6, 0.8, 0.1, 0.9, 0.2], "Drums": [0.2, 0.7, 0.7, 0.7, 0.7], "Reed": [0.1, 0.1, 0.55, 0.1, 0.1]},
        0.47,
    )


@pytest.fixture(scope="module")
def silence() -> Prediction:
    return prediction({})


ROWS = [
    (PATH, 0.0, 0.2, "Piano", "detected", 0.52, 0.7),
    (PATH, 0.1, 0.47, "Drums", "detected", 0.6, 0.7),
    (PATH, 0.2, 0.3, "Reed", "perhaps", 0.19, 0.55),
    (PATH, 0.3, 0.4, "Piano", "detected", 0.52, 0.9),
]
"""The intervals in the order of starts; the last frame ends with the audio."""


def written(found: Prediction, name: str) -> bytes:
    return FILE_FORMATS[name].encode(found)


def test_csv_has_a_row_for_each_interval(song: Prediction) -> None:
    header, *rows = csv.reader(io.StringIO(written(song, "csv").decode(), newline=""))
    assert tuple(header) == INTERVAL_COLUMNS
    assert [tuple(row) for row in rows] == [tuple(map(str, row)) for row in ROWS]


def test_csv_of_a_model_without_confidence_has_an_empty_column(song: Prediction) -> None:
    former = dataclasses.replace(song, confidence_model=None)
    _, *rows = csv.reader(io.StringIO(written(former, "csv").decode(), newline=""))
    assert [row[4:6] for row in rows] == [["detected", ""]] * len(ROWS)


def test_json_is_everything(song: Prediction) -> None:
    content = json.loads(written(song, "json"))
    assert content == song.to_dict()
    assert np.shape(content["probabilities"]) == (5, 17)


def test_jams_validates_and_holds_the_intervals(song: Prediction) -> None:
    found = jams.load(io.StringIO(written(song, "jams").decode()), validate=True, strict=True)
    assert found.file_metadata.duration == 0.47
    assert found.file_metadata.title == 'Für "Elise", [live] <&>.flac'
    groups = found.search(namespace="tag_open")
    assert [each.sandbox.group for each in groups] == ["detected", "perhaps"]
    for annotation in groups:
        rows = [row for row in ROWS if row[4] == annotation.sandbox.group]
        times, labels = annotation.to_interval_values()
        np.testing.assert_allclose(times, [row[1:3] for row in rows])
        assert labels == [row[3] for row in rows]
        assert [observation.confidence for observation in annotation] == [row[6] for row in rows]
        assert annotation.sandbox.confidences == {row[3]: row[5] for row in rows}
        assert annotation.sandbox.model == {"vocabulary": "family", "epoch": 3}
        assert annotation.annotation_metadata.annotation_tools.startswith("mir-tf ")
        assert annotation.duration == 0.47
    detected, perhaps = groups
    assert (detected.sandbox.dominant, "dominant" in perhaps.sandbox) == ("Drums", False)
    assert detected.sandbox.playing_time == {"Drums": 0.4, "Piano": 0.3}
    assert perhaps.sandbox.playing_time == {"Reed": 0.1}


def test_jams_has_one_annotation_if_nothing_plays_perhaps_and_two_if_all_is_perhaps(song: Prediction) -> None:
    alone = dataclasses.replace(song, confidence_model=None)
    assert [each.sandbox.group for each in alone.to_jams().annotations] == ["detected"]
    cautious = dataclasses.replace(song, confidence_model=dataclasses.replace(song.confidence_model, cut=1.0))
    detected, perhaps = cautious.to_jams().annotations
    assert (len(detected.data), detected.sandbox.dominant, len(perhaps.data)) == (0, None, len(ROWS))


def test_audacity_reads_start_end_and_label_between_tabs(song: Prediction) -> None:
    """A label of a class that perhaps plays ends in a question mark."""
    rows = [line.split("\t") for line in written(song, "audacity").decode().splitlines()]
    expected = [(row[1], row[2], "Reed ?" if row[3] == "Reed" else row[3]) for row in ROWS]
    assert [(float(start), float(end), label) for start, end, label in rows] == expected


def test_png_shows_what_is_heard_in_its_colour(song: Prediction, silence: Prediction) -> None:
    piano = np.array([int(song.colors[0][index : index + 2], 16) for index in (1, 3, 5)])
    bar = 0.85 * piano + 0.15 * (0.3 * piano + 0.7 * 255)  # the bar over the probability curve over white
    for found, least, most in ((song, 1000, np.inf), (silence, 0, 0)):
        picture = np.asarray(Image.open(io.BytesIO(written(found, "png"))).convert("RGB"))
        assert least <= (np.abs(picture - bar).max(axis=2) < 3).sum() <= most


def test_svg_is_xml_whose_text_can_be_searched_and_whose_bytes_repeat(song: Prediction) -> None:
    content = written(song, "svg")
    root = ElementTree.fromstring(content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Piano 52 %", "Drums 60 %", "Reed 19 %", "detected", "perhaps"} <= texts
    assert any('Für "Elise", [live] <&>.flac' in text for text in texts)
    assert written(song, "svg") == content


def test_silence_is_written_too(silence: Prediction) -> None:
    for name in FILE_FORMATS:
        assert written(silence, name) or name == "audacity", name
    assert written(silence, "csv").decode().splitlines() == [",".join(INTERVAL_COLUMNS)]
    (annotation,) = jams.load(io.StringIO(written(silence, "jams").decode())).annotations
    assert (len(annotation.data), annotation.sandbox.dominant) == (0, None)


def test_a_data_frame_has_the_columns_and_their_types(song: Prediction, silence: Prediction) -> None:
    frame = song.to_dataframe()
    assert list(frame.itertuples(index=False, name=None)) == ROWS
    former = dataclasses.replace(song, confidence_model=None).to_dataframe()
    assert former["confidence"].isna().all()
    pd.testing.assert_series_equal(former.dtypes, frame.dtypes)
    pd.testing.assert_series_equal(silence.to_dataframe().dtypes, frame.dtypes)
    assert silence.to_dataframe().empty


def test_a_plot_is_a_figure_with_a_row_for_each_instrument(song: Prediction) -> None:
    (axes,) = song.plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Reed 19 %", "Piano 52 %", "Drums 60 %"]
    assert " ".join(axes.get_title(loc="left").split()).endswith(f", 0:00.5. {song.headline}")
    array = dataclasses.replace(song, path="")
    assert array.plot().axes[0].get_title(loc="left").startswith("audio, ")


def test_a_track_of_slakh_gives_figures_and_jams_their_title(song: Prediction) -> None:
    track = dataclasses.replace(song, path="test/Track00001/mix.flac")
    assert track.plot().axes[0].get_title(loc="left").startswith("Track00001, ")
    assert track.to_jams().file_metadata.title == "Track00001"


@pytest.mark.parametrize(("package", "method"), [("jams", "to_jams"), ("pandas", "to_dataframe")])
def test_what_a_package_is_missing_for_says_what_to_install(
    song: Prediction, monkeypatch: pytest.MonkeyPatch, package: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}: pip install 'mir-tf\[formats\]'"):
        getattr(song, method)()


def test_csv_escapes_formulas_and_parquet_does_not(tmp_path: Path) -> None:
    song = dataclasses.replace(prediction({"Piano": [0.9] * 20}), path="=1+2.wav")
    text = FILE_FORMATS["csv"].encode(song).decode()
    assert text.splitlines()[1].startswith("'=1+2.wav,0.0,")
    for suffix, start in ((".csv", "'=1+2.wav"), (".parquet", "=1+2.wav")):
        TABLE_FORMATS[suffix].write(tmp_path / f"songs{suffix}", [song.summary()], song.model)
        read = pd.read_csv if suffix == ".csv" else pd.read_parquet
        assert set(read(tmp_path / f"songs{suffix}")["path"]) == {start}
