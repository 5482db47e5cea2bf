"""The builder as an Apache Beam pipeline gives the bytes of a local run, despite damage, repeated work and kills."""

import functools
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import run_builder
from helpers.slakh_tree import write_track

import tfrecords_builder
from mir_tf.config import FRONT_ENDS
from tfrecords_builder import processes, resume
from tfrecords_builder.processes import Failure
from tfrecords_builder.records import writer
from tfrecords_builder.records.make import RecordConfig
from tfrecords_builder.slakh.tree import find_tracks

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="Apache Beam is not installed: pip install 'mir-tf[beam]'"
)

PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def write_tree(root: Path, tracks: int = 4) -> Path:
    """Write good tracks and two damaged ones."""
    for number in range(tracks):
        split = ("train", "validation", "test")[number % 3]
        write_track(root / split / f"Track{number:05d}", seconds=1.5 + number % 3, seed=number)
    (write_track(root / "train" / "Track00100") / "mix.flac").write_bytes(b"fLaC")
    (write_track(root / "test" / "Track00101") / "MIDI" / "S01.mid").write_bytes(b"MThd")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def on_beam(*arguments: str | Path) -> list[str]:
    """Return a separate command, because TensorFlow must not have started threads before Beam in one process."""
    return [
        sys.executable,
        "-m",
        "tfrecords_builder",
        *map(str, arguments[:4]),
        "--runner",
        "beam",
        "--",
        *arguments[4:],
    ]


@needs_beam
@pytest.mark.parametrize(
    "options", [(), pytest.param(PROCESSES, marks=pytest.mark.slow)], ids=["in_memory", "multi_processing"]
)
def test_beam_gives_the_bytes_of_a_local_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    tree = write_tree(tmp_path / "tree")
    local = run_builder("--slakh", tree, "--out", tmp_path / "data", "--workers", 1)
    (tmp_path / "data").rename(tmp_path / "local")
    command = on_beam("--slakh", tree, "--out", tmp_path / "data", *options)
    beam = subprocess.run(command, capture_output=True, text=True)
    assert beam.returncode == local.exit_code == 1, beam.stderr
    assert beam.stdout == local.stdout
    assert "skipped: Track00100: " in beam.stdout
    assert "skipped: Track00101: " in beam.stdout
    assert contents(tmp_path / "data") == contents(tmp_path / "local")
    assert "manifest.json" in contents(tmp_path / "local")


def parts(out: Path) -> int:
    return len(list((out / resume.UNFINISHED / resume.PARTS).glob("*.json")))


@needs_beam
@pytest.mark.slow
def test_killed_pipelines_are_taken_up_by_either_runner(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", tracks=24)
    out = tmp_path / "data"
    command = on_beam("--slakh", tree, "--out", out, *PROCESSES)
    reached = 0
    for _ in range(2):
        with subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as build:
            while build.poll() is None and parts(out) <= reached:
                time.sleep(0.02)
            os.killpg(build.pid, signal.SIGKILL)
        assert reached < parts(out) < 24
        reached = parts(out)
        assert not (out / "manifest.json").exists()
    local = run_builder("--slakh", tree, "--out", out, "--workers", 1, "--skip-bad")
    assert local.exit_code == 0, local.output
    assert f"resumed: {reached} tracks were finished" in local.stdout
    resumed = contents(out)
    out.rename(tmp_path / "taken up")
    beam = subprocess.run(command, capture_output=True, text=True)
    assert beam.returncode == 1, beam.stderr
    assert contents(out) == resumed


@needs_beam
def test_a_track_may_be_worked_on_twice_at_one_time(tmp_path: Path) -> None:
    from tfrecords_builder import beam

    tree = write_tree(tmp_path / "tree", tracks=1)
    tracks, _ = find_tracks(tree)
    folder = tmp_path / "parts"
    in_use = ".unfinished-Track00000.tfrecord"
    (folder / in_use).mkdir(parents=True)  # as another attempt would have it, if it shared this one's folder
    config = RecordConfig(FRONT_ENDS["default"])
    with processes.pool(1) as pool:
        work = functools.partial(beam.build_part, roots=(tree,), folder=folder, config=config, expected=beam.versions())
        assert {result for _, result in pool.results(work, 2 * tracks)} == {None}
        unseen = functools.partial(work, folder=tmp_path / "absent" / "parts")
        ((_, blind),) = pool.results(unseen, tracks[:1])
        ((_, stale),) = pool.results(functools.partial(work, expected="mir-tf 0"), tracks[:1])
    assert sorted(path.name for path in folder.iterdir()) == [
        in_use,
        "Track00000.json",
        "Track00000.tfrecord",
        "Track00100.bad",
        "Track00101.bad",
    ]
    assert writer.find_part(folder, tracks[0]) is not None
    assert isinstance(blind, Failure)
    assert f"{tmp_path / 'absent'}: a worker cannot access it" in blind.reason
    assert isinstance(stale, Failure)
    assert "the starting machine mir-tf 0: their records would differ" in stale.reason


@needs_beam
def test_a_runner_that_fails_is_a_clear_error(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", tracks=1)
    nobody = ("--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1")
    command = on_beam("--slakh", tree, "--out", tmp_path / "data", *nobody)
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Error: the Beam pipeline failed: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "data").exists()


@needs_beam
@pytest.mark.parametrize(
    ("option", "message"),
    [("--runner=NoRunner", "Unexpected pipeline runner: NoRunner"), ("--direct_num_workers=many", "invalid int value")],
)
def test_wrong_options_of_beam_have_exit_status_2(tmp_path: Path, option: str, message: str) -> None:
    tree = write_tree(tmp_path / "tree", tracks=1)
    command = on_beam("--slakh", tree, "--out", tmp_path / "data", option)
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--slakh", "{here}", "--", "--runner=FlinkRunner"],
            "--runner=FlinkRunner: arguments after the options are for",
        ),
        (["--slakh", "{file}", "--runner", "beam"], "--runner beam cannot read an archive"),
        (["--slakh", ".", "--runner", "beam"], "--slakh .: must be absolute, because workers run elsewhere"),
        (
            ["--demo", "3", "--keep-audio", "audio", "--runner", "beam"],
            "--keep-audio audio: must be absolute",
        ),
        (["--midi", ".", "--soundfont", "{file}", "--runner", "beam"], "--midi .: must be absolute"),
        (["--slakh", "{here}", "--runner", "beam", "--dry-run"], "--dry-run has no --runner"),
        (["--slakh", "{here}", "--runner", "beam", "--workers", "2"], "--workers does not apply to --runner beam"),
        (["--slakh", "{here}", "--runner", "flink"], "'flink' is not one of"),
    ],
)
def test_wrong_usage_has_exit_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    places = {"here": tmp_path, "file": __file__}
    result = run_builder("--out", tmp_path / "data", *(word.format(**places) for word in arguments))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "data").exists()


def test_without_dask_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apache_beam")
    for name in [name for name in sys.modules if name.startswith("apache_beam.runners.dask")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("dask", "dask.distributed", "dask.bag"):
        monkeypatch.setitem(sys.modules, name, None)
    words = ("--runner", "beam", "--", "--runner=DaskRunner")
    result = run_builder("--demo", 3, "--out", tmp_path / "data", *words)
    assert result.exit_code == 2, result.stderr
    assert "pip install 'mir-tf[dask]'" in result.stderr
    assert not (tmp_path / "data").exists()


def test_without_beam_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "tfrecords_builder.beam", raising=False)
    monkeypatch.delattr(tfrecords_builder, "beam", raising=False)
    result = run_builder("--demo", 3, "--out", tmp_path / "data", "--runner", "beam")
    assert result.exit_code == 2
    assert "Apache Beam is not installed; pip install 'mir-tf[beam]'" in result.stderr
    assert not (tmp_path / "data").exists()
