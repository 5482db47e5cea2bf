"""The common interface of runs and exported files, and the examples in the documentation."""

import doctest
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mir_tf
from mir_tf import lite as lite_module
from mir_tf import loading, pretrained
from mir_tf.errors import AudioError, ConfigError
from mir_tf.export.exporter import probe_signal
from mir_tf.inference import model as model_module
from mir_tf.inference.model import Model


@pytest.fixture(scope="module", params=["run", "model.float32.tflite"])
def model(request: pytest.FixtureRequest, exported_cnn: Path) -> Model:
    return mir_tf.load(exported_cnn / request.param)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a song of 4 s, in stereo, at 44.1 kHz."""
    path = tmp_path_factory.mktemp("song") / "song.flac"
    left = probe_signal(44100, 4.0)
    soundfile.write(path, np.stack([left, left[::-1]], axis=1), 44100)
    return path


def test_a_run_and_a_file_have_one_interface(model: Model) -> None:
    assert isinstance(model, Model)
    assert (len(model.classes), model.thresholds.shape, model.thresholds.dtype) == (17, (17,), np.float32)
    assert repr(model) == f"<{type(model).__name__} cnn, 17 classes, 8000 Hz>"
    assert (model.architecture, model.sample_rate) == ("cnn", 8000)


def test_paths_texts_and_arrays_have_the_same_prediction(model: Model, song: Path) -> None:
    array, sr = soundfile.read(song)
    by_path, by_text, by_array = model.predict(song), model.predict(str(song)), model.predict(array, sr)
    assert (by_path.path, by_text.path, by_array.path) == (str(song), str(song), "")
    np.testing.assert_array_equal(by_text.probabilities, by_path.probabilities)
    np.testing.assert_allclose(by_array.probabilities, by_path.probabilities, atol=1e-6)
    assert by_array.seconds == by_path.seconds == 4.0
    assert by_path.intervals


def test_a_sample_rate_is_for_arrays_only(model: Model, song: Path) -> None:
    with pytest.raises(ConfigError, match=r"sr is missing: .* call predict\(array, sr\)"):
        model.predict(np.zeros(8000))
    with pytest.raises(ConfigError, match=r"sr is 8000, but .*song\.flac states its own"):
        model.predict(song, 8000)
    with pytest.raises(AudioError, match="audio is empty"):
        model.predict([], 8000)


@pytest.fixture(scope="module")
def lite(exported_cnn: Path) -> Model:
    return mir_tf.load(exported_cnn / "model.float32.tflite")


@pytest.fixture(scope="module")
def songs(song: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write three songs of 1, 2 and 3 s."""
    folder = tmp_path_factory.mktemp("songs")
    paths = [folder / f"{number}.flac" for number in (1, 2, 3)]
    for number, path in enumerate(paths, start=1):
        soundfile.write(path, probe_signal(8000, float(number)), 8000)
    return paths


def test_several_recordings_give_several_predictions(model: Model, songs: list[Path]) -> None:
    expected = [model.predict(song) for song in songs]
    assert [prediction.seconds for prediction in expected] == [1.0, 2.0, 3.0]
    texts = list(map(str, songs))
    for several in (songs, tuple(texts), iter(songs), sorted(songs[0].parent.glob("*.flac")), np.array(texts)):
        found = model.predict(several)
        assert [prediction.path for prediction in found] == texts
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine.probabilities, theirs.probabilities)
    assert model.predict(iter(())) == model.predict([]) == []


def test_several_arrays_give_several_predictions(lite: Model, songs: list[Path]) -> None:
    arrays = [soundfile.read(song)[0] for song in songs]
    for mine, song in zip(lite.predict(arrays, sr=8000), songs, strict=True):
        np.testing.assert_allclose(mine.probabilities, lite.predict(song).probabilities, atol=1e-6)
    one = lite.predict(arrays[0].tolist(), sr=8000)  # a list of numbers is one signal, of lists one with channels
    stereo = lite.predict([[value, value] for value in arrays[0]], sr=8000)
    np.testing.assert_allclose(one.probabilities, stereo.probabilities, atol=1e-6)


def test_a_faulty_recording_in_a_list_is_named_before_the_work(lite: Model, songs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    seen: list[float] = []
    for bad in (tmp_path / "nowhere.wav", tmp_path / "text.wav"):
        with pytest.raises(AudioError, match=f"{bad.name}: "):
            lite.predict([*songs, bad], progress=seen.append)
    assert not seen
    with pytest.raises(AudioError, match="number 1 in the list: audio contains NaN"):
        lite.predict([np.zeros(8000), np.full(8000, np.nan)], sr=8000)
    with pytest.raises(ConfigError, match=r"sr is 8000, but .*1\.flac states its own"):
        lite.predict(songs, sr=8000)
    with pytest.raises(ConfigError, match="number 0 in the list: sr is missing"):
        lite.predict([np.zeros(8000)])


def test_progress_counts_the_seconds_of_all_recordings(model: Model, songs: list[Path]) -> None:
    seen: list[float] = []
    model.predict(songs, progress=seen.append)
    assert seen == sorted(seen)
    assert {1.0, 3.0, 6.0} <= set(seen)


def test_progress_is_drawn_in_a_terminal(exported_cnn: Path, songs: list[Path]) -> None:
    pty = pytest.importorskip("pty")
    code = "import sys, mir_tf; print(len(mir_tf.load(sys.argv[1]).predict(sys.argv[2:], progress=True)))"
    command = [sys.executable, "-c", code, exported_cnn / "model.float32.tflite", *songs]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True, timeout=120)
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.stdout == b"3\n"
    assert "predicting" in drawn
    assert "100%" in drawn
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == (b"3\n", b"")  # no bar in a file


def test_threads_are_for_files_only(exported_cnn: Path) -> None:
    with pytest.raises(ConfigError, match=r"threads apply to \.tflite files only"):
        mir_tf.load(exported_cnn / "run", threads=2)


@pytest.mark.parametrize("module", [loading, lite_module, model_module])
def test_the_examples_in_the_documentation(
    module: object, exported_cnn: Path, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(exported_cnn / "model.float32.tflite", tmp_path)
    shutil.copy(exported_cnn / "model.float32.tflite", tmp_path / "model.tflite")
    shutil.copy(song, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


def test_a_rate_that_is_no_number_is_refused_in_every_call(lite: Model) -> None:
    for sr in ("44100", [44100], np.array([44100]), np.array("44100")):
        for audio in (np.zeros(8000), [np.zeros(8000)]):
            for progress in (False, True):
                with pytest.raises(ConfigError, match=r"sample rate .*: it must be a number, in Hz"):
                    lite.predict(audio, sr, progress)


def test_what_is_no_audio_in_a_list_is_named(lite: Model, songs: list[Path]) -> None:
    for other in (None, 3, b"song.wav", io.BytesIO(b"")):
        with pytest.raises(AudioError, match=rf"number 1 in the list: audio is of type {type(other).__name__}; give"):
            lite.predict([songs[0], other])
    with pytest.raises(AudioError, match="number 0 in the list: audio is of type float"):
        lite.predict(np.array([0.1, 0.2], object), 8000)
    with pytest.raises(AudioError, match=r"audio is no array: .*inhomogeneous"):
        lite.predict([[0.1, 0.2], [0.1]], 8000)


def test_entries_of_a_folder_are_recordings(lite: Model, songs: list[Path]) -> None:
    entries = sorted(os.scandir(songs[0].parent), key=lambda entry: entry.name)
    entries = [entry for entry in entries if Path(entry) in songs]
    paths = [prediction.path for prediction in lite.predict(entries)]
    assert paths == [entry.path for entry in entries] != []


def test_masked_samples_are_not_taken_for_audio(lite: Model) -> None:
    ramp = np.linspace(0, 1, 8000)
    with pytest.raises(AudioError, match="audio has masked samples"):
        lite.predict(np.ma.MaskedArray(ramp, ramp > 0.5), 8000)
    lite.predict(np.ma.MaskedArray(ramp, ramp > 2), 8000)
