"""The audio input of a model: mono blocks at its sample rate, from a recording or an array, decoded ahead."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.audio import Resampler, read_blocks

if TYPE_CHECKING:
    from concurrent.futures import Future

_FIRST_BLOCKS = 3
"""Blocks of 10 s before the thread starts: a model waits for a whole window anyway, and short recordings need none."""

_BLOCKS_AHEAD = 24
"""Blocks of 10 s: as much as the Keras model takes at once, eight windows of 30 s, and 21 MB at 22.05 kHz."""


def blocks(audio: str | Path | ArrayLike, sr: float | None, target_sr: int) -> Iterator[NDArray[np.float32]]:
    """Yield a recording or an array as mono blocks at ``target_sr``.

    A recording is decoded in bounded memory, in a thread, while the caller works on the blocks before.

    Args:
        audio: Path of a recording or video, or floating-point [samples] or [samples, channels], about -1 to 1. Channels
            are averaged.
        sr: Sample rate of an array in Hz; None for a file, which states its own.
        target_sr: Sample rate of the blocks in Hz.

    Yields:
        float32 [samples], never empty, of varying lengths; at least one block.

    Raises:
        AudioError: The file is missing, not audio or damaged; the array has another shape or type; or the audio is
            empty, too short for one sample, or contains a value that is not finite or exceeds 1000.
        ConfigError: ``sr`` is missing for an array, given for a file, or not a valid sample rate.
    """
    if isinstance(audio, str | Path):
        if sr is not None:
            raise ConfigError(f"sr is {sr}, but {audio} states its own sample rate: omit sr for files")
        yield from _ahead(read_blocks(audio, target_sr))
        return
    if sr is None:
        raise ConfigError("sr is missing: an array does not state its sample rate; call predict(array, sr)")
    resampler = Resampler(sr, target_sr)
    pieces = [piece for piece in (resampler.feed(audio), resampler.finish()) if len(piece)]
    if not pieces:
        raise AudioError(f"audio is empty, or too short for one sample at {target_sr} Hz")
    yield from pieces


def _ahead(decoded: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Yield the same blocks, decoded ahead in a thread: the decoders and soxr release the interpreter lock."""
    for _ in range(_FIRST_BLOCKS):
        if (first := next(decoded, None)) is None:
            return
        yield first
    from concurrent.futures import ThreadPoolExecutor  # short recordings start faster without it

    pending: collections.deque[Future[NDArray[np.float32] | None]] = collections.deque()
    with ThreadPoolExecutor(1, "decoder") as thread:
        try:
            for _ in range(_BLOCKS_AHEAD):
                pending.append(thread.submit(next, decoded, None))
            while (block := pending.popleft().result()) is not None:
                pending.append(thread.submit(next, decoded, None))
                yield block
        finally:  # also if the caller stops early: do not wait for blocks that nobody needs
            thread.shutdown(cancel_futures=True)
