"""What can go wrong in a process that decodes an upload. Such a process imports these functions."""

import os
import signal
import time
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile

from mir_tf.app.decoding import Upload, decode


def die(upload: Upload) -> None:
    """End the process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def crash(upload: Upload) -> None:
    """End the process as a fault in a C library does."""
    os.abort()


def take_all_memory(upload: Upload) -> None:
    """Fail to allocate memory."""
    raise MemoryError


def hold(gate: Path, upload: Upload) -> np.ndarray:
    """Begin to write, and decode when ``gate`` exists."""
    upload.decoded.write_bytes(b"RIFF")
    for _ in range(600):
        if gate.exists():
            break
        time.sleep(0.1)
    return decode(upload)


def fill_the_disk(upload: Upload) -> np.ndarray:
    """Decode while nothing can be written."""
    with mock.patch.object(soundfile.SoundFile, "write", side_effect=soundfile.LibsndfileError(2)):
        return decode(upload)


def print_much(upload: Upload) -> np.ndarray:
    """Decode, and print more warnings than fit into a pipe, as C libraries do for damaged files."""
    for _ in range(2000):
        os.write(2, b"warning: " + b"x" * 1000)
    return decode(upload)
