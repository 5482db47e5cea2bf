"""Trained models, whatever they are files of, behind one interface: what ``mir_tf.load`` is.

    >>> import mir_tf
    >>> model = mir_tf.load("model.float32.tflite")  # or the folder of a run; without a path, this package's own model
    >>> model.classes[:3]
    ('Piano', 'Chromatic Percussion', 'Organ')
    >>> heard = model.predict("song.flac")
    >>> heard.seconds
    4.0
    >>> heard.probabilities.shape  # ten frames a second, 17 classes
    (40, 17)
    >>> heard.dominant in model.classes
    True
    >>> bool(heard.playing_time.max() <= 4.0)
    True
    >>> [interval.label for interval in heard.intervals if interval.end <= interval.start]
    []

An array comes with its sample rate:

    >>> import soundfile
    >>> array, rate = soundfile.read("song.flac")  # [samples] or [samples, channels]
    >>> again = model.predict(array, rate)
    >>> again.dominant == heard.dominant
    True

Tables, annotations and pictures:

    >>> list(heard.to_dataframe().columns)  # pandas, extra formats
    ['path', 'start', 'end', 'instrument', 'confidence']
    >>> heard.to_jams().annotations[0].namespace  # jams, extra formats
    'tag_open'
    >>> heard.plot().savefig("song.png")  # a matplotlib Figure
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf import pretrained
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import ConfigError
from mir_tf.inference.prediction import Prediction
from mir_tf.io.files import as_path, is_remote, sha256


class Model(Protocol):
    """What hears: :class:`mir_tf.bundle.keras_model.RunModel` or :class:`mir_tf.lite.LiteModel`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """float32 [classes]: a class is heard where its probability is at least its threshold."""

    def predict(
        self,
        audio: str | Path | ArrayLike,
        rate: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Prediction:
        """Hears the recording at a path, or an array with its sample rate; ``progress`` gets the seconds heard."""


def load(path: str | Path | None = None, threads: int | None = None) -> Model:
    """Load a trained model: the folder of a run, or an exported ``.tflite`` file.

    A run loads in Keras. A ``.tflite`` file loads in LiteRT, without TensorFlow.

    Args:
        path: Folder that ``mir-tf fit`` wrote, or ``.tflite`` file that ``mir-tf export`` wrote. By default the
            ``.tflite`` file of the model that comes with this package (:mod:`mir_tf.pretrained`).
        threads: Number of LiteRT threads, for ``.tflite`` files only; by default one for each core. Keras uses all
            cores.

    Returns:
        The model; its ``predict`` takes a path, or an array with its sample rate.

    Raises:
        BundleError: The path is missing, damaged or not a trained model.
        ConfigError: ``threads`` is given for a run, or the ``.tflite`` file is remote.

    Examples:
        Predict with the model that comes with this package. The song lasts 4 seconds; the model gives ten frames
        a second and has 17 classes:

        >>> import mir_tf
        >>> model = mir_tf.load()
        >>> prediction = model.predict("song.flac")
        >>> prediction.probabilities.shape
        (40, 17)
    """
    path = pretrained.tflite() if path is None else as_path(path)
    if path.is_file():
        if is_remote(path):
            raise ConfigError(f"{path}: a .tflite file must lie on disk: copy it there first")
        from mir_tf.lite import LiteModel

        return LiteModel(path, threads or os.cpu_count() or 1)
    if threads is not None:
        raise ConfigError("threads are for .tflite files: a run uses all cores")
    from mir_tf import bundle
    from mir_tf.bundle.keras_model import RunModel

    return RunModel(bundle.load(path))


def digest(path: str | Path) -> str:
    """What tells a model apart from every other: of a run its description, which names its weights; or the file."""
    path = as_path(path)
    if not path.is_file():
        path = path / BUNDLE_FILE
    return sha256(path)[:16]
