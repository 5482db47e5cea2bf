"""Requests to a running app: well-formed ones changed without a meaning, damaged ones, and ones made to mislead.

The page itself is the independent answer: its files on the disk, and the answer to the request before the change.
After every case, an honest request must get its usual answer, and the server's log must not have grown.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import random
import socket
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
from reliability.running_app import RunningApp

from fuzzing.cases import Case, Kind, damage
from mir_tf.app.server import STATIC
from mir_tf.errors import MirTfError

HOST = b"localhost"
"""Host of the requests: a name that the app accepts at every port."""

SILENCE_SECONDS = 0.3
"""Time without a byte after which a connection is closed from here: the server may wait for the rest of a request."""

Request = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]
"""Method, target, headers other than those of the length, and body."""


class Refused(MirTfError):
    """The server refused a request, or closed the connection."""


class Web(Kind):
    """Requests as bytes, sent over a connection of their own."""

    suffix = ".http"
    seconds: ClassVar[float] = 60.0

    def __init__(self, files: list[Path], seed: int) -> None:
        """Start an app with the pretrained model."""
        super().__init__(files, seed)
        self._stack = contextlib.ExitStack()
        self._app = RunningApp(Path(self._stack.enter_context(tempfile.TemporaryDirectory())), None)
        self._stack.callback(self._app.close)
        file = io.BytesIO()
        soundfile.write(file, np.zeros(800), 8000, format="WAV")
        self._wav = file.getvalue()
        self._model = self._honest()
        self._pages = {path.read_bytes() for path in STATIC.rglob("*") if path.is_file()} | {self._model}
        self._log_bytes = self._app.log.stat().st_size

    def close(self) -> None:
        """End the app."""
        self._stack.close()

    def case(self, number: int) -> Case:
        """Return a request: every third has only changes that mean nothing."""
        draw = self.draw(number)
        request = self._request(draw)
        if number % 3 == 0:
            return Case(_write(_restyle(request, draw), draw), original=_write(request))
        if number % 3 == 1:
            return Case(damage(_write(request, draw), draw))
        return Case(self._mislead(request, draw))

    def judge(self, path: Path, case: Case) -> str:
        """Send a request, and then an honest one."""
        answers = self._send(case.content, self.draw(len(case.content)))
        outcome = self._judge(answers, case)
        if self._honest() != self._model:
            return "wrong: an honest request has another answer afterwards"
        size = self._app.log.stat().st_size
        if size > self._log_bytes:
            text = self._app.log.read_bytes()[self._log_bytes :].decode(errors="replace")
            self._log_bytes = size
            return f"wrong: the server wrote to its log: {text[-300:]!r}"
        if outcome.startswith("refused"):
            raise Refused(outcome)
        return outcome

    def _judge(self, answers: bytes, case: Case) -> str:
        """Return an outcome for the bytes that the server sent."""
        if not answers:
            return "wrong: no answer" if case.original is not None else "refused: the connection was closed"
        status, headers, body = _parse(answers)
        if case.original is not None:
            expected = _parse(self._send(case.original))
            ids = b'{"id":"'
            is_same = body == expected[2] or (body.startswith(ids) and expected[2].startswith(ids))
            if (status, headers) == expected[:2] and is_same:
                return "right"
            return f"wrong: {status} {headers} instead of {expected[0]} {expected[1]}"
        if b"HTTP/1.1 5" in answers and b"HTTP/1.1 503 " not in answers:
            return f"wrong: {answers[answers.index(b'HTTP/1.1 5') :][:200]!r}"
        if 400 <= status < 500 or status == 503:
            return f"refused: {status}"
        if 200 <= status < 400:
            return "right" if body in self._pages else "unjudged"
        return f"wrong: status {status}"

    def _honest(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._app.port, timeout=10)
        try:
            connection.request("GET", "/api/model")
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise AssertionError(f"an honest request gets {response.status}")
        return content

    def _send(self, content: bytes, draw: random.Random | None = None) -> bytes:
        """Send bytes, perhaps in several packets, and return what comes back until the connection rests."""
        received = b""
        with socket.create_connection(("127.0.0.1", self._app.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                for piece in _split(content, draw):
                    connection.sendall(piece)
                connection.settimeout(SILENCE_SECONDS)
                begun = time.monotonic()
                while time.monotonic() < begun + 10:
                    try:
                        if not (piece := connection.recv(1_000_000)):
                            break
                    except TimeoutError:
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(10)
                        continue
                    received += piece
                    if draw is None and _is_whole(received):
                        break
        return received

    def _request(self, draw: random.Random) -> Request:
        """Return a well-formed request."""
        headers = [(b"Host", HOST), (b"User-Agent", b"fuzz/1.0"), (b"Accept", b"*/*")]
        json_body = json.dumps([0.5] * 17).encode()
        method, target, body = draw.choice(
            [
                (b"GET", b"/", b""),
                (b"GET", b"/static/main.js", b""),
                (b"GET", b"/static/examples/../style.css", b""),
                (b"GET", b"/api/model", b""),
                (b"HEAD", b"/", b""),
                (b"OPTIONS", b"/api/model", b""),
                (b"GET", b"/api/recordings/unknown", b""),
                (b"DELETE", b"/api/recordings/unknown", b""),
                (b"POST", b"/api/recordings/unknown/files/csv", json_body),
                (b"POST", b"/api/recordings?name=a.wav&copy=no", self._wav),
                (b"POST", b"/api/recordings?name=%C3%B6%00%2F..&copy=yes", b"no audio"),
                (b"POST", b"/api/open", b'["unknown"]'),
                (b"PUT", b"/nothing", b"x" * draw.randrange(5000)),
            ]
        )
        if method == b"GET" and draw.random() < 0.3:
            headers.append((b"Range", draw.choice([b"bytes=0-9", b"bytes=-5", b"bytes=9999999-", b"bytes=3-1"])))
        return method, target, headers, body

    def _mislead(self, request: Request, draw: random.Random) -> bytes:
        """Return a request that lies about its length, is smuggled behind another, or has strange parts."""
        method, target, headers, body = request
        line = b" ".join([method, target, b"HTTP/1.1"])
        kind = draw.randrange(10)
        if kind == 0:
            lengths = [b"-1", b"+5", b"1e3", b"9" * 30, b"9" * 5000, b"0x10", b"5, 6", b"", b" 5", b"99999999"]
            headers = [*headers, (b"Content-Length", draw.choice(lengths))]
        elif kind == 1:
            codings = [b"chunked, gzip", b"gzip", b"CHUNKED", b"identity", b"chunked, chunked", b"xchunked", b""]
            headers = [*headers, (b"Transfer-Encoding", draw.choice(codings)), (b"Content-Length", b"3")]
        elif kind == 2:
            sizes = [b"ffffffffffffffff", b"-1", b"0x5", b"5 ", b"", b"5;a=b;" + b"c" * 5000, b"g", b"5\n"]
            headers = [*headers, (b"Transfer-Encoding", b"chunked")]
            body = draw.choice(sizes) + b"\r\nabcde\r\n0\r\n" + draw.choice([b"\r\n", b"A: b\r\n\r\n", b""])
        elif kind == 3:
            names = [b"Host", b"host ", b"X\0Y", b"", b"X:", b"(", b"Expect", b"Origin", b"Upgrade", b"Range", b"TE"]
            values = [
                b"evil.example",
                b"[",
                b"\0",
                b"\xff" * 9,
                b"a" * 70_000,
                b"100-continue",
                b"null",
                b"bytes=" * 99,
            ]
            headers = [*headers, (draw.choice(names), draw.choice(values))]
        elif kind == 4:
            paths = [b"*", b"http://localhost/", b"//", b"/%", b"/%ff%fe", b"/static/%2e%2e/server.py", b"/\xc3\xb6"]
            paths += [
                b"/a?" + b"&" * 9000,
                b"/static/../../x",
                b"/static/\\..\\x",
                b"/static/%00",
                b"localhost:80",
                b"/;",
            ]
            line = b" ".join([method, draw.choice(paths), b"HTTP/1.1"])
        elif kind == 5:
            methods = [b"CONNECT", b"TRACE", b"get", b"G\0T", b"A" * 3000, b"", b"PRI", b"PATCH", b"PROPFIND"]
            line = b" ".join([draw.choice(methods), target, b"HTTP/1.1"])
        elif kind == 6:
            versions = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/11", b"http/1.1", b"", b"HTTP/1.1 x"]
            line = b" ".join([method, target, draw.choice(versions)])
        elif kind == 7:
            headers = [*headers, *((b"X-%d" % each, b"a") for each in range(draw.choice([50, 500, 10_000])))]
        elif kind == 8:
            return _write(request) + _write(self._request(draw)) + draw.choice([b"", b"\r\n" * 5, draw.randbytes(50)])
        else:
            return draw.randbytes(draw.randrange(1, 3000))
        if body and kind not in (0, 1, 2):
            headers = [*headers, (b"Content-Length", b"%d" % len(body))]
        return b"\r\n".join([line, *(b": ".join(each) for each in headers), b"", body])


def _write(request: Request, draw: random.Random | None = None) -> bytes:
    """Return the bytes of a request; with ``draw``, its body may have chunks instead of a length."""
    method, target, headers, body = request
    if body and draw is not None and draw.random() < 0.5:
        headers = [*headers, (b"Transfer-Encoding", b"chunked")]
        pieces = _split(body, draw)
        extension = draw.choice([b"", b";a=b"])
        body = b"".join(b"%x%s\r\n%s\r\n" % (len(each), extension, each) for each in pieces) + b"0\r\n\r\n"
    elif body:
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
    lines = [b" ".join([method, target, b"HTTP/1.1"]), *(b": ".join(each) for each in headers)]
    return b"\r\n".join([*lines, b"", body])


def _restyle(request: Request, draw: random.Random) -> Request:
    """Change the order and the case of headers, the blanks around values, and add headers without a meaning here."""
    method, target, headers, body = request
    changed = []
    for name, value in headers:
        name = draw.choice([name, name.lower(), name.upper(), name.swapcase()])
        changed.append((name, draw.choice([b"", b" ", b"\t"]) + value + draw.choice([b"", b"  "])))
    for number in range(draw.randrange(4)):
        changed.append((b"X-Fuzz-%d" % number, draw.choice([b"", b"a", b"\xe4\xf6", b"x" * 200])))
    draw.shuffle(changed)
    return method, target, changed, body


def _split(content: bytes, draw: random.Random | None) -> list[bytes]:
    """Split bytes at up to four random places."""
    if draw is None:
        return [content]
    places = sorted(draw.randrange(len(content) + 1) for _ in range(draw.randrange(5)))
    pieces = [content[start:end] for start, end in zip([0, *places], [*places, len(content)], strict=True)]
    return [piece for piece in pieces if piece]


class _Socket:
    """Bytes as http.client reads them."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: object) -> io.BytesIO:
        """Return the bytes as a file."""
        return io.BytesIO(self._content)


def _parse(answers: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers but the date, and body of the first final response."""
    while answers.startswith(b"HTTP/1.1 100"):
        answers = answers.partition(b"\r\n\r\n")[2]
    response = http.client.HTTPResponse(_Socket(answers))  # type: ignore[arg-type]
    try:
        response.begin()
        with contextlib.suppress(http.client.IncompleteRead):  # to HEAD
            body = response.read()
            return response.status, _kept(response), body
        return response.status, _kept(response), b""
    except http.client.HTTPException as error:
        return 0, {"problem": repr(error)}, answers[:100]


def _kept(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders() if name.lower() not in ("date", "connection")}


def _is_whole(received: bytes) -> bool:
    """Return whether a response with a stated length is here to its end."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, headers, _ = _parse(head + b"\r\n\r\n")
    return status >= 200 and headers.get("content-length", "") == str(len(body))
