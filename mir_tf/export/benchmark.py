"""How fast a ``.tflite`` model answers, and what memory it takes, in a process that does nothing else.

``python -m mir_tf.export.benchmark MODEL.tflite THREADS`` prints both as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mir_tf.errors import BundleError
from mir_tf.lite import LiteModel

_RUNS = 3


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a model takes to answer.

    Attributes:
        seconds: per second of audio: the median of a few windows, after one for warming up.
        megabytes: the greatest memory of the process, Python and LiteRT included; None where the system does not tell.
    """

    seconds: float
    megabytes: float | None


def measure(path: str | Path, threads: int) -> Speed:
    """Measures a model, in a process of its own.

    Raises:
        BundleError: LiteRT cannot run it.
    """
    command = [sys.executable, "-m", "mir_tf.export.benchmark", str(path), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise BundleError(f"{path}: LiteRT cannot run it (exit status {done.returncode}): {done.stderr.strip()}")
    return Speed(**json.loads(done.stdout))


def _measure(path: str, threads: int) -> Speed:
    model = LiteModel(path, threads)
    noise = np.random.default_rng(0).normal(0, 0.1, (1, model.metadata.input_samples)).astype(np.float32)
    model.answer(noise)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        model.answer(noise)
        times.append(time.perf_counter() - start)
    window_seconds = model.metadata.window_frames / model.metadata.label_rate
    return Speed(float(np.median(times)) / window_seconds, _peak_megabytes())


def _peak_megabytes() -> float | None:
    """Peak resident memory, by Linux. ``getrusage`` would count that of the process which started this one."""
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return None if peak is None else int(peak[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_measure(sys.argv[1], int(sys.argv[2])))))
