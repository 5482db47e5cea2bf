"""Runs an exported ``.tflite`` model by LiteRT: numpy and ai-edge-litert are all it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from mir_tf.errors import BundleError
from mir_tf.metadata import Metadata, read_tflite

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""One window's waveform [1, input samples] to its answer, without the batch axis."""


class LiteModel:
    """A ``.tflite`` file that ``mir-tf export`` wrote.

    Attributes:
        metadata: what the file says of itself.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        """Opens a file; LiteRT uses ``threads`` threads.

        Raises:
            BundleError: the file is missing, damaged, or none of ours.
        """
        self.metadata = read_tflite(path)
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path}: LiteRT cannot load it: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def answer(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The answer to one window's waveform [1, input samples]: :attr:`Metadata.answers` says of which shape."""
        self._interpreter.set_tensor(self._input, waveform)
        self._interpreter.invoke()
        answer: NDArray[np.float32] = self._interpreter.get_tensor(self._output)[0]
        return answer

    def probabilities(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [label frames, classes] of a signal [samples] of any length, at the model's sample rate."""
        return windowed(self.answer, self.metadata, waveform)


def windows(waveform: NDArray[np.float32], metadata: Metadata) -> Iterator[NDArray[np.float32]]:
    """The signal [samples] cut into what a model takes: windows [1, input samples], NaN outside of the signal."""
    label_frames = _label_frames(len(waveform), metadata)
    hop = metadata.window_frames - metadata.overlap_frames
    answered = 0
    while answered < label_frames:
        start = max(answered - metadata.overlap_frames, 0)
        first = start * metadata.window_samples // metadata.window_frames - metadata.left_context
        piece = waveform[max(first, 0) : first + metadata.input_samples]
        window = np.full((1, metadata.input_samples), np.nan, np.float32)
        window[0, max(-first, 0) : max(-first, 0) + len(piece)] = piece
        yield window
        answered = start + hop + metadata.overlap_frames


def windowed(answer: Answer, metadata: Metadata, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windowed inference: the windows' answers, cross-faded linearly where two of them overlap.

    Args:
        answer: of one window.
        metadata: of the model.
        waveform: float32 [samples] at the model's sample rate.

    Returns:
        float32 [label frames, classes].
    """
    overlap = metadata.overlap_frames
    hop = metadata.window_frames - overlap
    label_frames = _label_frames(len(waveform), metadata)
    probabilities = np.zeros((label_frames, len(metadata.classes)), np.float32)
    fade_in = ((np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1))[:, np.newaxis]  # [overlap, 1]
    for index, window in enumerate(windows(waveform, metadata)):
        start = index * hop
        new = answer(window)[: label_frames - start]  # [label frames, classes]
        if index:
            end = probabilities[start : start + overlap]
            new[:overlap] = end + (new[:overlap] - end) * fade_in
        probabilities[start : start + len(new)] = new
    return probabilities


def _label_frames(num_samples: int, metadata: Metadata) -> int:
    return -(-num_samples * metadata.label_rate // metadata.sample_rate)
