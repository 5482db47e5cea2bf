"""A build on Dask gives the bytes of a local one although a worker is killed, and names what a cluster lacks."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run_builder
from helpers.slakh_tree import write_track

from tfrecords_builder import resume

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None or importlib.util.find_spec("apache_beam") is None,
        reason="Beam or Dask is not installed: pip install 'mir-tf[dask]'",
    ),
]

TRACKS = 16


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Cluster:
    """A scheduler on loopback and its workers, each a process."""

    def __init__(self, folder: Path, processes: contextlib.ExitStack) -> None:
        self._folder, self._processes = folder, processes
        self._file = folder / "scheduler.json"
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        wait_for(self._file.exists)

    def start(self, role: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a process of Dask that ends with the test."""
        command = [sys.executable, "-m", "dask", role, "--scheduler-file", str(self._file), *words]
        process = subprocess.Popen(
            command,
            cwd=self._folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny, which would start it again."""
        return self.start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", **environment)

    def client(self) -> Any:
        import distributed

        return distributed.Client(scheduler_file=str(self._file))

    def build(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a build on the cluster."""
        beam = ("--runner", "beam", "--", "--runner=DaskRunner", f"--dask_scheduler_file={self._file}")
        return builder(*words, *beam)


def builder(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tfrecords_builder", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    with contextlib.ExitStack() as processes:
        yield Cluster(folder, processes)


def parts(out: Path) -> int:
    return len(list((out / resume.UNFINISHED / resume.PARTS).glob("*.json")))


def write_tree(root: Path) -> Path:
    """Write good tracks and a damaged one."""
    for number in range(TRACKS):
        split = ("train", "validation", "test")[number % 3]
        write_track(root / split / f"Track{number:05d}", seconds=20 + number % 3, seed=number)
    (write_track(root / "train" / "Track00100") / "mix.flac").write_bytes(b"fLaC")
    return root


def test_a_build_survives_the_kill_of_a_worker(tmp_path: Path, cluster: Cluster) -> None:
    tree, out = write_tree(tmp_path / "tree"), tmp_path / "data"
    local = run_builder("--slakh", tree, "--out", out, "--workers", 1)
    assert local.exit_code == 1
    out.rename(tmp_path / "local")
    victim, _ = cluster.worker(), cluster.worker()
    build = cluster.build("--slakh", tree, "--out", out)
    with cluster.client() as client:  # both have work, which is dealt out track by track
        wait_for(lambda: len(client.processing()) == 2 and all(client.processing().values()))
    wait_for(lambda: parts(out) >= 3)
    victim.send_signal(signal.SIGKILL)
    reached = parts(out)
    stdout, stderr = build.communicate(timeout=300)
    assert reached < TRACKS
    assert (build.returncode, stdout) == (1, local.stdout), stderr
    assert "skipped: Track00100: " in stdout
    assert contents(out) == contents(tmp_path / "local")


def test_ctrl_c_and_a_lost_cluster_are_taken_up_by_the_same_command(tmp_path: Path, cluster: Cluster) -> None:
    tree, out = write_tree(tmp_path / "tree"), tmp_path / "data"
    worker = cluster.worker()
    build = cluster.build("--slakh", tree, "--out", out)
    wait_for(lambda: parts(out) >= 2)
    build.send_signal(signal.SIGINT)
    _, stderr = build.communicate(timeout=60)
    assert build.returncode == 130, stderr
    assert "run the same command again to continue" in stderr
    worker.kill()
    build = cluster.build("--slakh", tree, "--out", out)
    _, stderr = build.communicate(timeout=200)
    assert build.returncode == 1, stderr
    assert "this scheduler has no worker; start some: dask worker tcp://127.0.0.1" in " ".join(stderr.split())
    assert "run the same command again to continue" in stderr
    assert "Traceback" not in stderr
    cluster.worker()
    stdout, stderr = cluster.build("--slakh", tree, "--out", out, "--skip-bad").communicate(timeout=300)
    assert "tracks were finished by an interrupted build" in stdout, stderr


def test_workers_render(tmp_path: Path, cluster: Cluster) -> None:
    assert run_builder("--demo", 4, "--out", tmp_path / "local", "--workers", 1).exit_code == 0
    cluster.worker()
    _, stderr = (build := cluster.build("--demo", "4", "--out", tmp_path / "data")).communicate(timeout=200)
    assert build.returncode == 0, stderr
    assert contents(tmp_path / "data") == contents(tmp_path / "local")


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["--runner=DaskRunner"], 1),
        (["--runner", "dask"], 1),
        (["--runner=apache_beam.runners.dask.dask_runner.DaskRunner"], 1),
        (["--runner", "DaskRunner", "--dask_partition_size", "4"], 4),
        (["--runner=DaskRunner", "--dask_npartitions=2"], None),
    ],
)
def test_the_runner_may_be_named_in_several_ways(words: list[str], size: int | None) -> None:
    from apache_beam.runners.dask.dask_runner import DaskOptions

    from tfrecords_builder import beam

    pipeline = beam._pipeline(words)
    assert type(pipeline.runner).__name__ == "DaskRunner"
    assert pipeline.options.view_as(DaskOptions).partition_size == size


def test_a_wrong_address_is_a_clear_error(tmp_path: Path) -> None:
    write_track(tmp_path / "tree" / "train" / "Track00001")
    nobody = ("--runner=DaskRunner", "--dask_client_address=tcp://127.0.0.1:1", "--dask_connection_timeout=2")
    build = builder("--slakh", tmp_path / "tree", "--out", tmp_path / "data", "--runner", "beam", "--", *nobody)
    _, stderr = build.communicate(timeout=100)
    assert build.returncode == 1
    assert "tcp://127.0.0.1:1" in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert not (tmp_path / "data").exists()
