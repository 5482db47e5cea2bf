"""What a model is given of a recording or an array: mono blocks at its sample rate, decoded while it answers."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.audio import Resampler, read_blocks

_BLOCKS_AHEAD = 24
"""Of 10 s each: what the Keras model takes at once, eight windows of 30 s, and 21 MB at 22.05 kHz."""


def blocks(audio: str | Path | ArrayLike, rate: float | None, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """A recording or a signal as mono at ``sample_rate``; a recording in bounded memory, and decoded ahead.

    Args:
        audio: path of any file that libsndfile reads, or floating-point [samples] or [samples, channels], about -1 to
            1. Channels are averaged.
        rate: sample rate in Hz of an array, of any value; None of a file, which states its own.
        sample_rate: Hz wanted.

    Yields:
        float32 [samples], never empty, of varying lengths; one at least.

    Raises:
        AudioError: the file is missing, not audio or damaged; the array is of another shape or type; either is empty,
            too short to give a sample, or holds a value that is not finite or beyond 1000.
        ConfigError: an array comes without a rate, a file with one, or the rate is no sample rate.
    """
    if isinstance(audio, str | Path):
        if rate is not None:
            raise ConfigError(f"rate is {rate}, and {audio} states its own: leave rate out for files")
        yield from _ahead(read_blocks(audio, sample_rate))
        return
    if rate is None:
        raise ConfigError("rate is missing: an array does not state its sample rate; give predict(array, rate)")
    resampler = Resampler(rate, sample_rate)
    pieces = [piece for piece in (resampler.feed(audio), resampler.finish()) if len(piece)]
    if not pieces:
        raise AudioError(f"audio is empty, or too short to give a sample at {sample_rate} Hz")
    yield from pieces


def _ahead(decoded: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The same blocks, made by a thread of its own: libsndfile and soxr let others run while they work."""
    pending: collections.deque[Future[NDArray[np.float32] | None]] = collections.deque()
    with ThreadPoolExecutor(1, "decoder") as thread:
        try:
            for _ in range(_BLOCKS_AHEAD):
                pending.append(thread.submit(next, decoded, None))
            while (block := pending.popleft().result()) is not None:
                pending.append(thread.submit(next, decoded, None))
                yield block
        finally:  # also where the caller stops: nobody waits for what is not decoded yet
            thread.shutdown(cancel_futures=True)
