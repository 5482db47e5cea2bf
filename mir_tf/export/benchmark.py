"""Speed and memory of a ``.tflite`` model, measured in a separate process.

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
    """The time and memory of a model.

    Attributes:
        seconds: Seconds for a second of audio: the median of a few windows, after one to warm up.
        megabytes: Peak memory of the process, including Python and LiteRT; None if the system does not report it.
    """

    seconds: float
    megabytes: float | None


def measure(path: str | Path, threads: int) -> Speed:
    """Measure a model in a separate process.

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
    model.predict_window(noise)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        model.predict_window(noise)
        times.append(time.perf_counter() - start)
    window_seconds = model.metadata.window_frames / model.metadata.label_rate
    return Speed(float(np.median(times)) / window_seconds, _peak_megabytes())


def _peak_megabytes() -> float | None:
    """Return the peak resident memory on Linux: ``getrusage`` would include that of the parent process."""
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return None if peak is None else int(peak[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_measure(sys.argv[1], int(sys.argv[2])))))
