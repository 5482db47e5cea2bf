"""Windowed inference for a signal that arrives in blocks: each frame as soon as it is final, in bounded memory.

The runtime of the model is up to the caller: LiteRT in :mod:`mir_tf.lite`, onnxruntime, or any other.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import BundleError
from mir_tf.inference.cross_fade import CrossFade
from mir_tf.inference.metadata import Metadata
from mir_tf.io.audio import RESAMPLER_DELAY, CountedBlocks, Resampler

PredictWindow = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps one window's waveform [1, input samples] to its probabilities [window frames, classes]."""

PredictWindows = Callable[[Iterator[NDArray[np.float32]]], Iterable[NDArray[np.float32]]]
"""Maps the waveforms of consecutive windows to their probabilities, in the same order."""


class _WindowCutter:
    """Cuts a signal into the model's input windows [1, input samples], with NaN outside of the signal."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        hop = metadata.window_frames - metadata.overlap_frames
        self._hop_samples = hop * metadata.window_samples // metadata.window_frames
        size = metadata.left_context + _whole_samples(metadata)
        self._buffer = np.full(size, np.nan, np.float32)  # of the window that is completed next
        self._filled = metadata.left_context

    def feed(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take the next ``samples`` [samples], and yield the windows that they complete."""
        while len(samples):
            taken = samples[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._buffer):
                yield self._window(self._buffer)
                self._buffer = self._advanced(self._buffer)
                self._filled -= self._hop_samples

    def rest(self) -> Iterator[NDArray[np.float32]]:
        """Yield the windows after the last complete one as if the signal ended here, without end."""
        buffer = self._buffer
        while True:
            yield self._window(buffer)
            buffer = self._advanced(buffer)

    def _window(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        return buffer[np.newaxis, : self._metadata.input_samples]

    def _advanced(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the buffer one hop later."""
        end = np.full(self._hop_samples, np.nan, np.float32)
        return np.concatenate([buffer[self._hop_samples :], end])


class WindowedInference:
    """Windowed inference for a mono signal at the model's sample rate, with cross-faded windows."""

    def __init__(self, predict_window: PredictWindow, metadata: Metadata) -> None:
        """Predict windows with ``predict_window``, the model that ``metadata`` describes."""
        self._predict_window, self._metadata = predict_window, metadata
        self._cutter = _WindowCutter(metadata)
        self._cross_fade = CrossFade(metadata.window_frames, metadata.overlap_frames, len(metadata.classes))
        self._num_samples = self._num_final = 0

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next ``samples`` [samples], and return the frames that are final now.

        Returns:
            float32 [label frames, classes].
        """
        self._num_samples += len(samples)
        pieces = [self._cross_fade.add(self._predict_window(window)) for window in self._cutter.feed(samples)]
        self._num_final += sum(map(len, pieces))
        return np.concatenate(pieces or [self._cross_fade.pending[:0]])

    def rest(self) -> NDArray[np.float32]:
        """Return the frames that are not final, float32 [label frames, classes], as if the signal ended here."""
        missing = _label_frames(self._num_samples, self._metadata) - self._num_final
        cross_fade, pieces = copy.copy(self._cross_fade), []
        windows = self._cutter.rest()
        while missing > len(cross_fade.pending):
            pieces.append(cross_fade.add(self._predict_window(next(windows))[:missing]))
            missing -= len(pieces[-1])
        return np.concatenate([*pieces, cross_fade.pending])

    def finish(self) -> NDArray[np.float32]:
        """End the signal, and return the remaining frames, float32 [label frames, classes]."""
        rest = self.rest()
        self._cross_fade.pending = self._cross_fade.pending[:0]
        self._num_final += len(rest)
        return rest


def predict_signal(
    predict_window: PredictWindow, metadata: Metadata, waveform: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the windowed inference of a whole signal.

    Args:
        predict_window: The model.
        metadata: Its metadata.
        waveform: float32 [samples] at the model's sample rate.

    Returns:
        Probabilities, float32 [label frames, classes].
    """
    return predict_blocks(lambda cut: map(predict_window, cut), metadata, [waveform])


def predict_blocks(
    predict_windows: PredictWindows, metadata: Metadata, blocks: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the windowed inference of a whole signal that arrives in blocks.

    Args:
        predict_windows: The model. It may take windows ahead, to predict several at a time.
        metadata: Its metadata.
        blocks: Consecutive pieces [samples] of one signal, of any lengths, at the model's sample rate.

    Returns:
        Probabilities, float32 [label frames, classes].
    """
    counted = CountedBlocks(blocks)
    cross_fade = CrossFade(metadata.window_frames, metadata.overlap_frames, len(metadata.classes))
    pieces = [cross_fade.add(window) for window in predict_windows(_windows(counted, metadata))]
    frames: NDArray[np.float32] = np.concatenate([*pieces, cross_fade.pending])
    return frames[: _label_frames(counted.num_samples, metadata)]


def windows(waveform: NDArray[np.float32], metadata: Metadata) -> Iterator[NDArray[np.float32]]:
    """Yield the input windows [1, input samples] for a whole signal [samples], with NaN outside of the signal."""
    return _windows([waveform], metadata)


def _windows(blocks: Iterable[NDArray[np.float32]], metadata: Metadata) -> Iterator[NDArray[np.float32]]:
    """Yield the same for a signal that arrives in blocks [samples]."""
    cutter, counted, num_windows = _WindowCutter(metadata), CountedBlocks(blocks), 0
    for block in counted:
        for window in cutter.feed(block):
            num_windows += 1
            yield window
    label_frames, hop = _label_frames(counted.num_samples, metadata), metadata.window_frames - metadata.overlap_frames
    needed = max(-(-(label_frames - metadata.overlap_frames) // hop), min(label_frames, 1))
    yield from itertools.islice(cutter.rest(), max(needed - num_windows, 0))


class Stream:
    """Predictions for a signal that arrives in blocks of any size, equal to those for a file of the same signal.

    Attributes:
        latency: Maximum seconds from the start of a frame until it is final: little more than the length of a window,
            which is predicted as a whole.
    """

    def __init__(self, predict_window: PredictWindow, metadata: Metadata, sr: float) -> None:
        """Take blocks at ``sr`` Hz, and predict windows with the model that ``metadata`` describes.

        Raises:
            BundleError: The model's front end cannot stream.
            ConfigError: ``sr`` is not a valid sample rate.
        """
        if not metadata.streams:
            raise BundleError(
                f"{metadata.name}: cannot process a stream: its front end normalises each clip of "
                f"{metadata.window_frames / metadata.label_rate:g} s as a whole; predict files instead, or train with "
                "normalization global"
            )
        self._resampler = Resampler(sr, metadata.sample_rate)
        self._inference = WindowedInference(predict_window, metadata)
        held_back = 0.0 if sr == metadata.sample_rate else RESAMPLER_DELAY / min(sr, metadata.sample_rate)
        self.latency = _whole_samples(metadata) / metadata.sample_rate + held_back

    def feed(self, block: ArrayLike) -> NDArray[np.float32]:
        """Take the next block, and return the frames that have become final.

        Args:
            block: Floating-point [samples] or [samples, channels], about -1 to 1. Channels are averaged.

        Returns:
            Probabilities, float32 [label frames, classes]; usually no frames.

        Raises:
            AudioError: The block has another shape or type, or contains a value that is not finite or exceeds 1000. It
                is skipped, and the stream continues.
        """
        return self._inference.feed(self._resampler.feed(block))

    def provisional(self) -> NDArray[np.float32]:
        """Return the frames that are not final, float32 [label frames, classes], as if the signal ended here.

        The last one is the most recent. This predicts one window, and leaves the stream unchanged.
        """
        return self._inference.rest()

    def finish(self) -> NDArray[np.float32]:
        """End the signal, and return the remaining frames, float32 [label frames, classes].

        Do not feed more blocks after this.
        """
        return np.concatenate([self._inference.feed(self._resampler.finish()), self._inference.finish()])


def _label_frames(num_samples: int, metadata: Metadata) -> int:
    """Return the number of label frames of a signal; the last one may be covered in part."""
    return -(-num_samples * metadata.label_rate // metadata.sample_rate)


def _whole_samples(metadata: Metadata) -> int:
    """Return the samples from a window's start that complete it: all that the model takes or its frames cover."""
    return max(metadata.input_samples - metadata.left_context, metadata.window_samples)
