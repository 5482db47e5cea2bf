"""The windowed inference of a signal that arrives in blocks: each frame as soon as it is final, in bounded memory.

What runs a window's model is left open: LiteRT in :mod:`mir_tf.lite`, onnxruntime, or any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import BundleError
from mir_tf.inference.metadata import Metadata
from mir_tf.io.audio import RESAMPLER_DELAY, Resampler

PredictWindow = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""One window's waveform [1, input samples] to its answer [window frames, classes]."""


class _Windows:
    """Cuts a signal into what a model takes: windows [1, input samples], NaN outside of the signal."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        hop = metadata.window_frames - metadata.overlap_frames
        self._hop_samples = hop * metadata.window_samples // metadata.window_frames
        size = metadata.left_context + _whole_samples(metadata)
        self._buffer = np.full(size, np.nan, np.float32)  # of the window that becomes whole next
        self._filled = metadata.left_context

    def feed(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """The windows that ``samples`` [samples], the next of the signal, make whole."""
        while len(samples):
            taken = samples[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._buffer):
                yield self._window(self._buffer)
                self._buffer = self._moved(self._buffer)
                self._filled -= self._hop_samples

    def rest(self) -> Iterator[NDArray[np.float32]]:
        """The windows that begin after the last whole one, without end, as if the signal had ended here."""
        buffer = self._buffer
        while True:
            yield self._window(buffer)
            buffer = self._moved(buffer)

    def _window(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        return buffer[np.newaxis, : self._metadata.input_samples]

    def _moved(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """The buffer, one hop later."""
        end = np.full(self._hop_samples, np.nan, np.float32)
        return np.concatenate([buffer[self._hop_samples :], end])


class Windowed:
    """The windowed inference: the windows' answers, cross-faded linearly where two of them overlap."""

    def __init__(self, answer: PredictWindow, metadata: Metadata) -> None:
        """Takes a mono signal at the model's sample rate; ``answer`` answers for its windows."""
        self._answer, self._metadata = answer, metadata
        self._overlap = metadata.overlap_frames
        self._hop = metadata.window_frames - self._overlap
        fade_in = (np.arange(self._overlap, dtype=np.float32) + 0.5) / max(self._overlap, 1)
        self._fade_in = fade_in[:, np.newaxis]  # [overlap, 1]
        self._windows = _Windows(metadata)
        self._end = np.zeros((0, len(metadata.classes)), np.float32)  # what the last window answers beyond its hop
        self._num_samples = self._num_final = 0

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames that the next ``samples`` [samples] of the signal make final: float32 [label frames, classes]."""
        pieces = [self._end[:0]]
        self._num_samples += len(samples)
        for window in self._windows.feed(samples):
            answer = self._faded(window, self._end)
            pieces.append(answer[: self._hop])
            self._end = answer[self._hop :]
            self._num_final += self._hop
        return np.concatenate(pieces)

    def rest(self) -> NDArray[np.float32]:
        """The frames that are not final, float32 [label frames, classes], as they are if the signal ends here."""
        missing = _label_frames(self._num_samples, self._metadata) - self._num_final
        pieces, end = [], self._end
        windows = self._windows.rest()
        while missing > len(end):
            answer = self._faded(next(windows), end)[:missing]
            pieces.append(answer[: self._hop])
            end = answer[self._hop :]
            missing -= self._hop
        return np.concatenate([*pieces, end])

    def finish(self) -> NDArray[np.float32]:
        """Ends the signal: the frames that are left, float32 [label frames, classes]."""
        rest = self.rest()
        self._end, self._num_final = self._end[:0], self._num_final + len(rest)
        return rest

    def _faded(self, window: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float32]:
        """The answer to a window [window frames, classes], which begins where ``end`` [overlap or 0, classes] does."""
        answer = self._answer(window)
        shared = answer[: len(end)]
        shared[:] = end + (shared - end) * self._fade_in[: len(end)]
        return answer


def windowed(answer: PredictWindow, metadata: Metadata, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windowed inference of a whole signal.

    Args:
        answer: of one window.
        metadata: of the model.
        waveform: float32 [samples] at the model's sample rate.

    Returns:
        float32 [label frames, classes].
    """
    inference = Windowed(answer, metadata)
    return np.concatenate([inference.feed(waveform), inference.finish()])


def windows(waveform: NDArray[np.float32], metadata: Metadata) -> Iterator[NDArray[np.float32]]:
    """The windows [1, input samples] that answer for a whole signal [samples]; what lies outside of it is NaN."""
    cutter, label_frames = _Windows(metadata), _label_frames(len(waveform), metadata)
    hop = metadata.window_frames - metadata.overlap_frames
    count = max(-(-(label_frames - metadata.overlap_frames) // hop), min(label_frames, 1))
    return itertools.islice(itertools.chain(cutter.feed(waveform), cutter.rest()), count)


class Stream:
    """What a model hears in a signal that arrives in blocks of any size: the frames that a file of it would give.

    Attributes:
        latency: seconds after its start at which a frame is final, at most. A window is answered as a whole, so that
            this is little more than a window's length.
    """

    def __init__(self, answer: PredictWindow, metadata: Metadata, rate: float) -> None:
        """Takes blocks at ``rate`` Hz; ``answer`` answers for the windows of a model that ``metadata`` describes.

        Raises:
            BundleError: the model's front end cannot stream.
            ConfigError: the rate is no sample rate.
        """
        if not metadata.streams:
            raise BundleError(
                f"{metadata.name}: its front end normalises each clip of "
                f"{metadata.window_frames / metadata.label_rate:g} s by the whole of it, so that it cannot hear a "
                "stream; give it files, or train with normalization global"
            )
        self._resampler = Resampler(rate, metadata.sample_rate)
        self._inference = Windowed(answer, metadata)
        held_back = 0.0 if rate == metadata.sample_rate else RESAMPLER_DELAY / min(rate, metadata.sample_rate)
        self.latency = _whole_samples(metadata) / metadata.sample_rate + held_back

    def feed(self, block: ArrayLike) -> NDArray[np.float32]:
        """Takes the next block.

        Args:
            block: floating-point [samples] or [samples, channels], about -1 to 1. Channels are averaged.

        Returns:
            float32 [label frames, classes]: probabilities of the frames that are final now, and were not before; most
            often none.

        Raises:
            AudioError: the block is of another shape or type, or holds a value that is not finite or beyond 1000. The
                stream goes on as if it had not come.
        """
        return self._inference.feed(self._resampler.feed(block))

    def provisional(self) -> NDArray[np.float32]:
        """The frames that are not final, float32 [label frames, classes], as they are if the signal ends here.

        The last of them is what is heard now. It costs the answer to a window, and changes nothing.
        """
        return self._inference.rest()

    def finish(self) -> NDArray[np.float32]:
        """Ends the signal: the frames that are left, float32 [label frames, classes]. The stream takes no more."""
        return np.concatenate([self._inference.feed(self._resampler.finish()), self._inference.finish()])


def _label_frames(num_samples: int, metadata: Metadata) -> int:
    """Of a signal: the last one may be covered in part."""
    return -(-num_samples * metadata.label_rate // metadata.sample_rate)


def _whole_samples(metadata: Metadata) -> int:
    """Samples from a window's start on with which it is whole: all that it takes, and all that its frames last."""
    return max(metadata.input_samples - metadata.left_context, metadata.window_samples)
