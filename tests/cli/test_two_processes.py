"""Every command that writes a folder is refused while another process writes it; those that read are not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.commands import failed, run, run_builder
from helpers.experiments import write_plan
from helpers.recordings import write_song
from helpers.slakh_tree import write_track
from helpers.tiny_data import CONFIG, write_data
from helpers.tiny_runs import SPLITS

from mir_tf.io import locks

HOLD = """
import sys, time
from pathlib import Path
from mir_tf.io import locks
with locks.exclusive(Path(sys.argv[1])), locks.exclusive(Path(sys.argv[1]), "songs.csv"), \\
        locks.exclusive(Path(sys.argv[1]), "widths"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, exported_cnn: Path) -> Iterator[Path]:
    """Write a data set, a run, a song and a plan, and let another process write the folder ``held``."""
    folder = tmp_path_factory.mktemp("world")
    write_data(folder / "data", {**SPLITS, "test": [[40]]})
    (folder / "run").symlink_to(exported_cnn / "run")
    (folder / "model.tflite").symlink_to(exported_cnn / "model.float32.tflite")
    write_song(folder / "song.wav")
    write_track(folder / "tree" / "train" / "Track00001")
    sections = {name: fields for name, fields in CONFIG.to_dict().items() if name != "front_end"}
    (folder / "settings.yaml").write_text(yaml.safe_dump(sections))
    write_plan(folder)
    command = [sys.executable, "-c", HOLD, str(folder / "held")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (folder / "pid").write_text(str(holder.pid))
        yield folder
        holder.kill()


@pytest.mark.parametrize(
    "words",
    [
        "fit --data data --config settings.yaml --out held",
        "tune --data data --out held",
        "compare widths.yaml --data data --out held",
        "evaluate run --data data --out held",
        "report run --data data --out held",
        "inspect data --report --out held --picture data.png",
        "export run --out held",
        "predict model.tflite song.wav --table held/songs.csv",
    ],
)
def test_a_second_writer_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.chdir(world)
    before = sorted((world / "held").iterdir())
    message = failed(1, *words.split())
    assert "another process is writing here: " in message
    assert f"process {(world / 'pid').read_text()} on " in message
    assert sorted((world / "held").iterdir()) == before


def test_a_second_builder_is_refused(world: Path) -> None:
    for option in (("--out", world / "held"), ("--out", world / "new", "--demo", 1, "--keep-audio", world / "held")):
        source = () if "--demo" in option else ("--slakh", world / "tree")
        result = run_builder(*source, *option)
        assert result.exit_code == 1
        assert f"{world / 'held'}: another process is writing here: " in " ".join(result.stderr.split())
    assert not (world / "new").exists()


def test_readers_are_not_refused(world: Path, tmp_path: Path) -> None:
    """A run in training and a data set that is inspected are locked, too."""
    command = [sys.executable, "-c", HOLD, str((world / "run").resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            for words in (
                ("predict", world / "run", world / "song.wav", "--out", tmp_path),
                ("evaluate", world / "run", "--data", world / "data", "--out", tmp_path),
            ):
                result = run(*words)
                assert result.exit_code == 0, result.stderr
        finally:
            holder.kill()
            holder.wait()
            for path in (world / "run").iterdir():
                if locks.is_lock(path):
                    path.unlink()


def test_several_predictions_may_write_into_one_folder(world: Path) -> None:
    result = run("predict", world / "model.tflite", world / "song.wav", "--out", world / "held", "--format", "json,csv")
    assert result.exit_code == 0, result.stderr
    for name in ("song.wav.json", "song.wav.csv"):
        (world / "held" / name).unlink()
