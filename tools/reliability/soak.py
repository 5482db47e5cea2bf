"""Use the app, or a model in one process, many times in a row, and measure whether anything grows.

    python tools/reliability/soak.py --count 5000

The first rounds warm everything up: the app then keeps as many results as it may. After them and at the end, memory,
open files, threads, processes and temporary files are measured; the lines give the growth per 1,000 rounds. A round of
the app uploads a recording (good ones, copies for the browser, ones that are no audio, ones that break off), reads the
result, downloads it in a format, and discards it or leaves it. A round of the model is ``Model.predict`` for an array
or a file. The exit status is 1 if something grew more than it may. It needs Linux.
"""

from __future__ import annotations

import gc
import http.client
import io
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import soundfile
from running_app import RunningApp, Usage, usage

WARM_ROUNDS = 250
"""Number of rounds before the first measurement."""

MAX_GROWTH = {"MB": 20.0, "files": 5.0, "threads": 2.0, "processes": 1.0, "temporary files": 1.0}
"""Growth in 1,000 rounds, or in fewer, that is still noise."""


def soak(rounds: Callable[[int], None], measure: Callable[[], Usage], count: int) -> tuple[Usage, Usage, float]:
    """Do ``count`` rounds after those that warm everything up.

    Args:
        rounds: Does the round of a number.
        measure: Returns what is used.
        count: Number of rounds.

    Returns:
        What was used before the rounds that count and at the end, and the seconds that a round took.
    """
    for number in range(WARM_ROUNDS):
        rounds(number)
    time.sleep(1)
    before = measure()
    begun = time.monotonic()
    for number in range(WARM_ROUNDS, WARM_ROUNDS + count):
        rounds(number)
    elapsed = (time.monotonic() - begun) / count
    time.sleep(1)
    return before, measure(), elapsed


def report(name: str, before: Usage, after: Usage, count: int, seconds: float) -> bool:
    """Print a line of figures, and return whether nothing grew more than it may."""
    thousands = max(1.0, count / 1000)
    # An idle decoder ends after minutes. Its memory is left out, because its end would hide the growth of others.
    lasting = before.memory.keys() & after.memory.keys()
    begin, end = ((sum(each.memory[pid] for pid in lasting), *each[1:]) for each in (before, after))
    growth = {key: (last - first) / thousands for key, first, last in zip(MAX_GROWTH, begin, end, strict=True)}
    is_good = all(growth[key] <= most for key, most in MAX_GROWTH.items())
    shown = ", ".join(f"{value:+.1f} {key}" for key, value in growth.items())
    now = ", ".join(f"{value:.0f} {key}" for key, value in zip(MAX_GROWTH, end, strict=True))
    click.echo(
        f"{'ok  ' if is_good else 'FAIL'} {name}: {count} rounds of {1000 * seconds:.0f} ms; "
        f"per 1,000: {shown}; at the end: {now}"
    )
    return is_good


class AppUser:
    """Uses an app: a round is one recording."""

    def __init__(self, port: int, seed: int) -> None:
        """Use the app at ``port``."""
        self._port, self._draw = port, random.Random(seed)
        self._songs = []
        for form, seconds in (("WAV", 1.0), ("FLAC", 3.0), ("OGG", 2.0), ("AIFF", 1.5)):
            file = io.BytesIO()
            soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, round(8000 * seconds)), 8000, format=form)
            self._songs.append(file.getvalue())
        _, content = self._ask("GET", "/api/model")
        self._formats = [each["name"] for each in json.loads(content)["formats"]]
        self._thresholds = json.dumps([0.5] * len(json.loads(content)["classes"])).encode()

    def round(self, number: int) -> None:
        """Upload a recording and use its result."""
        kind = number % 10
        content = self._draw.choice(self._songs)
        if kind == 7:
            content = self._draw.randbytes(1000)
        if kind == 8:
            self._break_off(content)
            return
        copy = "yes" if kind % 2 else "no"
        _, answer = self._ask("POST", f"/api/recordings?name=song{number}&copy={copy}", content, good=202)
        path = f"/api/recordings/{json.loads(answer)['id']}"
        while (state := json.loads(self._ask("GET", path)[1]))["state"] not in ("done", "failed"):
            time.sleep(0.01)
        if (state["state"] == "failed") != (kind == 7):
            raise click.ClickException(f"round {number}: {state['message'] or 'noise became a recording'}")
        if state["state"] == "done":
            self._ask("GET", f"{path}/probabilities")
            if kind in (0, 5):
                form = self._formats[number // 5 % len(self._formats)]
                self._ask("POST", f"{path}/files/{form}", self._thresholds)
            if copy == "yes":
                self._ask("GET", f"{path}/audio")
        if kind < 6:  # the others are discarded when there are too many
            self._ask("DELETE", path, good=204)

    def _break_off(self, content: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            head = f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content[: len(content) // 2])

    def _ask(self, method: str, path: str, body: bytes | None = None, good: int = 200) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != good:
            raise click.ClickException(f"{method} {path}: {response.status} {content[:200].decode()}")
        return response.status, content


def soak_app(count: int, seed: int, model: Path | None = None) -> bool:
    """Use an app ``count`` times, and return whether nothing grew."""
    with tempfile.TemporaryDirectory() as name:
        app = RunningApp(Path(name), model)
        try:
            user = AppUser(app.port, seed)
            before, after, seconds = soak(user.round, app.usage, count)
            is_good = report("app", before, after, count, seconds)
        finally:
            left = app.close()
        if left:
            click.echo(f"FAIL app: files were left: {left}")
        return is_good and not left


def soak_model(count: int, model: Path | None = None) -> bool:
    """Predict ``count`` times in this process, and return whether nothing grew."""
    import mir_tf

    loaded = mir_tf.load(model) if model else mir_tf.load()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for suffix in ("wav", "flac", "ogg"):
            paths.append(Path(name, f"song.{suffix}"))
            soundfile.write(paths[-1], draw.normal(0, 0.1, 16_000), 8000)

        def predict(number: int) -> None:
            if number % 2:
                loaded.predict(paths[number // 2 % len(paths)])
            else:
                loaded.predict(draw.normal(0, 0.1, 8000 * (1 + number % 3)).astype(np.float32), 8000)

        def measure() -> Usage:
            gc.collect()
            found = usage(os.getpid(), Path(name))
            return found._replace(temporary_files=found.temporary_files - len(paths))

        before, after, seconds = soak(predict, measure, count)
        return report("Model.predict", before, after, count, seconds)


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True, help="Number of rounds of each.")
@click.option("--seed", default=0, show_default=True, help="Seed of the recordings.")
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Model to use.  [default: pretrained]")
def main(count: int, seed: int, model: Path | None) -> None:
    """Use the app and a model many times in a row, and measure whether anything grows."""
    results = [soak_app(count, seed, model), soak_model(count, model)]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
