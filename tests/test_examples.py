"""The examples, each run as by somebody who copies it, and compared with the model itself."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.tiny_model import make_bundle

from mir_tf import pretrained
from mir_tf.bundle.keras_model import RunModel
from mir_tf.export.exporter import export, probe_signal
from mir_tf.io import audio
from mir_tf.lite import LiteModel

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def cnn():
    return make_bundle("cnn")


@pytest.fixture(scope="module")
def exported(cnn, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    assert not export(cnn, out, ("savedmodel", "tflite"), ("none",)).failed
    return out


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Write a stereo recording at another rate than the model's, longer than several windows."""
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    left = probe_signal(20000, 9.03)
    soundfile.write(path, np.stack([left, left[::-1]], axis=1), 20000)
    return path


def at_rate_of(model, path):
    """Return a recording [samples] at the model's rate."""
    return np.concatenate(list(audio.read_blocks(path, model.config.front_end.sample_rate)))


def run(example, *arguments):
    """Run an example, check that it does not import this package, and return the lines that it prints."""
    assert not re.search(r"^\s*(import|from) (mir_tf|tfrecords_builder)", (EXAMPLES / example).read_text("utf-8"), re.M)
    command = [sys.executable, EXAMPLES / example, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("example", "file"),
    [("litert_tflite.py", "model.float32.tflite"), ("tensorflow_savedmodel.py", "saved_model")],
)
def test_timeline_examples(cnn, exported, song, example, file):
    prediction = RunModel(cnn).predict(song)
    playing = sorted(prediction.instruments, key=lambda each: -each.playing_time)
    expected = [f"{each.name}: {each.playing_time:.1f} s" for each in playing]
    assert len(expected) > 3
    assert [line.removesuffix(" (perhaps)") for line in run(example, exported / file, song)] == expected


def test_the_litert_example_marks_what_perhaps_plays():
    song = EXAMPLES.parent / "mir_tf" / "app" / "static" / "examples" / "jazz.mp3"
    prediction = LiteModel(pretrained.tflite()).predict(song)
    assert prediction.detected
    lines = run("litert_tflite.py", pretrained.tflite(), song)
    assert {line.split(":")[0] for line in lines if not line.endswith(" s (perhaps)")} == set(prediction.detected)
    assert {line.split(":")[0] for line in lines if line.endswith(" s (perhaps)")} == set(prediction.perhaps)


def test_mediapipe_example(cnn, exported, song):
    pytest.importorskip("mediapipe")
    clip = LiteModel(exported / "clip.tflite")
    signal = at_rate_of(cnn, song)
    size = clip.metadata.input_samples
    lines = run("mediapipe_audio.py", exported / "clip.tflite", song)
    assert len(lines) == -(-len(signal) // size) > 2
    for index, line in enumerate(lines):
        time, names = line.split(" s: ")
        assert float(time) == pytest.approx(index * size / 8000, abs=0.1)
        piece = signal[index * size :][:size]
        probabilities = clip.predict_window(np.pad(piece, (0, size - len(piece)))[np.newaxis])
        expected = {cnn.classes[at]: probabilities[at] for at in np.flatnonzero(probabilities >= cnn.thresholds)}
        found = dict(re.findall(r"([^,]+) ([\d.]+)(?:, |$)", names))
        assert {name: float(score) for name, score in found.items()} == pytest.approx(expected, abs=1e-3)
