"""The mean of the channels, unless they cancel each other."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

_WINDOW_SECONDS = 0.05

_KEPT = 0.7
"""Share of the energies of earlier windows that counts in the next: about the last 0.15 s decide."""

_CANCELLED = 0.25
"""Energy of the mean, in relation to that of independent channels, below which the channels cancel each other."""

_LOUDER = 4.0
"""How much more energy another channel must have to be used instead."""


class Downmix:
    """Mixes blocks of a signal down to mono, without delay.

    If the polarity of a channel is inverted, by a cable or an effect, what the channels share is missing in their mean.
    Where most of the energy would be missing, the louder channel is used instead. The energies before a window of 50 ms
    decide, and at the beginning those of the first block, so that a recording and a stream give the same.
    """

    def __init__(self, sr: float) -> None:
        """Start a signal with a sample rate of ``sr`` Hz."""
        self._size = max(1, round(_WINDOW_SECONDS * sr))
        self._left = self._size  # samples that the current window lacks
        self._energies: list[float] = []  # of the channels and of their mean, lately
        self._channel: int | None = None  # that is used; None: their mean

    def mix(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next samples, float32 [samples, channels], as float32 [samples]."""
        count, channels = samples.shape
        if channels == 1 or not count:
            return samples[:, 0]
        by_channel = np.ascontiguousarray(samples.T)  # what follows takes half as long as with strides
        mono: NDArray[np.float32] = (
            (by_channel[0] + by_channel[1]) / np.float32(2) if channels == 2 else samples.mean(axis=1)
        )
        edges = [0, *range(self._left, count, self._size), count]  # of the windows in this block
        energies = [self._window_energies(signal) for signal in (*by_channel, mono)]
        windows = [list(window) for window in zip(*energies, strict=True)]
        if len(self._energies) != channels + 1:  # the first block, or the channels changed
            self._channel = None
            self._energies = windows[0]
            self._decide()
            self._energies = [0.0] * (channels + 1)
        for (begin, end), window in zip(itertools.pairwise(edges), windows, strict=True):
            if self._channel is not None:
                mono[begin:end] = by_channel[self._channel, begin:end]
            self._energies = [energy + now for energy, now in zip(self._energies, window, strict=True)]
            self._left -= end - begin
            if not self._left:
                self._decide()
                self._energies = [_KEPT * energy for energy in self._energies]
                self._left = self._size
        return mono

    def _window_energies(self, signal: NDArray[np.float32]) -> list[float]:
        """Return the energy of each window in a block of a signal [samples]; the first and last may be parts."""
        count, size = len(signal), self._size
        begin = min(self._left, count)
        whole = (count - begin - 1) // size if count > begin else 0
        end = begin + whole * size
        parts = signal[begin:end].reshape(whole, size)
        energies: list[float] = [float(np.dot(signal[:begin], signal[:begin]))]
        energies += np.einsum("ij,ij->i", parts, parts).tolist()
        if count > begin:
            energies.append(float(np.dot(signal[end:], signal[end:])))
        return energies

    def _decide(self) -> None:
        """Choose what is used in the next window."""
        *channels, mean = self._energies
        total = sum(channels)
        if not total:
            return  # silence
        if mean * len(channels) ** 2 >= _CANCELLED * total:
            self._channel = None
            return
        loudest = int(np.argmax(channels))
        if self._channel is None or channels[loudest] > _LOUDER * channels[self._channel]:
            self._channel = loudest
