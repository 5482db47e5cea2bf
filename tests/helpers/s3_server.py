"""Run a real S3 API server on the loopback interface."""

import contextlib
import os
import subprocess
import sys
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
