"""Load a trained model, from a run or an exported file, behind one interface: :func:`mir_tf.load`.

    >>> import mir_tf
    >>> model = mir_tf.load("model.float32.tflite")  # or the folder of a run; by default the package's own model
    >>> model.classes[:3]
    ('Piano', 'Chromatic Percussion', 'Organ')
    >>> prediction = model.predict("song.flac")
    >>> prediction.seconds
    4.0
    >>> prediction.probabilities.shape  # ten frames a second, 17 classes
    (40, 17)
    >>> prediction.dominant in model.classes
    True
    >>> bool(prediction.playing_time.max() <= 4.0)
    True
    >>> [interval.label for interval in prediction.intervals if interval.end <= interval.start]
    []

Give the sample rate with an array:

    >>> import soundfile
    >>> array, sr = soundfile.read("song.flac")  # [samples] or [samples, channels]
    >>> again = model.predict(array, sr)
    >>> again.dominant == prediction.dominant
    True

Convert the prediction to tables, annotations and pictures:

    >>> list(prediction.to_dataframe().columns)  # pandas, extra formats
    ['path', 'start', 'end', 'instrument', 'group', 'confidence', 'probability']
    >>> prediction.to_jams().annotations[0].namespace  # jams, extra formats
    'tag_open'
    >>> prediction.plot().savefig("song.png")  # a matplotlib Figure
"""

from __future__ import annotations

import os
from pathlib import Path

from mir_tf import pretrained
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import ConfigError
from mir_tf.extras import require_tensorflow_backend, require_training
from mir_tf.inference.model import Model
from mir_tf.inference.model_files import model_path, require_model
from mir_tf.io.files import as_path, is_remote, sha256


def load(path: str | Path | None = None, threads: int | None = None) -> Model:
    """Load a trained model: the folder of a run, or an exported ``.tflite`` file.

    A run loads in Keras. A ``.tflite`` file loads in LiteRT, without TensorFlow.

    Args:
        path: Folder that ``mir-tf fit`` wrote, or ``.tflite`` file that ``mir-tf export`` wrote. Or a word for one of
            the ``.tflite`` files that come with this package (:mod:`mir_tf.pretrained`): ``"pretrained"``, the default,
            has 17 classes; ``"pretrained-35"`` has 35, such as Violin.
        threads: Number of LiteRT threads, for ``.tflite`` files only; by default one for each core. Keras uses all
            cores.

    Returns:
        The model; its ``predict`` takes a path, an array with its sample rate, or a list of either.

    Raises:
        BundleError: The path is missing, damaged or not a trained model; the message says which, and what to do.
        ConfigError: ``threads`` is given for a run or is no positive whole number, or the ``.tflite`` file is remote.
        InstallationError: The path is a run, and the extra ``train`` is not installed or Keras has another backend than
            TensorFlow.

    Examples:
        Predict with the model that comes with this package. The song lasts 4 seconds; the model gives ten frames
        a second and has 17 classes:

        >>> import mir_tf
        >>> model = mir_tf.load()
        >>> prediction = model.predict("song.flac")
        >>> prediction.probabilities.shape
        (40, 17)
    """
    word = pretrained.PRETRAINED_WORD if path is None else path
    path = pretrained.tflite(word) if isinstance(word, str) and word in pretrained.SUBFOLDERS else model_path(word)
    require_model(path)
    if path.is_file():
        if is_remote(path):
            raise ConfigError(f"{path}: a .tflite file must be on disk: copy it there first")
        from mir_tf.lite import LiteModel

        return LiteModel(path, (os.cpu_count() or 1) if threads is None else threads)
    if threads is not None:
        raise ConfigError("threads apply to .tflite files only: a run uses all cores")
    require_training()
    require_tensorflow_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow logs its start-up, which tells a user nothing
    from mir_tf import bundle
    from mir_tf.bundle.keras_model import RunModel

    return RunModel(bundle.load(path))


def digest(path: str | Path) -> str:
    """Return 16 hexadecimal digits that identify a model.

    They come from the SHA-256 of a run's ``bundle.json``, which contains that of its weights, or of the file.
    """
    path = as_path(path)
    if not path.is_file():
        path = path / BUNDLE_FILE
    return sha256(path)[:16]
