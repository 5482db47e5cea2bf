"""Training that starts from the weights of a trained model."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import keras
import numpy as np
import pytest
import yaml
from helpers.commands import run
from helpers.tiny_data import CONFIG, FRONT_END, make_record, write_data
from helpers.tiny_model import make_bundle
from helpers.tiny_runs import CNN, SPLITS, Killed, assert_same_run, read_history

from mir_tf import bundle, pretrained
from mir_tf.config import FRONT_ENDS, MODEL_FILE, MODELS, FrontEndConfig, ModelConfig
from mir_tf.data.manifest import write_manifest
from mir_tf.errors import BundleError, ConfigError, DataError, TrainingError
from mir_tf.models import build_model
from mir_tf.training import loop, transfer
from mir_tf.training.loop import FitResult, fit
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.__main__ import _front_end

SHORT = CNN.merge({"train": {"epochs": 2, "steps_per_epoch": 2}})


pytestmark = pytest.mark.usefixtures("determinism_ends_with_the_module")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set whose mean is not that of the trained models."""
    folder = tmp_path_factory.mktemp("data")
    written = write_data(folder, SPLITS)
    write_manifest(folder, dataclasses.replace(written, feature_mean=-30.0, feature_std=10.0))
    return folder


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a CNN to start from."""
    folder = tmp_path_factory.mktemp("init") / "cnn"
    make_bundle("cnn").save(folder)
    return folder


@pytest.fixture(scope="module")
def further(data: Path, init: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """Train a run that starts from the CNN."""
    return fit(data, tmp_path_factory.mktemp("further") / "run", SHORT, init=init)


@pytest.fixture
def at_the_start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., keras.Model]:
    """Return a function that gives a model as it is before its first step, without training it."""
    models = []

    def stop(run: loop._Run, *_: Any) -> None:
        models.append(run.model)
        raise Killed

    monkeypatch.setattr(loop._Run, "train", stop)

    def of(*arguments: Any, **options: Any) -> keras.Model:
        with contextlib.suppress(Killed):
            fit(*arguments, **options)
        return models[-1]

    return of


def assert_equal(mine: keras.Model | keras.Layer, theirs: keras.Model | keras.Layer) -> None:
    for value, other in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("architecture", MODELS)
def test_before_the_first_step_it_is_the_model_it_starts_from(
    architecture: str, data: Path, at_the_start: Callable[..., keras.Model], tmp_path: Path
) -> None:
    trained = make_bundle(architecture)
    trained.save(tmp_path / "init")
    config = CONFIG.merge({"model": {"architecture": architecture, "head_dropout": 0.1, "time_masks": 0}})
    model = at_the_start(data, tmp_path / "run", config, init=tmp_path / "init")
    assert_equal(model, trained.model)
    log_mel = make_record("a", 60).log_mel.astype(np.float32)[np.newaxis]
    np.testing.assert_array_equal(model(log_mel), trained.model(log_mel))
    assert model.get_layer("head_dropout").rate == 0.1
    assert model.optimizer.iterations == 0


def test_with_other_classes_only_the_last_layer_starts_anew(
    data: Path, init: Path, at_the_start: Callable[..., keras.Model], tmp_path: Path
) -> None:
    trained = bundle.load(init).model
    model = at_the_start(data, tmp_path, SHORT.merge({"train": {"vocabulary": "slakh"}}), init=init)
    assert model.output_shape[-1] == 35
    for layer in model.layers:
        if layer.name == "fc":
            assert layer.kernel.shape == (4, 35)
            assert np.abs(layer.kernel).max() <= 0.5  # the bound of build_model for 4 inputs
        elif layer.weights:
            assert_equal(layer, trained.get_layer(layer.name))
    assert transfer.statistics_of(bundle.load(init)) == (-45.0, 20.0)


def test_the_bundle_names_its_origin_and_keeps_its_normalisation(further: FitResult, init: Path) -> None:
    trained = bundle.load(further.out)
    assert trained.info == {**further.history[-1], "init": bundle.describe(init).model_sha256}
    assert transfer.statistics_of(trained) == (-45.0, 20.0)


def test_a_resumed_run_equals_an_undisturbed_one(data: Path, init: Path, further: FitResult, tmp_path: Path) -> None:
    def on_step(*_: Any) -> None:
        nonlocal steps_done
        steps_done += 1
        if steps_done == 4:
            raise Killed

    steps_done = 0
    with pytest.raises(Killed):
        fit(data, tmp_path / "run", SHORT, on_step=on_step, init=init)
    assert len(read_history(tmp_path / "run")) == 1
    assert fit(data, tmp_path / "run", SHORT, init=init).epochs_trained == 1
    assert_same_run(tmp_path / "run", further.out)


def test_another_start_is_another_run(data: Path, init: Path, further: FitResult, tmp_path: Path) -> None:
    trained = bundle.load(init)
    keras.utils.set_random_seed(5)
    other = dataclasses.replace(trained, model=build_model(trained.config.model, FRONT_END, 17, -45.0, 20.0))
    other.save(tmp_path / "other")
    mine, theirs = (bundle.describe(folder).model_sha256[:12] for folder in (init, tmp_path / "other"))
    message = f"contains a run that differs: model to start from: weights {mine} there, weights {theirs} now. Use"
    with pytest.raises(TrainingError, match=message):
        fit(data, further.out, SHORT, init=tmp_path / "other")
    with pytest.raises(TrainingError, match=f"model to start from: weights {mine} there, none now"):
        fit(data, further.out, SHORT)
    config = SHORT.merge({"train": {"epochs": 1, "steps_per_epoch": 1}})
    fit(data, tmp_path / "plain", config)
    with pytest.raises(TrainingError, match=f"model to start from: none there, weights {mine} now"):
        fit(data, tmp_path / "plain", config, init=init)


def test_what_does_not_fit_is_refused_by_name_and_nothing_is_written(data: Path, init: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"architecture: 'crnn' here, 'cnn' there; conv_filters: \[8\] here, \[4\] "):
        fit(data, out, CONFIG.merge({"model": {"conv_filters": [8]}}), init=init)
    narrow = FRONT_END.replace(n_mels=6)
    write_data(tmp_path / "narrow", SPLITS, narrow)
    with pytest.raises(DataError, match="n_mels: 6 here, 8 there") as caught:
        fit(tmp_path / "narrow", out, dataclasses.replace(SHORT, front_end=narrow), init=init)
    assert "--set n_mels=8" in str(caught.value)
    with pytest.raises(BundleError, match="not a trained model"):
        fit(data, out, SHORT, init=tmp_path)
    with pytest.raises(ConfigError, match="would replace the model that it starts from"):
        fit(data, init, SHORT, init=init)
    damaged = tmp_path / "damaged"
    make_bundle("cnn").save(damaged)
    (damaged / MODEL_FILE).write_bytes(b"")
    with pytest.raises(BundleError, match="not the file that"):
        fit(data, out, SHORT, init=damaged)
    assert not out.exists()


@pytest.mark.parametrize(
    "front_end", [FRONT_END, *FRONT_ENDS.values(), FRONT_END.replace(f_max=3000.0, window="hamming")]
)
def test_the_remedy_builds_the_front_end(front_end: FrontEndConfig) -> None:
    words = transfer.builder_options(front_end).split()
    assert words[0::2] == ["--preset", *["--set"] * (len(words) // 2 - 1)]
    assert _front_end(words[1], tuple(words[3::2])) == front_end


def test_dropouts_and_masks_may_differ() -> None:
    fields = ModelConfig().to_dict()
    assert {name for name in fields if "dropout" in name or "mask" in name} == set(ModelConfig.TRAINING_ONLY)


def test_the_command_keeps_the_classes_of_the_model(data: Path, init: Path, tmp_path: Path) -> None:
    short = SHORT.merge({"train": {"epochs": 1, "steps_per_epoch": 1}}).to_dict()
    del short["train"]["vocabulary"]
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({name: short[name] for name in ("train", "window")}))
    for start, words, name in ((init, ("--vocabulary", "slakh"), "first"), (tmp_path / "first", (), "second")):
        options = ("--data", data, "--config", tmp_path / "settings.yaml", "--init", start, "--out", tmp_path / name)
        result = run("fit", *options, *words)
        assert result.exit_code == 0, result.output
        assert ("with a new class layer" in result.output) == bool(words)
        assert bundle.load(tmp_path / name).classes == VOCABULARIES["slakh"].classes


def test_the_command_takes_the_network_of_the_package(
    data: Path, init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", init)
    short = SHORT.merge({"train": {"epochs": 1, "steps_per_epoch": 1}}).to_dict()
    sections = {name: short[name] for name in ("train", "window")}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({**sections, "model": {"conv_dropout": 0.2}}))

    def fit(*words: Any) -> click.testing.Result:
        options = ("--data", data, "--out", tmp_path / "run", "--config", tmp_path / "settings.yaml")
        return run("fit", *options, "--init", "pretrained", *words)

    result = fit("--vocabulary", "slakh")
    assert result.exit_code == 0, result.output
    assert f"Starting from the weights of {pretrained.display_name(init)}, with a new class layer\n" in result.output
    expected = make_bundle("cnn").config.model.replace(conv_dropout=0.2)
    assert bundle.load(tmp_path / "run").config.model == expected
    refused = fit("--vocabulary", "slakh", "--model", "crnn")
    assert refused.exit_code == 2
    assert "architecture: 'crnn' here, 'cnn' there" in " ".join(refused.output.split())
