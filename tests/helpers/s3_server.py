"""Run a real S3 API server on the loopback interface, and cut its connections."""

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",  # otherwise the client waits for Amazon's own machines
}

_SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def serve(*buckets: str, **environment: str) -> Iterator[str]:
    """Run a server with ``buckets`` during a ``with`` block, and yield its address.

    Args:
        buckets: Names of the buckets to create.
        environment: Environment variables of the server, beside those of this process.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    ) as server:
        try:
            assert server.stdout is not None
            address = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for bucket in buckets:
                request = urllib.request.Request(f"{address}/{bucket}", method="PUT")
                urllib.request.urlopen(request, timeout=60).close()
            yield address
        finally:
            server.kill()


@contextlib.contextmanager
def cutting(address: str, name: str, after: int, times: int) -> Iterator[str]:
    """Relay to the server at ``address`` during a ``with`` block, but cut responses off; yield the relay's address.

    Args:
        address: Address of the server.
        name: End of the name of the object whose reads are cut off.
        after: Number of bytes, headers included, that arrive of a response that is cut off.
        times: Number of responses to cut off.
    """
    left = [times]
    target = urllib.parse.urlsplit(address)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request = b""
            while b"\r\n\r\n" not in request:
                if not (block := self.request.recv(65536)):
                    return
                request += block
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            verb, path, _ = lines[0].split(b" ", 2)
            with socket.create_connection((target.hostname, target.port)) as server:
                server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
                threading.Thread(target=self._send, args=(server,), daemon=True).start()
                response = b""
                while block := server.recv(65536):
                    response += block
            if verb == b"GET" and path.endswith(name.encode()) and left[0] > 0:
                left[0] -= 1
                response = response[:after]
            self.request.sendall(response)

        def _send(self, server: socket.socket) -> None:
            """Pass on what follows of the request, such as the content of an object."""
            with contextlib.suppress(OSError):
                while block := self.request.recv(65536):
                    server.sendall(block)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{relay.server_address[1]}"
        finally:
            relay.shutdown()
