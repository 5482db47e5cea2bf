"""Prediction with a run's Keras model, in bounded memory, for recordings of any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.bundle import Bundle
from mir_tf.data.frontend import log_mel_blocks
from mir_tf.inference import decoding
from mir_tf.inference.model import Model, OnSeconds
from mir_tf.inference.prediction import Prediction
from mir_tf.io.files import display_path


class RunModel(Model):
    """The model of a run."""

    def __init__(self, bundle: Bundle) -> None:
        """Predict with the model of ``bundle``."""
        self._bundle = bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self._bundle.classes

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """float32 [classes]: a class is detected where its probability reaches its threshold."""
        return self._bundle.thresholds

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        return self._bundle.config.model.architecture

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that the model works at."""
        return self._bundle.config.front_end.sample_rate

    def _predict(self, audio: str | Path | ArrayLike, sr: float | None, progress: OnSeconds | None) -> Prediction:
        config = self._bundle.config
        front_end = config.front_end
        num_samples = 0

        def counted() -> Iterator[NDArray[np.float32]]:
            nonlocal num_samples
            for block in decoding.blocks(audio, sr, front_end.sample_rate):
                num_samples += len(block)
                yield block
                if progress is not None:
                    progress(num_samples / front_end.sample_rate)

        pieces = list(self._bundle.windowed.predict_blocks(log_mel_blocks(counted(), front_end)))
        return Prediction(
            path=display_path(audio) if isinstance(audio, str | Path) else "",
            seconds=num_samples / front_end.sample_rate,
            model={
                "architecture": config.model.architecture,
                "vocabulary": self._bundle.vocabulary.name,
                **self._bundle.info,
                "front_end": front_end.fingerprint(),
            },
            classes=self.classes,
            thresholds=self.thresholds,
            post_processing=self._bundle.post_processing,
            probabilities=np.concatenate(pieces),  # [label frames, classes]
            confidence_model=self._bundle.confidence,
        )
