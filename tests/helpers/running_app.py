"""A running app, and recordings to give it."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from mir_tf.app.recordings import Recordings, UploadLimits

NOT_A_RECORDING = "is not a recording, or is damaged, or has a format that is not supported. Try mp3, m4a, wav or flac."
LIMITS = UploadLimits(max_bytes=4_000_000, max_seconds=60.0, max_recordings=6)


class App(NamedTuple):
    """A running app: its port, its recordings and its model."""

    port: int
    recordings: Recordings
    model: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send a request; return status, headers with names in lower case, and body of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def upload(self, content: bytes, name: str = "song.wav", copy: str = "no") -> str:
        """Upload a recording and return its id."""
        status, _, body = self.ask(
            "POST", f"/api/recordings?{urllib.parse.urlencode({'name': name, 'copy': copy})}", content
        )
        assert status == 202, body
        return str(json.loads(body)["id"])

    def wait(self, key: str) -> dict[str, Any]:
        """Wait until a recording is done or failed, and return its status."""
        for _ in range(600):
            status, _, body = self.ask("GET", f"/api/recordings/{key}")
            assert status == 200, body
            state: dict[str, Any] = json.loads(body)
            if state["state"] in ("done", "failed"):
                return state
            time.sleep(0.05)
        raise AssertionError(state)


def eventually(condition: Callable[[], Any]) -> None:
    """Wait until ``condition`` is true, for half a minute at most."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError


def song(path: Path, seconds: float = 6.0, rate: int = 8000, **options: str) -> Path:
    """Write a recording of alternating noise and tones, and return its path."""
    time_axis = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.2, len(time_axis))
    signal = np.where(time_axis % 2 < 1, noise, 0.3 * np.sin(880 * np.pi * time_axis))
    soundfile.write(path, signal, rate, **options)
    return path
