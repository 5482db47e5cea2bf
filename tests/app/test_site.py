"""The app as a static site: its page predicts in the browser what Python predicts."""

import csv
import dataclasses
import functools
import http.server
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.tiny_model import make_bundle

from mir_tf.bundle.keras_model import RunModel
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.export.exporter import export, probe_signal
from mir_tf.inference.formats import FILE_FORMATS
from mir_tf.inference.prediction import Prediction
from mir_tf.lite import LiteModel

TOOL = Path(__file__).resolve().parents[2] / "tools" / "build_site.py"


@pytest.fixture(scope="module")
def crnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunModel, Path]:
    """Return an untrained model in Keras and as a ``.tflite`` file; some classes are detected, others perhaps."""
    folder = tmp_path_factory.mktemp("exported")
    weights = tuple((0.1 * index - 0.8, 0.7, *(0.4,) * (NUM_FEATURES - 1)) for index in range(17))
    bundle = dataclasses.replace(make_bundle("crnn"), confidence=ConfidenceModel(weights, 0.5))
    assert not export(bundle, folder, ("tflite",), ("none",)).failed
    return RunModel(bundle), folder / "model.float32.tflite"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site(crnn: tuple[RunModel, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Build the site and serve it in a subfolder of a plain static server; yield its folder and its address."""
    if shutil.which("npm") is None:
        pytest.skip("npm is absent, which builds the worker")
    root = tmp_path_factory.mktemp("site")
    command = [sys.executable, TOOL, "--model", crnn[1], "--out", root / "sub"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    handler = functools.partial(_Handler, directory=root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield root / "sub", f"http://127.0.0.1:{server.server_port}/sub/"
        server.shutdown()


@pytest.fixture
def page(chromium: Any, site: tuple[Path, str]) -> Iterator[Any]:
    """Open the page, and wait for its model; ``page.requests`` are the addresses that it requested."""
    page = chromium.new_page(viewport={"width": 360, "height": 640})
    page.requests, page.faults = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(site[1])
    page.wait_for_selector("[data-state=empty]")
    yield page
    assert not page.faults
    assert not [address for address in page.requests if not address.startswith((site[1], "blob:"))]
    page.close()


def choose(page: Any, path: Path) -> None:
    page.set_input_files("#choice", path)
    page.wait_for_selector("[data-state=done]", timeout=120_000)


def download(page: Any, name: str) -> str:
    with page.expect_download() as found:
        page.click(f"[data-format={name}]")
    return Path(found.value.path()).read_text("utf-8")


def assert_same(found: dict[str, Any], prediction: Prediction) -> None:
    """Check that a JSON file of the page is that of Python, but for the precision of another runtime."""
    expected = prediction.to_dict()
    assert found.keys() == expected.keys()
    for name in ("path", "dominant", "seconds", "model", "frame_rate", "classes", "cut", "thresholds"):
        assert found[name] == expected[name], name
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-4)
    np.testing.assert_allclose(found["confidences"], expected["confidences"], atol=1e-3)
    assert len(found["instruments"]) == len(expected["instruments"]) > 3
    assert {each["group"] for each in found["instruments"]} == {"detected", "perhaps"}
    for one, other in zip(found["instruments"], expected["instruments"], strict=True):
        assert [one[name] for name in ("class", "group", "playing_time")] == [
            other[name] for name in ("class", "group", "playing_time")
        ]
        assert one["share"] == pytest.approx(other["share"], abs=1e-4)
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-3)
        assert len(one["intervals"]) == len(other["intervals"])
        for mine, theirs in zip(one["intervals"], other["intervals"], strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)


@pytest.mark.slow
def test_the_site_predicts_as_python_does(
    crnn: tuple[RunModel, Path], page: Any, site: tuple[Path, str], tmp_path: Path
) -> None:
    signal = probe_signal(8000, 8.0)  # the last window is longer
    signal[-4000:] += np.random.default_rng(0).normal(0, 0.3, 4000).astype(np.float32)  # the end is loud
    path = tmp_path / "song.wav"
    soundfile.write(path, signal, 8000, subtype="FLOAT")
    choose(page, path)
    expected = dataclasses.replace(crnn[0].predict(path), path="song.wav")
    assert_same(json.loads(download(page, "json")), expected)
    assert page.inner_text("#dominant") == expected.dominant
    assert page.locator("#lanes .row:visible").count() == len(expected.detected)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    asked = {address.removeprefix(site[1]) for address in page.requests}
    assert {"model.json", "model.tflite", "static/worker.js", "static/litert_wasm_internal.wasm"} <= asked


@pytest.mark.slow
def test_the_site_resamples_as_python_does(crnn: tuple[RunModel, Path], page: Any, tmp_path: Path) -> None:
    left = probe_signal(44100, 7.0)
    path = tmp_path / "song.flac"
    soundfile.write(path, np.stack([left, left[::-1]], axis=1), 44100)
    choose(page, path)
    found = json.loads(download(page, "json"))
    np.testing.assert_allclose(found["probabilities"], crnn[0].predict(path).probabilities, atol=1e-3)


@pytest.mark.slow
def test_the_files_of_the_site_are_those_of_python(
    crnn: tuple[RunModel, Path], page: Any, site: tuple[Path, str]
) -> None:
    """Encode the same probabilities, with moved thresholds and an awkward name."""
    model = LiteModel(crnn[1])
    prediction = model.predict(probe_signal(8000, 20.0), 8000)
    thresholds = (prediction.thresholds * np.linspace(0.8, 1.2, 17)).astype(np.float32)
    moved = dataclasses.replace(prediction.with_thresholds(thresholds), path='a "b", c.wav')
    found = page.evaluate(
        """async ({ address, seconds, columns, name, thresholds }) => {
            const { encode } = await import(address + "static/formats.js");
            const { confidencesOf } = await import(address + "static/confidence.js");
            const model = await (await fetch(address + "model.json")).json();
            const values = columns.map((column) => Float32Array.from(column));
            const confidences = confidencesOf(values, model.metadata.confidence, model.frame_rate);
            const found = { name, seconds, columns: values, confidences };
            const files = ["json", "csv", "audacity"].map((format) =>
                encode(format, found, model, Float32Array.from(thresholds)));
            return [confidences, ...files, confidencesOf(values, null, model.frame_rate)];
        }""",
        {
            "address": site[1],
            "seconds": moved.seconds,
            "columns": moved.probabilities.T.tolist(),
            "name": moved.path,
            "thresholds": thresholds.tolist(),
        },
    )
    confidences, written, table, labels, nothing = found
    np.testing.assert_allclose(confidences, moved.confidence, rtol=1e-9)
    assert nothing == [None] * 17
    assert_same(json.loads(written), moved)
    for mine, theirs in zip(
        csv.reader(io.StringIO(table)), csv.reader(io.StringIO(FILE_FORMATS["csv"].encode(moved).decode())), strict=True
    ):
        assert [_number(cell) for cell in mine] == pytest.approx([_number(cell) for cell in theirs], abs=2e-5)
    assert labels == FILE_FORMATS["audacity"].encode(moved).decode()


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


@pytest.mark.slow
def test_the_site_reports_unusable_files_and_continues(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", [0.5], 48000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(80), 8000)
    for name, message in {
        "notes.txt": "“notes.txt” is not a recording that this browser can play. Try wav, flac or mp3.",
        "nan.wav": "“nan.wav” contains samples that are NaN or infinite.",
        "short.wav": "“short.wav” is too short: no sample at 8000 Hz.",
    }.items():
        page.set_input_files("#choice", tmp_path / name)
        page.wait_for_selector(f"#failure:has-text('{name}')")
        assert page.inner_text("#failure") == message
    choose(page, tmp_path / "silence.wav")
    assert len(json.loads(download(page, "json"))["probabilities"]) == 1
    assert not page.inner_text("#failure")


@pytest.mark.slow
def test_a_stopped_recording_does_not_hold_up_the_next(page: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", probe_signal(8000, 600.0), 8000)
    page.set_input_files("#choice", tmp_path / "long.wav")
    page.wait_for_selector("#message:has-text('Detecting')", timeout=120_000)
    page.click("#stop")
    page.wait_for_selector("[data-state=empty]")
    soundfile.write(tmp_path / "song.wav", probe_signal(8000, 4.0), 8000)
    choose(page, tmp_path / "song.wav")
    assert page.inner_text("#file") == "song.wav"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.json", "The model cannot be loaded: model.json is missing."),
        ("model.tflite", "The model model.tflite cannot be used: the file is missing."),
    ],
)
def test_the_site_reports_a_missing_file(chromium: Any, site: tuple[Path, str], name: str, message: str) -> None:
    page = chromium.new_page()
    page.route(f"**/{name}", lambda route: route.fulfill(status=404))
    page.goto(site[1])
    page.wait_for_selector("#failure:not(:empty)")
    assert page.inner_text("#failure") == message
    assert page.is_disabled("#choice")
    page.close()


@pytest.mark.slow
def test_a_page_that_is_opened_from_a_folder_says_what_to_do(chromium: Any, site: tuple[Path, str]) -> None:
    page = chromium.new_page()
    page.goto((site[0] / "index.html").as_uri())
    assert "Serve the folder" in page.inner_text("#failure")
    page.close()


@pytest.mark.slow
def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is absent")
    (tmp_path / "thesis.txt").write_text("years of work")
    run = subprocess.run([sys.executable, TOOL, "--out", tmp_path], stderr=subprocess.PIPE, text=True)
    assert (run.returncode, "contains other files" in run.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
