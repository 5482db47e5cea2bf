"""The two pretrained models, with which you can predict without training a model first.

The files of the first, which has 17 classes, are beside this module: ``model.tflite``, which predicts without
TensorFlow; the same model as a bundle, ``model.keras`` and ``bundle.json``, to evaluate, export and train further; and
``MODEL_CARD.md``, which describes the training data and the scores of both. The folder ``35_classes`` contains the same
files of the second, which tells instruments of one family apart, such as ``Violin`` and ``Cello``.
"""

from __future__ import annotations

from pathlib import Path

import mir_tf
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import BundleError

PRETRAINED_WORD = "pretrained"
"""The argument that names the first model wherever a command takes one."""

_TFLITE_FILE = "model.tflite"

FOLDER = Path(__file__).parent
"""The folder of the first model's files."""

SUBFOLDERS = {PRETRAINED_WORD: "", "pretrained-35": "35_classes"}
"""Word for a model → its folder, within :data:`FOLDER`. For a folder that is named like a word, write ``./word``."""

WORDS = " or ".join(SUBFOLDERS)
"""The words, for messages."""

_LIMITS = {
    PRETRAINED_WORD: "It does not detect voices.",
    "pretrained-35": "It does not detect singers: Choir and Voice means a sampled choir.",
}
"""Word for a model → what it cannot do."""

SCORES = {
    PRETRAINED_WORD: "In tests, 92 % of the instruments that it listed as detected did play, and 38 % of those listed "
    "as perhaps.",
    "pretrained-35": "In tests, 92 % of the instruments that it listed as detected did play, and 37 % of those listed "
    "as perhaps.",
}
"""Word for a model → how often its names are right. The numbers are for 140 new tracks: see ``MODEL_CARD.md``."""


def tflite(word: str = PRETRAINED_WORD) -> Path:
    """Return the path of a model's ``.tflite`` file.

    Raises:
        BundleError: This copy of the package does not contain it.
    """
    return _existing(FOLDER / SUBFOLDERS[word] / _TFLITE_FILE)


def folder(word: str = PRETRAINED_WORD) -> Path:
    """Return the folder of a model's bundle, as :func:`mir_tf.bundle.load` takes it.

    Raises:
        BundleError: This copy of the package does not contain it.
    """
    return _existing(FOLDER / SUBFOLDERS[word] / BUNDLE_FILE).parent


def word_of(model: Path) -> str | None:
    """Return the word for a path that :func:`tflite` or :func:`folder` returns; None for other models."""
    folders = {word: FOLDER / name for word, name in SUBFOLDERS.items()}
    return next((word for word, folder in folders.items() if model in (folder, folder / _TFLITE_FILE)), None)


def display_name(model: Path) -> str:
    """Return a short name for the model at a path, to show to people."""
    word = word_of(model)
    return model.resolve().name if word is None else f"mir-tf {mir_tf.__version__} {word}"


def reliability(word: str) -> str:
    """Return what to expect of a model, in words."""
    return f"{_LIMITS[word]} {SCORES[word]}"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BundleError(
            f"{path}: not found: this copy of mir-tf comes without a pretrained model. Name a model of your own: a "
            ".tflite file made by mir-tf export, or a run of mir-tf fit"
        )
    return path
