"""Bundles are read as they were written, or refused with the reason."""

import concurrent.futures
import copy
import dataclasses
import io
import json
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from helpers.stored import change_sealed
from helpers.tiny_data import CONFIG, FRONT_END
from helpers.tiny_model import make_bundle

from mir_tf import bundle
from mir_tf.bundle import Bundle
from mir_tf.bundle.keras_model import RunModel
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.config import BUNDLE_FILE, MODEL_FILE
from mir_tf.errors import BundleError, MirTfWarning
from mir_tf.events import PostProcessing
from mir_tf.io import files, stored_json
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
    change_sealed(folder / BUNDLE_FILE, **changes)


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
    assert len(content.pop(stored_json.DIGEST)) == 64
    if version == 1:
        content["event_rule"] = content.pop("post_processing")
    for field in ({}, {"confidence": CONFIDENCE.to_dict()}):
        stored = content | field if field else {name: content[name] for name in content if name != "confidence"}
        path.write_text(json.dumps(stored | {"format": version}))
        with pytest.warns(MirTfWarning, match=r"bundle\.json: without a digest"):
            assert bundle.describe(folder).confidence is None
        with pytest.warns(MirTfWarning, match=r"bundle\.json: without a digest"):
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
        ({"thresholds": ["high"]}, r"damaged: thresholds\[0\] is 'high'; it must be a number"),
        ({"thresholds": [2] * 17}, r"damaged: thresholds\[0\] is 2; it must be a number between 0 and 1"),
        ({"thresholds": [-0.1] * 17}, r"damaged: thresholds\[0\] is -0\.1; it must be"),
        ({"thresholds": [True] * 17}, r"damaged: thresholds\[0\] is True; it must be"),
        ({"thresholds": ["0.5"] * 17}, r"damaged: thresholds\[0\] is '0\.5'; it must be"),
        ({"thresholds": "1" * 17}, "damaged: thresholds is '1+'; it must be a list"),
        ({"thresholds": [10**400] * 17}, r"damaged: thresholds\[0\] is a whole number of very many digits; it must be"),
        ({"format": True}, "damaged: format is True; it must be a whole number"),
        ({"format": 3.0}, r"damaged: format is 3\.0; it must be a whole number"),
        ({"model_sha256": 5}, "damaged: model_sha256 is 5; it must be 64 hexadecimal digits"),
        ({"untuned": "Organ"}, "damaged: untuned is 'Organ'; it must be a list"),
        ({"untuned": ["Whistle"]}, "damaged: its untuned classes are not those"),
        ({"color": "red"}, r"damaged: bundle\.json has an unknown field color"),
        ({"info": {"a": json.loads("[" * 50 + "]" * 50)}}, "damaged: it is nested too deeply"),
        ({"post_processing": rule(max_gaps=["0.1"] * 17)}, r"damaged: post_processing\.max_gaps\[0\] is '0\.1'"),
        ({"info": None}, "damaged: .*info is None"),
        ({"post_processing": None}, "damaged"),
        ({"post_processing": {}}, "damaged: .*offset_thresholds"),
        ({"post_processing": rule(colors=[0.0] * 17)}, "damaged: .*post_processing has an unknown field colors"),
        ({"post_processing": rule(min_durations=[0.1])}, "damaged: .*one number for each class"),
        ({"post_processing": rule(max_gaps=[-0.1] * 17)}, "damaged: .*max_gaps contains -0.1"),
        ({"post_processing": rule(offset_thresholds=[0.9] * 17)}, "post_processing does not match its thresholds"),
        ({"confidence": 0.9}, "damaged"),
        ({"confidence": {}}, "damaged: .*weights"),
        ({"confidence": CONFIDENCE.to_dict() | {"cut": 2}}, "damaged: .*cut of the confidence is 2.0"),
        ({"confidence": CONFIDENCE.to_dict() | {"curve": 2}}, "damaged: .*confidence has an unknown field curve"),
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


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", "[" * 100_000, '{"format": NaN}', '{"a": 1, "a": 1}', "\0"]
)
def test_a_damaged_description_is_refused(folder: Path, text: str) -> None:
    (folder / BUNDLE_FILE).write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: damaged"):
        bundle.load(folder)


def test_a_change_of_a_value_is_refused_with_the_remedy(folder: Path) -> None:
    path = folder / BUNDLE_FILE
    text = path.read_text()
    for old, new in (("thresholds", "threshold5"), ('"epoch": 3', '"epoch": 4'), ("content_sha256", "content_sha255")):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(BundleError, match=r"bundle\.json: damaged: "):
            bundle.load(folder)
    content = json.loads(text)
    content["thresholds"][0] = 0.25
    content["post_processing"]["offset_thresholds"][0] = 0.25
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"content_sha256 .* edited it on purpose, remove content_sha256 from it"):
        bundle.load(folder)
    del content[stored_json.DIGEST]
    path.write_text(json.dumps(content))
    with pytest.warns(
        MirTfWarning, match=r"bundle\.json: without a digest, .*; load the run with .* and save it again"
    ):
        loaded = bundle.load(folder)
    assert loaded.thresholds[0] == np.float32(0.25)
    loaded.save(folder)
    assert bundle.load(folder).thresholds[0] == np.float32(0.25)


def test_another_layout_of_the_same_values_is_read(folder: Path) -> None:
    path = folder / BUNDLE_FILE
    expected = bundle.describe(folder)
    content = json.loads(path.read_text())
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(dict(reversed(content.items()))).encode())
    found = bundle.describe(folder)
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    assert dataclasses.replace(found, thresholds=expected.thresholds) == expected


def replace_network(folder: Path, change: Callable[[h5py.File], None]) -> None:
    """Change the weights of a bundle's network, and put the new digest into ``bundle.json``."""
    path = folder / MODEL_FILE
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    edit(folder, model_sha256=files.sha256(path))


def test_arrays_that_unpack_to_more_than_the_file_are_refused(folder: Path) -> None:
    def add(file: h5py.File) -> None:
        file.create_dataset("zeros", (10**11,), "f4", chunks=(10**6,), compression="gzip")

    replace_network(folder, add)
    with pytest.raises(
        BundleError, match=r"model\.keras: .* the arrays in model\.weights\.h5 are larger than the file"
    ):
        bundle.load(folder)


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/hostname", "/"), h5py.SoftLink("/")])
def test_arrays_outside_of_the_file_are_refused(folder: Path, link: Any) -> None:
    replace_network(folder, lambda file: file.__setitem__("link", link))
    with pytest.raises(BundleError, match=r"model\.keras: .* refers to another file or place at 'link'"):
        bundle.load(folder)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(folder: Path) -> None:
    path = folder / MODEL_FILE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w") as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 200_000
    edit(folder, model_sha256=files.sha256(path))
    with pytest.raises(BundleError, match=r"model\.keras: .* it would unpack from 0\.1 MB to 105 MB"):
        bundle.load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer .* git lfs pull"),
        (b"\n<!DOCTYPE html><title>Not found</title>", "a web page or an error message of a server"),
    ],
)
@pytest.mark.parametrize("name", [MODEL_FILE, BUNDLE_FILE])
def test_a_file_in_place_of_the_real_one_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: .*{message}"):
        bundle.load(folder)


def test_a_network_of_other_classes_is_refused(folder: Path) -> None:
    build_model(CONFIG.model, FRONT_END, 5, -45.0, 20.0).save(folder / MODEL_FILE)
    edit(folder, model_sha256=files.sha256(folder / MODEL_FILE))
    with pytest.raises(BundleError, match="its network does not have the mel bands and classes"):
        bundle.load(folder)


def test_a_bundle_can_be_copied_and_pickled(made: Bundle) -> None:
    log_mel = np.random.default_rng(0).normal(-45, 20, (70, 8)).astype(np.float32)
    expected = made.windowed.predict_track(log_mel)
    plain = dataclasses.replace(made, model=keras.Model(made.model.input, made.model.output))
    assert plain.windowed is not None
    for other in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        np.testing.assert_allclose(other.windowed.predict_track(log_mel), expected, atol=1e-6)
        assert other.confidence == made.confidence
    model = RunModel(plain)
    signal = np.random.default_rng(0).normal(0, 0.1, 40_000)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(model)).predict(signal, 8000).probabilities,
        model.predict(signal, 8000).probabilities,
        atol=1e-6,
    )


def test_a_bundle_that_training_replaces_is_read_as_that_of_one_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is replaced after its description was read; or is replaced already, and its description is not yet."""
    one = make_bundle("cnn")
    other = dataclasses.replace(make_bundle("cnn"), info={"epoch": 4})
    kernel, bias = other.model.get_layer("fc").get_weights()
    other.model.get_layer("fc").set_weights([kernel / 2, bias])
    read, pending = bundle.load_network, [other]

    def replaced_meanwhile(*arguments: Any) -> keras.Model:
        if pending:
            pending.pop().save(tmp_path)
        return read(*arguments)

    one.save(tmp_path)
    monkeypatch.setattr(bundle, "load_network", replaced_meanwhile)
    assert_epoch_4(bundle.load(tmp_path), other)
    assert not pending

    description = (tmp_path / BUNDLE_FILE).read_bytes()
    model = (tmp_path / MODEL_FILE).read_bytes()
    one.save(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(model)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(lambda: (time.sleep(0.2), (tmp_path / BUNDLE_FILE).write_bytes(description)))
        assert_epoch_4(bundle.load(tmp_path), other)


def assert_epoch_4(found: Bundle, expected: Bundle) -> None:
    assert found.info == {"epoch": 4}
    for mine, theirs in zip(found.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
