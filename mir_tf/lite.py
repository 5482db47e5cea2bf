"""Runs an exported ``.tflite`` model with LiteRT, without TensorFlow, for programs that ship the model.

    >>> from mir_tf.lite import LiteModel
    >>> model = LiteModel("model.float32.tflite", threads=2)
    >>> prediction = model.predict("song.flac")  # or model.predict(array, sr)
    >>> prediction.probabilities.shape
    (40, 17)

Besides the standard library it needs only numpy, soundfile, soxr and ai-edge-litert. Files other than wav and flac need
av too.
"""

from __future__ import annotations

import collections
import itertools
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import BundleError, ConfigError
from mir_tf.inference import decoding
from mir_tf.inference.metadata import read_model
from mir_tf.inference.model import Model, OnSeconds
from mir_tf.inference.model_files import model_path
from mir_tf.inference.prediction import Prediction
from mir_tf.io.audio import CountedBlocks
from mir_tf.io.files import display_path
from mir_tf.io.litert_log import hide_xnnpack_line
from mir_tf.stream import Stream, predict_blocks, predict_signal

_MOST_THREADS = 1024

_AT_ONCE = 2
"""Windows that are predicted at a time. Two are done faster than a recording is decoded."""


class LiteModel(Model):
    """A ``.tflite`` file written by ``mir-tf export``. Several threads may use it; they wait for each other.

    The file is read once. You can copy and pickle the model, and use it in other processes, started in any way.

    Attributes:
        metadata: The metadata in the file.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        """Open a file, for LiteRT with ``threads`` threads.

        Raises:
            BundleError: The file is missing, damaged, or was not written by ``mir-tf export``.
            ConfigError: ``threads`` is not a positive whole number.
        """
        if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
            raise ConfigError(f"threads is {threads!r}; it must be a whole number between 1 and {_MOST_THREADS}")
        self._path, self._threads = model_path(path), threads
        # The interpreter gets the bytes that were checked, not the file: it may be replaced at any time.
        self.metadata, self._content = read_model(self._path)
        self._start()

    def _start(self) -> None:
        """Make an interpreter, which belongs to the process that makes it."""
        self._process, self._growing = os.getpid(), threading.Lock()
        self._num_interpreters = 0
        self._idle: queue.SimpleQueue[Interpreter] = queue.SimpleQueue()
        self._grow(1)

    def _grow(self, number: int) -> None:
        """Make interpreters until there are ``number``: each predicts a window at a time."""
        with self._growing:
            while self._num_interpreters < number:
                self._idle.put(self._interpreter())
                self._num_interpreters += 1

    def _interpreter(self) -> Interpreter:
        try:
            with hide_xnnpack_line():
                interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError, MemoryError) as error:
            raise BundleError(f"{self._path}: LiteRT cannot load it: {error}") from error
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        shapes = [tuple(map(int, tensor["shape"])) for tensor in (*inputs, *outputs)]
        types = {tensor["dtype"] for tensor in (*inputs, *outputs)}
        if shapes != [(1, self.metadata.input_samples), self.metadata.output_shape] or types != {np.float32}:
            raise BundleError(f"{self._path}: its model does not match its metadata; export it again")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        return interpreter

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process or a copy needs to make an interpreter of its own."""
        return {name: getattr(self, name) for name in ("metadata", "_path", "_threads", "_content")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.metadata.classes

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """float32 [classes]: a class is detected where its probability reaches its threshold."""
        return np.array(self.metadata.thresholds, np.float32)

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        return str(self.metadata.model.get("architecture", "unknown architecture"))

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that the model works at."""
        return self.metadata.sample_rate

    def _predict(self, audio: str | Path | ArrayLike, sr: float | None, progress: OnSeconds | None) -> Prediction:
        self._require_frames()
        blocks = CountedBlocks(decoding.blocks(audio, sr, self.metadata.sample_rate))

        def reported() -> Iterator[NDArray[np.float32]]:
            for block in blocks:
                yield block
                if progress is not None:
                    progress(blocks.num_samples / self.metadata.sample_rate)

        probabilities = predict_blocks(self._predict_windows, self.metadata, reported())
        return Prediction(
            path=display_path(audio) if isinstance(audio, str | Path) else "",
            seconds=blocks.num_samples / self.metadata.sample_rate,
            model={**self.metadata.model, "front_end": self.metadata.fingerprint},
            classes=self.classes,
            thresholds=self.thresholds,
            post_processing=self.metadata.post_processing,
            probabilities=probabilities,
            confidence_model=self.metadata.confidence,
        )

    def stream(self, sr: float) -> Stream:
        """Return a stream that takes a signal in blocks at ``sr`` Hz.

        Raises:
            BundleError: The model's front end cannot stream, or the model predicts whole windows only.
            ConfigError: ``sr`` is not a valid sample rate.
        """
        self._require_frames()
        return Stream(self.predict_window, self.metadata, sr)

    def predict_window(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities for one window's waveform [1, input samples].

        They have the shape of :attr:`Metadata.output_shape`, without its first axis.
        """
        if self._process != os.getpid():  # a fork has none of the interpreter's threads
            self._start()
        interpreter = self._idle.get()
        try:
            interpreter.set_tensor(self._input, waveform)
            interpreter.invoke()
            probabilities: NDArray[np.float32] = interpreter.get_tensor(self._output)[0]
        except RuntimeError as error:
            raise BundleError(f"{self._path}: LiteRT cannot run it: {error}; export it again") from error
        finally:
            self._idle.put(interpreter)
        return probabilities

    def _predict_windows(self, windows: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities for each window; with several threads, predict two windows at a time.

        LiteRT runs only some operators in several threads; the Fourier transforms, half of the work, in one.
        """
        first = list(itertools.islice(windows, _AT_ONCE))
        if self._threads == 1 or len(first) < _AT_ONCE:
            yield from map(self.predict_window, itertools.chain(first, windows))
            return
        from concurrent.futures import Future, ThreadPoolExecutor  # short recordings start faster without it

        if self._process != os.getpid():
            self._start()
        self._grow(_AT_ONCE)
        pending: collections.deque[Future[NDArray[np.float32]]] = collections.deque()
        with ThreadPoolExecutor(_AT_ONCE, "model") as threads:
            try:
                for window in itertools.chain(first, windows):
                    pending.append(threads.submit(self.predict_window, window))
                    if len(pending) > _AT_ONCE:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # also if the caller stops early
                threads.shutdown(cancel_futures=True)

    def probabilities(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities [label frames, classes] for a signal [samples] at the model's sample rate."""
        self._require_frames()
        return predict_signal(self.predict_window, self.metadata, waveform)

    def _require_frames(self) -> None:
        if self.metadata.output != "frames":
            raise BundleError(f"{self._path}: predicts whole windows, not a timeline; use model.float32.tflite")
