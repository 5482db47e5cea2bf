"""Which instruments sound in an audio file, and when: in bounded memory, for a file of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf import audio
from mir_tf.bundle import Bundle
from mir_tf.frontend import log_mel_blocks
from mir_tf.prediction import Prediction


def predict(bundle: Bundle, path: str | Path, progress: Callable[[float], None] | None = None) -> Prediction:
    """Hears a file.

    Args:
        bundle: the model, with its thresholds.
        path: any file that libsndfile reads, of any length, sample rate and number of channels.
        progress: called with the seconds decoded so far.

    Raises:
        AudioError: the file is missing, not audio, damaged, or holds values that are not finite.
    """
    front_end = bundle.config.front_end
    num_samples = 0

    def counted() -> Iterator[NDArray[np.float32]]:
        nonlocal num_samples
        for block in audio.read_blocks(path, front_end.sample_rate):
            num_samples += len(block)
            yield block
            if progress is not None:
                progress(num_samples / front_end.sample_rate)

    pieces = list(bundle.windowed.predict_blocks(log_mel_blocks(counted(), front_end)))
    return Prediction(
        path=str(path),
        seconds=num_samples / front_end.sample_rate,
        model={
            "architecture": bundle.config.model.architecture,
            "vocabulary": bundle.vocabulary.name,
            **bundle.info,
            "front_end": front_end.fingerprint(),
        },
        classes=bundle.classes,
        thresholds=bundle.thresholds,
        event_rule=bundle.event_rule,
        probabilities=np.concatenate(pieces),  # [label frames, classes]
    )
