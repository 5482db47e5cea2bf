"""Runs an exported ``.tflite`` model by LiteRT: without TensorFlow, for those who ship the model.

    from mir_tf.lite import LiteModel

    model = LiteModel("model.float32.tflite")
    heard = model.predict(waveform, rate)
    print(heard.dominant, heard.probabilities.shape, model.classes)

Beside Python's own, it needs numpy, soundfile, soxr and ai-edge-litert, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from mir_tf import audio
from mir_tf.errors import AudioError, BundleError
from mir_tf.metadata import read_tflite
from mir_tf.prediction import Prediction
from mir_tf.stream import Resampler, Stream, Windowed, windowed


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

    def predict(self, waveform: ArrayLike, rate: float) -> Prediction:
        """Hears a signal.

        Args:
            waveform: floating-point [samples] or [samples, channels], about -1 to 1. Channels are averaged.
            rate: its sample rate in Hz, of any value.

        Raises:
            AudioError: the waveform is of another shape or type, empty, too short to give a sample at the model's rate,
                or holds a value that is not finite.
            BundleError: the file answers for whole windows only.
            ConfigError: the rate is no sample rate.
        """
        resampler = Resampler(rate, self.metadata.sample_rate)
        samples = np.concatenate([resampler.feed(waveform), resampler.finish()])
        if not len(samples):
            raise AudioError(f"audio is empty, or too short to give a sample at {self.metadata.sample_rate} Hz")
        return self._prediction("", len(samples), self.probabilities(samples))

    def predict_file(self, path: str | Path, progress: Callable[[float], None] | None = None) -> Prediction:
        """Hears a file, in bounded memory: what :func:`mir_tf.predict.predict` gives of the run it came from.

        Args:
            path: any file that libsndfile reads, of any length, sample rate and number of channels.
            progress: called with the seconds heard so far.

        Raises:
            AudioError: the file is missing, not audio, damaged, or holds values that are not finite.
            BundleError: the model's file answers for whole windows only.
        """
        self._require_frames()
        inference, num_samples, pieces = Windowed(self.answer, self.metadata), 0, []
        for block in audio.read_blocks(path, self.metadata.sample_rate):
            pieces.append(inference.feed(block))
            num_samples += len(block)
            if progress is not None:
                progress(num_samples / self.metadata.sample_rate)
        return self._prediction(str(path), num_samples, np.concatenate([*pieces, inference.finish()]))

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

    def _prediction(self, path: str, num_samples: int, probabilities: NDArray[np.float32]) -> Prediction:
        return Prediction(
            path=path,
            seconds=num_samples / self.metadata.sample_rate,
            model={**self.metadata.model, "front_end": self.metadata.fingerprint},
            classes=self.classes,
            thresholds=self.thresholds,
            event_rule=self.metadata.event_rule,
            probabilities=probabilities,
        )

    def _require_frames(self) -> None:
        if self.metadata.answers != "frames":
            raise BundleError(f"{self._path}: it gives one answer a window and no timeline; use model.float32.tflite")
