"""A build continues with the finished tracks of an interrupted one; killed often, it gives the same result."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import run_builder
from helpers.disks import small_disk
from helpers.slakh_tree import write_midi, write_track

from mir_tf.config import FRONT_ENDS
from mir_tf.errors import DataError
from tfrecords_builder import resume
from tfrecords_builder.synthesis import render
from tfrecords_builder.synthesis.plan import RenderJob
from tfrecords_builder.synthesis.synthesizers import default_soundfont

FRONT_END = FRONT_ENDS["default"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt(out: Path, source: dict[str, object]) -> None:
    """Begin a build, finish a track and stop."""
    with resume.unfinished(out, FRONT_END, source) as folder:
        (folder / resume.PARTS).mkdir()
        (folder / resume.PARTS / "a.json").touch()
        raise OSError("no space")


def interrupted(out: Path, source: dict[str, object]) -> None:
    """Leave an interrupted build with a finished track."""
    with pytest.raises(
        DataError, match=r"^no space\n.* keeps the finished tracks: run the same command again to continue"
    ):
        interrupt(out, source)


@pytest.mark.parametrize("out", ["new/data", "empty"])
def test_a_data_set_may_begin_in_an_empty_folder(tmp_path: Path, out: str) -> None:
    (tmp_path / "empty").mkdir()
    with resume.unfinished(tmp_path / out, FRONT_END, {}) as folder:
        assert folder.parent == tmp_path / out
        (tmp_path / out / "result").touch()
    assert list(contents(tmp_path / out)) == ["result"]


def test_what_is_finished_is_there_again(tmp_path: Path) -> None:
    interrupted(tmp_path, {"seed": 1})
    with resume.unfinished(tmp_path, FRONT_END, {"seed": 1}) as folder:
        assert (folder / resume.PARTS / "a.json").exists()
    assert not list(tmp_path.iterdir())


def test_other_arguments_are_refused_by_name(tmp_path: Path) -> None:
    interrupted(tmp_path, {"seed": 1, "soundfonts": ["a.sf2"]})
    before = contents(tmp_path / resume.UNFINISHED / resume.PARTS)
    other = {"seed": 2, "soundfonts": ["a.sf2"], "stems": True}
    expected = r"\(n_mels: 128 there, 64 here; seed: 1 there, 2 here; stems: None there, True here\)"
    with (
        pytest.raises(DataError, match=rf"interrupted build with other arguments {expected}; give the same"),
        resume.unfinished(tmp_path, FRONT_END.replace(n_mels=64), other),
    ):
        pass
    assert contents(tmp_path / resume.UNFINISHED / resume.PARTS) == before


def test_one_relative_path_in_two_folders_is_two_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    interrupted(tmp_path / "data", {"slakh": "tree"})
    resume.require_free(tmp_path / "data", FRONT_END, {"slakh": "tree"})
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(DataError, match=r"place: '.*a/tree' there, '.*b/tree' here"):
        resume.require_free(tmp_path / "data", FRONT_END, {"slakh": "tree"})


@pytest.mark.parametrize("package", ["tensorflow", "mir-tf"])
def test_another_version_is_refused(tmp_path: Path, package: str) -> None:
    interrupted(tmp_path, {})
    arguments = tmp_path / resume.UNFINISHED / "arguments.json"
    arguments.write_text(arguments.read_text().replace(f'"{package}": "', f'"{package}": "1.'))
    with pytest.raises(DataError, match=rf"{package}: '1\.\d"):
        resume.require_free(tmp_path, FRONT_END, {})


def test_a_folder_that_holds_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(DataError, match=r"is not empty, it contains thesis\.tex"),
        resume.unfinished(tmp_path, FRONT_END, {}),
    ):
        pass
    assert list(contents(tmp_path)) == ["thesis.tex"]
    with pytest.raises(DataError, match="is a file"):
        resume.require_free(tmp_path / "thesis.tex", FRONT_END, {})


def test_a_failure_before_anything_is_finished_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "data"

    def fail() -> None:
        with resume.unfinished(out, FRONT_END, {}) as folder:
            (folder / resume.PARTS).mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not out.exists()


def test_a_clean_up_that_was_killed_is_finished(tmp_path: Path) -> None:
    write_track(tmp_path / "tree" / "train" / "Track00001")
    arguments = ("--slakh", tmp_path / "tree", "--out", tmp_path / "data", "--workers", 1)
    assert run_builder(*arguments).exit_code == 0
    before = contents(tmp_path / "data")
    (tmp_path / "data" / resume.UNFINISHED).mkdir()
    assert run_builder(*arguments).exit_code == 0
    assert contents(tmp_path / "data") == before


@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_the_build_goes_on_with_more_room(tmp_path: Path) -> None:
    for number in range(3):
        write_track(tmp_path / "tree" / "train" / f"Track{number:05d}", seconds=30.0, seed=number)
    arguments = ("--slakh", tmp_path / "tree", "--workers", 1, "--out")
    with small_disk(tmp_path / "disk", "1m") as disk:  # a track takes 0.4 MB
        result = run_builder(*arguments, disk / "data")
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert "No space left on device" in result.stderr
        assert "run the same command again to continue" in result.stderr
        assert [path.name for path in (disk / "data").iterdir()] == [resume.UNFINISHED]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        result = run_builder(*arguments, disk / "data")
        assert result.exit_code == 0, result.output
        assert " tracks were finished by an interrupted build" in result.stdout
        assert run_builder(*arguments, tmp_path / "data").exit_code == 0
        assert contents(disk / "data") == contents(tmp_path / "data")


def test_a_full_disk_while_rendering_is_not_the_fault_of_the_song(tmp_path: Path) -> None:
    midi = tmp_path / "a.mid"
    write_midi(midi, [(19, [(at, at + 1) for at in range(20)])])
    job = RenderJob(midi, default_soundfont(), "Track00001")
    raw = 4 * render.SAMPLE_RATE * 22  # two files of a tenth of this follow
    with small_disk(tmp_path / "disk", str(raw + 100_000)) as disk:
        with pytest.raises(OSError, match="No space left on device"):
            render.render_track(job, disk)
        assert not list(disk.iterdir())


def test_a_disk_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    write_track(tmp_path / "tree" / "train" / "Track00001")
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        result = run_builder("--slakh", tmp_path / "tree", "--workers", 1, "--out", disk / "data")
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert "Read-only file system" in result.stderr


def test_a_track_may_have_the_longest_name(tmp_path: Path) -> None:
    for name in ("Track00001", f"Track00002-{'y' * 244}"):
        write_track(tmp_path / "tree" / "train" / name)
    result = run_builder("--slakh", tmp_path / "tree", "--workers", 1, "--out", tmp_path / "data")
    assert result.exit_code == 0, result.stderr
    assert " 2 " in next(line for line in result.stdout.splitlines() if line.startswith("train"))


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tfrecords_builder", *map(str, arguments)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished_work(out: Path) -> int:
    """Count the parts."""
    return len(list((out / resume.UNFINISHED / resume.PARTS).glob("*.json")))


@pytest.mark.slow
def test_killed_at_random_moments_a_build_ends_as_if_undisturbed(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    chance = random.Random(0)
    for number in range(16):
        notes = [(at / 4, (at + 1) / 4) for at in range(240)]
        write_midi(songs / f"{number:02d}.mid", [(chance.randrange(128), notes) for _ in range(3)], seed=number)
    (songs / "broken.mid").write_bytes(b"MThd")
    arguments = ("--midi", songs, "--soundfont", default_soundfont(), "--skip-bad", "--out")
    undisturbed = start(*arguments, tmp_path / "undisturbed", "--workers", 1)

    out = tmp_path / "data"
    left = [0]
    for reached in [0, *sorted(chance.sample(range(1, 13), 8))]:
        build = start(*arguments, out, "--workers", 2)
        while reached and build.poll() is None and finished_work(out) < max(reached, left[-1] + 1):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1 if reached else 3))  # the first dies before it has finished anything
        assert build.poll() is None, left
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        left.append(finished_work(out))
        assert not (out / "manifest.json").exists()
    build = start(*arguments, out, "--workers", 2)
    assert build.wait() == 0
    assert undisturbed.wait() == 0
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert left == sorted(left)  # nothing finished was lost
    assert len({count for count in left if 0 < count < 16}) >= 5, left
