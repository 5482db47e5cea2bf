"""The app's web server, with Starlette and uvicorn: the files of the page, and an API under ``/api``.

The server is safe on a machine where other web pages are open. It accepts only its own host names, against DNS
rebinding; requests that change something must come from its own page; and the page must not load anything from
elsewhere. The event loop only moves bytes: threads decode, predict and draw.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import ipaddress
import json
import logging
import mimetypes
import os
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
from numpy.typing import NDArray
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
from mir_tf.app.connections import BACKLOG, HEADER_BYTES, Connection, Server, SparingFilter, max_connections
from mir_tf.app.decoding import PEAK_RATE
from mir_tf.app.recordings import Recording, Recordings, RecordingState, TooManyRecordings, UploadLimits
from mir_tf.config import LABEL_RATE
from mir_tf.errors import ConfigError
from mir_tf.inference.formats import FILE_FORMATS, FileFormat
from mir_tf.inference.prediction import Prediction
from mir_tf.io.audio import AUDIO_SUFFIXES
from mir_tf.vocabulary import CLASS_EXAMPLES

STATIC = Path(__file__).parent / "static"
mimetypes.add_type(
    "text/javascript", ".js"
)  # a Windows registry may map it to another type, and browsers then refuse to run it

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_RETRY = {"Retry-After": "1"}
"""Header for a request that may succeed in a moment."""

_PIECE_BYTES = 65_536
"""Size of a piece of a large response."""

_ENCODERS, _MAX_FILES = 1, 64
"""Maximum number of downloads that are encoded at the same time, since drawing blocks other threads, and that wait."""

_IDLE_CHECK_SECONDS = 60
"""Time between two searches for idle recordings."""

_MAX_PORT = 65535

_MAX_BODY_BYTES = 100_000
"""Maximum size in bytes of a request that is not an upload."""


class _Pieces(Response):
    """A response sent in pieces, so that no copy of it waits in memory for a slow client."""

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(None, 200, {**(headers or {}), "Content-Length": str(len(content))}, media_type)
        self._content = memoryview(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self._content), _PIECE_BYTES):
            piece = bytes(self._content[start : start + _PIECE_BYTES])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Guard:
    """Middleware that accepts only requests from the app's own page, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Protect ``app``, which is served at ``host``."""
        self._app = app
        own = socket.gethostname().lower()
        self._names = {"localhost", own, own.partition(".")[0], f"{own}.local", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if not self._is_own_name(headers.get("host", "")):
            refusal = _error(421, "Unknown host name. Use the address that mir-tf app printed.")
        elif scope["method"] not in ("GET", "HEAD") and not _is_own_page(headers):
            refusal = _error(403, "Only the app's own page may do this.")
        else:
            await self._app(scope, receive, protected)
            return
        await refusal(scope, receive, protected)

    def _is_own_name(self, host: str) -> bool:
        """Return whether a Host header names this server; IP addresses always do, because only names can be rebound."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_own_page(headers: Headers) -> bool:
    """Return whether a request comes from the server's own page, or from a program that is not a browser."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def describe_model(path: Path, key: str, prediction: Prediction) -> dict[str, Any]:
    """Return what the page needs to know about a model, for JSON.

    Args:
        path: Folder of a run, or a ``.tflite`` file.
        key: Its :func:`mir_tf.loading.digest`; a page refuses the predictions of another model.
        prediction: Any prediction of the model.
    """
    confidence = prediction.confidence_model
    return {
        "id": key,
        "name": pretrained.display_name(path),
        "scores": pretrained.SCORES.get(pretrained.word_of(path) or "", ""),
        "architecture": prediction.model["architecture"],
        "frame_rate": LABEL_RATE,
        "peak_rate": PEAK_RATE,
        "classes": list(prediction.classes),
        "descriptions": [CLASS_EXAMPLES.get(each, "") for each in prediction.classes],
        "colors": prediction.colors,
        "thresholds": prediction.thresholds.tolist(),
        "cut": None if confidence is None else confidence.cut,
        "post_processing": prediction.post_processing.to_dict(),
    }


class Api:
    """The API that the page uses."""

    def __init__(self, recordings: Recordings, model: Path) -> None:
        """Serve ``recordings``, which a model processes."""
        self._recordings, self._model = recordings, model
        self._encoders: anyio.CapacityLimiter | None = None  # some versions of anyio need an event loop
        self._num_files = 0
        self._formats = {
            name: each for name, each in FILE_FORMATS.items() if all(find_spec(package) for package in each.needs)
        }

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = "/recordings/{id}"
        return [
            Route("/model", self.model),
            Route("/recordings", self.upload, methods=["POST"]),
            Route("/open", self.keep, methods=["POST"]),
            Route(one, self.state, methods=["GET"]),
            Route(one, self.discard, methods=["DELETE"]),
            Route(f"{one}/probabilities", self.probabilities),
            Route(f"{one}/audio", self.audio),
            Route(f"{one}/files/{{format}}", self.file, methods=["POST"]),
        ]

    async def model(self, request: Request) -> Response:
        """Return the model with its classes, what may be uploaded, and the formats of downloads."""
        return Response(self._description, media_type="application/json")

    async def upload(self, request: Request) -> Response:
        """Receive a recording, with its name in the query, and process it."""
        limits = self._recordings.limits
        too_large = _error(
            413, f"The file is larger than {limits.max_bytes / 1e6:g} MB. Try a compressed format such as mp3."
        )
        if int(request.headers.get("content-length", "0")) > limits.max_bytes:
            return too_large
        query = request.query_params
        try:
            recording = self._recordings.new(query.get("name", ""), query.get("copy") == "yes")
        except TooManyRecordings as error:
            return _error(503, str(error), _RETRY)
        try:
            arrived = await self._store(request, recording)
        except (ClientDisconnect, OSError, TooManyRecordings) as error:
            self._recordings.discard(recording)
            if isinstance(error, TooManyRecordings):
                return _error(503, str(error), _RETRY)
            if isinstance(error, OSError):
                return _error(507, "There is not enough space for the file on this machine's disk.")
            return _error(408, "The upload was interrupted.")
        except BaseException:
            self._recordings.discard(recording)
            raise
        if not arrived:
            self._recordings.discard(recording)
            return too_large
        self._recordings.predict(recording)
        return JSONResponse({"id": recording.id}, 202)

    async def state(self, request: Request) -> Response:
        """Return the progress of a recording and, when it is done, its waveform, length and confidences."""
        recording = self._find(request)
        status: dict[str, Any] = {
            "model": self._recordings.model_id,
            "state": recording.state.value,
            "name": recording.name,
            "ahead": self._recordings.ahead_of(recording),
            "seconds": recording.seconds,
            "seconds_done": recording.seconds_done,
            "message": recording.message,
        }
        content = json.dumps(status, ensure_ascii=False, separators=(",", ":")).encode()
        if recording.state is RecordingState.DONE:  # the rest was encoded before: it can take a tenth of a second
            content = b"%s,%s" % (content[:-1], recording.answer[1:])
        return _Pieces(content, "application/json")

    async def keep(self, request: Request) -> Response:
        """Keep the recordings of an open page: their ids are in the body, as JSON."""
        try:
            ids = json.loads(await _read_body(request))
        except (ValueError, RecursionError):
            ids = None
        if not isinstance(ids, list):
            return _error(400, "The ids must be a JSON list.")
        for key in ids:
            if isinstance(key, str):
                self._recordings.find(key)
        return Response(status_code=204)

    async def discard(self, request: Request) -> Response:
        """Discard a recording."""
        self._recordings.discard(self._find(request))
        return Response(status_code=204)

    async def probabilities(self, request: Request) -> Response:
        """Return all probabilities: little-endian float32 [label frames, classes] in row-major order."""
        content = self._prediction(request).probabilities.astype("<f4").tobytes()
        return _Pieces(content, "application/octet-stream")

    async def audio(self, request: Request) -> Response:
        """Return the copy for browsers that cannot play the recording itself, or the requested range of it."""
        recording = self._find(request)
        if recording.copy is None or recording.state is not RecordingState.DONE:
            raise HTTPException(404, "There is no copy of this recording.")
        return FileResponse(recording.copy, media_type="audio/flac")

    async def file(self, request: Request) -> Response:
        """Return the prediction in a format, with the thresholds [classes] in the body as JSON."""
        form = self._formats.get(request.path_params["format"])
        if form is None:
            raise HTTPException(404, "Unknown format.")
        prediction = self._prediction(request)
        thresholds = _parse_thresholds(await _read_body(request), len(prediction.classes))
        if self._num_files >= _MAX_FILES:
            return _error(503, "Too many results are being downloaded. Try again in a minute.", _RETRY)
        self._num_files += 1
        self._encoders = self._encoders or anyio.CapacityLimiter(_ENCODERS)
        try:
            content = await to_thread.run_sync(_encode, form, prediction, thresholds, limiter=self._encoders)
        finally:
            self._num_files -= 1
        name = quote(f"{prediction.path}{form.suffix}")
        disposition = {"Content-Disposition": f"attachment; filename*=utf-8''{name}"}
        return _Pieces(content, "application/octet-stream", disposition)

    async def _store(self, request: Request, recording: Recording) -> bool:
        """Write a request's body to the recording's file; stop and return False if it is too large.

        Raises:
            TooManyRecordings: The files of all uploads are too large together.
            ClientDisconnect: The browser is gone, or was too slow.
            OSError: The file cannot be written.
        """
        async with await anyio.open_file(recording.file, "wb") as file:
            async for piece in request.stream():
                recording.touch()
                recording.size += len(piece)
                if recording.size > self._recordings.limits.max_bytes:
                    return False
                if not self._recordings.has_room():
                    raise TooManyRecordings("Too many large files are being uploaded. Try again in a minute.")
                await file.write(piece)
        return True

    @functools.cached_property
    def _description(self) -> str:
        """The model, what may be uploaded, and the formats of downloads, as JSON."""
        limits = self._recordings.limits
        return json.dumps(
            {
                **describe_model(self._model, self._recordings.model_id, self._recordings.silence),
                "max_bytes": limits.max_bytes,
                "max_seconds": limits.max_seconds,
                "suffixes": sorted(AUDIO_SUFFIXES),
                "formats": [
                    {"name": name, "suffix": each.suffix, "description": each.description}
                    for name, each in self._formats.items()
                ],
            }
        )

    def _find(self, request: Request) -> Recording:
        recording = self._recordings.find(request.path_params["id"])
        if recording is None:
            raise HTTPException(404, "This recording is no longer available. Choose it again.")
        return recording

    def _prediction(self, request: Request) -> Prediction:
        prediction = self._find(request).prediction
        if prediction is None:
            raise HTTPException(409, "This recording has not been processed yet.")
        return prediction


def _encode(form: FileFormat, prediction: Prediction, thresholds: NDArray[np.float32]) -> bytes:
    try:
        return form.encode(prediction.with_thresholds(thresholds))
    finally:
        # A figure and its 6 MB of pixels refer to each other, so only a collection frees them. Python starts one by the
        # number of objects, not of bytes: after some ten figures, which leaves gaps in the memory.
        gc.collect()


async def _read_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise HTTPException(413, "The request is too large.")
    return body


def _parse_thresholds(body: bytes, count: int) -> NDArray[np.float32]:
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


async def _disconnected(request: Request, error: Exception) -> Response:
    return _error(408, "The request was interrupted.")


async def _failure(request: Request, error: Exception) -> Response:
    return _error(500, "Something went wrong on this machine.", _HEADERS)  # this response bypasses the guard


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def make_app(recordings: Recordings, model: Path, host: str = "127.0.0.1") -> Starlette:
    """Return the application, which closes ``recordings`` when it shuts down.

    Args:
        recordings: The recordings to serve.
        model: Folder of a run, or a ``.tflite`` file, that processes them.
        host: Host name or address at which it is served.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def discard_idle() -> None:
            while True:
                await anyio.sleep(_IDLE_CHECK_SECONDS)
                recordings.discard_idle()

        async with anyio.create_task_group() as group:
            group.start_soon(discard_idle)
            yield
            group.cancel_scope.cancel()
        await to_thread.run_sync(recordings.close)

    return Starlette(
        routes=[
            Route("/", _page),
            Mount("/api", routes=Api(recordings, model).routes()),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: _http_error, ClientDisconnect: _disconnected, Exception: _failure},
        lifespan=lifespan,
    )


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return whether a log record is about more than responses that were cut off by the end of the server."""
    error = record.exc_info[1] if record.exc_info else None
    is_cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
    return not is_cancelled and "timeout graceful shutdown exceeded" not in record.getMessage()


def make_server(app: Starlette) -> Server:
    """Return a server that logs only errors; ``run(sockets=[...])`` serves until a signal or ``should_exit``."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
    sparing = SparingFilter()
    for name in ("uvicorn.error", "asyncio", "mir_tf.app.recordings"):
        logging.getLogger(name).addFilter(sparing)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=max_connections(),
        backlog=BACKLOG,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=2,
    )
    return Server(config)


def bind(host: str, port: int, is_fixed: bool = True) -> socket.socket:
    """Open a listening socket.

    Args:
        host: Host name or address to bind to.
        port: Port to bind to; 0 for a free one.
        is_fixed: Whether no other port will do. Otherwise, the next free one is used if another program listens there.

    Raises:
        ConfigError: The address does not belong to this machine, or another program listens there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: {error}") from None
    try:
        if os.name == "posix":  # elsewhere, it lets two programs listen at one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE and not is_fixed and port < _MAX_PORT:
            return bind(host, port + 1, is_fixed)
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port, or --port 0 for a free one"
        ) from None
    return listener


def address_of(host: str, port: int) -> str:
    """Return the URL of the page; for 0.0.0.0, which stands for every address, with the name of this machine."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_local(listener: socket.socket) -> bool:
    """Return whether only this machine can reach the socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    model: Path,
    listener: socket.socket,
    host: str,
    limits: UploadLimits,
    opens_browser: bool,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C, SIGTERM or the end of the terminal, and leave no files behind.

    Args:
        model: Folder of a run, or a ``.tflite`` file.
        listener: A socket from :func:`bind`.
        host: Host name or address to show in the URL.
        limits: Limits for recordings.
        opens_browser: Whether to open the page in this machine's browser.
        on_ready: Called with the URL when the model is loaded.

    Raises:
        BundleError: The model is missing, damaged, or gives no timeline.
    """
    with listener:
        recordings = Recordings(model, limits)
        try:
            address = address_of(host, listener.getsockname()[1])
            on_ready(address)
            if opens_browser:  # some browsers block until their window is closed
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            server = make_server(make_app(recordings, model, host))
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, lambda *_: setattr(server, "should_exit", True))
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        finally:
            recordings.close()
