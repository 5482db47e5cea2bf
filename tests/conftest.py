"""Fixtures that several test modules share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mir_tf.inference.ledger import CACHE_VARIABLE

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put the cache of all commands into a temporary folder, away from the home of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the width of the terminal in which the tests run, which some terminals and packages export."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Return the folder of genuine Slakh files and reference outputs that lies beside some checkouts."""
    folder = Path(os.environ.get("MIR_TF_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it contains genuine Slakh files that the project does not ship")
    return folder


@pytest.fixture(scope="session")
def exported_cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an untrained CNN as a run, ``run``, and as ``model.float32.tflite`` and ``clip.tflite``."""
    from helpers.tiny_model import make_bundle

    from mir_tf.export.exporter import export

    folder = tmp_path_factory.mktemp("exported_cnn")
    bundle = make_bundle("cnn")
    bundle.save(folder / "run")
    assert not export(bundle, folder, ("tflite",), ("none",)).failed
    return folder


@pytest.fixture(scope="module")
def determinism_ends_with_the_module() -> Iterator[None]:
    """Turn off TensorFlow's deterministic operations after a module whose runs turn them on."""
    yield
    from tensorflow.python.framework.config import disable_op_determinism

    disable_op_determinism()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Yield a browser, driven by playwright, that reaches no other machine."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("chromium is absent")
    isolated = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    args = ["--no-sandbox", "--disable-gpu", isolated, "--use-fake-device-for-media-stream"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=args)
        yield browser
        browser.close()
