"""The model that comes with the package: where commands take it, what an installed package holds, what it hears."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import failed, run
from helpers.recordings import write_song
from helpers.tiny_data import write_data

import mir_tf
from mir_tf import pretrained
from mir_tf.errors import BundleError
from mir_tf.export.exporter import probe_signal
from mir_tf.lite import LiteModel
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.synthesis.soundfont import SoundFont
from tfrecords_builder.synthesis.synthesizers import default_soundfont

ROOT = Path(__file__).resolve().parents[2]
MODEL_FILES = ("model.tflite", "model.keras", "bundle.json")
FILES = ("MODEL_CARD.md", *(f"{folder}{name}" for folder in ("", "35_classes/") for name in MODEL_FILES))

delivered = pytest.mark.skipif(
    any(not (pretrained.FOLDER / name).is_file() for name in FILES),
    reason=f"the models are absent from {pretrained.FOLDER}",
)
each_word = pytest.mark.parametrize("word", pretrained.SUBFOLDERS)


@pytest.fixture
def own(exported_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an untrained model in place of the package's, and change to an empty folder; return the model's folder."""
    folder = shutil.copytree(exported_cnn / "run", tmp_path / "own")
    shutil.copy(exported_cnn / "model.float32.tflite", folder / "model.tflite")
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


OWN = f"Model: mir-tf {mir_tf.__version__} pretrained. {pretrained.reliability('pretrained')}\n"


def test_load_without_a_path(own: Path) -> None:
    song = write_song(Path("song.wav"))
    found, expected = mir_tf.load(), LiteModel(own / "model.tflite")
    assert isinstance(found, LiteModel)
    np.testing.assert_array_equal(found.predict(song).probabilities, expected.predict(song).probabilities)


def test_predict_without_a_model(own: Path) -> None:
    song, more = write_song(Path("a.wav")), write_song(Path("music/b.flac"))
    for words in ((song, more.parent), ("pretrained", song, more.parent)):
        result = run("predict", *words, "--format", "json", "--overwrite")
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith(OWN)
        assert result.stdout.startswith("a.wav, 0:04.0\nDetected: ")
        assert "\nb.flac, 0:04.0\nDetected: " in result.stdout
    expected = LiteModel(own / "model.tflite").predict(song)
    found = json.loads(Path("a.wav.json").read_text())
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-4)


def test_the_first_argument_may_be_a_model(own: Path, exported_cnn: Path) -> None:
    song = write_song(Path("a.wav"))
    shutil.copytree(exported_cnn / "run", "pretrained")
    for model in (exported_cnn / "model.float32.tflite", exported_cnn / "run", "./pretrained"):
        result = run("predict", model, song)
        assert result.exit_code == 0, result.output
        assert "pretrained\n" not in result.output
    assert OWN in run("predict", "pretrained", song).output


def test_the_second_model_has_a_word_of_its_own(own: Path) -> None:
    second, song = own / "35_classes", write_song(Path("a.wav"))
    words = ("evaluate", "pretrained-35", "--data", "data")
    write_data(Path("data"), {"test": [[30], [45]]})
    assert "comes without a pretrained model" in failed(1, "predict", "pretrained-35", song)
    second.mkdir()
    for name in MODEL_FILES:
        shutil.move(own / name, second / name)
    assert "comes without a pretrained model" in failed(1, "predict", song)
    announced = f"Model: mir-tf {mir_tf.__version__} pretrained-35. {pretrained.reliability('pretrained-35')}"
    for arguments in (("predict", "pretrained-35", song), words, ("report", *words[1:])):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith(announced)
    assert Path("evaluation-test-pretrained-35/evaluation.json").is_file()
    page = Path("report-test-pretrained-35/report.html").read_text("utf-8")
    assert f"Report: mir-tf {mir_tf.__version__} pretrained-35</h1>" in page
    assert isinstance(mir_tf.load("pretrained-35"), LiteModel)
    with pytest.raises(BundleError, match="no such file or folder"):
        mir_tf.load(Path("pretrained-35"))


def test_every_file_and_folder_of_a_pretrained_model_leads_to_its_word(own: Path) -> None:
    shutil.copytree(own, own / "35_classes")
    for word in pretrained.SUBFOLDERS:
        for path in (pretrained.tflite(word), pretrained.folder(word)):
            assert pretrained.word_of(path) == word
            assert pretrained.display_name(path) == f"mir-tf {mir_tf.__version__} {word}"
    for path in (own.parent, own / "35_classes" / "more", Path("model.tflite")):
        assert pretrained.word_of(path) is None


def test_a_model_alone_has_nothing_to_hear(own: Path) -> None:
    for model in ("pretrained", own, own / "model.tflite"):
        assert f"no recordings given: name recordings or folders of recordings after the model {model}" in failed(
            2, "predict", model
        )
    assert "Missing argument" in failed(2, "predict")


def test_a_first_argument_that_is_neither_model_nor_recording_is_refused(own: Path) -> None:
    song = write_song(Path("a.wav"))
    Path("words").write_text("no music\n" * 100)
    Path("notes").mkdir()
    Path("notes/score.mid").write_bytes(b"MThd")
    for first, what in {
        "runs/crnn": "no such file or folder",
        "words": "not audio, damaged, or in a format that is not supported; save it as wav or flac with the program "
        "that made it",
        "notes": "this folder contains neither bundle.json nor audio",
    }.items():
        message = failed(2, "predict", first, song)
        assert (
            f"{first}: {what}. The first argument must be a model (a .tflite file, the folder of a run, or " in message
        )
        assert "or, to use the pretrained model, a recording or a folder of recordings" in message
    assert "does not exist" in failed(2, "predict", "model.tflite", song)


def test_a_second_model_or_one_after_recordings_is_refused(own: Path) -> None:
    song = write_song(Path("a.wav"))
    for model in ("pretrained-35", own, own / "model.tflite"):
        for before in ("pretrained", song):
            message = failed(2, "predict", before, model, song)
            assert f"{model}: this is a model. Name one model only, before all recordings" in message
    assert f"{'x' * 300}: " in failed(1, "predict", song, "x" * 300)
    write_song(Path("pretrained-35/b.wav"))
    shutil.copy(own / "bundle.json", "pretrained-35")
    assert "2 recordings: 2 predicted" in run("predict", song, "pretrained-35").output


def test_a_misspelled_model_is_refused_with_the_words(own: Path, tmp_path: Path) -> None:
    write_data(Path("data"), {"test": [[30]]})
    for name in ("Pretrained-35", "pretrained35"):
        for words in (
            ("predict", name, "a.wav"),
            ("app", name),
            ("listen", name),
            ("evaluate", name, "--data", "data"),
            ("report", name, "--data", "data"),
            ("export", name, "--out", "out"),
            ("fit", "--init", name, "--data", "data", "--out", "out"),
        ):
            assert "the word pretrained or pretrained-35" in " ".join(failed(2, *words).split())
    for path in ("Pretrained-35", Path("pretrained-35")):
        with pytest.raises(BundleError, match="or the word 'pretrained' or 'pretrained-35', as a string"):
            mir_tf.load(path)


def test_a_first_recording_that_cannot_be_heard_is_named_like_others(own: Path) -> None:
    song = write_song(Path("a.wav"))
    message = failed(1, "predict", "none.mp3", song)
    assert "Error: none.mp3: cannot be opened" in message
    assert "a.wav, 0:04.0" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["pipe", "pipe.wav"])
def test_a_pipe_points_to_listen(own: Path, name: str) -> None:
    os.mkfifo(name)
    assert f"Error: {name}: a pipe, which can be read only once. Write it to a file first" in failed(1, "predict", name)


def test_what_is_no_file_is_told_what_to_do(own: Path) -> None:
    song = write_song(Path("a.wav"))
    address = "https://example.com/song.mp3"
    told = f"{address}: web addresses are not read; download the file first, for example: curl -LO {address}"
    for arguments in ((address,), (song, address), ("pretrained", address)):
        assert told in " ".join(failed(2, "predict", *arguments).split())
        assert "ffmpeg -i song.mp3 -f wav - | mir-tf listen" in failed(2, "predict", *arguments[:-1], "-")


def test_audio_without_a_suffix_is_a_recording(own: Path) -> None:
    write_song(Path("a.wav")).rename("take")
    result = run("predict", "take")
    assert result.exit_code == 0, result.output
    assert "take, 0:04.0" in result.stdout


_CODE = """
import sys
from pathlib import Path
from mir_tf import pretrained
from mir_tf.cli import main
pretrained.FOLDER = Path(sys.argv[1])
main(sys.argv[2:], standalone_mode=False)
print(*sys.modules)
"""


def test_predict_loads_no_tensorflow(own: Path) -> None:
    words = (own, "predict", write_song(Path("a.wav")))
    done = subprocess.run([sys.executable, "-c", _CODE, *map(str, words)], capture_output=True, text=True, check=True)
    assert "a.wav, 0:04.0" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "keras", "matplotlib", "yaml"}


def test_listen_without_a_model(own: Path) -> None:
    pipe = io.BytesIO()
    soundfile.write(pipe, probe_signal(8000, 4.0), 8000, format="WAV")
    result = run("listen", input=pipe.getvalue())
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(OWN)
    assert len(result.stdout.splitlines()) == 40


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_app_without_a_model_bears_the_name_of_the_package(own: Path) -> None:
    command = [sys.executable, "-c", _CODE, str(own), "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{address}api/model", timeout=60) as answer:
                described = json.load(answer)
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert described["name"] == f"mir-tf {mir_tf.__version__} pretrained"
    assert errors.startswith(OWN)
    assert pretrained.display_name(Path("runs/crnn")) == "crnn"


def test_evaluate_and_report_write_here_and_not_into_the_package(own: Path) -> None:
    before = sorted(own.iterdir())
    write_data(Path("data"), {"test": [[30], [45]]})
    write_song(Path("songs/a.wav"))
    Path("truth").mkdir()
    Path("truth/a.csv").write_text("start,end,instrument\n0,2,Guitar\n")
    for words, place in {
        ("evaluate", "--data", "data"): "evaluation-test-pretrained/evaluation.json",
        ("evaluate", "pretrained", "--data", "data", "--out", "out"): "out/evaluation.json",
        ("evaluate", "--references", "truth", "--audio", "songs"): "evaluation-truth-pretrained/evaluation.json",
        ("report", "pretrained", "--data", "data"): "report-test-pretrained/report.html",
    }.items():
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert OWN in result.stderr
        assert Path(place).is_file()
    assert sorted(own.iterdir()) == before


@pytest.mark.slow
def test_export_takes_the_word(own: Path) -> None:
    result = run("export", "pretrained", "--out", "exported", "--formats", "tflite", "--quantize", "none")
    assert result.exit_code == 0, result.output
    song = write_song(Path("a.wav"))
    expected = LiteModel(own / "model.tflite").predict(song).probabilities
    found = LiteModel("exported/model.float32.tflite")
    np.testing.assert_allclose(found.predict(song).probabilities, expected, atol=1e-4)
    assert found.metadata.name == "pretrained"


def test_a_package_without_the_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    song = write_song(tmp_path / "song.wav")
    advice = (
        "this copy of mir-tf comes without a pretrained model. "
        "Name a model of your own: a .tflite file made by mir-tf export"
    )
    for words in (
        ("predict", song),
        ("app",),
        ("evaluate", "--data", tmp_path),
        ("report", "pretrained", "--data", "."),
    ):
        assert advice in failed(1, *words)
    with pytest.raises(BundleError, match="comes without a pretrained model"):
        mir_tf.load()


def test_help_needs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    for verb in ("predict", "listen", "app", "evaluate"):
        assert run(verb, "--help").exit_code == 0
    assert "[MODEL] AUDIO|FOLDER..." in run("predict", "--help").output


@pytest.mark.slow
def test_a_wheel_holds_the_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if tracked.returncode:
        pytest.skip("no checkout: it is not known which files are the project's")
    for name in tracked.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    for name in FILES:
        if not (source / "mir_tf" / "pretrained" / name).exists():
            (source / "mir_tf" / "pretrained" / name).write_bytes(b"absent from this checkout")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert built.returncode == 0, built.stderr
    (wheel,) = (source / "out").glob("mir_tf-*.whl")
    with zipfile.ZipFile(wheel) as content:
        for name in FILES:
            expected = (source / "mir_tf" / "pretrained" / name).read_bytes()
            assert content.read(f"mir_tf/pretrained/{name}") == expected


# The model itself


@delivered
@each_word
def test_the_files_are_small_and_belong_together(word: str) -> None:
    file, run = pretrained.tflite(word), pretrained.folder(word)
    assert file.stat().st_size <= 1_200_000
    assert (run / "model.keras").stat().st_size + (run / "bundle.json").stat().st_size < 5_000_000
    metadata = LiteModel(file).metadata
    described = json.loads((run / "bundle.json").read_text())
    assert metadata.classes == VOCABULARIES["slakh" if word == "pretrained-35" else "family"].classes
    assert metadata.classes == tuple(described["classes"])
    assert metadata.fingerprint == described["fingerprint"]
    np.testing.assert_array_equal(np.float32(metadata.thresholds), np.float32(described["thresholds"]))


@delivered
@each_word
def test_the_file_that_hears_is_the_bundle(word: str) -> None:
    waveform = probe_signal(22050, 12.0)
    models = (mir_tf.load(word), mir_tf.load(pretrained.folder(word)))
    by_file, by_run = (model.predict(waveform, 22050).probabilities for model in models)
    assert np.abs(by_file - by_run).max() < 0.12  # the file may hold 8 bits
    assert np.abs(by_file - by_run).mean() < 0.01


@delivered
@each_word
def test_a_piano_is_heard_as_one(word: str) -> None:
    soundfont, rate = SoundFont(default_soundfont()), 22050
    notes = [soundfont.note(0, False, pitch, 90, 1.0, rate)[:rate] for pitch in (60, 64, 67, 72, 67, 64, 60, 64)]
    waveform = np.concatenate([np.pad(note, (0, rate - len(note))) for note in notes])
    heard = mir_tf.load(word).predict(0.5 * waveform / np.abs(waveform).max(), rate)
    assert heard.dominant == ("Acoustic Piano" if word == "pretrained-35" else "Piano")
    assert "Drums" not in heard.detected


@each_word
def test_what_is_said_of_its_reliability_stands_in_the_model_card(word: str) -> None:
    card = (pretrained.FOLDER / "MODEL_CARD.md").read_text()
    start = f"| {'all, 35 classes' if word == 'pretrained-35' else 'all'} | new SoundFont | "
    (row,) = (line for line in card.splitlines() if line.startswith(start) and " of " in line)
    _, _, _, detected, perhaps, *_ = row.split("|")
    for cell in (detected, perhaps):
        right, number = map(int, re.search(r"(\d+) of (\d+)", cell).groups())  # type: ignore[union-attr]
        share = f"{100 * right / number:.0f}"
        assert f"({share} %)" in cell
        assert f"{share} %" in pretrained.SCORES[word]
    assert "It does not detect " in pretrained.reliability(word)
