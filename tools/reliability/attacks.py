"""Attack a running app on this machine, and measure how long honest visitors wait meanwhile.

    python tools/reliability/attacks.py

Every attack gets a new server, and runs in a process of its own. Meanwhile, an honest visitor opens the page, uploads a
recording of three seconds and waits for its result, again and again. A line for each attack states the slowest page,
the slowest result, the number of visits, the size of the server's log, and its peak memory and number of open files.
The exit status is 1 if a visitor waited too long, or the server took too much.

It needs Linux, and connects to nothing but loopback addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import multiprocessing
import os
import random
import re
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import soundfile
from running_app import USUAL_FILES, RunningApp

MAX_WAIT = 2.0
"""Maximum time in seconds in which a visitor must get the page or a result."""

MAX_LOG_BYTES, MAX_MEGABYTES = 100_000, 600
"""Maximum size of the log, and maximum memory that an attack may add."""

FEW_FILES = 256
"""Limit of open files of the server in the attack ``few files``."""

Attack = Callable[..., Coroutine[Any, Any, None]]
"""Attacks a :class:`Target` until it is cancelled."""

ATTACKS: dict[str, Attack] = {}
"""Name → the attack."""


def attack(name: str) -> Callable[[Attack], Attack]:
    """Add a function to the attacks."""

    def add(function: Attack) -> Attack:
        ATTACKS[name] = function
        return function

    return add


class Target:
    """The attacked server, seen from the process that attacks."""

    def __init__(self, port: int, seed: int, begins: Event) -> None:
        """Attack the server at ``port``; set ``begins`` when everything is prepared."""
        self.port, self.draw, self.begins = port, random.Random(seed), begins

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """Return the header of a request."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines, "", ""]).encode()

    async def connect(self, spread: bool = False, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, from any loopback address if ``spread``."""
        if spread:
            address = f"127.{self.draw.randrange(1, 250)}.{self.draw.randrange(250)}.{self.draw.randrange(2, 250)}"
            options["local_addr"] = (address, 0)
        return await asyncio.open_connection("127.0.0.1", self.port, **options)

    async def hold(self, first: bytes, drip: bytes = b"", every: float = 1.0, spread: bool = False) -> None:
        """Open a connection, send ``first``, then ``drip`` again and again, and never read."""
        _, writer = await self.connect(spread)
        with contextlib.closing(writer):
            writer.write(first)
            while not writer.is_closing():
                await asyncio.sleep(every)
                writer.write(drip)
                await writer.drain()

    async def ask(self, request: bytes, count: int = 1) -> bytes:
        """Send a request over a connection ``count`` times, each time after the response, and return the last one."""
        reader, writer = await self.connect()
        content = b""
        with contextlib.closing(writer):
            for _ in range(count):
                writer.write(request)
                header = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", header)
                is_empty = request.startswith(b"HEAD") or b" 304 " in header[:20]
                content = b"" if is_empty or not length else await reader.readexactly(int(length[1]))
        return content

    async def upload(self, content: bytes, copy: str = "no") -> str:
        """Upload a recording and return its id."""
        head = self.head("POST", f"/api/recordings?name=a&copy={copy}", f"Content-Length: {len(content)}")
        return str(json.loads(await self.ask(head + content)).get("id", ""))


async def crowd(target: Target, count: int, work: Callable[[], Awaitable[object]], pause: float = 0.0) -> None:
    """Do something in ``count`` tasks again and again, whatever the server answers; the attack begins now."""
    target.begins.set()

    async def again() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError):
                await work()
            await asyncio.sleep(pause)

    await asyncio.gather(*(again() for _ in range(count)))


@attack("half-open headers")
async def half_open(target: Target, spread: bool = False) -> None:
    first = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nX-a: ".encode()
    await crowd(target, 1300, lambda: target.hold(first, b"a", spread=spread), 0.5)


@attack("half-open headers, many addresses")
async def half_open_spread(target: Target) -> None:
    await half_open(target, spread=True)


@attack("silent connections")
async def silent(target: Target) -> None:
    await crowd(target, 1300, lambda: target.hold(b""), 0.5)


@attack("few files")
async def few_files(target: Target) -> None:
    await half_open(target)


@attack("idle connections")
async def idle(target: Target) -> None:
    await crowd(target, 1300, lambda: target.hold(target.head("HEAD", "/")), 0.5)


@attack("slow uploads")
async def slow_uploads(target: Target, spread: bool = False) -> None:
    head = target.head("POST", "/api/recordings?name=a", "Content-Length: 100000000")
    await crowd(target, 64, lambda: target.hold(head + bytes(100), b"0", 0.5, spread))


@attack("slow uploads, many addresses")
async def slow_uploads_spread(target: Target) -> None:
    await slow_uploads(target, spread=True)


@attack("slow bodies of other requests")
async def slow_bodies(target: Target) -> None:
    path = "/api/recordings/x/files/csv"
    await crowd(target, 400, lambda: target.hold(target.head("POST", path, "Content-Length: 100000"), b"0"), 0.1)


@attack("endless bodies")
async def endless(target: Target, chunked: bool = False) -> None:
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 199000000000"
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n" if chunked else bytes(65_536)
    await crowd(target, 8, lambda: target.hold(target.head("POST", "/api/recordings?name=a", length), piece, 0.0))


@attack("endless chunked bodies")
async def endless_chunked(target: Target) -> None:
    await endless(target, chunked=True)


@attack("endless bodies to other addresses")
async def endless_elsewhere(target: Target) -> None:
    head = target.head("POST", "/nothing", "Content-Length: 199000000000")
    await crowd(target, 8, lambda: target.hold(head, bytes(65_536), 0.0))


@attack("chunks of one byte")
async def small_chunks(target: Target) -> None:
    head = target.head("POST", "/api/recordings?name=a", "Transfer-Encoding: chunked")
    await crowd(target, 16, lambda: target.hold(head, b"1\r\na\r\n" * 10_000, 0.0))


@attack("wrong chunks")
async def wrong_chunks(target: Target) -> None:
    head = target.head("POST", "/api/recordings?name=a", "Transfer-Encoding: chunked")
    bodies = [
        b"ffffffffffffffff\r\nab",
        b"-1\r\na\r\n",
        b"z\r\n",
        b"5;" + b"x" * 100_000,
        b"3\r\nabcdef\r\n",
        b"\r\n" * 999,
    ]

    async def send() -> None:
        reader, writer = await target.connect()
        with contextlib.closing(writer):
            writer.write(head + target.draw.choice(bodies))
            await asyncio.wait_for(reader.read(), 1)

    await crowd(target, 32, send)


@attack("never reading")
async def never_reading(target: Target) -> None:
    request = target.head("GET", "/static/examples/rock.mp3") * 100
    await crowd(target, 300, lambda: target.hold(request), 0.5)


@attack("slow reading")
async def slow_reading(target: Target) -> None:
    async def read() -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", target.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1)
        with contextlib.closing(writer):
            writer.write(target.head("GET", "/static/examples/rock.mp3") * 100)
            while await reader.read(100):
                await asyncio.sleep(0.5)

    await crowd(target, 300, read, 0.1)


@attack("pipelining")
async def pipelining(target: Target) -> None:
    async def send() -> None:
        reader, writer = await target.connect()
        with contextlib.closing(writer):
            writer.write(target.head("GET", "/api/model") * 1000)
            while await reader.read(1_000_000):
                pass

    await crowd(target, 32, send)


@attack("large headers and addresses")
async def large_headers(target: Target) -> None:
    lines = [f"X-{number}: a" for number in range(10_000)]
    requests = [
        target.head("GET", "/", *lines),
        target.head("GET", "/", "X-a: " + "a" * 5_000_000),
        target.head("GET", "/" + "a" * 5_000_000),
        target.head("GET", "/?" + "a=b&" * 4000),
    ]
    await crowd(target, 16, lambda: target.ask(target.draw.choice(requests)))


@attack("other protocols")
async def other_protocols(target: Target) -> None:
    upgrade = ("Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    requests = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        target.head("GET", "/", "Upgrade: websocket", *upgrade),
        target.head("GET", "/", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Connection: Upgrade"),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        target.draw.randbytes(5000),
    ]
    await crowd(target, 32, lambda: target.ask(target.draw.choice(requests)))


@attack("opened and closed at once")
async def open_and_close(target: Target) -> None:
    async def connect() -> None:
        _, writer = await target.connect(spread=target.draw.random() < 0.5)
        writer.transport.abort() if target.draw.random() < 0.5 else writer.close()

    await crowd(target, 64, connect)


@attack("floods of HEAD and OPTIONS")
async def flood(target: Target) -> None:
    requests = [target.head("HEAD", "/"), target.head("OPTIONS", "/api/model"), target.head("OPTIONS", "*")]
    await crowd(target, 32, lambda: target.ask(target.draw.choice(requests), 1000))


@attack("ranges")
async def ranges(target: Target) -> None:
    specs = [
        "0-0",
        "0-0," * 400 + "1-1",
        "-1",
        "99999999-",
        "5-1",
        "0-,0-,0-",
        ",".join(f"{n}-{n}" for n in range(900)),
    ]
    path = "/static/examples/rock.mp3"
    await crowd(target, 32, lambda: target.ask(target.head("GET", path, f"Range: bytes={target.draw.choice(specs)}")))


@attack("an hour of silence in a small file")
async def silence(target: Target) -> None:
    content = recording(3590, rate=8000, noise=0.0, form="FLAC")
    await crowd(target, 16, lambda: target.upload(content, target.draw.choice(["yes", "no"])), 0.05)


@attack("thousands of tiny uploads")
async def tiny(target: Target) -> None:
    content = recording(0.2)
    await crowd(target, 16, lambda: target.upload(content))


@attack("uploads that are no audio")
async def no_audio(target: Target) -> None:
    await crowd(target, 16, lambda: target.upload(target.draw.randbytes(2000)))


async def finished(target: Target, seconds: float) -> str:
    """Upload a recording, and return its id when it has been processed."""
    key = await target.upload(recording(seconds, noise=0.0, form="FLAC"))
    while json.loads(await target.ask(target.head("GET", f"/api/recordings/{key}")))["state"] != "done":
        await asyncio.sleep(0.2)
    return key


@attack("large results")
async def large_results(target: Target) -> None:
    key = await finished(target, 240)
    paths = [f"/api/recordings/{key}", f"/api/recordings/{key}/probabilities"]
    await crowd(target, 100, lambda: target.ask(target.head("GET", target.draw.choice(paths))))


@attack("large results, never reading")
async def large_results_unread(target: Target) -> None:
    key = await finished(target, 240)
    await crowd(target, 300, lambda: target.hold(target.head("GET", f"/api/recordings/{key}/probabilities") * 50), 0.2)


@attack("downloads")
async def downloads(target: Target) -> None:
    key = await finished(target, 60)
    body = json.dumps([0.5] * 17).encode()
    requests = [
        target.head("POST", f"/api/recordings/{key}/files/{name}", f"Content-Length: {len(body)}") + body
        for name in ("png", "json", "csv", "svg")
    ]
    await crowd(target, 100, lambda: target.ask(target.draw.choice(requests)))


def recording(seconds: float, rate: int = 8000, noise: float = 0.1, form: str = "WAV") -> bytes:
    """Return a recording as a file."""
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 1, round(seconds * rate)) * noise
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def run_attack(name: str, port: int, seed: int, begins: Event) -> None:
    """Attack until this process is ended."""
    os.nice(5)  # the attacker is another machine: it takes no time from this server
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(ATTACKS[name](Target(port, seed, begins)))


class Visitor:
    """An honest visitor: what the page does, without a browser."""

    def __init__(self, port: int) -> None:
        """Visit the app at ``port``."""
        self._port, self._content = port, recording(3.0)

    def open_page(self) -> float:
        """Open the page and return how long it takes in seconds."""
        begun = time.monotonic()
        for path in ("/", "/static/main.js", "/api/model"):
            self._ask("GET", path, until=begun + 30)
        return time.monotonic() - begun

    def get_result(self) -> float:
        """Upload a recording, and return after how many seconds its result is here."""
        begun = time.monotonic()
        until = begun + 30
        key = json.loads(self._ask("POST", "/api/recordings?name=song.wav", until, self._content))["id"]
        while (state := json.loads(self._ask("GET", f"/api/recordings/{key}", until)))["state"] != "done":
            if state["state"] == "failed":
                raise click.ClickException(f"an honest recording failed: {state['message']}")
            time.sleep(0.1)
        self._ask("GET", f"/api/recordings/{key}/probabilities", until)
        elapsed = time.monotonic() - begun
        # Uploads of the attack may have taken its place by now.
        self._ask("DELETE", f"/api/recordings/{key}", until + 30, accepted=(404,))
        return elapsed

    def _ask(
        self, method: str, path: str, until: float, body: bytes | None = None, accepted: tuple[int, ...] = ()
    ) -> bytes:
        """Return the response. Try again if the app is busy, like the page, or a connection breaks, like browsers."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=max(1, until - time.monotonic()))
            try:
                connection.request(method, path, body)
                response = connection.getresponse()
                content = response.read()
                if response.status < 300 or response.status in accepted:
                    return content
                problem = f"{response.status} {content[:200].decode()}"
                if response.status != 503:
                    raise click.ClickException(f"{method} {path}: {problem}")
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            finally:
                connection.close()
            if time.monotonic() > until:
                raise click.ClickException(f"{method} {path}: {problem}")
            time.sleep(0.2)


class Outcome(NamedTuple):
    """What happened during an attack.

    Attributes:
        page: Longest time in seconds until the page was open.
        result: Longest time in seconds from an upload to its result.
        visits: Number of results.
        log_bytes: Size of the server's log.
        megabytes: Peak memory of the server and its decoders.
        grown: Memory in MB that the attack added.
        files: Most open files of the server and its decoders.
        problem: What else went wrong; otherwise empty.
    """

    page: float
    result: float
    visits: int
    log_bytes: int
    megabytes: float
    grown: float
    files: int
    problem: str

    @property
    def is_good(self) -> bool:
        """Whether visitors were served in time, and the server took little."""
        is_small = self.log_bytes <= MAX_LOG_BYTES and self.grown <= MAX_MEGABYTES
        return not self.problem and max(self.page, self.result) <= MAX_WAIT and is_small


def withstand(name: str, seconds: float, seed: int, model: Path | None = None) -> Outcome:
    """Attack a new app, and return what happened.

    Args:
        name: Name of the attack.
        seconds: How long to attack.
        seed: Seed of the attack's random numbers.
        model: Model of the app; None is the pretrained one.
    """
    with tempfile.TemporaryDirectory() as folder:
        app = RunningApp(Path(folder), model, FEW_FILES if name == "few files" else USUAL_FILES)
        context = multiprocessing.get_context("spawn")
        begins = context.Event()
        attacker = context.Process(target=run_attack, args=(name, app.port, seed, begins))
        pages, results, used, problem = [], [], [app.usage()], ""
        try:
            visitor = Visitor(app.port)
            visitor.open_page()
            visitor.get_result()
            used = [app.usage()]  # now that everything is loaded
            attacker.start()
            if not begins.wait(60):
                raise click.ClickException("the attack did not begin")
            time.sleep(1)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                used.append(app.usage())
                pages.append(visitor.open_page())
                results.append(visitor.get_result())
                time.sleep(0.1)
            if not attacker.is_alive():
                problem = "the attack ended"
            if app.process.poll() is not None:
                problem = f"the app ended with status {app.process.returncode}"
        except click.ClickException as error:
            problem = error.message
        finally:
            used.append(app.usage())
            if attacker.pid is not None:
                attacker.kill()
                attacker.join()
            left = app.close()
        if not problem and left:
            problem = f"files were left: {left}"
        most = max(each.megabytes for each in used)
        return Outcome(
            page=max(pages, default=0.0),
            result=max(results, default=0.0),
            visits=len(results),
            log_bytes=app.log.stat().st_size,
            megabytes=most,
            grown=most - used[0].megabytes,
            files=max(each.files for each in used),
            problem=problem,
        )


def line(name: str, outcome: Outcome) -> str:
    """Return a line of figures."""
    return (
        f"{'ok  ' if outcome.is_good else 'FAIL'} {name:38} page {outcome.page:5.2f} s  "
        f"result {outcome.result:5.2f} s  "
        f"{outcome.visits:3} visits  log {outcome.log_bytes:6} B  memory {outcome.megabytes:5.0f} MB "
        f"({outcome.grown:+.0f})  {outcome.files:4} files{'  ' + outcome.problem if outcome.problem else ''}"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seconds", default=12.0, show_default=True, help="Duration of each attack.")
@click.option("--seed", default=0, show_default=True, help="Seed of the attacks' random numbers.")
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Model of the app.  [default: pretrained]")
def main(names: tuple[str, ...], seconds: float, seed: int, model: Path | None) -> None:
    """Attack the app in each way in turn, or only as NAMES say, and measure how long honest visitors wait."""
    for name in names:
        if name not in ATTACKS:
            raise click.BadParameter(f"unknown attack {name!r}; there are: {', '.join(ATTACKS)}")
    outcomes = []
    for name in names or ATTACKS:
        outcomes.append(withstand(name, seconds, seed, model))
        click.echo(line(name, outcomes[-1]))
    good = sum(outcome.is_good for outcome in outcomes)
    slowest = max(max(outcome.page, outcome.result) for outcome in outcomes)
    click.echo(f"{good} of {len(outcomes)} attacks withstood; slowest answer to an honest visitor: {slowest:.2f} s")
    sys.exit(good < len(outcomes))


if __name__ == "__main__":
    main()
