"""The examples, each run as by somebody who copies it, and compared with the model itself."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.tiny_model import make_bundle, predict_signal

from mir_tf.bundle.keras_model import RunModel
from mir_tf.export.exporter import export, probe_signal
from mir_tf.figures.colors import CLASS_COLORS
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
    assert run(example, exported / file, song) == expected


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


def test_the_page_has_the_colours_of_all_figures():
    text = (EXAMPLES / "browser" / "src" / "colors.js").read_text("utf-8")
    assert re.findall(r"#[0-9a-f]{6}", text) == list(CLASS_COLORS.values())


# The page in a browser.


@pytest.fixture(scope="module")
def crnn():
    return make_bundle("crnn")


@pytest.fixture(scope="module")
def exported_crnn(crnn, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    assert not export(crnn, out, ("tflite",), ("none",)).failed
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the page with ``npm run build``."""
    if shutil.which("npm") is None:
        pytest.skip("npm is absent, which builds the page")
    folder = tmp_path_factory.mktemp("page") / "browser"
    shutil.copytree(EXAMPLES / "browser", folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["npm", "ci"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "dist"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Log nothing."""


@pytest.fixture
def site(built, exported_crnn, tmp_path):
    """Serve the page and a model from a plain static server; yield their folder and the address."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    shutil.copy(exported_crnn / "model.float32.tflite", tmp_path / "model.tflite")
    handler = functools.partial(_Handler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(chromium, site):
    """Open the page, and wait for its model; ``page.requests`` are the addresses that it requested."""
    page = chromium.new_page(viewport={"width": 360, "height": 640})
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(site[1])
    page.wait_for_selector("body:not([data-state=loading])")
    yield page
    page.close()


def predict(page, path):
    """Give the page a recording, and return the JSON that it saves."""
    page.set_input_files("#choice", path)
    page.wait_for_selector("[data-state=done]", timeout=120_000)
    with page.expect_download() as download:
        page.click("#save")
    return json.loads(Path(download.value.path()).read_text("utf-8"))


@pytest.mark.slow
def test_the_page_predicts_as_python_does(crnn, page, site, tmp_path):
    signal = probe_signal(8000, 8.0)  # the last window is longer
    signal[-4000:] += np.random.default_rng(0).normal(0, 0.3, 4000).astype(np.float32)  # the end is loud
    soundfile.write(tmp_path / "song.wav", signal, 8000, subtype="FLOAT")
    found = predict(page, tmp_path / "song.wav")
    np.testing.assert_allclose(found["probabilities"], predict_signal(crnn, signal), atol=1e-4)

    expected = RunModel(crnn).predict(tmp_path / "song.wav").to_dict()
    assert found.keys() == expected.keys()
    for name in ("dominant", "seconds", "model", "frame_rate", "classes"):
        assert found[name] == expected[name]
    assert len(found["instruments"]) == len(expected["instruments"]) > 3
    for one, other in zip(found["instruments"], expected["instruments"], strict=True):
        assert (one["class"], one["playing_time"]) == (other["class"], other["playing_time"])
        assert one["share"] == pytest.approx(other["share"], abs=1e-4)
        assert len(one["intervals"]) == len(other["intervals"])
        for mine, theirs in zip(one["intervals"], other["intervals"], strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)

    assert page.inner_text("#dominant") == expected["dominant"]
    assert page.locator(".lane").count() == len(expected["instruments"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    asked = {address.removeprefix(site[1]) for address in page.requests if not address.startswith("blob:")}
    assert not [address for address in asked if "://" in address]
    assert {"main.js", "worker.js", "model.tflite", "litert_wasm_internal.wasm"} <= asked


@pytest.mark.slow
def test_the_page_resamples_as_python_does(crnn, page, tmp_path):
    left = probe_signal(44100, 7.0)
    soundfile.write(tmp_path / "song.flac", np.stack([left, left[::-1]], axis=1), 44100)
    found = predict(page, tmp_path / "song.flac")
    expected = predict_signal(crnn, at_rate_of(crnn, tmp_path / "song.flac"))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-3)


def wait_until(page, condition):
    """Wait for a condition; wait_for_function calls eval, which the page's Content-Security-Policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


@pytest.mark.slow
def test_a_recording_is_dropped_and_a_click_on_a_lane_seeks(page, site):
    soundfile.write(site[0] / "song.wav", probe_signal(8000, 8.0), 8000)
    dropped = page.evaluate_handle(
        """async () => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([await (await fetch("song.wav")).blob()], "song.wav"));
            return transfer;
        }"""
    )
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("[data-state=done]", timeout=120_000)
    page.locator(".lane").first.click()  # in the middle
    wait_until(page, "Math.abs(document.querySelector('#player').currentTime - 4) < 0.1")
    wait_until(page, "Math.abs(document.querySelector('#timeline').style.getPropertyValue('--position') - 0.5) < 0.02")


@pytest.mark.slow
def test_the_page_reports_unusable_files_and_continues(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", [0.5], 48000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(80), 8000)
    for name, message in {
        "notes.txt": "“notes.txt” is not a recording that this browser can play. Try wav, flac or mp3.",
        "empty.wav": "“empty.wav” is not a recording that this browser can play. Try wav, flac or mp3.",
        "nan.wav": "“nan.wav” contains samples that are NaN or infinite.",
        "short.wav": "“short.wav” is too short: no sample at 8000 Hz.",
    }.items():
        page.set_input_files("#choice", tmp_path / name)
        page.wait_for_selector(f"#failure:has-text('{name}')")
        assert page.inner_text("#failure") == message
    assert len(predict(page, tmp_path / "silence.wav")["probabilities"]) == 1
    assert not page.inner_text("#failure")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            "missing",
            "the file is missing. Put an exported model.float32.tflite beside the page as model.tflite.",
        ),
        ("truncated", "it has no mir_tf.json at its end: it is truncated, or was not written by mir-tf export."),
        ("text", "it is not a .tflite file."),
        ("clip", "it predicts whole windows, not a timeline; use model.float32.tflite of the same export."),
        ("newer", "it has format 4, and this page reads formats 2 and 3; export the model again."),
    ],
)
def test_the_page_reports_what_is_wrong_with_its_model(page, site, exported_crnn, bad, message):
    path = site[0] / "model.tflite"
    whole = path.read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "text": b"no model at all",
        "clip": (exported_crnn / "clip.tflite").read_bytes(),
        "newer": whole.replace(b'"format": 3,', b'"format": 4,'),
    }
    if bad == "missing":
        path.unlink()
    else:
        before = path.stat().st_mtime
        path.write_bytes(content[bad])
        os.utime(path, (before + 10, before + 10))  # within a second, the server would report it as unchanged
    page.reload()
    page.wait_for_selector("[data-state=broken]")
    assert page.inner_text("#failure") == f"The model model.tflite cannot be used: {message}"
    assert page.is_disabled("#choice")
