"""A ``.tflite`` file in LiteRT: the predictions of its run, without TensorFlow; and files that are not models."""

import copy
import dataclasses
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.commands import run
from helpers.tiny_model import CONFIDENCE

import mir_tf
from mir_tf import bundle
from mir_tf.bundle.keras_model import RunModel
from mir_tf.errors import AudioError, BundleError, ConfigError, MirTfWarning
from mir_tf.events import PostProcessing
from mir_tf.export.exporter import probe_signal
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata, read_model
from mir_tf.io import stored_json
from mir_tf.lite import LiteModel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def path(exported_cnn: Path) -> Path:
    return exported_cnn / "model.float32.tflite"


@pytest.fixture(scope="module")
def model(path: Path) -> LiteModel:
    return LiteModel(path, threads=2)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a song of 9.5 s, in stereo, at 44.1 kHz."""
    path = tmp_path_factory.mktemp("song") / "song.flac"
    left = probe_signal(44100, 9.5)
    soundfile.write(path, np.stack([left, left[::-1]], axis=1), 44100)
    return path


def test_the_prediction_for_a_file_equals_that_of_the_run(exported_cnn: Path, model: LiteModel, song: Path) -> None:
    seconds: list[float] = []
    found = model.predict(song, progress=seconds.append)
    expected = RunModel(bundle.load(exported_cnn / "run")).predict(song)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    for name in ("path", "seconds", "model", "classes", "post_processing", "confidence_model"):
        assert getattr(found, name) == getattr(expected, name), name
    assert len(found.intervals) == len(expected.intervals) > 3
    for mine, theirs in zip(found.intervals, expected.intervals, strict=True):
        assert (mine.start, mine.end, mine.label) == (theirs.start, theirs.end, theirs.label)
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-4)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    assert (found.detected, found.perhaps) == (expected.detected, expected.perhaps)
    assert found.detected
    assert found.perhaps
    assert seconds[-1] == found.seconds
    assert model.classes == expected.classes
    np.testing.assert_array_equal(model.thresholds, expected.thresholds)


def test_the_prediction_for_an_array_equals_that_for_the_file(model: LiteModel, song: Path) -> None:
    array, sr = soundfile.read(song)
    found = model.predict(array, sr)
    np.testing.assert_allclose(found.probabilities, model.predict(song).probabilities, atol=1e-6)
    assert (found.path, found.seconds) == ("", 9.5)


def test_the_command_gives_the_same_table_and_timeline_as_the_run(
    exported_cnn: Path, song: Path, tmp_path: Path
) -> None:
    by_lite = run("predict", exported_cnn / "model.float32.tflite", song, "--out", tmp_path / "out", "--threads", 1)
    content = json.loads((tmp_path / "out" / "song.flac.json").read_text())
    by_keras = run("predict", exported_cnn / "run", song, "--out", tmp_path / "out")
    expected = json.loads((tmp_path / "out" / "song.flac.json").read_text())
    assert (by_lite.exit_code, by_keras.exit_code) == (0, 0)
    assert by_lite.stdout == by_keras.stdout
    assert list(content) == list(expected)
    np.testing.assert_allclose(content.pop("probabilities"), expected.pop("probabilities"), atol=1e-4)
    assert content == expected


def test_threads_are_for_tflite_files(exported_cnn: Path, path: Path, song: Path) -> None:
    result = run("predict", exported_cnn / "run", song, "--threads", 2)
    assert result.exit_code == 2
    assert "threads apply to .tflite files only" in result.output
    assert run("predict", path, song, "--threads", 0).exit_code == 2


def test_eight_channels_are_averaged(model: LiteModel, tmp_path: Path) -> None:
    eight = np.random.default_rng(0).normal(0, 0.1, (16000, 8)).astype(np.float32)
    soundfile.write(tmp_path / "eight.wav", eight, 8000, subtype="FLOAT")
    expected = model.predict(eight.mean(axis=1), 8000).probabilities
    np.testing.assert_allclose(model.predict(eight, 8000).probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(tmp_path / "eight.wav").probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.01, 0.1, 7.0])
def test_silence_and_ten_milliseconds_have_a_prediction(model: LiteModel, tmp_path: Path, seconds: float) -> None:
    silence = np.zeros(round(seconds * 44100))
    soundfile.write(tmp_path / "silence.wav", silence, 44100)
    for found in (model.predict(silence, 44100), model.predict(tmp_path / "silence.wav")):
        assert found.probabilities.shape == (max(round(seconds * 10), 1), 17)
        assert np.isfinite(found.probabilities).all()
        json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        ([], 44100, "audio is empty, or too short for one sample at 8000 Hz"),
        ([0.5], 96000, "audio is empty, or too short"),
        (np.zeros((0, 8)), 44100, "audio is empty, or too short"),
        (np.array([0.1, np.nan]), 8000, "audio contains NaN or infinity"),
        (np.zeros(100, np.int16), 8000, "audio of type int16.*divide int16 by 32768"),
        (np.zeros((2, 44100)), 44100, r"audio of shape \[2, 44100\]; it must be \[samples\], or \[samples, channels\]"),
    ],
)
def test_arrays_that_are_not_audio_are_refused(model: LiteModel, waveform: object, rate: int, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        model.predict(waveform, rate)


def test_an_invalid_sample_rate_is_refused(model: LiteModel) -> None:
    with pytest.raises(ConfigError, match="sample rate 0: it must be between 1000 and 768000 Hz"):
        model.predict(np.zeros(8000), 0)
    with pytest.raises(ConfigError, match="sample rate '44100': it must be a number, in Hz"):
        model.predict(np.zeros(8000), "44100")


@pytest.mark.parametrize("audio", [None, b"song.flac", io.BytesIO(b"RIFF")])
def test_what_is_neither_a_path_nor_an_array_is_named(model: LiteModel, audio: object) -> None:
    with pytest.raises(AudioError, match=f"audio is of type {type(audio).__name__}; give the path of a recording"):
        model.predict(audio)


def test_other_kinds_of_paths_are_paths(model: LiteModel, song: Path) -> None:
    class Entry:
        def __fspath__(self) -> str:
            return str(song)

    assert model.predict(Entry()).path == str(song)


def test_predictions_can_be_searched_for_and_be_keys(model: LiteModel, song: Path) -> None:
    first, second = model.predict([song, song])
    assert [first, second].index(second) == 1
    assert {first: 1, second: 2}[second] == 2
    assert first != second


@pytest.mark.parametrize("thresholds", [0.5, [0.5] * 3, np.full(17, 1.5), np.full(17, -0.1), np.full(17, np.nan)])
def test_invalid_thresholds_are_refused(model: LiteModel, song: Path, thresholds: object) -> None:
    prediction = model.predict(song)
    with pytest.raises(ConfigError, match="thresholds must be 17 numbers from 0 to 1, one for each class"):
        prediction.with_thresholds(thresholds)
    for value in (0, 1):
        moved = prediction.with_thresholds([value] * 17)
        assert moved.active.all() == (value == 0)
        json.dumps(moved.to_dict(), allow_nan=False)


def test_files_that_are_not_audio_are_named(model: LiteModel, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    (tmp_path / "text.mp3").write_text("no song\n" * 200)
    for name in ("nan.wav", "empty.wav", "text.mp3", "missing.flac"):
        with pytest.raises(AudioError, match=name.replace(".", r"\.")):
            model.predict(tmp_path / name)


def test_the_command_continues_after_a_file_that_is_not_audio(path: Path, song: Path, tmp_path: Path) -> None:
    result = run("predict", path, tmp_path / "none.wav", song, "--out", tmp_path)
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'none.wav'}: cannot be opened" in result.output
    assert [file.name for file in tmp_path.glob("[!.]*")] == ["song.flac.json"]


def test_a_file_that_predicts_single_windows_only_is_refused(exported_cnn: Path, song: Path) -> None:
    clip = LiteModel(exported_cnn / "clip.tflite")
    calls: list[Callable[[], object]] = [
        lambda: clip.predict(np.zeros(8000), 8000),
        lambda: clip.predict(song),
        lambda: clip.probabilities(np.zeros(8000, np.float32)),
        lambda: clip.stream(8000),
    ]
    for call in calls:
        with pytest.raises(BundleError, match=r"clip\.tflite: predicts whole windows, not a timeline; use model"):
            call()


def without_zip(content: bytes) -> bytes:
    """Return a model file without the archive at its end."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return content[: min(entry.header_offset for entry in archive.infolist())]


def repacked(content: bytes, text: str) -> bytes:
    """Return the model with other metadata."""
    archive = io.BytesIO(without_zip(content))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(METADATA_FILE, text)
    return archive.getvalue()


def stored(content: bytes) -> dict[str, Any]:
    """Return the metadata in a model file, without their digest."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return stored_json.unsealed(json.loads(archive.read(METADATA_FILE)))[0]


def changed(**fields: object) -> Callable[[bytes], bytes]:
    """Return a function that changes fields of the metadata, with the right digest; None removes a field."""

    def change(content: bytes) -> bytes:
        metadata = {name: value for name, value in (stored(content) | fields).items() if value is not None}
        return repacked(content, json.dumps(stored_json.sealed(metadata)))

    return change


def edited(old: str, new: str) -> Callable[[bytes], bytes]:
    """Return a function that changes the text of the metadata, without any change of the digest."""

    def change(content: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(METADATA_FILE).decode()
        assert old in text
        return repacked(content, text.replace(old, new, 1))

    return change


def bomb(content: bytes) -> bytes:
    """Return the model with metadata of 17 MB that pack to some kB."""
    archive = io.BytesIO(without_zip(content))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(METADATA_FILE, "{" + " " * (1 << 24) + "}")
    return archive.getvalue()


def with_labels(content: bytes) -> bytes:
    """Return the model with other labels, as MediaPipe would show them."""
    labels = "".join(f"{name}\n" for name in stored(content)["classes"])
    assert content.count(labels.encode()) == 1
    archive = io.BytesIO(without_zip(content))
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(archive, "a") as file:
        file.writestr(LABELS_FILE, labels.replace("Piano", "Organ"))
        file.writestr(METADATA_FILE, source.read(METADATA_FILE))
    return archive.getvalue()


ONE_CLASS = PostProcessing((0.1,), (0.1,), (0.1,)).to_dict()

INVALID_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "the file is empty"),
    "text": (lambda content: b"no model at all", r"does not begin like a \.tflite file"),
    "cut in half": (lambda content: content[: len(content) // 2], r"no mir_tf\.json at its end: it is truncated"),
    "cut at its end": (lambda content: content[:-1], "no mir_tf.json at its end"),
    "of another maker": (
        without_zip,
        r"no mir_tf\.json at its end: .*, or was not written by mir-tf export",
    ),
    "with a hole": (lambda content: content[:5000] + content[9000:], "its model does not give the digest"),
    "with a flipped bit": (
        lambda content: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
        "its model does not give the digest .* copy the file again",
    ),
    "with another label": (with_labels, r"its labels\.txt does not list the classes of its mir_tf\.json"),
    "with another threshold": (
        edited('"thresholds": [\n    0.3', '"thresholds": [\n    0.2'),
        r"does not match its content_sha256 \(if you edited it",
    ),
    "a web page": (lambda content: b"<!DOCTYPE html><html>404</html>", "but a web page or an error message"),
    "a pointer": (
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "but a Git LFS pointer .* git lfs pull",
    ),
    "a bomb": (bomb, r"no mir_tf\.json at its end"),
    "nested deeply": (lambda content: repacked(content, "[" * 100_000), "nested too deeply"),
    "with much nesting": (changed(model={"a": json.loads("[" * 50 + "]" * 50)}), "nested too deeply"),
    "with NaN": (edited('"cut": 0.5', '"cut": NaN'), "it contains NaN"),
    "with a threshold beyond all numbers": (edited("0.3", "1e999"), "it contains 1e999"),
    "with a repeated name": (edited('"format": 4', '"format": 4, "format": 4'), "it repeats 'format'"),
    "with many digits": (changed(sample_rate=10**400), "sample_rate is a whole number of very many digits"),
    "without metadata's fields": (lambda content: repacked(content, "{}"), "damaged: format is None"),
    "of no whole format": (changed(format=True), "damaged: format is True; it must be a whole number"),
    "no object": (lambda content: repacked(content, "[]"), "damaged"),
    "no JSON": (lambda content: repacked(content, "{'format': 1}"), "damaged"),
    "of the future": (changed(format=5), "format 5; this version reads formats 1 to 4; export the model again"),
    "without a field": (changed(sample_rate=None), "damaged: .*has no field sample_rate"),
    "with an unknown field": (changed(color="red"), "damaged: .*unknown field color"),
    "of wrong types": (changed(sample_rate="8 kHz"), "sample_rate is '8 kHz'; it must be"),
    "of wrong thresholds": (changed(thresholds=["high"] * 17), r"thresholds\[0\] is 'high'; it must be a number"),
    "of thresholds in texts": (changed(thresholds=["0.5"] * 17), r"thresholds\[0\] is '0\.5'; it must be a number"),
    "of thresholds that are true": (changed(thresholds=[True] * 17), r"thresholds\[0\] is True; it must be a number"),
    "of thresholds of 2": (changed(thresholds=[2] * 17), r"thresholds\[0\] is 2; it must be a number between 0 and 1"),
    "of thresholds in one text": (changed(thresholds="1" * 17), "thresholds is '1+'; it must be a list"),
    "with a class twice": (changed(classes=["Piano"] * 17), "classes contains 'Piano' twice"),
    "with a class of two lines": (changed(classes=["a\nb"] * 17), r"classes\[0\] is 'a\\nb'; it must be one line"),
    "with another front end": (changed(fingerprint="0"), "front_end does not give the fingerprint"),
    "without a rate": (changed(sample_rate=0), "sample_rate is 0; it must be a whole number between 1"),
    "with a wrong window": (changed(overlap_frames=29), "the window is invalid"),
    "without an architecture": (changed(model={"vocabulary": "family"}), "model.architecture is no text"),
    "with a vocabulary of numbers": (
        changed(model={"vocabulary": 5, "architecture": "cnn"}),
        "model.vocabulary is no t",
    ),
    "with a wrong output": (changed(output="song"), "output is 'song'; it must be frames or clip"),
    "with wrong classes": (
        changed(
            classes=["Organ"],  # the one in untuned
            thresholds=[0.5],
            post_processing=ONE_CLASS,
            confidence=dataclasses.replace(CONFIDENCE, weights=CONFIDENCE.weights[:1]).to_dict(),
        ),
        "its model does not match its metadata",
    ),
    "of a wrong rule": (changed(post_processing={"offset_thresholds": [0.1]}), "damaged: .*min_durations"),
    "with a rule of other classes": (
        changed(post_processing=ONE_CLASS),
        "its post_processing does not match its thresholds",
    ),
    "without a confidence field": (changed(confidence=None), "damaged: .*confidence"),
    "of a confidence of another type": (changed(confidence=0.9), "confidence is 0.9; it must be an object"),
    "of a wrong confidence": (changed(confidence={"cut": 0.5}), "damaged: .*weights"),
    "with a confidence of other classes": (
        changed(confidence=dataclasses.replace(CONFIDENCE, weights=CONFIDENCE.weights[:1]).to_dict()),
        "its confidence does not match its classes",
    ),
    "with fewer thresholds": (changed(thresholds=[0.5]), "does not have one threshold for each class"),
    "with other windows": (changed(input_samples=100), "its model does not match its metadata"),
}


@pytest.mark.parametrize("name", INVALID_FILES)
def test_a_file_that_is_not_an_exported_model_is_named_with_the_cause(
    path: Path, song: Path, tmp_path: Path, name: str
) -> None:
    change, message = INVALID_FILES[name]
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(change(path.read_bytes()))
    with pytest.raises(BundleError, match=rf"bad\.tflite: .*{message}"):
        LiteModel(bad)
    for words in (("predict", bad, song, "--out", tmp_path / "out"), ("listen", bad)):
        result = run(*words)
        assert result.exit_code == 1
        assert f"Error: {bad}: " in result.output
    assert not (tmp_path / "out").exists()


def test_a_front_end_that_normalises_each_clip_predicts_files_only(path: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(changed(streams=False)(path.read_bytes()))
    model = LiteModel(tmp_path / "model.tflite")
    assert model.predict(np.zeros(8000), 8000).probabilities.shape == (10, 17)
    with pytest.raises(BundleError, match="cannot process a stream"):
        model.stream(8000)


def modules_after(code: str, *arguments: str | Path) -> set[str]:
    """Return the modules that a process has loaded after it has run ``code``."""
    end = "\nimport sys; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", code + end, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"tensorflow", "keras", "librosa", "scipy", "matplotlib", "yaml", "pretty_midi"}


def test_the_module_for_applications_loads_little() -> None:
    loaded = modules_after("import mir_tf.lite")
    assert {"mir_tf.lite", "ai_edge_litert", "soxr", "soundfile"} <= loaded
    assert not loaded & (HEAVY | {"click", "rich", "flatbuffers"})


def test_the_command_imports_no_tensorflow(path: Path, song: Path, tmp_path: Path) -> None:
    code = "import sys; from mir_tf.cli import main; main(sys.argv[1:], standalone_mode=False)"
    loaded = modules_after(code, "predict", path, song, "--out", tmp_path)
    assert (tmp_path / "song.flac.json").is_file()
    assert not loaded & HEAVY


NEEDED = ("numpy", "soundfile", "soxr", "ai-edge-litert")

_SHIPPED = """
import sys
import numpy as np, soundfile
from mir_tf.lite import LiteModel
model = LiteModel(sys.argv[1])
array, sr = soundfile.read(sys.argv[2])
stream = model.stream(sr)
found = [stream.feed(array[:100000]), stream.feed(array[100000:]), stream.finish()]
np.savez(sys.argv[3], array=model.predict(array, sr).probabilities, stream=np.concatenate(found),
         whole=model.predict(sys.argv[2]).probabilities)
print(*sys.modules)
"""


@pytest.mark.slow
def test_it_runs_where_nothing_else_is_installed(model: LiteModel, path: Path, song: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    (python,) = (tmp_path / "venv").glob("*/python*[!w].exe" if os.name == "nt" else "bin/python")
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip cannot install {', '.join(NEEDED)}: {installed.stderr.strip().splitlines()[-1]}")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mir_tf").symlink_to(ROOT / "mir_tf")
    command = [python, "-c", _SHIPPED, path, song, tmp_path / "found.npz"]
    environment = {"PYTHONPATH": str(tmp_path / "package"), "PYTHONWARNINGS": "error", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"tensorflow", "keras", "click", "rich", "yaml"} & set(done.stdout.split())
    expected = model.predict(song).probabilities
    found = np.load(tmp_path / "found.npz")
    for name in ("array", "stream", "whole"):
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)


def test_metadata_gives_the_shape_of_the_output(model: LiteModel) -> None:
    metadata: Metadata = model.metadata
    assert metadata.output_shape == (1, 30, 17)
    assert dataclasses.replace(metadata, output="clip").output_shape == (1, 17)


def test_metadata_comes_back_with_or_without_a_confidence(model: LiteModel) -> None:
    assert model.metadata.confidence == CONFIDENCE
    for metadata in (model.metadata, dataclasses.replace(model.metadata, confidence=None)):
        text = metadata.to_json()
        assert json.loads(text)["format"] == 4
        assert Metadata.from_json(text, "here") == metadata


def test_metadata_of_an_earlier_format_has_no_confidence_or_digest(model: LiteModel) -> None:
    content = stored_json.unsealed(json.loads(model.metadata.to_json()))[0]
    del content["model_sha256"]
    assert Metadata.from_json(json.dumps(content | {"format": 3}), "here") == dataclasses.replace(
        model.metadata, model_sha256=""
    )
    del content["confidence"]
    expected = dataclasses.replace(model.metadata, confidence=None, model_sha256="")
    assert Metadata.from_json(json.dumps(content | {"format": 2}), "here") == expected
    former = content | {"answers": content["output"], "event_rule": content["post_processing"], "format": 1}
    del former["output"], former["post_processing"]
    assert Metadata.from_json(json.dumps(former), "here") == expected


def test_threads_may_share_a_model(path: Path, song: Path) -> None:
    model = LiteModel(path)
    expected = model.predict(song).probabilities
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict(song).probabilities, range(8)))
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, expected)


@pytest.mark.parametrize("version", [3, 4])
def test_a_file_without_a_digest_loads_with_a_warning(
    model: LiteModel, path: Path, song: Path, tmp_path: Path, version: int
) -> None:
    """An earlier version wrote it, or somebody has removed the digest to edit the file."""
    content = stored(path.read_bytes()) | {"format": version}
    if version == 3:
        del content["model_sha256"]
    earlier = tmp_path / "earlier.tflite"
    earlier.write_bytes(repacked(path.read_bytes(), json.dumps(content)))
    with pytest.warns(MirTfWarning, match=r"earlier\.tflite: without a digest, .*; export the model again"):
        loaded = LiteModel(earlier)
    np.testing.assert_array_equal(loaded.predict(song).probabilities, model.predict(song).probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("default", MirTfWarning)
        result = run("predict", earlier, song, "--out", tmp_path)
    assert result.exit_code == 0
    assert result.stderr.count("warning: ") == 1
    assert f"warning: {earlier}: without a digest" in result.stderr


def test_no_flipped_bit_goes_unnoticed(path: Path, tmp_path: Path) -> None:
    """What still loads has the same model and metadata: the bit is in a date or an attribute of the archive."""
    content, draw = path.read_bytes(), random.Random(0)
    expected = LiteModel(path).metadata
    start = len(without_zip(content))
    places = [draw.randrange(start) for _ in range(100)] + [draw.randrange(start, len(content)) for _ in range(300)]
    refused = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        (tmp_path / "flipped.tflite").write_bytes(flipped)
        try:
            metadata, model_content = read_model(tmp_path / "flipped.tflite")
        except BundleError:
            refused += 1
            continue
        assert metadata == expected
        assert model_content[:start] == content[:start]
    assert refused > 350


def test_a_model_can_be_copied_and_sent_to_other_processes(model: LiteModel, path: Path, tmp_path: Path) -> None:
    moved = shutil.copy(path, tmp_path)
    own = LiteModel(moved, threads=2)
    Path(moved).unlink()
    signal = probe_signal(8000, 5)
    expected = model.predict(signal, 8000).probabilities
    for other in (copy.copy(own), copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        np.testing.assert_array_equal(other.predict(signal, 8000).probabilities, expected)
        assert repr(other) == repr(model)
    assert own.predict(signal, 8000) is not None
    code = f"""
        import multiprocessing, sys
        import numpy as np
        from mir_tf.lite import LiteModel
        model, signal = LiteModel({str(path)!r}, threads=2), np.linspace(-0.5, 0.5, 40_000)
        expected = model.predict(signal, 8000).probabilities
        def difference(model):
            return abs(model.predict(signal, 8000).probabilities - expected).max()
        def difference_of_global(_):
            return difference(model)
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    print(*pool.map(difference, [model, model]), *pool.map(difference_of_global, range(2)))
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.0"] * 8


def test_a_file_that_is_replaced_while_it_is_open_changes_nothing(model: LiteModel, path: Path, tmp_path: Path) -> None:
    own = tmp_path / "model.tflite"
    shutil.copy(path, own)
    loaded, signal = LiteModel(own), probe_signal(8000, 5)
    own.write_bytes(b"")
    expected = model.predict(signal, 8000).probabilities
    np.testing.assert_array_equal(loaded.predict(signal, 8000).probabilities, expected)


def test_names_that_this_version_does_not_know_are_shown_as_they_are(path: Path, song: Path, tmp_path: Path) -> None:
    names = ["$x_$", "$", *(f"Bird {index}" for index in range(15))]
    changes = {"classes": names, "untuned": [], "model": {"vocabulary": "birds", "architecture": "cnn"}}
    (tmp_path / "birds.tflite").write_bytes(changed(**changes)(path.read_bytes()))
    prediction = mir_tf.load(tmp_path / "birds.tflite").predict(song).with_thresholds([0.0] * 17)
    assert {interval.label for interval in prediction.intervals} == set(names)
    assert set(prediction.colors) == {"#8a8b8b"}
    json.dumps(prediction.to_dict(), allow_nan=False)
    figure = prediction.plot()
    figure.savefig(tmp_path / "birds.png")
    labels = figure.axes[0].get_yticklabels()
    shown = {label.get_text() for label in labels}
    assert all(any(text.startswith(name) for text in shown) for name in names)
    assert not any(label.get_parse_math() for label in labels)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 10**9])
def test_threads_are_a_positive_whole_number(path: Path, threads: Any) -> None:
    with pytest.raises(ConfigError, match=r"threads is .*; it must be a whole number between 1 and 1024"):
        mir_tf.load(path, threads)
