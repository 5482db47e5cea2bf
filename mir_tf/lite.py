"""Runs an exported ``.tflite`` model by LiteRT: without TensorFlow, for those who ship the model.

    >>> from mir_tf.lite import LiteModel
    >>> model = LiteModel("model.float32.tflite", threads=2)
    >>> heard = model.predict("song.flac")  # or model.predict(array, rate)
    >>> heard.probabilities.shape
    (40, 17)

Beside Python's own, it needs numpy, soundfile, soxr and ai-edge-litert, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import BundleError
from mir_tf.inference import decoding
from mir_tf.inference.metadata import read_tflite
from mir_tf.inference.prediction import Prediction
from mir_tf.io.files import display_path
from mir_tf.stream import Stream, Windowed, windowed


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
        self._path = path
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path}: LiteRT cannot load it: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shapes = [tuple(map(int, tensor["shape"])) for tensor in (*inputs, *outputs)]
        if shapes != [(1, self.metadata.input_samples), self.metadata.answer_shape]:
            raise BundleError(f"{path}: it is not the model that its metadata describes; export it again")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.metadata.classes

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """float32 [classes]: a class is heard where its probability is at least its threshold."""
        return np.array(self.metadata.thresholds, np.float32)

    def predict(
        self,
        audio: str | Path | ArrayLike,
        rate: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Prediction:
        """Predicts as :meth:`mir_tf.bundle.keras_model.RunModel.predict` of the run that the file came from.

        Args:
            audio: path of any file that libsndfile reads, of any length, or floating-point [samples] or [samples,
                channels], about -1 to 1. Channels are averaged.
            rate: sample rate in Hz of an array, of any value; None of a file.
            progress: called with the seconds heard so far.

        Raises:
            AudioError: see :func:`mir_tf.inference.decoding.blocks`.
            BundleError: the model's file answers for whole windows only.
            ConfigError: an array comes without a rate, a file with one, or the rate is no sample rate.
        """
        self._require_frames()
        inference, num_samples, pieces = Windowed(self.answer, self.metadata), 0, []
        for block in decoding.blocks(audio, rate, self.metadata.sample_rate):
            pieces.append(inference.feed(block))
            num_samples += len(block)
            if progress is not None:
                progress(num_samples / self.metadata.sample_rate)
        return Prediction(
            path=display_path(audio) if isinstance(audio, str | Path) else "",
            seconds=num_samples / self.metadata.sample_rate,
            model={**self.metadata.model, "front_end": self.metadata.fingerprint},
            classes=self.classes,
            thresholds=self.thresholds,
            post_processing=self.metadata.post_processing,
            probabilities=np.concatenate([*pieces, inference.finish()]),
        )

    def stream(self, rate: float) -> Stream:
        """Hears a signal that arrives in blocks at ``rate`` Hz.

        Raises:
            BundleError: the model's front end cannot stream, or the file answers for whole windows only.
            ConfigError: the rate is no sample rate.
        """
        self._require_frames()
        return Stream(self.answer, self.metadata, rate)

    def answer(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The answer to one window's waveform [1, input samples]: :attr:`Metadata.answers` says of which shape."""
        self._interpreter.set_tensor(self._input, waveform)
        self._interpreter.invoke()
        answer: NDArray[np.float32] = self._interpreter.get_tensor(self._output)[0]
        return answer

    def probabilities(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [label frames, classes] of a signal [samples] of any length, at the model's sample rate."""
        self._require_frames()
        return windowed(self.answer, self.metadata, waveform)

    def _require_frames(self) -> None:
        if self.metadata.answers != "frames":
            raise BundleError(f"{self._path}: it gives one answer a window and no timeline; use model.float32.tflite")
