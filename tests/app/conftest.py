"""Fixtures with an untrained model that is confident of some classes, and with an app that runs it."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.running_app import LIMITS, App

from mir_tf.app import server
from mir_tf.app.recordings import Recordings
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained CNN as a ``.tflite`` file, for which a class is detected if its mean probability is 0.5."""
    from helpers.tiny_model import make_bundle

    from mir_tf.export.exporter import export

    folder = tmp_path_factory.mktemp("confident_cnn")
    confidence = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 17, 0.5)
    bundle = dataclasses.replace(make_bundle("cnn"), confidence=confidence)
    assert not export(bundle, folder, ("tflite",), ("none",)).failed
    return folder / "model.float32.tflite"


@pytest.fixture(scope="module")
def app(model: Path) -> Iterator[App]:
    """Serve an app for the tests of a module; it must leave nothing behind."""
    recordings = Recordings(model, LIMITS)
    listener = server.bind("127.0.0.1", 0)
    running = server.make_server(server.make_app(recordings, model))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield App(listener.getsockname()[1], recordings, model)
    running.should_exit = True
    thread.join()
    assert not recordings._folder.exists()
    listener.close()
