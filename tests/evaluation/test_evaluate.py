"""Evaluation of a bundle on a data set."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.stored import write_sealed
from helpers.tiny_data import CONFIG, FRONT_END, write_data, write_stems

from mir_tf.bundle import Bundle
from mir_tf.bundle.windows import WindowedModel
from mir_tf.data import pipeline
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import DataError
from mir_tf.evaluation.evaluate import evaluate_split
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.events import PostProcessing
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models import build_model
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
HALF = np.full(17, 0.5, np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[40]], "test": [[70, 23], [45]], "validation": []})
    return folder


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    keras.utils.set_random_seed(0)
    model = build_model(CONFIG.model, FRONT_END, len(FAMILY), -45.0, 20.0)
    return Bundle(model, CONFIG, HALF, PostProcessing.plain(HALF), (), {})


def test_every_track_is_predicted_in_windows(data: Path, bundle: Bundle) -> None:
    seen: list[tuple[int, int]] = []
    found = evaluate_split(bundle, data, "test", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.tracks == 3
    assert found.seconds == pytest.approx(13.8)
    assert found.title == f"test split of {data}"

    model = WindowedModel(bundle.model, bundle.config)
    tracks = pipeline.tracks(data, read_manifest(data), "test", FAMILY)
    predictions = [
        TrackPrediction(track.id, track.song, model.predict_track(track.log_mel), track.truth) for track in tracks
    ]
    expected = evaluate_predictions(predictions, bundle.thresholds, bundle.post_processing, FAMILY, str(data), "test")
    assert found.to_dict() == expected.to_dict()


def test_stems_are_not_evaluated(bundle: Bundle, tmp_path: Path) -> None:
    write_stems(tmp_path / "stems")
    seen: list[tuple[int, int]] = []
    found = evaluate_split(bundle, tmp_path / "stems", "train", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert (found.tracks, found.seconds) == (2, pytest.approx(10.0))


def test_another_front_end_is_refused_with_its_differences(bundle: Bundle, tmp_path: Path) -> None:
    write_data(tmp_path, {"test": [[20]]}, FRONT_END.replace(n_mels=16, f_min=30.0))
    with pytest.raises(DataError, match="n_mels: 16 here, 8 there") as error:
        evaluate_split(bundle, tmp_path, "test")
    assert "f_min" in str(error.value)


def test_a_split_without_tracks_or_without_instruments_is_refused(data: Path, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'validation'"):
        evaluate_split(bundle, data, "validation")
    silent = write_data(tmp_path, {"test": [[20]]})
    content = json.loads((tmp_path / "manifest.json").read_text())
    activity = content["splits"]["test"]["activity"]["family"]
    content["splits"]["test"]["activity"]["family"] = dict.fromkeys(activity, 0)
    write_sealed(tmp_path / "manifest.json", content)
    assert silent.splits["test"].tracks == 1
    with pytest.raises(DataError, match="nothing sounds"):
        evaluate_split(bundle, tmp_path, "test")
