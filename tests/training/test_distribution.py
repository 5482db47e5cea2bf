"""Training on several devices: the single device's loss curve, the same weights everywhere, and clear errors."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_data import write_data
from helpers.workers import clusters

from mir_tf import bundle
from mir_tf.bundle.history import CHECKPOINT_FILE, HISTORY_FILE
from mir_tf.errors import ConfigError
from mir_tf.training import distribution

SCRIPT = """
import os, signal, sys
import numpy as np
import tensorflow as tf
from helpers.tiny_data import CONFIG
from mir_tf.training import loop

data, out, strategy, devices, kill_at, masks = sys.argv[1:]
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(devices))
plain = {"freq_masks": 0, "time_masks": 0, "conv_dropout": 0.0, "head_dropout": 0.0}
config = CONFIG.merge({"model": {"architecture": "cnn", **({} if masks == "masks" else plain)}})
steps_done = 0

def on_step(*_):
    global steps_done
    steps_done += 1
    if steps_done == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)

class Run(loop._Run):
    def train(self, profile):
        super().train(profile)
        for number, copy in enumerate(zip(*map(self.copies, self.variables))):
            np.savez(f"{out}-{self.setup.distribution.worker}-{number}.npz", *copy)

    def copies(self, variable):
        return [copy.numpy() for copy in self.setup.distribution.strategy.experimental_local_results(variable.value)]

loop._Run = Run
loop.fit(data, out, config, on_step=on_step, strategy=strategy or None)
"""
"""Trains, and writes the variables of every replica next to the run."""


def start(
    data: Path,
    out: Path,
    strategy: str = "",
    devices: int = 1,
    kill_at: int = -1,
    masks: str = "",
    cluster: str = "",
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    environment.pop("TF_CONFIG", None)
    if cluster:
        environment["TF_CONFIG"] = cluster
    words = [str(word) for word in (data, out, strategy, devices, kill_at, masks)]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *words], env=environment, stderr=subprocess.PIPE, text=True)


def end(*processes: subprocess.Popen[str], statuses: tuple[int, ...] = (0,)) -> None:
    """Wait for all; each must exit with one of the statuses, and at least one with the first."""
    for process in processes:
        try:
            _, errors = process.communicate(timeout=900)
        finally:
            process.kill()
        assert process.returncode in statuses, errors
    assert statuses[0] in [process.returncode for process in processes]


def start_workers(data: Path, out: Path, other_data: Path | None = None, **options: Any) -> list[subprocess.Popen[str]]:
    """Start two processes on this machine; the second one may read other data."""
    return [
        start(folder, out, "multiworker", cluster=cluster, **options)
        for folder, cluster in zip((data, other_data or data), clusters(2), strict=True)
    ]


def losses(out: Path) -> np.ndarray:
    return np.loadtxt(out / HISTORY_FILE, delimiter=",", skiprows=1)[:, 1]


def variables(path: Path) -> list[np.ndarray]:
    with np.load(path) as content:
        return [content[name] for name in content.files]


def assert_same_confidence(out: Path, other: Path) -> None:
    """Check that the confidence comes from the validation tracks of all workers, not from those of one."""
    mine, theirs = bundle.describe(out).confidence, bundle.describe(other).confidence
    assert mine is not None
    assert theirs is not None
    np.testing.assert_allclose(mine.weights, theirs.weights, atol=0.01)  # devices round differently
    assert mine.cut == pytest.approx(theirs.cut, abs=0.01)


def assert_replicas_agree(out: Path, replicas: int) -> None:
    """Check that all replicas have the same variables: those of the checkpoint."""
    files = sorted(out.parent.glob(f"{out.name}-*.npz"))
    assert len(files) == replicas
    with np.load(out / CHECKPOINT_FILE) as content:
        expected = [content[str(index)] for index in range(len(content.files) - 1)]
    for path in files:
        for mine, theirs in zip(variables(path), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]]})
    return folder


@pytest.fixture(scope="module")
def single(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of one device without masks."""
    out = tmp_path_factory.mktemp("single") / "run"
    end(start(data, out))
    return out


@pytest.mark.slow
def test_two_devices_learn_like_one(data: Path, single: Path, tmp_path: Path) -> None:
    end(start(data, tmp_path / "run", "mirrored", devices=2))
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(single), rtol=1e-5)
    assert_same_confidence(tmp_path / "run", single)
    assert_replicas_agree(tmp_path / "run", 2)


@pytest.mark.slow
def test_two_processes_learn_like_one(data: Path, single: Path, tmp_path: Path) -> None:
    end(*start_workers(data, tmp_path / "run"))
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(single), rtol=1e-5)
    assert_same_confidence(tmp_path / "run", single)
    assert_replicas_agree(tmp_path / "run", 2)


@pytest.mark.slow
def test_killed_workers_go_on_where_they_were(data: Path, tmp_path: Path) -> None:
    """With masks and dropout: the resumed run draws what the undisturbed one draws."""
    end(*start_workers(data, tmp_path / "undisturbed", masks="masks"))
    # Both are killed after the same step. The later one may have noticed the loss of the other one before, and failed.
    end(*start_workers(data, tmp_path / "run", masks="masks", kill_at=8), statuses=(-9, 1))
    assert len(losses(tmp_path / "run")) == 2
    end(*start_workers(data, tmp_path / "run", masks="masks"))
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(tmp_path / "undisturbed"), rtol=1e-6)
    assert_same_confidence(tmp_path / "run", tmp_path / "undisturbed")
    assert_replicas_agree(tmp_path / "run", 2)


@pytest.mark.slow
def test_workers_on_different_data_are_refused(data: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "other", {"train": [[30, 50, 15]], "validation": [[35]]})
    processes = start_workers(data, tmp_path / "run", other_data=tmp_path / "other")
    for process in processes:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 1
        assert "worker 1 does not see the same as worker 0" in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": [5]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=r"TF_CONFIG.*\"cluster\": .*\"index\": 0"):
        distribution.start("multiworker")


def test_a_task_outside_the_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ConfigError, match="which of them this is"):
        distribution.start("multiworker")


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="strategy is 'magic'; it must be mirrored or multiworker"):
        distribution.start("magic")


def test_one_device_needs_no_others() -> None:
    alone = distribution.start()
    assert (alone.replicas, alone.is_chief) == (1, True)
    np.testing.assert_array_equal(alone.gather(np.array([2.0, 3.0])), [[2, 3]])
