"""What mir-tf predict prints and writes, and how it ends: for people, for programs, and when it is interrupted."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from helpers.commands import failed, run
from helpers.recordings import write_song

from mir_tf import pretrained
from mir_tf.cli.shared import remembered_interrupt, track_progress, uninterrupted
from mir_tf.inference.ledger import CACHE_VARIABLE
from mir_tf.lite import LiteModel

ROOT = Path(__file__).parents[2]
MIR_TF = (sys.executable, "-c", "from mir_tf.cli import main; main(prog_name='mir-tf')")


@pytest.fixture(scope="module")
def model() -> Path:
    return pretrained.tflite()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Return a folder with seven recordings, which are printed in a line each."""
    for number in range(7):
        write_song(tmp_path / "music" / f"{number}.wav", seed=number)
    return tmp_path / "music"


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def objects(lines: str) -> list[dict]:
    return [json.loads(line) for line in lines.splitlines()]


def test_the_answer_is_printed_every_time_and_nothing_is_written(model: Path, music: Path) -> None:
    before = files(music)
    for paths, names in (([music / "0.wav"], ["0.wav"]), ([music], [f"music/{name}" for name in before])):
        first, second = run("predict", model, *paths), run("predict", model, *paths)
        assert (first.exit_code, first.stdout) == (0, second.stdout)
        assert [name for name in names if f"{name}, 0:04.0" in first.stdout] == names
    assert files(music) == before


def test_mixes_of_slakh_that_are_named_one_by_one_have_the_titles_of_their_tracks(model: Path, tmp_path: Path) -> None:
    songs = [write_song(tmp_path / f"Track0000{number}" / "mix.wav", seed=number) for number in range(6)]
    lines = run("predict", model, *songs).stdout.splitlines()
    assert [line.partition(",")[0] for line in lines[:6]] == [f"Track0000{number}" for number in range(6)]


def test_all_shows_every_class(model: Path, music: Path) -> None:
    classes = LiteModel(model).classes
    for paths in ([music / "0.wav"], [music]):
        text = run("predict", model, *paths, "--all").stdout
        assert [name for name in classes if re.search(rf"^ +{name}\b", text, re.M)] == list(classes)


def test_a_single_recording_is_answered_though_its_files_are_there(model: Path, music: Path) -> None:
    """The files are not written again, whether they are finished or somebody's own."""
    song, output = music / "0.wav", music / "0.wav.csv"
    first = run("predict", model, song, "--format", "csv")
    assert f"\nWritten: {output}\n" in first.stdout
    output.write_text("edited by hand\n")
    second = run("predict", model, song, "--format", "csv")
    assert second.exit_code == 0
    assert second.stdout == first.stdout.replace(
        f"Written: {output}\n", f"Written before: {output} (--overwrite writes it again)\n"
    )
    (music / "1.wav.csv").write_text("my own\n")
    third = run("predict", model, music / "1.wav", "--format", "csv")
    assert third.exit_code == 1
    assert third.stdout.startswith("1.wav, 0:04.0")
    assert "exists and was not written by mir-tf" in third.stderr
    assert (output.read_text(), (music / "1.wav.csv").read_text()) == ("edited by hand\n", "my own\n")


def test_out_alone_writes_json(model: Path, music: Path, tmp_path: Path) -> None:
    assert run("predict", model, music / "0.wav", "--out", tmp_path / "out").exit_code == 0
    assert files(tmp_path / "out") == ["0.wav.json"]
    assert json.loads((tmp_path / "out" / "0.wav.json").read_text())["probabilities"]
    assert "--out alone writes json" in " ".join(run("predict", "--help").output.split())


def test_json_is_a_line_for_each_recording_and_alone_on_stdout(model: Path, music: Path, tmp_path: Path) -> None:
    (music / "broken.mp3").write_text("no music\n" * 100)
    words = ("predict", model, music, "--json")
    result = run(*words)
    assert result.exit_code == 1
    found = objects(result.stdout)
    assert [song["path"] for song in found] == [str(music / f"{number}.wav") for number in range(7)]
    table = tmp_path / "songs.json"
    for _ in range(2):  # written outputs are kept, and every recording is printed again
        again = run(*words, "--format", "csv", "--out", tmp_path / "out", "--table", table)
        assert (again.exit_code, again.stdout) == (1, result.stdout)
        assert re.search(r"\n8 recordings: 7 predicted \(28 s of audio in \S+ s\), 1 failed\.\n\Z", again.stderr)
    assert json.loads(table.read_text("utf-8"))["songs"] == found
    assert files(tmp_path / "out") == [f"music/{number}.wav.csv" for number in range(7)]


def test_json_of_one_recording_is_one_object(model: Path, music: Path) -> None:
    result = run("predict", model, music / "0.wav", "--json", "--format", "png")
    expected = LiteModel(model).predict(music / "0.wav").summary()
    assert json.loads(result.stdout) == {**expected, "path": str(music / "0.wav")}
    assert (music / "0.wav.png").is_file()
    assert "omit one of them" in failed(2, "predict", model, music, "--json", "--all")


def test_json_is_utf_8_whatever_the_terminal_is(model: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "Å ☂.wav")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run([*MIR_TF, "predict", model, song, "--json"], capture_output=True, env=environment, check=True)
    assert json.loads(done.stdout.decode("utf-8"))["path"] == str(song)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is absent")
def test_jq_reads_it(model: Path, music: Path) -> None:
    done = subprocess.run([*MIR_TF, "predict", model, music, "--json"], capture_output=True, check=True)
    read = subprocess.run(["jq", "-r", ".seconds"], input=done.stdout, capture_output=True, check=True)
    assert read.stdout.split() == [b"4"] * 7


def test_a_folder_ends_with_one_line(model: Path, music: Path, tmp_path: Path) -> None:
    (music / "cover.jpg").touch()
    end = r"Skipped 1 file that is not audio\.\n7 recordings: 7 predicted \(28 s of audio in \S+ s\)\.\n\Z"
    assert re.search(end, run("predict", model, music).stderr)
    for number in range(1, 7):
        (music / f"{number}.wav").unlink()
    assert re.search(
        r"\n1 recording: 1 predicted \(4\.0 s of audio in \S+ s\)\.\n\Z", run("predict", model, music).stderr
    )
    assert "recording: " not in run("predict", model, music / "0.wav").stderr
    (tmp_path / "empty").mkdir()
    result = run("predict", model, tmp_path / "empty")
    assert (result.exit_code, "recordings: " in result.stderr) == (1, False)


def test_outputs_are_known_wherever_the_command_is_run(
    model: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("predict", model, music, "--out", tmp_path / "out").exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert "7 skipped" in run("predict", model, "music", "--out", "out").stderr
    write_song(tmp_path / "other" / "music" / "0.wav", seed=0)
    for path in (music / "0.wav", tmp_path / "other" / "music" / "0.wav"):
        os.utime(path, (1e9, 1e9))
    monkeypatch.chdir(tmp_path / "other")
    shutil.copytree(music, "music", dirs_exist_ok=True, copy_function=shutil.copy2)
    result = run("predict", model, "music", "--out", tmp_path / "out")  # other recordings, alike but for their folder
    assert "7 recordings: 7 predicted" in result.stderr


def test_without_a_cache_the_work_is_done_and_said_to_be_unknown_later(
    model: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    words = ("predict", model, music, "--out", tmp_path / "out", "--table", tmp_path / "songs.csv", "--format", "csv")
    result = run(*words)
    assert result.exit_code == 0, result.output
    problem = f"{tmp_path / 'file' / 'cache'}: Not a directory"
    assert f"Note: cannot record which files were written: {problem}. The next" in result.stderr
    assert "(7 recordings)" in result.stdout
    before = (tmp_path / "out" / "music" / "0.wav.csv").read_bytes()
    assert "songs.csv: exists and was not written by mir-tf, or was edited" in failed(2, *words)
    (tmp_path / "songs.csv").unlink()
    again = run(*words)
    assert again.exit_code == 1
    assert "7 recordings: 7 predicted" in again.stderr, "for the table"
    assert ", 7 with files of yours, which were kept.\n" in again.stderr
    assert (tmp_path / "out" / "music" / "0.wav.csv").read_bytes() == before
    assert run(*words, "--overwrite").exit_code == 0


@pytest.fixture
def long_song(music: Path) -> Path:
    """Write an eighth recording, of an hour, which takes some seconds of work."""
    path = music / "9.wav"
    soundfile.write(path, np.zeros(3600 * 1000, np.int16), 1000)
    return path


def interrupted(words: Iterable[object], song: Path) -> tuple[int, str, str]:
    """Run mir-tf, interrupt it as Ctrl-C does when it reads ``song``, and return how it ended."""
    process = subprocess.Popen(
        [*MIR_TF, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        while not has_open(process.pid, song):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, errors


def has_open(process: int, path: Path) -> bool:
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(link) == str(path):
                return True
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files there")


@needs_proc
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), " and printed."),
        (("--json",), " and printed."),
        (("--out", "out"), ". Run the same command again to continue."),
        (("--out", "out", "--overwrite"), ". Run the same command without --overwrite to continue."),
        (("--table", "t.csv"), "; t.csv is written when all are. Run the same command again to continue."),
    ],
    ids=["printed", "json", "out", "overwrite", "table"],
)
def test_ctrl_c_says_how_much_is_done_and_how_to_continue(
    model: Path, long_song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("predict", model, "music", *options)
    status, out, errors = interrupted(words, long_song)
    assert status == 130, errors
    assert errors.endswith(f"\nInterrupted: 7 of 8 recordings are done{told}\n")
    assert len(out.splitlines()) == 7
    if "--json" in options:
        assert len(objects(out)) == 7
    written = [f"out/music/{number}.wav.json" for number in range(7)] if "--out" in options else []
    assert [name for name in files(tmp_path) if not name.startswith("music/")] == written
    assert len(files(tmp_path / "music")) == 8
    if written or "--table" in options:
        write_song(long_song)
        result = run(*(word for word in words if word != "--overwrite"))
        assert (result.exit_code, "8 recordings: 1 predicted" in result.stderr) == (0, True)
        assert ", 7 skipped because already done" in result.stderr


@needs_proc
def test_ctrl_c_in_a_single_recording(model: Path, long_song: Path) -> None:
    before = files(long_song.parent)
    status, out, errors = interrupted(("predict", model, long_song, "--format", "csv"), long_song)
    assert (status, out) == (130, "")
    assert errors.endswith("\nInterrupted before the recording was finished.\n")
    assert files(long_song.parent) == before


@pytest.mark.skipif(os.name == "nt", reason="names have no control characters there")
def test_control_characters_in_names_are_escaped_everywhere(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music\x1b[31m"
    for number in range(6):
        write_song(folder / f"{number}\x1b]0;title\x07\n.wav")
    (folder / "bad\x1b[2J.mp3").write_bytes(b"no music")
    one = next(folder.glob("0*.wav"))
    for words in ([folder], [one], [folder / "none\x1b.wav"], [one, "--format", "csv,svg"], [tmp_path / "no\x1b"]):
        result = run("predict", model, *words)
        assert "\x1b" not in result.output.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert r"0\x1b]0;title\x07\n.wav, 0:04.0" in run("predict", model, one).stdout
    ElementTree.parse(f"{one}.svg")
    assert len(run("predict", model, folder).stdout.splitlines()) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["", "song.wav"], "one of the paths is empty"),
        (["song.wav", ""], "one of the paths is empty"),
        (["song.wav", "--out", ""], "the path is empty"),
        (["song.wav", "--table", ""], "the path is empty"),
        (["song.wav", "--format", " ,"], "contains no name"),
    ],
)
def test_unset_variables_of_the_shell_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    """An empty path would be the current folder, an empty format none."""
    write_song(tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    assert message in failed(2, "predict", *words)
    assert files(tmp_path) == ["song.wav"]


def test_an_unknown_width_is_no_width(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = write_song(tmp_path / "song.wav")
    expected = run("predict", model, song).stdout
    monkeypatch.setenv("COLUMNS", "0")
    assert run("predict", model, song).stdout == expected


@pytest.mark.skipif(os.name == "nt", reason="the shell is another one there")
def test_closed_streams_are_no_errors(model: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav")

    def status(*redirections: str) -> tuple[int, str]:
        words = [*MIR_TF, "predict", str(model), str(song), "--format", "csv", "--overwrite"]
        done = subprocess.run(["sh", "-c", f"exec {shlex.join(words)} {' '.join(redirections)}"], capture_output=True)
        return done.returncode, (done.stdout + done.stderr).decode()

    for redirections in (["2>&-"], [">&-"], ["<&-", ">&-", "2>&-"]):
        code, output = status(*redirections)
        assert code == 0, output
        assert ("song.wav, 0:04.0" in output) == (redirections == ["2>&-"])
        assert "Traceback" not in output
        assert Path(f"{song}.csv").read_text().startswith("path,start,")


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_an_interruption_while_it_loads_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click").mkdir()
    (tmp_path / "click" / "__init__.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    words = [sys.executable, "-m", "mir_tf", "predict", "song.mp3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-signal.SIGINT, "")


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_an_interruption_waits_for_native_libraries() -> None:
    """Interrupted while it loads, LiteRT raised a SystemError or crashed."""
    reached = []

    def load() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        load()
    assert reached == ["end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_swallowed_interrupt_ends_an_evaluation_at_the_next_track() -> None:
    with track_progress() as on_track:
        on_track(1, 3)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            on_track(2, 3)


def test_an_interrupt_that_a_library_swallows_is_remembered() -> None:
    before = signal.getsignal(signal.SIGINT)
    with remembered_interrupt() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):  # as the callbacks of a decoder do
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before
