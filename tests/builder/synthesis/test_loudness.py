"""Loudness equals that of pyloudnorm."""

import math

import numpy as np
import pyloudnorm
import pytest

from tfrecords_builder.synthesis.loudness import integrated_loudness

RATE = 44100


@pytest.mark.parametrize("seconds", [0.3, 0.4, 3.0, 61.0])
def test_loudness_is_pyloudnorms(seconds):
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
    signal[: len(signal) // 3] *= 0.001  # for the gates
    ours = integrated_loudness(signal, RATE)
    if seconds < 0.4:
        assert ours == -math.inf
    else:
        assert ours == pytest.approx(pyloudnorm.Meter(RATE).integrated_loudness(signal), abs=0.02)


def test_silence_has_no_loudness():
    assert integrated_loudness(np.zeros(RATE, np.float32), RATE) == -math.inf
    assert integrated_loudness(np.full(RATE, 1e-6, np.float32), RATE) == -math.inf
