"""Connections that take long, take much, or never end: each phase of a request has a limit."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.running_app import App, eventually, song

from mir_tf.app import connections, server
from mir_tf.app.connections import Connection, Phase, SparingFilter

HOST = "Host: localhost\r\n"


@contextlib.contextmanager
def connected(app: App, content: bytes = b"", timeout: float = 30.0) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", app.port), timeout=timeout) as connection:
        connection.sendall(content)
        yield connection


def post(path: str = "/api/recordings", *headers: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\n{HOST}{''.join(f'{each}{chr(13)}{chr(10)}' for each in headers)}\r\n".encode()


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(100_000):
            content += piece
    return content


def arrived(connection: socket.socket) -> bytes:
    """Return what is here already."""
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        return connection.recv(1000)
    return b""


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: loc", f"GET / HTTP/1.1\r\n{HOST}\r\nGET".encode()])
def test_a_header_that_does_not_end_is_given_up(app: App, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 1.0)
    begun = time.monotonic()
    with connected(app, begin) as connection:
        for _ in range(8):  # a drop each time does not help
            time.sleep(0.3)
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"a")
        rest(connection)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("drop", [b"", b"0"])
def test_an_upload_that_is_too_slow_is_told_so_and_leaves_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch, drop: bytes
) -> None:
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 1.0)
    before = set(app.recordings._recordings)
    with connected(app, post("/api/recordings", "Content-Length: 1000000")) as connection:
        eventually(lambda: set(app.recordings._recordings) - before)
        for _ in range(5):
            time.sleep(0.4)
            with contextlib.suppress(ConnectionError):
                connection.sendall(drop)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"].startswith("The upload was too slow")
    eventually(lambda: set(app.recordings._recordings) <= before)


def test_slow_uploads_give_way_and_fast_ones_do_not(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_BODIES_PER_CLIENT", 2)
    with contextlib.ExitStack() as stack:

        def begin() -> socket.socket:
            return stack.enter_context(connected(app, post("/api/recordings", "Content-Length: 1000000")))

        slow = [begin(), begin()]
        time.sleep(0.5)
        content = song(tmp_path / "song.wav", 60.0).read_bytes()
        assert app.wait(app.upload(content))["state"] == "done"
        assert sum(b" 408 " in arrived(each) for each in slow) == 1
        monkeypatch.setattr(connections, "SAFE_BODY_RATE", 0.0)  # now all are fast
        for _ in range(3):
            last = begin()
        answer = last.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()


@pytest.mark.parametrize("length", ["Content-Length: 900000000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/api/recordings", "/nothing"])
def test_an_endless_body_is_not_read_on_after_the_answer(app: App, length: str, path: str) -> None:
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if "chunked" in length else b"x" * 65_536
    sent = 0
    with connected(app, post(path, length)) as connection, contextlib.suppress(ConnectionError):
        while sent < 100_000_000:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 30_000_000  # the limit of this app's uploads is 4 MB; the rest is in the buffers of the system
    eventually(lambda: not list(app.recordings._folder.iterdir()))


def test_a_client_that_does_not_read_is_given_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 1.0)
    request = f"GET /static/examples/rock.mp3 HTTP/1.1\r\n{HOST}\r\n".encode()
    with connected(app, request * 200) as connection:
        time.sleep(4)
        connection.settimeout(10)
        assert len(rest(connection)) < 50_000_000  # of 80 MB


def test_chunks_of_one_byte_do_not_keep_the_server_busy(app: App) -> None:
    content = b"1\r\na\r\n" * 200_000

    def send() -> None:
        with contextlib.suppress(OSError), connected(app, post("/api/recordings", "Transfer-Encoding: chunked")) as one:
            one.sendall(content)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    begun = time.monotonic()
    for _ in range(5):
        assert app.ask("GET", "/api/model")[0] == 200
    assert time.monotonic() - begun < 5
    for thread in threads:
        thread.join(timeout=60)


def test_a_body_in_any_chunks_is_the_same_recording(app: App, tmp_path: Path) -> None:
    content = song(tmp_path / "song.wav", 0.5).read_bytes()
    whole = app.wait(app.upload(content))
    status, _, answer = app.ask("POST", "/api/recordings?name=song.wav", iter([bytes([each]) for each in content]))
    assert status == 202
    state = app.wait(json.loads(answer)["id"])
    assert state == {**whole, "ahead": state["ahead"]}


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        b"GET / HTTP/1.1\r\n" + HOST.encode() + b"".join(b"X-%d: a\r\n" % each for each in range(10_000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST.encode() + b"\r\n",
        b"OPTIONS /api/model HTTP/1.1\r\n" + HOST.encode() + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabcde\r\n",
        b"POST /api/recordings HTTP/1.1\r\n"
        + HOST.encode()
        + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + HOST.encode() + b"\r\n\xff\xfe /\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_without_a_word_in_the_log(
    app: App, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    with connected(app, request_) as connection:
        answer = rest(connection)
    assert not answer or b"HTTP/1.1 400 " in answer
    assert app.ask("GET", "/api/model")[0] == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_websocket_is_not_opened(app: App) -> None:
    head = f"GET / HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with connected(app, head.encode()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_half_open_connections_give_way_to_new_ones(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "limit_concurrency", property(lambda _: 8, lambda *_: None), raising=False)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(app, b"GET / HTTP")) for _ in range(20)]
        assert app.ask("GET", "/api/model")[0] == 200
        assert rest(held[0]) == b""


def test_a_log_does_not_fill_with_the_same_words() -> None:
    logger = logging.getLogger("test_a_log")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.propagate = False
    logger.addFilter(SparingFilter(count=3, seconds=0.5))
    for turn in range(2):
        for number in range(1000):
            logger.error("number %d", number)
        logger.error("something else")
        time.sleep(0.6)
        assert len(records) == 4 * (turn + 1)
    assert records[4].getMessage() == "number 0 [997 more like this were left out]"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of open files")
def test_there_are_fewer_connections_than_files_that_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for soft, hard, most in ((1024, 1 << 20, 400), (256, 256, 32), (64, 64, 8), (resource.RLIM_INFINITY,) * 2 + (400,)):
        set_to: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=(soft, hard): found)
        monkeypatch.setattr(resource, "setrlimit", lambda _, limits, found=set_to: found.append(limits))
        assert connections.max_connections() == most
        assert all(soft < raised <= hard for raised, _ in set_to)


def test_phases_are_those_of_this_uvicorn() -> None:
    """The limits rest on names inside uvicorn and asyncio, which may change."""
    assert [*Phase] == sorted(Phase)
    for name in ("on_response_complete", "send_400_response", "connection_made", "data_received"):
        assert callable(getattr(connections.H11Protocol, name))
    assert issubclass(server.Server, connections.uvicorn.Server)
    if sys.platform != "win32":
        assert asyncio.selector_events._SelectorSocketTransport.max_size > connections._READ_BYTES
