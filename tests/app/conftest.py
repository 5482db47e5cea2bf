"""A fixture with a running app."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.running_app import LIMITS, App

from mir_tf.app import server
from mir_tf.app.recordings import Recordings


@pytest.fixture(scope="module")
def app(exported_cnn: Path) -> Iterator[App]:
    """Serve an app with an untrained model for the tests of a module; it must leave nothing behind."""
    model = exported_cnn / "model.float32.tflite"
    recordings = Recordings(model, LIMITS)
    listener = server.bind("127.0.0.1", 0)
    running = server.make_server(server.make_app(recordings, model.name))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield App(listener.getsockname()[1], recordings, model)
    running.should_exit = True
    thread.join()
    assert not recordings._folder.exists()
    listener.close()
