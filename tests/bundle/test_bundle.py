"""Bundles are read as they were written, or refused with the reason."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from helpers.tiny_data import CONFIG, FRONT_END

from mir_tf import bundle
from mir_tf.bundle import Bundle
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.config import BUNDLE_FILE, MODEL_FILE
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing
from mir_tf.io import files
from mir_tf.models import build_model
from mir_tf.training.losses import WeightedBCE

CONFIDENCE = ConfidenceModel(tuple((index / 3, *(0.1 * index,) * NUM_FEATURES) for index in range(17)), 0.62)


@pytest.fixture(scope="module")
def made() -> Bundle:
    keras.utils.set_random_seed(0)
    model = build_model(CONFIG.model, FRONT_END, 17, -45.0, 20.0)
    model.compile(keras.optimizers.AdamW(), WeightedBCE(np.ones(17)))
    thresholds = np.linspace(0, 1, 17, dtype=np.float32)
    rule = PostProcessing(tuple((thresholds / 2).tolist()), (0.3,) * 17, (0.5,) * 17)
    return Bundle(model, CONFIG, thresholds, rule, ("Organ",), {"epoch": 3, "val_macro_f1": 0.5}, CONFIDENCE)


@pytest.fixture
def folder(made: Bundle, tmp_path: Path) -> Path:
    made.save(tmp_path / "run")
    return tmp_path / "run"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / BUNDLE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_comes_back_as_it_was(made: Bundle, folder: Path) -> None:
    loaded = bundle.load(folder)
    assert loaded.config == made.config
    np.testing.assert_array_equal(loaded.thresholds, made.thresholds)
    assert (loaded.post_processing, loaded.untuned, loaded.info) == (made.post_processing, made.untuned, made.info)
    assert loaded.confidence == CONFIDENCE
    assert loaded.classes == loaded.vocabulary.classes
    assert len(loaded.classes) == 17
    log_mel = np.random.default_rng(0).normal(-45, 20, (2, 60, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded.model(log_mel), made.model(log_mel))
    assert sorted(path.name for path in folder.iterdir()) == [BUNDLE_FILE, MODEL_FILE]


def test_a_model_without_validation_songs_has_no_confidence(made: Bundle, folder: Path) -> None:
    dataclasses.replace(made, confidence=None).save(folder)
    assert json.loads((folder / BUNDLE_FILE).read_text())["confidence"] is None
    assert bundle.load(folder).confidence is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_bundle_of_an_earlier_format_is_read_without_a_confidence(folder: Path, version: int) -> None:
    """It stored none. A field of this name that is there nonetheless is not taken for one."""
    path = folder / BUNDLE_FILE
    content = json.loads(path.read_text())
    assert content.pop("format") == 3
    if version == 1:
        content["event_rule"] = content.pop("post_processing")
    for field in ({}, {"confidence": CONFIDENCE.to_dict()}):
        stored = content | field if field else {name: content[name] for name in content if name != "confidence"}
        path.write_text(json.dumps(stored | {"format": version}))
        assert bundle.describe(folder).confidence is None
        loaded = bundle.load(folder)
        assert (loaded.confidence, loaded.untuned) == (None, ("Organ",))


def test_holds_no_optimiser(made: Bundle, folder: Path) -> None:
    assert made.model.optimizer is not None
    assert getattr(keras.saving.load_model(folder / MODEL_FILE), "optimizer", None) is None


def test_replaces_an_older_one(made: Bundle, folder: Path) -> None:
    Bundle(made.model, CONFIG, made.thresholds / 2, made.post_processing, (), {}).save(folder)
    np.testing.assert_array_equal(bundle.load(folder).thresholds, made.thresholds / 2)


@pytest.mark.parametrize("name", [MODEL_FILE, BUNDLE_FILE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"(whole|trained) model: .*{name}"):
        bundle.load(folder)


def test_a_truncated_model_is_refused(folder: Path) -> None:
    path = folder / MODEL_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"model\.keras: not the file that bundle\.json describes"):
        bundle.load(folder)


def test_a_model_that_keras_cannot_load_is_refused(folder: Path) -> None:
    path = folder / MODEL_FILE
    path.write_bytes(b"not a zip")
    edit(folder, model_sha256=files.sha256(path))
    with pytest.raises(BundleError, match="cannot load it"):
        bundle.load(folder)


def test_a_model_with_code_of_its_own_is_refused(folder: Path) -> None:
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    model.save(folder / MODEL_FILE)
    edit(folder, model_sha256=files.sha256(folder / MODEL_FILE))
    with pytest.raises(BundleError, match="cannot load it"):
        bundle.load(folder)


def test_another_front_end_is_refused(folder: Path) -> None:
    edit(folder, front_end={**FRONT_END.to_dict(), "hop_length": 200})
    with pytest.raises(BundleError, match="does not give the stored fingerprint"):
        bundle.load(folder)


def rule(**changes: Any) -> dict[str, Any]:
    """Return post-processing that matches any thresholds, as a bundle stores it."""
    return {**PostProcessing.plain(np.zeros(17, np.float32)).to_dict(), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99; this version reads formats 1 to 3"),
        ({"classes": ["Piano"]}, "not those of the vocabulary 'family'"),
        ({"thresholds": [0.5]}, "not those of the vocabulary 'family'"),
        ({"thresholds": ["high"]}, "damaged"),
        ({"info": None}, "damaged: .*info is None"),
        ({"post_processing": None}, "damaged"),
        ({"post_processing": {}}, "damaged: .*offset_thresholds"),
        ({"post_processing": rule(colors=[0.0] * 17)}, "damaged: .*post_processing has no field colors"),
        ({"post_processing": rule(min_durations=[0.1])}, "damaged: .*one number for each class"),
        ({"post_processing": rule(max_gaps=[-0.1] * 17)}, "damaged: .*max_gaps contains -0.1"),
        ({"post_processing": rule(offset_thresholds=[0.9] * 17)}, "post_processing does not match its thresholds"),
        ({"confidence": 0.9}, "damaged"),
        ({"confidence": {}}, "damaged: .*weights"),
        ({"confidence": CONFIDENCE.to_dict() | {"cut": 2}}, "damaged: .*cut of the confidence is 2.0"),
        ({"confidence": CONFIDENCE.to_dict() | {"curve": 2}}, "damaged: .*confidence has no field curve"),
        ({"confidence": {"weights": [[0.0]] * 17, "cut": 0.5}}, "damaged: .*each class must have"),
        ({"confidence": {"weights": [[0.0] * (1 + NUM_FEATURES)], "cut": 0.5}}, "its confidence does not match its cl"),
        ({"train": {"vocabulary": "birds"}}, "damaged: .*vocabulary is 'birds'"),
        ({"model": {"depth": 3}}, "damaged: .*no field 'depth'"),
        ({"window": None}, "damaged"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(BundleError, match=message):
        bundle.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_description_is_refused(folder: Path, text: str) -> None:
    (folder / BUNDLE_FILE).write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: damaged"):
        bundle.load(folder)
