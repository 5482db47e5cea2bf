"""Connections to the app's server: uvicorn's HTTP/1.1 protocol and server, with the limits that they lack.

uvicorn bounds the size of a header, idle connections and their number, but not how long a header, a body or the reading
of a response may take. So a few clients that do nothing could hold every connection. Here, each phase of a request has
a deadline, and if connections run out, the least useful ones give way to new ones. docs/app.md compares other servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 400
"""Maximum number of connections; fewer if the system allows too few open files."""

BACKLOG = 128
"""Number of connections that the system accepts before the server does."""

HEADER_BYTES = 16_384
"""Maximum size of a request's header."""

HEADER_SECONDS = 10.0
"""Maximum time in which a request's header must arrive."""

MAX_BODIES, MAX_BODIES_PER_CLIENT = 48, 16
"""Maximum number of requests whose bodies arrive at the same time, in all and from an address."""

PAUSE_SECONDS = 30.0
"""Maximum time between two pieces of a body, and in which a client must read a piece of a response."""

MIN_BODY_RATE = 5_000.0
"""Minimum average rate of a body in bytes per second, once PAUSE_SECONDS have passed."""

SAFE_BODY_RATE = 100_000.0
"""Rate in bytes per second from which a body does not give way to another."""

BODY_SECONDS = 3600.0
"""Maximum time in which a body must arrive."""

LINGER_SECONDS, LINGER_BYTES = 2.0, 1_000_000
"""Time and size for which a body is still read after its response, so that the client can read the response first."""

_READ_BYTES = 16_384
"""Maximum number of bytes to read at once, so that parsing them blocks nobody for long."""

_COSTLY_SECONDS, _COOLING = 0.003, 10.0
"""Time for parsing what was read at once, from which a connection has to pause, and the pause as a multiple of it."""

_SWEEP_TICKS = 10
"""Tick of uvicorn's main loop, of 0.1 s, at which deadlines are checked."""

_TOO_SLOW = "The upload was too slow or was interrupted. Try again."
_BUSY = "Too many files are being uploaded. Try again in a minute."


class Phase(enum.IntEnum):
    """What a connection does. If connections run out, those with the lowest phase are closed first."""

    CLOSING = 0  # has its response, and still sends a body
    HEADER = 1  # has not sent a whole header yet
    IDLE = 2  # waits for the next request
    STALLED = 3  # has not read its response yet
    BODY = 4  # sends a body
    BUSY = 5  # waits for its response


class Connection(H11Protocol):
    """A connection with deadlines. uvicorn's limit_concurrency is the maximum number of connections."""

    _num_cooling = 0
    """Number of connections that pause."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header; close other connections if there are too many."""
        super().connection_made(transport)
        self._since = self._progress = self.loop.time()
        self._received = self._unread = 0
        self._has_begun = True
        if hasattr(transport, "max_size"):  # transports of Unix; asyncio has no public name for it
            transport.max_size = _READ_BYTES
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
            if not _make_room(others, 1 + self.limit_concurrency // 10):
                self._close_now()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        self._progress = self.loop.time()
        phase = self._phase()
        if phase is Phase.IDLE:
            self._has_begun, self._since = True, self._progress
        self._received += len(data)
        if phase is Phase.CLOSING and self._received > LINGER_BYTES:
            self._close_now()
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._begin_request()
        if (elapsed := self.loop.time() - self._progress) > _COSTLY_SECONDS:
            self._cool(elapsed)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or for the end of a body that nobody reads."""
        before = self.cycle
        self._since, self._received, self._has_begun = self.loop.time(), 0, False
        super().on_response_complete()
        if self.cycle is not before:  # the next request was here already
            self._begin_request()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request, or close the connection if another response has begun.

        The app learns that the client is gone: its own response would be a second one.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self._close_now()

    def check_deadlines(self) -> None:
        """Close the connection if it takes too long."""
        now, phase = self.loop.time(), self._phase()
        unread = self.transport.get_write_buffer_size()
        if unread and not 0 < self._unread <= unread:
            self._progress = now
        self._unread = unread
        if unread:
            if now - self._progress > PAUSE_SECONDS:
                self._close_now()
        elif (phase is Phase.CLOSING and now - self._since > LINGER_SECONDS) or (
            phase is Phase.HEADER and now - self._since > HEADER_SECONDS
        ):
            self._close_now()
        elif phase is Phase.BODY and not self.flow.read_paused:  # otherwise, the server is the slow one
            is_slow = now - self._since > PAUSE_SECONDS and self._rate(now) < MIN_BODY_RATE
            if is_slow or now - self._progress > PAUSE_SECONDS or now - self._since > BODY_SECONDS:
                self._refuse(408, _TOO_SLOW)

    def _begin_request(self) -> None:
        """Begin to receive a body, if there is one; another gives way if there are too many."""
        self._since, self._received, self._has_begun = self.loop.time(), 0, False
        if self._phase() is not Phase.BODY:
            return
        bodies = [each for each in self.connections if isinstance(each, Connection) and each._phase() is Phase.BODY]
        own = [each for each in bodies if each._host() == self._host()]
        if len(own) <= MAX_BODIES_PER_CLIENT and len(bodies) <= MAX_BODIES:
            return
        candidates = own if len(own) > MAX_BODIES_PER_CLIENT else bodies
        slowest = min(candidates, key=lambda each: each._rate(self._since))
        if slowest is self or slowest._rate(self._since) > SAFE_BODY_RATE:
            self._refuse(503, _BUSY)
        else:
            slowest._refuse(408, _TOO_SLOW)

    def _cool(self, elapsed: float) -> None:
        """Read nothing for a while, because the last piece took long: its chunks may have one byte each."""
        Connection._num_cooling += 1
        self.transport.pause_reading()
        self.loop.call_later(min(elapsed * _COOLING * Connection._num_cooling, PAUSE_SECONDS / 2), self._resume)

    def _resume(self) -> None:
        Connection._num_cooling -= 1
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _phase(self) -> Phase:
        cycle = self.cycle
        if self.transport.get_write_buffer_size():
            return Phase.STALLED
        if cycle is None:
            return Phase.HEADER
        if not cycle.response_complete:
            return Phase.BODY if cycle.more_body and not cycle.response_started else Phase.BUSY
        if self.transport.is_closing() or self.conn.their_state is h11.SEND_BODY:
            return Phase.CLOSING
        return Phase.HEADER if self._has_begun else Phase.IDLE

    def _rate(self, now: float) -> float:
        """Return the average rate of the body in bytes per second, with some bytes in advance for a new one."""
        return (self._received + 4096) / max(now - self._since, 0.03)

    def _host(self) -> str:
        return self.client[0] if self.client else ""

    def _refuse(self, status: int, message: str) -> None:
        """Answer in place of the app, which learns that the client is gone."""
        cycle = self.cycle
        if cycle.response_started:
            self._close_now()
            return
        content = json.dumps({"message": message}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(content))), ("retry-after", "1")]
        try:
            events = (h11.Response(status_code=status, headers=headers), h11.Data(data=content), h11.EndOfMessage())
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self._close_now()
            return
        cycle.disconnected = cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        self.flow.resume_reading()
        self._since, self._received, self._has_begun = self.loop.time(), 0, False

    def _close_now(self) -> None:
        self.connections.discard(self)
        self.transport.abort()


def _make_room(connections: Sequence[Connection], count: int) -> bool:
    """Close up to ``count`` connections, the least useful and oldest first, rather those of hosts that have many.

    Returns:
        Whether any was closed.
    """
    per_host = Counter(each._host() for each in connections)
    candidates = []
    for each in connections:
        phase = each._phase()
        if phase <= Phase.IDLE or (phase is Phase.STALLED and each.loop.time() - each._progress > LINGER_SECONDS):
            candidates.append((phase, -per_host[each._host()], each._since, id(each), each))
    for *_, connection in sorted(candidates)[:count]:
        connection._close_now()
    return bool(candidates)


class Server(uvicorn.Server):
    """A uvicorn server that checks the deadlines of its connections."""

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second."""
        if counter % _SWEEP_TICKS == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.check_deadlines()
        return await super().on_tick(counter)


def max_connections() -> int:
    """Return the maximum number of connections for which the system allows enough open files.

    Some files are for the server itself, and for connections that the system hands over at once. Half of the others
    are for connections, and half for the files that they read or write.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + BACKLOG + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if raised > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
                soft = raised
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(8, min(MAX_CONNECTIONS, (soft - BACKLOG - 64) // 2))


class SparingFilter(logging.Filter):
    """Pass at most ``count`` records in ``seconds`` from each place in the code, so that no client can fill a log."""

    def __init__(self, count: int = 5, seconds: float = 60.0) -> None:
        """Start to count."""
        super().__init__()
        self._count, self._seconds = count, seconds
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; the first of an interval tells how many were left out before."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        begun, count = self._seen.get(place, (now, 0))
        if now - begun > self._seconds:
            if count > self._count:
                record.msg = f"{record.getMessage()} [{count - self._count} more like this were left out]"
                record.args = ()
            begun, count = now, 0
        self._seen[place] = (begun, count + 1)
        return count < self._count
