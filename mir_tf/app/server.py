"""The app's web server: Starlette and uvicorn, the page's files, and a handful of addresses under ``/api``.

It is made to be safe on a machine where other web pages are open. It answers to names of its own only, so that no
foreign name can be pointed at it (DNS rebinding); requests that change something must come from its own page; and the
page may load nothing from elsewhere. The event loop only moves bytes: threads decode, hear and draw.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import mimetypes
import signal
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import numpy as np
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mir_tf import pretrained
from mir_tf.app.recordings import PEAK_RATE, Limits, Recording, Recordings, State, TooManyRecordings
from mir_tf.config import LABEL_RATE
from mir_tf.errors import ConfigError
from mir_tf.inference.formats import FORMATS
from mir_tf.inference.prediction import Prediction

STATIC = Path(__file__).parent / "static"
mimetypes.add_type("text/javascript", ".js")  # a Windows registry may say otherwise, and browsers then run none of it

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_CHUNK_SECONDS = 60
"""Between two pieces of an upload: a browser that says nothing for longer has gone."""

_IDLE_CHECK_SECONDS = 60
"""Between two looks for recordings that nobody asks for any more."""

_SMALL = 100_000
"""Bytes of a request that is no upload."""


class Guard:
    """Lets requests through that the app's own page makes, and gives every answer the headers that protect it."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Guards ``app``, which is served at ``host``."""
        self._app = app
        own = socket.gethostname().lower()
        self._names = {"localhost", own, own.partition(".")[0], f"{own}.local", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if not self._is_own_name(headers.get("host", "")):
            refusal = _error(421, "This name does not belong to the app: use the address that mir-tf app printed.")
        elif scope["method"] not in ("GET", "HEAD") and not _is_own_page(headers):
            refusal = _error(403, "Only the app's own page may do this.")
        else:
            await self._app(scope, receive, protected)
            return
        await refusal(scope, receive, protected)

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server. A number always does: only names can be pointed elsewhere."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_own_page(headers: Headers) -> bool:
    """Whether a request comes from the server's own page, or from a program that is no browser."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


class Api:
    """What the page asks for."""

    def __init__(self, recordings: Recordings, model_name: str) -> None:
        """Serves ``recordings``, heard by the model of this name."""
        self._recordings, self._model_name = recordings, model_name
        self._formats = {
            name: each for name, each in FORMATS.items() if all(find_spec(package) for package in each.needs)
        }

    def routes(self) -> list[Route]:
        """The addresses."""
        one = "/recordings/{id}"
        return [
            Route("/model", self.model),
            Route("/recordings", self.upload, methods=["POST"]),
            Route(one, self.state, methods=["GET"]),
            Route(one, self.discard, methods=["DELETE"]),
            Route(f"{one}/probabilities", self.probabilities),
            Route(f"{one}/audio", self.audio),
            Route(f"{one}/files/{{format}}", self.file, methods=["POST"]),
        ]

    async def model(self, request: Request) -> Response:
        """The model, its classes and their colours, what files may be, and what can be downloaded."""
        silence, limits = self._recordings.silence, self._recordings.limits
        return JSONResponse(
            {
                "id": self._recordings.model_id,
                "name": self._model_name,
                "architecture": silence.model["architecture"],
                "frame_rate": LABEL_RATE,
                "peak_rate": PEAK_RATE,
                "classes": list(silence.classes),
                "colors": silence.colors,
                "thresholds": silence.thresholds.tolist(),
                "post_processing": silence.post_processing.to_dict(),
                "max_bytes": limits.max_bytes,
                "max_seconds": limits.max_seconds,
                "formats": [
                    {"name": name, "suffix": each.suffix, "description": each.description}
                    for name, each in self._formats.items()
                ],
            }
        )

    async def upload(self, request: Request) -> Response:
        """Takes the bytes of a recording, its name in the query, and has it heard."""
        limits = self._recordings.limits
        too_large = _error(413, f"The file is larger than {limits.max_bytes / 1e6:g} MB. Try a compressed one, as mp3.")
        if int(request.headers.get("content-length", "0")) > limits.max_bytes:
            return too_large
        query = request.query_params
        try:
            recording = self._recordings.new(query.get("name", ""), query.get("copy") == "yes")
        except TooManyRecordings as error:
            return _error(503, str(error))
        try:
            arrived = await _store(request, recording, limits.max_bytes)
        except (ClientDisconnect, TimeoutError, OSError) as error:
            self._recordings.discard(recording)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                return _error(507, "The file does not fit on this machine's disk.")
            return _error(408, "The file did not arrive.")
        except BaseException:
            self._recordings.discard(recording)
            raise
        if not arrived:
            self._recordings.discard(recording)
            return too_large
        self._recordings.hear(recording)
        return JSONResponse({"id": recording.id}, 202)

    async def state(self, request: Request) -> Response:
        """How far a recording is and, when it has been heard, its waveform and length."""
        recording = self._find(request)
        answer: dict[str, Any] = {
            "model": self._recordings.model_id,
            "state": recording.state.value,
            "name": recording.name,
            "ahead": self._recordings.ahead_of(recording),
            "seconds": recording.seconds,
            "heard_seconds": recording.heard_seconds,
            "message": recording.message,
        }
        if recording.prediction is not None:
            answer["seconds"] = recording.prediction.seconds
            answer["peaks"] = recording.peaks.round(3).astype(float).round(3).tolist()
        return JSONResponse(answer)

    async def discard(self, request: Request) -> Response:
        """Forgets a recording."""
        self._recordings.discard(self._find(request))
        return Response(status_code=204)

    async def probabilities(self, request: Request) -> Response:
        """Every probability: little-endian float32 [label frames, classes], row after row."""
        content = self._prediction(request).probabilities.astype("<f4").tobytes()
        return Response(content, media_type="application/octet-stream")

    async def audio(self, request: Request) -> Response:
        """The copy for browsers that cannot play the recording itself, whole or the range that is asked for."""
        recording = self._find(request)
        if recording.copy is None or recording.state is not State.HEARD:
            raise HTTPException(404, "No copy of this recording was asked for.")
        return FileResponse(recording.copy, media_type="audio/flac")

    async def file(self, request: Request) -> Response:
        """The prediction in a format, by the thresholds [classes] that the body states as JSON."""
        form = self._formats.get(request.path_params["format"])
        if form is None:
            raise HTTPException(404, "There is no such format.")
        prediction = self._prediction(request)
        thresholds = _thresholds(await _small_body(request), len(prediction.classes))
        content = await to_thread.run_sync(lambda: form.encode(prediction.with_thresholds(thresholds)))
        name = quote(f"{prediction.path}{form.suffix}")
        disposition = {"Content-Disposition": f"attachment; filename*=utf-8''{name}"}
        return Response(content, headers=disposition, media_type="application/octet-stream")

    def _find(self, request: Request) -> Recording:
        recording = self._recordings.find(request.path_params["id"])
        if recording is None:
            raise HTTPException(404, "The app has forgotten this recording. Choose it again.")
        return recording

    def _prediction(self, request: Request) -> Prediction:
        prediction = self._find(request).prediction
        if prediction is None:
            raise HTTPException(409, "This recording has not been heard yet.")
        return prediction


async def _store(request: Request, recording: Recording, max_bytes: int) -> bool:
    """Writes a request's body to its file; False, and no more of it read, where it is larger than ``max_bytes``."""
    size, pieces = 0, request.stream()
    async with await anyio.open_file(recording.file, "wb") as file:
        while True:
            with anyio.fail_after(_CHUNK_SECONDS):
                piece = await anext(pieces, None)
            if piece is None:
                return True
            recording.touch()
            size += len(piece)
            if size > max_bytes:
                return False
            await file.write(piece)


async def _small_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _SMALL:
            raise HTTPException(413, "The request is too large.")
    return body


def _thresholds(body: bytes, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        numbers = json.loads(body)
        thresholds = np.array(numbers, np.float32)
        are_numbers = thresholds.shape == (count,) and all(type(number) in (int, float) for number in numbers)
        if are_numbers and ((thresholds >= 0) & (thresholds <= 1)).all():
            return thresholds
    except (ValueError, TypeError, RecursionError):
        pass
    raise HTTPException(400, f"Thresholds must be a JSON list of {count} numbers between 0 and 1.")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"message": message}, status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return _error(408, "The request did not arrive.")


async def _failure(request: Request, error: Exception) -> Response:
    return _error(500, "Something went wrong on this machine.", _HEADERS)  # given outside of the guard


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def make_app(recordings: Recordings, model_name: str, host: str = "127.0.0.1") -> Starlette:
    """The application that serves ``recordings`` and closes them at its end: uvicorn then ends by the signal it got.

    Args:
        recordings: see :class:`Recordings`.
        model_name: for people.
        host: name or address at which it is served.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def forget_idle() -> None:
            while True:
                await anyio.sleep(_IDLE_CHECK_SECONDS)
                recordings.forget_idle()

        async with anyio.create_task_group() as group:
            group.start_soon(forget_idle)
            yield
            group.cancel_scope.cancel()
        await to_thread.run_sync(recordings.close)

    return Starlette(
        routes=[
            Route("/", _page),
            Mount("/api", routes=Api(recordings, model_name).routes()),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: _http_error, ClientDisconnect: _gone, Exception: _failure},
        lifespan=lifespan,
    )


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Whether a log record says more than that an answer was not waited for when the server was ended."""
    error = record.exc_info[1] if record.exc_info else None
    is_cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
    return not is_cancelled and "timeout graceful shutdown exceeded" not in record.getMessage()


def make_server(app: Starlette) -> uvicorn.Server:
    """A server that keeps quiet; ``run(sockets=[...])`` serves until a signal or ``should_exit`` ends it."""
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.ERROR)
    logger.addFilter(_is_worth_saying)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the address is not this machine's, or another program listens there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {host}, port {port}: {error.strerror}; another --port, or --port 0 for a free one"
        ) from None
    return listener


def address_of(host: str, port: int) -> str:
    """The address of the page, for people: at 0.0.0.0, which is every address of the machine, by the machine's name."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    model: Path,
    listener: socket.socket,
    host: str,
    limits: Limits,
    opens_browser: bool,
    on_ready: Callable[[str], None],
) -> None:
    """Serves the page until Ctrl-C, SIGTERM or the end of the terminal, and leaves nothing behind.

    Args:
        model: a run's folder or a ``.tflite`` file.
        listener: see :func:`bind`.
        host: that people name in the address.
        limits: see :class:`Limits`.
        opens_browser: whether the page is opened in this machine's browser.
        on_ready: is given the address when the model is loaded.

    Raises:
        BundleError: the model is missing, damaged, or gives no timeline.
    """
    with listener:
        recordings = Recordings(model, limits)
        try:
            address = address_of(host, listener.getsockname()[1])
            on_ready(address)
            if opens_browser:  # some browsers end only with their window
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            server = make_server(make_app(recordings, pretrained.display_name(model), host))
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, lambda *_: setattr(server, "should_exit", True))
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        finally:
            recordings.close()
