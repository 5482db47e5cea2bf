"""The common interface of runs and exported files, and the examples in the documentation."""

import doctest
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mir_tf
from mir_tf import lite, loading, pretrained
from mir_tf.errors import AudioError, ConfigError
from mir_tf.export.exporter import probe_signal
from mir_tf.loading import Model


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
    expected = inspect.signature(Model.predict)
    assert inspect.signature(type(model).predict) == expected
    assert (len(model.classes), model.thresholds.shape, model.thresholds.dtype) == (17, (17,), np.float32)


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


def test_threads_are_for_files_only(exported_cnn: Path) -> None:
    with pytest.raises(ConfigError, match=r"threads apply to \.tflite files only"):
        mir_tf.load(exported_cnn / "run", threads=2)


@pytest.mark.parametrize("module", [loading, lite])
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
