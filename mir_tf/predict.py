"""Which instruments sound in an audio file, and when: in bounded memory, for a file of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf import audio
from mir_tf.bundle import Bundle
from mir_tf.config import LABEL_RATE
from mir_tf.dominance import dominant, intervals, playing_time
from mir_tf.files import write_text
from mir_tf.frontend import log_mel_blocks


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model hears in a file.

    Attributes:
        path: of the file.
        seconds: of audio.
        model: what tells the model apart: its architecture, vocabulary, front end and training.
        classes: class names.
        thresholds: float32 [classes], the probability at and above which a class counts as heard.
        probabilities: float32 [label frames, classes].
    """

    path: str
    seconds: float
    model: dict[str, Any]
    classes: tuple[str, ...]
    thresholds: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def active(self) -> NDArray[np.bool_]:
        """Whether each class is heard: [label frames, classes]."""
        return self.probabilities >= self.thresholds

    @property
    def playing_time(self) -> NDArray[np.float64]:
        """Seconds [classes] in which each class is heard."""
        return playing_time(self.active)

    @property
    def share(self) -> NDArray[np.float64]:
        """Share [classes] of the label frames in which each class is heard."""
        return self.active.mean(axis=0)

    @property
    def dominant(self) -> str | None:
        """Name of the class heard longest, the first of tied ones; None where nothing is heard."""
        index = dominant(self.active)
        return None if index is None else self.classes[index]

    @property
    def heard(self) -> list[int]:
        """Indices of the classes that are heard, the longest playing first."""
        seconds = self.playing_time
        return [int(index) for index in np.argsort(-seconds, kind="stable") if seconds[index] > 0]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it. ``instruments`` are those heard, the longest playing first."""
        active, seconds, share = self.active, self.playing_time, self.share
        return {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "dominant": self.dominant,
            "instruments": [
                {
                    "class": self.classes[index],
                    "playing_time": round(float(seconds[index]), 1),
                    "share": round(float(share[index]), 4),
                    "intervals": [{"start": start, "end": end} for start, end in intervals(active[:, index]).tolist()],
                }
                for index in self.heard
            ],
            "model": self.model,
            "frame_rate": LABEL_RATE,
            "classes": list(self.classes),
            "thresholds": [round(float(threshold), 6) for threshold in self.thresholds],
            "probabilities": self.probabilities.astype(float).round(3).tolist(),
        }

    def save_json(self, path: str | Path) -> None:
        """Writes :meth:`to_dict` as JSON, one line: whole under its name, or not at all."""
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False) + "\n")


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
            "front_end": front_end.fingerprint(),
            **bundle.info,
        },
        classes=bundle.classes,
        thresholds=bundle.thresholds,
        probabilities=np.concatenate(pieces),  # [label frames, classes]
    )
