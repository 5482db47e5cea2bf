"""Searches: their trials, and how they survive a failure, an interruption and a second start."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml
from helpers.commands import run
from helpers.experiments import SECTIONS
from helpers.tiny_data import FRONT_END, write_data
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mir_tf.bundle.history import HISTORY_FILE, LOGS_FOLDER
from mir_tf.config import RunConfig, read_yaml
from mir_tf.errors import ConfigError, DataError, TrainingError
from mir_tf.experiments import tune
from mir_tf.experiments.search_space import SearchSpace
from mir_tf.experiments.tune import search
from mir_tf.training import loop, summaries


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]]})
    return folder


def test_a_search_tries_reports_and_leaves_what_fit_takes(data: Path, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SECTIONS))
    words = ["tune", "--data", data, "--out", tmp_path / "out", "--trials", 2, "--epochs", 1]
    words += ["--space", tmp_path / "space.yaml"]
    result = run(*words, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert result.output.count("epoch 1:") == 2
    assert "2 trials" in result.output
    best = read_yaml(tmp_path / "out" / tune.BEST)
    config = RunConfig(FRONT_END).merge(best)
    assert config.train.batch_size == 4
    assert config.model.conv_filters in ((2,), (4,))
    runs = sorted((tmp_path / "out" / "trials").glob("*/bundle.json"))
    scores = [json.loads(path.read_text())["info"]["val_macro_f1"] for path in runs]
    assert len(scores) == 2
    assert f"{max(scores):.4f}" in (tmp_path / "out" / tune.BEST).read_text().splitlines()[0]

    logs = EventAccumulator(str(runs[0].parent / LOGS_FOLDER))
    logs.Reload()
    assert {"_hparams_/session_start_info", "f1/macro"} <= {*logs.Tags()["tensors"], *logs.summary_metadata}

    again = run(*words, env={"COLUMNS": "160"})
    assert again.exit_code == 0
    assert "epoch 1:" not in again.output
    with pytest.raises(TrainingError, match="contains a different search: seed: 0 there, 1 now"):
        search([data], tmp_path / "out", trials=2, epochs=1, sections=SECTIONS, seed=1)
    for damaged, content in (("search/oracle.json", "{}"), ("search/oracle.json", "{"), (tune.SETTINGS, "null")):
        (tmp_path / "out" / damaged).write_text(content)
        with pytest.raises(TrainingError, match=rf"{damaged.partition('/')[0]} cannot be read"):
            search([data], tmp_path / "out", trials=2, epochs=1, sections=SECTIONS)


@pytest.mark.slow
def test_the_best_trials_data_set_is_that_to_train_on(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_data(other, {"train": [[30, 25]], "validation": [[35]]})
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SECTIONS))
    folders = ["--data", str(data), "--data", str(other)]
    words = ["tune", *folders, "--space", str(tmp_path / "space.yaml"), "--trials", "4", "--epochs", "1"]
    result = run(*words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    said = re.search(r"on the validation split of (\S+),", (tmp_path / "out" / tune.BEST).read_text())
    assert said is not None
    assert said[1] != folders[1], "the first is printed anyway"
    assert f"Next: mir-tf fit --data {said[1]} --config" in " ".join(result.output.split())


def test_the_data_set_is_a_column_of_the_search_where_several_are_given(data: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "other", {"train": [[30, 25]], "validation": [[35]]})
    searched = [data, tmp_path / "other"]
    search(searched, tmp_path / "out", trials=1, epochs=1, sections=SECTIONS)
    logs = EventAccumulator(str(tmp_path / "out" / tune.TRIALS))
    logs.Reload()
    content = logs.summary_metadata["_hparams_/experiment"].plugin_data.content
    columns = HParamsPluginData.FromString(content).experiment.hparam_infos
    expected = [summaries.DATA, "model.conv_filters", "model.conv_dropout", "train.learning_rate"]
    assert sorted(column.name for column in columns) == sorted(expected)
    domain = next(column.domain_discrete for column in columns if column.name == summaries.DATA)
    assert [value.string_value for value in domain.values] == list(map(str, searched))


def test_the_seed_decides_what_is_tried(data: Path, tmp_path: Path) -> None:
    def first_values(folder: str, seed: int) -> dict[str, object]:
        space = SearchSpace.of(SECTIONS)
        drawn = space.hyperparameters([data])
        tried = tune.Search("random", [data], tmp_path / folder, space, drawn, 3, 1, seed)
        return tried.oracle.create_trial("tuner0").hyperparameters.values

    assert first_values("a", 0) == first_values("b", 0)
    assert first_values("a2", 0) != first_values("c", 1)
    for seed in (-1, 2**32 - 1):
        with pytest.raises(ConfigError, match=rf"seed is {seed}; it must be between 0 and"):
            search([data], tmp_path / "out", seed=seed)


def test_a_data_set_that_is_missing_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        search([tmp_path / "missing"], tmp_path / "out", trials=1, epochs=1, sections=SECTIONS)
    assert not (tmp_path / "out").exists()


def test_a_trial_lists_only_the_hyperparameters_of_its_network() -> None:
    cnn = {"model.architecture": "cnn", "model.conv_filters": "[4]"}
    tcn = {"model.architecture": "tcn", "model.temporal_filters": 64}
    results = [tune.TrialResult(str(number), "COMPLETED", 0.5, values, "") for number, values in enumerate((cnn, tcn))]
    assert tune.table(results) == [
        ["trial", "macro F1", "architecture", "conv_filters", "temporal_filters"],
        ["0", "0.5000", "cnn", "[4]", ""],
        ["1", "0.5000", "tcn", "", "64"],
    ]


def test_a_failed_trial_is_marked_and_the_search_goes_on(data: Path, tmp_path: Path) -> None:
    """Four heads do not divide an attention width of 2 × 3 units, nor three heads one of 2 × 4."""
    fixed = {"conv_filters": [2], "conv_dropout": 0.0}
    model = {**SECTIONS["model"], **fixed, "attention_heads": [4, 3], "gru_units": [4, 3], "architecture": "crnn_mha"}
    sections = {**SECTIONS, "model": model, "train": {**SECTIONS["train"], "learning_rate": 0.01}}
    found, is_complete = search([data], tmp_path, trials=4, epochs=1, sections=sections)
    assert is_complete
    results = found.results()
    assert [result.status for result in results] == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]
    for bad in results[2:]:
        assert bad.macro_f1 is None
        assert re.search("attention_heads is [34]; it must be a divisor", bad.message)


def test_a_search_that_was_stopped_goes_on_within_the_trial(data: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def stop(epoch: int, row: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    arguments = {"trials": 1, "epochs": 3, "sections": SECTIONS}
    with pytest.raises(Killed):
        search([data], tmp_path, **arguments, on_epoch=stop)
    epochs: list[int] = []
    found, is_complete = search([data], tmp_path, **arguments, on_epoch=lambda epoch, row: epochs.append(epoch))
    assert is_complete
    assert epochs == [3]
    assert [result.id for result in found.results()] == ["0"]


def test_a_failure_that_is_no_trials_fault_ends_the_search_and_loses_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", full)
        with pytest.raises(OSError, match="No space left on device"):
            search([data], tmp_path, trials=2, epochs=1, sections=SECTIONS)
    found, is_complete = search([data], tmp_path, trials=2, epochs=1, sections=SECTIONS)
    assert is_complete
    assert [result.status for result in found.results()] == ["COMPLETED"] * 2


def test_time_that_is_over_ends_the_search_and_loses_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(tune, "time", types.SimpleNamespace(monotonic=lambda: now))
    arguments = {"trials": 2, "epochs": 2, "sections": SECTIONS}
    epochs: list[int] = []

    def on_epoch(epoch: int, row: dict[str, float]) -> None:
        nonlocal now
        now += 2000.0
        epochs.append(epoch)

    _, is_complete = search([data], tmp_path, **arguments, hours=1 / 3, on_epoch=on_epoch)  # 1200 s
    assert not is_complete
    assert epochs == [1]
    _, is_complete = search([data], tmp_path, **arguments, on_epoch=on_epoch)
    assert is_complete
    assert epochs == [1, 2, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["hyperband", "bayesian"])
def test_other_tuners_search_too(data: Path, tmp_path: Path, tuner: str) -> None:
    found, is_complete = search([data], tmp_path, tuner, trials=5, epochs=3, sections=SECTIONS)
    assert is_complete
    assert [result.status for result in found.results()] == ["COMPLETED"] * 5
    lengths = {len((found.folder(result.id) / HISTORY_FILE).read_text().splitlines()) - 1 for result in found.results()}
    assert lengths == ({1, 3} if tuner == "hyperband" else {3})


@pytest.mark.slow
def test_a_chief_and_two_workers_share_a_search(data: Path, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SECTIONS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-c", "from mir_tf.cli import main; main(prog_name='mir-tf')", "tune", "--data", str(data)]
    words += ["--out", str(tmp_path / "out"), "--trials", "8", "--epochs", "1", "--space", str(tmp_path / "space.yaml")]
    processes = [
        subprocess.Popen(
            words,
            env={
                **os.environ,
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("chief", "worker0", "worker1")
    ]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert "8 trials" in outputs[0]
    trained = [output.count("epoch 1:") for output in outputs]
    assert trained[0] == 0
    assert trained[1] + trained[2] == 8
    assert min(trained[1:]) >= 1
    assert RunConfig(FRONT_END).merge(read_yaml(tmp_path / "out" / tune.BEST))
