"""The command line: what it prints, where it writes, and how it ends after an error."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import click
import click.testing
import numpy as np
import pytest
import yaml
from click.shell_completion import ShellComplete
from helpers.commands import failed, invoke, run
from helpers.recordings import write_song
from helpers.tiny_data import FRONT_END, write_data
from rich.console import Console

import mir_tf
from mir_tf import cli
from mir_tf.cli import shared, timeline
from mir_tf.config import ModelConfig, RunConfig, TrainConfig, read_yaml
from mir_tf.events import PostProcessing
from mir_tf.inference.prediction import Prediction
from tfrecords_builder.__main__ import main as builder_command
from tfrecords_builder.ensembles.__main__ import main as ensembles_command

SETTINGS = {
    "model": {"architecture": "cnn", "conv_filters": [4], "time_padding": 2},
    "train": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "crop_seconds": 2.0, "learning_rate": 0.005},
    "window": {"window_seconds": 3.0, "overlap_seconds": 1.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set in ``data`` and settings in ``settings.yaml``."""
    folder = tmp_path_factory.mktemp("cli")
    write_data(folder / "data", {"train": [[30, 50], [40]], "validation": [[35]], "test": [[30], [45]]})
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder


@pytest.fixture(scope="module")
def fitted(folder: Path) -> tuple[Path, click.testing.Result]:
    """Train a run with a few options; return its folder and the output of the command."""
    out = folder / "run"
    options = ("--config", folder / "settings.yaml", "--batch-size", 2, "--seed", 7)
    return out, run("fit", "--data", folder / "data", "--out", out, *options)


@pytest.fixture(scope="module")
def trained(fitted: tuple[Path, click.testing.Result]) -> Path:
    return fitted[0]


def test_help_and_version() -> None:
    assert run("--version").output == f"mir-tf, version {mir_tf.__version__}\n"
    assert run("-h").output == run("--help").output
    for verb in cli.main.commands:
        assert verb in run("--help").output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (cli.main, ["--help"]),
        *((cli.main, [verb, "--help"]) for verb in cli.main.commands),
        (builder_command, ["--help"]),
        (ensembles_command, ["--help"]),
    ],
    ids=["mir-tf", *cli.main.commands, "builder", "ensembles"],
)
def test_help_has_no_control_characters(command: click.Command, words: list[str]) -> None:
    """A preformatted paragraph begins with a backspace, which click removes only at the beginning."""
    text = invoke(command, *words).output
    assert text.startswith("Usage: ")
    assert not [character for character in text if unicodedata.category(character) == "Cc" and character != "\n"]


def test_help_shows_the_defaults() -> None:
    text = " ".join(run("fit", "--help").output.partition("Options:")[2].split())
    train = TrainConfig()
    for option, default in (
        ("--model", ModelConfig().architecture),
        ("--vocabulary", train.vocabulary),
        ("--epochs", train.epochs),
        ("--batch-size", train.batch_size),
        ("--learning-rate", train.learning_rate),
        ("--seed", train.seed),
    ):
        described = text.partition(f" {option} ")[2]
        assert described.partition("[default: ")[2].startswith((f"{default}]", f"{default}, or")), option
    assert "[default: test]" in run("evaluate", "--help").output


def test_fit_takes_options_over_yaml_over_defaults(fitted: tuple[Path, click.testing.Result], folder: Path) -> None:
    out, result = fitted
    assert result.exit_code == 0, result.output
    expected = RunConfig(FRONT_END).merge(SETTINGS).merge({"train": {"batch_size": 2, "seed": 7}})
    assert RunConfig(FRONT_END).merge(read_yaml(out / "config.yaml")) == expected
    assert expected.train.weight_decay == TrainConfig().weight_decay
    assert (out / "bundle.json").is_file()
    line = r"epoch 1: loss .* macro F1 [\d.]+ \(constant prediction ([\d.]+)\), micro F1 [\d.]+ \([\d.]+\), "
    first = re.search(line, result.output)
    assert first is not None
    assert f" (constant prediction {first[1]}) in epoch " in result.output
    assert "warning: never sounding in split 'train': Chromatic Percussion, " in result.output
    assert f"Next: mir-tf evaluate {out} --data {folder / 'data'}\n" in result.output


def test_fit_goes_on_with_a_run_from_its_own_settings(trained: Path, folder: Path) -> None:
    result = run("fit", "--data", folder / "data", "--out", trained, "--config", trained / "config.yaml")
    assert result.exit_code == 0, result.output
    assert "Training ended after the last epoch." in result.output
    assert "epoch 1: " not in result.output


def test_fit_says_that_a_finished_run_gives_no_profile(trained: Path, folder: Path) -> None:
    words = ("fit", "--data", folder / "data", "--out", trained, "--config", trained / "config.yaml")
    result = run(*words, "--profile")
    assert result.exit_code == 0, result.output
    assert "warning: no profile was taken, because this run was already finished." in result.output
    assert not (trained / "logs" / "plugins").exists()
    assert "profile" not in run(*words).output


def test_fit_names_what_differs_from_the_run_in_its_folder(trained: Path, folder: Path) -> None:
    settings = ("--config", trained / "config.yaml", "--seed", 8)
    message = failed(1, "fit", "--data", folder / "data", "--out", trained, *settings)
    assert "train.seed: 7 there, 8 now" in message


def test_fit_on_several_machines_needs_their_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    message = failed(2, "fit", "--data", folder / "data", "--out", tmp_path / "run", "--strategy", "multiworker")
    assert "TF_CONFIG" in message
    assert not (tmp_path / "run").exists()


def test_evaluate(trained: Path, folder: Path, tmp_path: Path) -> None:
    result = run("evaluate", trained, "--data", folder / "data")
    assert result.exit_code == 0, result.output
    written = json.loads((trained / "evaluation-test" / "evaluation.json").read_text())
    assert (written["split"], written["tracks"], written["seconds"]) == ("test", 2, 7.5)
    assert f"{written['overall_metrics']['micro_f1']['value']:.3f}" in result.output
    assert {path.suffix for path in (trained / "evaluation-test").iterdir()} == {".json", ".md", ".png"}
    cut = json.loads((trained / "bundle.json").read_text())["confidence"]["cut"]
    assert written["confidence"]["cut"] == pytest.approx(cut, abs=1e-6)
    assert "has a Brier score of " in " ".join(result.output.split())
    assert (trained / "evaluation-test" / "confidence.png").read_bytes().startswith(b"\x89PNG")
    sentence, *rest = result.stdout.partition(".\n")
    assert sentence.startswith("The model ")
    output = "".join(rest)
    parts = ("test split of", "frames, micro", "It names a dominant", "micro F1", "Classes in frames")
    positions = [output.index(text) for text in (*parts, str(trained / "evaluation-test"))]
    assert positions == sorted(positions)
    assert "Strings" in output.partition("Classes in frames")[2]


def test_evaluate_another_split_into_another_folder(trained: Path, folder: Path, tmp_path: Path) -> None:
    result = run("evaluate", trained, "--data", folder / "data", "--split", "validation", "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "new" / "evaluation.json").read_text())["split"] == "validation"
    assert not (trained / "evaluation-validation").exists()


def test_predict_writes_beside_the_recording_or_into_a_folder(trained: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "audio" / "song.wav")
    beside, apart = tmp_path / "audio" / "song.wav.json", tmp_path / "new" / "deep" / "song.wav.json"
    for result, target in (
        (run("predict", trained, song, "--format", "json"), beside),
        (run("predict", trained, song, "--out", apart.parent), apart),
    ):
        assert result.exit_code == 0, result.output
        assert "song.wav, 0:04.0\n" in result.output
        assert f"Written: {target}\n" in result.output
    content = json.loads(beside.read_text())
    assert content == json.loads(apart.read_text())
    assert len(content["probabilities"]) == 40
    assert sorted(path.name for path in beside.parent.iterdir()) == ["song.wav", "song.wav.json"]


def test_predict_prints_names_as_they_are(trained: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "[b]live[/] 12.wav")
    result = run("predict", trained, song, "--format", "json")
    assert result.exit_code == 0, result.output
    assert f"{song.name}, 0:04.0\n" in result.output
    assert f"Written: {song}.json\n" in result.output


def test_predict_goes_on_after_a_file_that_is_no_audio(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "words.mp3"
    text.write_text("not music\n" * 100)
    first, last = write_song(tmp_path / "a.wav"), write_song(tmp_path / "z.flac")
    words = ("predict", trained, first, text, tmp_path / "none.wav", last, "--format", "json")
    message = failed(1, *words)
    assert f"Error: {text}: not audio" in message
    assert f"Error: {tmp_path / 'none.wav'}: cannot be opened" in message
    assert "4 recordings: 2 predicted (8.0 s of audio in " in message
    assert message.endswith(", 2 failed.")
    written = sorted(path.name for path in tmp_path.glob("*.json"))
    assert written == ["a.wav.json", "z.flac.json"]


def test_predict_refuses_two_recordings_with_one_target(trained: Path, tmp_path: Path) -> None:
    songs = write_song(tmp_path / "1" / "song.wav"), write_song(tmp_path / "2" / "song.wav")
    message = failed(2, "predict", trained, *songs, "--out", tmp_path / "new")
    assert "song.wav.json: omit --out, or predict them separately" in message
    assert not (tmp_path / "new").exists()
    assert run("predict", trained, *songs).exit_code == 0


def test_predict_names_a_target_that_cannot_be_written(trained: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav")
    (tmp_path / "song.wav.json" / "in the way").mkdir(parents=True)
    assert str(tmp_path / "song.wav.json") in failed(1, "predict", trained, song, "--format", "json")


def test_inspect(folder: Path, tmp_path: Path) -> None:
    result = run("inspect", folder / "data")
    assert result.exit_code == 0, result.output
    for text in ("Splits", "validation", "Activity, vocabulary family", "Strings", f"Pictures: {folder / 'data'}"):
        assert text in result.output
    picture = (folder / "data" / "inspection.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert run("inspect", folder / "data", "--picture", tmp_path / "page.png").exit_code == 0
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    message = failed(1, "inspect", folder / "data", "--picture", tmp_path / "nowhere" / "page.png")
    assert "Strings" in message, "the tables are printed nevertheless"
    assert f"{tmp_path}/nowhere/page.png: cannot be written" in message


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, ("--vocabulary", "nonsense"), "vocabulary is 'nonsense'; it must be family or slakh or program"),
        ({}, ("--crop-seconds", "0.25"), "crop_seconds is 0.25; it must be a whole number of label frames"),
        ({"train": {"step": 3}}, (), "TrainConfig has no field 'step'; its fields are batch_size, "),
        ({"training": {}}, (), "no section 'training'; the sections are front_end, model, train, window"),
    ],
)
def test_wrong_settings_are_wrong_usage(
    settings: dict, options: tuple[str, ...], message: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    words = ("fit", "--data", folder / "data", "--out", tmp_path / "run", "--config", path, *options)
    error = failed(2, *words)
    assert message in error
    assert (f"{path}: " in error) == bool(settings), "only a file that is at fault is named"
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_data_set_is_named(trained: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (
        ("inspect", empty),
        ("fit", "--data", empty, "--out", tmp_path / "run"),
        ("evaluate", trained, "--data", empty),
    ):
        assert f"Error: {empty}: no manifest.json: not a data set" in failed(1, *words)
    assert not any(empty.iterdir())
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_named(folder: Path, tmp_path: Path) -> None:
    message = failed(1, "evaluate", folder, "--data", folder / "data")
    assert f"Error: {folder}: not a trained model, but it contains " in message
    message = failed(2, "predict", folder, write_song(tmp_path / "song.wav"))
    assert f"{folder}: this folder contains neither bundle.json nor audio" in message


def test_a_model_of_another_front_end_is_refused(trained: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "data", {"test": [[30]]}, FRONT_END.replace(n_mels=16))
    assert "n_mels: 16 here, 8 there" in failed(1, "evaluate", trained, "--data", tmp_path / "data")


def test_a_damaged_model_is_named(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    (copy / "model.keras").write_bytes((trained / "model.keras").read_bytes()[:-100])
    message = failed(1, "predict", copy, write_song(tmp_path / "song.wav"))
    assert f"Error: {copy / 'model.keras'}: not the file that bundle.json describes" in message


def test_a_file_in_place_of_a_folder_is_wrong_usage(trained: Path, folder: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav")
    for words in (
        ("predict", trained, song, "--out", song),
        ("evaluate", trained, "--data", folder / "data", "--out", song),
        ("fit", "--data", folder / "data", "--out", song),
    ):
        assert "is a file" in failed(2, *words)
    for verb in ("report", "export"):
        assert "is a file; expected the folder of a run of mir-tf fit" in failed(2, verb, song, "--out", tmp_path / "x")
    assert "is a folder; expected a .tflite file" in failed(2, "listen", trained)


CLASSES = ("Piano", "Guitar", "Bass")


def printed(width: int, function: Callable[..., None], *arguments: object) -> str:
    console = Console(file=io.StringIO(), width=width)
    function(console, *arguments)
    return console.file.getvalue()


def prediction(roll: np.ndarray) -> Prediction:
    """Return a prediction with probabilities ``roll`` [label frames, classes] and thresholds of 0.5."""
    thresholds = np.full(3, 0.5, np.float32)
    return Prediction(
        "songs/a.mp3",
        len(roll) / 10,
        {"vocabulary": "family"},
        CLASSES,
        thresholds,
        PostProcessing.plain(thresholds),
        roll,
    )


def test_a_prediction_lists_instruments_by_playing_time() -> None:
    roll = np.zeros((800, 3), np.float32)
    roll[:34, 0] = roll[:652, 2] = 0.9
    roll[:, 1] = 0.4
    text = printed(80, timeline.print_prediction, prediction(roll))
    assert text.startswith("a.mp3, 1:20.0\nDetected: Bass, Piano. Plays longest: Bass.\n")
    rows = [[word for word in line.split() if word not in ("detected", "–")] for line in text.splitlines()]
    bass, piano = (next(row for row in rows if row[:1] == [name] and row[-1] == "%") for name in ("Bass", "Piano"))
    assert (bass[-3:], piano[-3:]) == (["1:05.2", "81.5", "%"], ["0:03.4", "4.2", "%"])
    assert rows.index(bass) < rows.index(piano)
    assert "Guitar" not in text


def test_a_prediction_of_silence_says_so() -> None:
    text = printed(80, timeline.print_prediction, prediction(np.zeros((5, 3), np.float32)))
    assert text == "a.mp3, 0:00.5\nNo instrument detected.\n"


HEADER = ["instrument", "precision", "recall", "threshold"]
ROW = ["Chromatic Percussion", "0.125", "0.250", "0.5"]


@pytest.mark.parametrize(("width", "columns"), [(200, 4), (57, 4), (56, 3), (45, 3), (44, 2), (30, 1), (24, 1)])
def test_a_narrow_terminal_loses_the_last_columns_and_says_which(width: int, columns: int) -> None:
    lines = printed(width, shared.print_table, "Title", [HEADER, ROW]).splitlines()
    if columns < len(HEADER):
        assert lines.pop() == f"This terminal is too narrow to show {', '.join(HEADER[columns:])}."
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for row in (HEADER, ROW):
        assert [cell for cell in row if cell in text] == row[:columns]
    assert "…" not in text


@pytest.mark.parametrize("words", [(), *((name,) for name in cli.main.commands)], ids=["mir-tf", *cli.main.commands])
def test_help_fits_a_terminal_of_80_columns(words: tuple[str, ...]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "mir-\n" not in result.output
    assert all(character == "\n" or character.isprintable() for character in result.output)


def test_help_lists_each_command_once_with_a_whole_sentence() -> None:
    text = run("--help").output
    for command in cli.main.commands.values():
        assert text.count(f"\n  {command.name} ") == 1
        assert f" {command.get_short_help_str(1000)}\n" in text


def test_a_shell_completes_commands_options_and_files() -> None:
    def completions(*words: str, incomplete: str = "") -> list[tuple[str, str]]:
        shell = ShellComplete(cli.main, {}, "mir-tf", "_MIR_TF_COMPLETE")
        return [(item.type, item.value) for item in shell.get_completions(list(words), incomplete)]

    assert completions(incomplete="pre") == [("plain", "predict")]
    assert completions("predict", incomplete="--ov") == [("plain", "--overwrite")]
    assert completions("evaluate", "--split", incomplete="t") == [("plain", "train"), ("plain", "test")]
    takers = [name for name, each in cli.main.commands.items() if isinstance(each.params[0], click.Argument)]
    assert len(takers) > 6
    for name in takers:  # without a file or a folder here, the shell would offer none at all
        assert completions(name, incomplete="so") in ([("file", "so")], [("dir", "so")]), name


_WIDE = """
from mir_tf.cli import shared, timeline
console = shared.make_console()
rows = [["name", *(f"column {number:03}" for number in range(40))], ["x" * 60, *map(str, range(40))]]
shared.print_table(console, "Title", rows)
console.print("word " * 60)
print(shared.drawing_width(console))
"""


@pytest.mark.parametrize(("columns", "lost"), [(None, False), ("500", True), ("wide", False)])
def test_a_pipe_gets_tables_and_sentences_whole(columns: str | None, lost: bool) -> None:
    """Even if stdin and stderr are terminals of some width: rich would take theirs."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    terminal, end = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", _WIDE],
        stdin=end,
        stderr=end,
        stdout=subprocess.PIPE,
        env={**environment, **({"COLUMNS": columns} if columns else {})},
        text=True,
        check=True,
    )
    os.close(end)
    os.close(terminal)
    assert (re.search(r"x{60} .* 39 ", done.stdout) is None) == lost
    assert ("too narrow to show column" in done.stdout) == lost
    assert "…" not in done.stdout
    *_, words, width = done.stdout.splitlines()
    assert (words.count("word"), width) == ((60, "100") if not lost else (60, "500"))


@pytest.mark.slow
def test_tables_of_commands_are_whole_in_a_pipe(trained: Path, folder: Path, tmp_path: Path) -> None:
    for words in (
        ("inspect", folder / "data"),
        ("evaluate", trained, "--data", folder / "data", "--out", tmp_path / "evaluation"),
        ("export", trained, "--out", tmp_path / "exported", "--formats", "tflite"),
    ):
        whole, narrow = run(*words), run(*words, env={"COLUMNS": "40"})
        assert (whole.exit_code, narrow.exit_code) == (0, 0)
        assert "too narrow" not in whole.stdout
        assert "…" not in whole.stdout
        assert "too narrow" in narrow.stdout


def test_every_command_prints_by_the_one_console() -> None:
    root = Path(cli.__file__).parents[2]
    files = [path for package in ("mir_tf", "tfrecords_builder") for path in (root / package).rglob("*.py")]
    makers = [path.name for path in files if re.search(r"[^_\w.]Console\(", path.read_text("utf-8"))]
    assert makers == ["console.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("song.mp3",), "'song.mp3' is not a command. To detect its instruments: mir-tf predict song.mp3"),
        (("my song.wav", "b.wav"), "mir-tf predict 'my song.wav' b.wav"),
        (("a.wav", "b.wav", "c.wav", "d.wav"), "mir-tf predict a.wav b.wav c.wav ..."),
        (("music",), "'music' is not a command. To detect its instruments: mir-tf predict music"),
        (("music/none",), "mir-tf predict music/none"),
        (("s3://bucket/song",), "mir-tf predict s3://bucket/song"),
        (("predit", "song.mp3"), "No such command 'predit'. Did you mean 'predict'?"),
        (("evaluat",), "Did you mean 'evaluate'?"),
    ],
)
def test_a_first_word_that_is_no_command_is_answered_with_one(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "music").mkdir()
    monkeypatch.chdir(tmp_path)
    assert message in failed(2, *words)
