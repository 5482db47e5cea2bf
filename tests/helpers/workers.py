"""Describe workers on this machine to TensorFlow."""

import json
import socket


def clusters(count: int) -> list[str]:
    """Return ``TF_CONFIG`` for each of ``count`` workers that are processes on this machine, on free ports."""
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("localhost", 0))
    addresses = [f"localhost:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]
