"""Write short recordings of noise."""

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 8000


def write_song(path: Path, seconds: float = 4.0, seed: int = 0) -> Path:
    """Write ``seconds`` of noise at :data:`SAMPLE_RATE`, the same for the same seed, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    soundfile.write(path, noise, SAMPLE_RATE)
    return path
