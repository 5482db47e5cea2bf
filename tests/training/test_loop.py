"""Training: what a run writes, how it resumes, and its errors."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from helpers.tiny_data import CONFIG, FRONT_END, make_record, write_data, write_split
from helpers.tiny_runs import CNN, SPLITS, Killed, assert_same_run, read_history, variables, without_seconds
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mir_tf import bundle
from mir_tf.bundle.history import CHECKPOINT_FILE, CONFIG_FILE, LOGS_FOLDER
from mir_tf.bundle.windows import WindowedModel
from mir_tf.config import BUNDLE_FILE, RunConfig, TrainConfig, read_yaml
from mir_tf.data import pipeline
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import ConfigError, DataError, TrainingError
from mir_tf.io.files import write_bytes
from mir_tf.metrics import confidence
from mir_tf.metrics.confidence import TrackTable
from mir_tf.metrics.event_tuning import choose, grid_counts
from mir_tf.metrics.thresholds import ScoreHistogram, tune
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models import build_model
from mir_tf.training import distribution, loop, step, summaries
from mir_tf.training.loop import BASELINES, FitResult, fit
from mir_tf.training.schedule import Schedule
from mir_tf.vocabulary import VOCABULARIES

Undisturbed = tuple[FitResult, dict[str, list[Any]]]
"""The result of a run, and the calls that it made."""

pytestmark = pytest.mark.usefixtures("determinism_ends_with_the_module")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, SPLITS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return an uninterrupted run, and the calls that it made."""
    calls = {"epochs": [], "steps": []}
    result = fit(
        data,
        tmp_path_factory.mktemp("undisturbed") / "run",
        CONFIG,
        on_epoch=lambda *arguments: calls["epochs"].append(arguments),
        on_step=lambda *arguments: calls["steps"].append(arguments),
    )
    return result, calls


def test_reports_every_step_and_epoch(undisturbed: Undisturbed) -> None:
    result, calls = undisturbed
    assert [(step, steps) for step, steps, _ in calls["steps"]] == [(1, 3), (2, 3), (3, 3)] * 4
    assert [epoch for epoch, _ in calls["epochs"]] == [1, 2, 3, 4]
    assert result.baseline is not None
    baselines = dict(zip(BASELINES, (result.baseline.macro_f1, result.baseline.micro_f1), strict=True))
    assert [row for _, row in calls["epochs"]] == [row | baselines for row in result.history]
    assert calls["steps"][-1][2] == pytest.approx(result.history[-1]["loss"])


def test_the_baseline_is_that_of_the_validation_split(data: Path, undisturbed: Undisturbed) -> None:
    vocabulary = VOCABULARIES[CONFIG.train.vocabulary]
    tracks = pipeline.tracks(data, read_manifest(data), "validation", vocabulary)
    truth = np.concatenate([each.truth for each in tracks])
    active = np.flatnonzero(truth.any(axis=0))
    always = [sklearn.metrics.f1_score(truth[:, index], np.ones(len(truth))) for index in active]
    baseline = undisturbed[0].baseline
    assert baseline is not None
    assert baseline.macro_f1 == pytest.approx(np.mean(always))
    tried = []
    for chosen in itertools.product([False, True], repeat=len(active)):
        predicted = np.zeros_like(truth)
        predicted[:, active] = chosen
        tried.append(sklearn.metrics.f1_score(truth, predicted, average="micro", zero_division=0))
    assert baseline.micro_f1 == pytest.approx(max(tried))


def test_learns(undisturbed: Undisturbed) -> None:
    history = undisturbed[0].history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_the_bundle_holds_the_average_of_the_weights(data: Path, tmp_path: Path) -> None:
    config = CNN.merge({"train": {"ema_decay": 0.15, "steps_per_epoch": 1, "learning_rate": 0.1}})
    is_float = [
        keras.backend.is_float_dtype(weight.dtype) for weight in build_model(config.model, FRONT_END, 17).weights
    ]
    trained, averages = [], []
    for epochs in (1, 2):  # one step each, the second after a resume
        fit(data, tmp_path, config.merge({"train": {"epochs": epochs}}))
        values = variables(tmp_path)
        trained.append(list(itertools.compress(values, is_float)))
        averages.append(values[-len(trained[-1]) :])
        if epochs == 1:
            saved = [value for value in bundle.load(tmp_path).model.get_weights() if value.dtype == np.float32]
    for value, average in zip(saved, averages[0], strict=True):
        np.testing.assert_array_equal(value, average)
    assert any((value != average).any() for value, average in zip(trained[0], averages[0], strict=True))
    for before, value, after in zip(averages[0], trained[1], averages[1], strict=True):
        np.testing.assert_allclose(after, 0.15 * before + 0.85 * value, rtol=1e-5, atol=1e-6)


def test_the_bundle_is_the_best_epoch_with_its_thresholds(data: Path, undisturbed: Undisturbed) -> None:
    result, _ = undisturbed
    loaded = bundle.load(result.out)
    best = max(result.history, key=lambda row: row["val_macro_f1"])
    assert loaded.info == best
    assert (result.best_epoch, result.best_macro_f1) == (best["epoch"], best["val_macro_f1"])
    histogram = ScoreHistogram(17)
    scored = []
    windowed = WindowedModel(loaded.model, loaded.config)
    for index, length in enumerate(SPLITS["validation"][0]):
        record = make_record(f"validation-0-{index}", length)
        probabilities = windowed.predict_track(record.log_mel.astype(np.float32))
        scored.append((probabilities, loaded.vocabulary.project(record.activity)))
        histogram.update(*scored[-1])
    tuned = tune(histogram)
    np.testing.assert_array_equal(loaded.thresholds, tuned.thresholds)
    assert tuned.macro_f1 == best["val_macro_f1"]
    assert loaded.post_processing == choose(grid_counts(scored, tuned.thresholds), tuned.thresholds)
    tracks = [TrackPrediction(str(index), f"song of validation-0-{index}", *pair) for index, pair in enumerate(scored)]
    expected, _ = confidence.fit(TrackTable.of(tracks, tuned.thresholds))
    assert loaded.confidence is not None
    np.testing.assert_allclose(loaded.confidence.weights, expected.weights, rtol=1e-6)
    assert loaded.confidence.cut == pytest.approx(expected.cut)


def test_the_normalisation_is_the_train_splits(undisturbed: Undisturbed) -> None:
    layer = bundle.load(undisturbed[0].out).model.get_layer("normalization")
    assert (np.squeeze(layer.mean), np.squeeze(layer.variance)) == (-45, 400)


def test_history_and_config_are_written(undisturbed: Undisturbed) -> None:
    result, _ = undisturbed
    assert read_history(result.out) == without_seconds(result.history)
    sections = read_yaml(result.out / CONFIG_FILE)
    assert "front_end" not in sections
    assert RunConfig(FRONT_END).merge(sections) == CONFIG
    assert not [path for path in result.out.iterdir() if "unfinished" in path.name]


def test_classes_without_examples_are_named(data: Path, undisturbed: Undisturbed) -> None:
    in_train, in_validation = loop.missing_classes(data, read_manifest(data), VOCABULARIES["family"])
    assert in_train.startswith("never sounding in split 'train': Chromatic Percussion, Organ")
    assert "Drums" not in in_train
    assert "threshold is 0.5" in in_validation
    loaded = bundle.load(undisturbed[0].out)
    assert len(loaded.untuned) == 14
    assert all(
        threshold == 0.5
        for name, threshold in zip(loaded.classes, loaded.thresholds, strict=True)
        if name in loaded.untuned
    )


def test_tensorboard_reads_the_logs(undisturbed: Undisturbed) -> None:
    result, _ = undisturbed
    logs = EventAccumulator(str(result.out / LOGS_FOLDER), size_guidance={"tensors": 0})
    logs.Reload()
    tags = logs.Tags()["tensors"]

    def values(tag: str) -> list[np.ndarray]:
        return [tf.make_ndarray(event.tensor_proto) for event in logs.Tensors(tag)]

    assert [event.step for event in logs.Tensors("f1/macro")] == [1, 2, 3, 4]
    assert all(0 < value < 60 for value in values("time/seconds_per_step"))
    assert all(0 < value < 1 for value in values("time/input_share"))
    assert logs.Tags()["graph"]
    started = logs.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = HParamsPluginData.FromString(started).session_start_info
    assert told.group_name == f"{result.out.name} in {result.out.parent.resolve()}"
    assert told.hparams["model.conv_filters"].string_value == str(list(CONFIG.model.conv_filters))
    assert told.hparams["train.learning_rate"].number_value == CONFIG.train.learning_rate
    for tag, name in (
        ("loss/train", "loss"),
        ("loss/validation", "val_loss"),
        ("f1/macro", "val_macro_f1"),
        ("f1/micro", "val_micro_f1"),
        ("learning_rate", "learning_rate"),
    ):
        np.testing.assert_allclose(values(tag), [row[name] for row in result.history], rtol=1e-6)
    kept = result.history[result.best_epoch - 1]
    columns = dict(zip(summaries.METRICS, ("val_macro_f1", "val_micro_f1", "val_loss"), strict=True))
    for tag, name in columns.items():
        assert values(tag)[-1] == pytest.approx(kept[name], rel=1e-6), "the HParams page shows the model that is kept"
    assert sorted(tag for tag in tags if tag.startswith("f1_per_class/")) == [
        "f1_per_class/Drums",
        "f1_per_class/Piano",
        "f1_per_class/Strings",
    ]
    assert [event.step for event in logs.Tensors("validation_song")] == [2, 4]
    width, height, png = values("validation_song")[0]
    assert tf.io.decode_png(png).shape == (int(height), int(width), 3)

    curve = values("precision_recall/Drums")[-1]
    assert curve.shape[0] == 6
    metadata = logs.SummaryMetadata("precision_recall/Drums")
    assert metadata.plugin_data.plugin_name == "pr_curves"
    hits, alarms, rejections, misses, precision, recall = curve
    np.testing.assert_array_equal(hits + alarms + rejections + misses, 95)
    np.testing.assert_allclose(recall, hits / (hits + misses))
    np.testing.assert_allclose(precision, hits / np.maximum(hits + alarms, 1))
    assert recall[0] == 1


def test_thresholds_are_drawn_together_where_that_is_asked_for(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path, CNN.merge({"train": {"epochs": 1, "threshold_shrinkage": 1.0}}))
    loaded = bundle.load(tmp_path)
    tuned = [value for name, value in zip(loaded.classes, loaded.thresholds, strict=True) if name not in loaded.untuned]
    assert len(tuned) == 3
    assert len(set(tuned)) == 1
    assert tuned[0] != 0.5


def test_a_resumed_run_equals_an_undisturbed_one(data: Path, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Stopped within epoch 3 of 3, it resumes after epoch 2 and goes on to epoch 4."""

    def on_step(*_: Any) -> None:
        nonlocal steps_done
        steps_done += 1
        if steps_done == 8:
            raise Killed

    steps_done = 0
    with pytest.raises(Killed):
        fit(data, tmp_path, CONFIG.merge({"train": {"epochs": 3}}), on_step=on_step)
    assert len(read_history(tmp_path)) == 2
    resumed = []
    result = fit(data, tmp_path, CONFIG, on_epoch=lambda epoch, row: resumed.append(epoch))
    assert resumed == [3, 4]
    assert without_seconds(result.history) == without_seconds(undisturbed[0].history)
    assert_same_run(tmp_path, undisturbed[0].out)


def test_a_bundle_that_was_not_written_any_more_is_made_up_for(data: Path, tmp_path: Path) -> None:
    config = CNN.merge({"train": {"epochs": 1}})
    first = fit(data, tmp_path, config)
    (tmp_path / BUNDLE_FILE).unlink()
    assert fit(data, tmp_path, config) == dataclasses.replace(first, epochs_trained=0, baseline=None)
    assert bundle.load(tmp_path).info == first.history[0]
    # Written again it would have another digest, and runs that start from it could not resume.
    digest = bundle.describe(tmp_path).model_sha256
    assert fit(data, tmp_path, config) == dataclasses.replace(first, epochs_trained=0, baseline=None)
    assert bundle.describe(tmp_path).model_sha256 == digest


def test_a_finished_run_is_not_trained_further(data: Path, undisturbed: Undisturbed) -> None:
    result, _ = undisturbed

    def on_step(*_: Any) -> None:
        raise AssertionError("trained further")

    assert result.epochs_trained == 4
    assert fit(data, result.out, CONFIG, on_step=on_step) == dataclasses.replace(
        result, epochs_trained=0, baseline=None
    )


def test_another_configuration_or_data_set_is_refused_by_name(
    data: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    out = undisturbed[0].out
    other = CONFIG.merge({"train": {"batch_size": 2, "epochs": 9}, "model": {"gru_units": 8}})
    with pytest.raises(TrainingError) as caught:
        fit(data, out, other)
    message = str(caught.value)
    assert "train.batch_size: 4 there, 2 now" in message
    assert "model.gru_units: 4 there, 8 now" in message
    assert "epochs" not in message
    write_data(tmp_path, {**SPLITS, "validation": [[36, 60]]})
    with pytest.raises(TrainingError, match="data: another manifest"):
        fit(tmp_path, out, CONFIG)


def test_a_setting_younger_than_the_checkpoint_had_its_default(
    data: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed[0].out, tmp_path / "run")
    path = tmp_path / "run" / CHECKPOINT_FILE
    with np.load(path) as content:
        arrays = dict(content)
    state = json.loads(arrays["state"].tobytes())
    del state["config"]["train"]["boundary_weight"]
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez(path, **arrays)
    assert fit(data, tmp_path / "run", CONFIG).epochs_trained == 0
    with pytest.raises(TrainingError, match=r"train\.boundary_weight: 1\.0 there, 0\.5 now"):
        fit(data, tmp_path / "run", CONFIG.merge({"train": {"boundary_weight": 0.5}}))


@pytest.mark.parametrize("content", [b"", b"not a zip"])
def test_a_damaged_checkpoint_is_named(data: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.npz: damaged .*delete"):
        fit(data, tmp_path, CONFIG)


def test_divergence_says_where_and_what_to_do(data: Path, tmp_path: Path) -> None:
    config = CNN.merge({"train": {"learning_rate": 1e30}})
    with pytest.raises(TrainingError, match=r"step \d of epoch 1: training diverged.*learning_rate below 1e\+30"):
        fit(data, tmp_path, config)


def test_no_memory_says_what_to_do(data: Path, tmp_path: Path) -> None:
    def on_step(*_: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(TrainingError, match="out of memory: 4 crops of 2 s do not fit; use a smaller batch_size"):
        fit(data, tmp_path, CNN, on_step=on_step)


def test_a_resumed_run_checks_its_shards_again_and_shows_how_far_it_is(tmp_path: Path) -> None:
    """A validation shard of another build, whose records are whole, is found before an epoch is trained."""
    data, out = tmp_path / "data", tmp_path / "run"
    manifest = write_data(data, SPLITS)
    checked: list[tuple[int, int]] = []
    fit(data, out, CNN.merge({"train": {"epochs": 1}}), on_check=lambda *done: checked.append(done))
    shards = [shard for name in ("train", "validation") for shard in manifest.splits[name].shards]
    total = sum(shard.num_bytes for shard in shards)
    assert len(checked) == len(shards)
    assert checked[-1] == (total, total)
    write_split(data, "validation", [[make_record("other", 55)] for _ in manifest.splits["validation"].shards])
    steps: list[int] = []
    with pytest.raises(DataError, match=rf"{manifest.splits['validation'].shards[0].name}: damaged: .*the manifest"):
        fit(data, out, CNN.merge({"train": {"epochs": 2}}), on_step=lambda *_: steps.append(1))
    assert not steps


def test_an_epoch_on_a_shard_that_was_replaced_is_not_kept(tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", SPLITS)
    shard = tmp_path / "data" / manifest.splits["train"].shards[0].name
    steps: list[int] = []

    def on_step(number: int, in_epoch: int, loss: float) -> None:
        steps.append(number)
        if len(steps) == in_epoch + 1:  # in the second epoch
            content = bytearray(shard.read_bytes())
            content[-1] ^= 1
            write_bytes(shard, bytes(content))

    with pytest.raises(DataError, match=rf"{shard.name}: damaged"):
        fit(tmp_path / "data", tmp_path / "run", CNN, on_step=on_step)
    assert len(read_history(tmp_path / "run")) == 1


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", SPLITS)
    path = tmp_path / "data" / manifest.splits["train"].shards[1].name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=rf"{path.name}: damaged"):
        fit(tmp_path / "data", tmp_path / "run", CNN)


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_both_splits_are_needed(tmp_path: Path, missing: str) -> None:
    write_data(tmp_path / "data", {name: shards for name, shards in SPLITS.items() if name != missing})
    with pytest.raises(DataError, match=f"no track in split '{missing}'.*build the data set from more songs"):
        fit(tmp_path / "data", tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()


def test_something_must_sound(tmp_path: Path) -> None:
    write_data(tmp_path / "data", {**SPLITS, "validation": [[0]]})
    with pytest.raises(DataError, match="no class of the vocabulary 'family' ever sounds in split 'validation'"):
        fit(tmp_path / "data", tmp_path / "run", CONFIG)


def test_an_unknown_vocabulary_and_another_front_end_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vocabulary is 'birds'; it must be family or slakh or program"):
        fit(data, tmp_path, CONFIG.merge({"train": {"vocabulary": "birds"}}))
    with pytest.raises(DataError, match="n_mels: 8 here, 16 there"):
        fit(data, tmp_path, CONFIG.merge({"front_end": {"n_mels": 16}}))


def test_mixed_precision_keeps_the_ends_in_float32(data: Path, tmp_path: Path) -> None:
    policy = keras.config.dtype_policy()
    fit(data, tmp_path, CNN.merge({"train": {"mixed_precision": True, "epochs": 1}}))
    assert keras.config.dtype_policy() == policy
    model = bundle.load(tmp_path).model
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert model(np.zeros((1, 40, 8), np.float32)).dtype == tf.float32


def test_random_state_is_a_function_of_seed_and_epoch() -> None:
    model = build_model(CONFIG.model, FRONT_END, 17)
    generators = {
        id(layer.seed_generator): layer.seed_generator
        for layer in model._flatten_layers()
        if hasattr(layer, "seed_generator")
    }.values()

    def states(seed: int, epoch: int) -> list[tuple[int, ...]]:
        step.reset_random_state(model, seed, epoch, distribution.start())
        return [tuple(generator.state.numpy()) for generator in generators]

    first = states(3, 1)
    assert len(set(first)) == len(generators) >= 3, "each has its own, and none is missed"
    keras.ops.shape(model(np.zeros((1, 40, 8), np.float32), training=True))
    assert [tuple(generator.state.numpy()) for generator in generators] != first
    assert states(3, 1) == first
    assert not set(states(3, 2)) & set(first)
    assert not set(states(4, 1)) & set(first)


class TestSchedule:
    config = TrainConfig(plateau_patience=2, early_stopping_patience=5, plateau_factor=0.5)

    def run(self, scores: list[float]) -> tuple[Schedule, list[float], list[bool]]:
        schedule = Schedule(1.0)
        rates, rises = [], []
        for epoch, score in enumerate(scores, 1):
            rises.append(schedule.step(epoch, score, self.config))
            rates.append(schedule.learning_rate)
        return schedule, rates, rises

    def test_the_rate_falls_after_more_than_patience_epochs_without_a_rise(self) -> None:
        _, rates, _ = self.run([0.5, 0.5, 0.4, 0.5, 0.4, 0.4, 0.4])
        assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]

    def test_a_rise_begins_anew(self) -> None:
        schedule, rates, rises = self.run([0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1])
        assert rates == [1, 1, 1, 1, 1, 1, 0.5]
        assert rises == [True, False, False, True, False, False, False]
        assert (schedule.best, schedule.best_epoch) == (0.2, 4)

    def test_a_rise_is_more_than_a_ten_thousandth(self) -> None:
        _, _, rises = self.run([0.5, 0.50004, 0.50006])
        assert rises == [True, False, True]

    def test_zero_is_better_than_nothing(self) -> None:
        assert self.run([0.0])[0].best_epoch == 1

    def test_training_ends_after_patience(self) -> None:
        assert not self.run([0.5] * 5)[0].is_over(self.config)
        assert self.run([0.5] * 6)[0].is_over(self.config)


def test_stops_early(data: Path, tmp_path: Path) -> None:
    config = CNN.merge({"train": {"early_stopping_patience": 1, "epochs": 30, "learning_rate": 1e-9}})
    result = fit(data, tmp_path, config)
    assert result.stopped_early
    assert len(result.history) < 30
    assert result.best_epoch == len(result.history) - 1


@pytest.mark.slow
def test_a_process_killed_and_run_again_equals_an_undisturbed_one(
    data: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """SIGKILL within epoch 3: nothing is closed, flushed or cleaned up."""
    script = """
import os, signal, sys
from helpers.tiny_data import CONFIG
from mir_tf.training.loop import fit
steps_done = 0
def on_step(*_):
    global steps_done
    steps_done += 1
    if steps_done == 8 and sys.argv[3:] == ["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
fit(sys.argv[1], sys.argv[2], CONFIG, on_step=on_step)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]) + os.pathsep + os.environ.get("PYTHONPATH", ""),
    }
    command = [sys.executable, "-c", script, str(data), str(tmp_path / "run")]
    assert subprocess.run([*command, "kill"], env=environment).returncode == -9
    assert len(read_history(tmp_path / "run")) == 2
    subprocess.run(command, env=environment, check=True)
    assert_same_run(tmp_path / "run", undisturbed[0].out)
