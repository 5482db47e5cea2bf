"""Loudness of a signal by ITU-R BS.1770-4, measured block by block."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
from numpy.typing import NDArray
from scipy.signal import lfilter

_BLOCK_SECONDS = 30


def integrated_loudness(signal: NDArray[np.float32], sample_rate: int) -> float:
    """Return the integrated loudness of a mono signal in LUFS.

    The result equals ``pyloudnorm.Meter(sample_rate).integrated_loudness(signal)``. pyloudnorm needs eight times the
    signal's memory; this function filters block by block.

    Args:
        signal: float32 [samples].
        sample_rate: Hz.

    Returns:
        LUFS, or minus infinity if no block passes the gate.
    """
    hop = round(sample_rate / 10)  # blocks of 400 ms overlap by 75 %
    stages = [
        pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, sample_rate, "high_shelf"),
        pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass"),
    ]
    states = [np.zeros(2) for _ in stages]
    energies = []
    size = 10 * hop * _BLOCK_SECONDS
    for start in range(0, len(signal), size):
        weighted = signal[start : start + size]
        for index, stage in enumerate(stages):
            weighted, states[index] = lfilter(stage.b, stage.a, weighted, zi=states[index])
        whole = len(weighted) // hop * hop
        energies.append(np.square(weighted[:whole]).reshape(-1, hop).sum(axis=1))
    hops = np.concatenate(energies)  # [hops of 100 ms]
    power = np.convolve(hops, np.ones(4), mode="valid") / (4 * hop) if len(hops) >= 4 else np.zeros(0)
    offset = -0.691
    power = power[power > 10 ** ((-70 - offset) / 10)]
    if not len(power):
        return -math.inf
    power = power[power > power.mean() / 10]  # the relative gate, 10 dB below
    return offset + 10 * math.log10(power.mean())
