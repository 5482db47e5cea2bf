"""The pretrained model, with which you can predict without training a model first.

Its files are beside this module: ``model.tflite``, which predicts without TensorFlow; the same model as a bundle,
``model.keras`` and ``bundle.json``, to evaluate, export and train further; and ``MODEL_CARD.md``, which describes its
training data and its scores.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import mir_tf
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import BundleError

PRETRAINED_WORD = "pretrained"
"""The argument that names this model wherever a command takes one; for a folder of that name write ``./pretrained``."""

SCORES = "In tests, 92 % of the instruments that it listed as detected did play, and 38 % of those listed as perhaps."
"""How often its names are right, in words. The numbers are for 140 new tracks: see ``MODEL_CARD.md``."""

RELIABILITY = f"It does not detect voices. {SCORES}"
"""What to expect of it, in words."""

FOLDER = Path(str(importlib.resources.files(__name__)))
"""The folder of its files."""


def tflite() -> Path:
    """Return the path of the ``.tflite`` file.

    Raises:
        BundleError: This copy of the package does not contain it.
    """
    return _existing(FOLDER / "model.tflite")


def folder() -> Path:
    """Return the folder of the bundle, as :func:`mir_tf.bundle.load` takes it.

    Raises:
        BundleError: This copy of the package does not contain it.
    """
    return _existing(FOLDER / BUNDLE_FILE).parent


def is_pretrained(model: Path) -> bool:
    """Return whether a path is one that :func:`tflite` or :func:`folder` returns."""
    return FOLDER in (model, model.parent)


def display_name(model: Path) -> str:
    """Return a short name for the model at a path, to show to people."""
    return f"mir-tf {mir_tf.__version__}" if is_pretrained(model) else model.resolve().name


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BundleError(
            f"{path}: not found: this copy of mir-tf comes without a pretrained model. Name a model of your own: a "
            ".tflite file made by mir-tf export, or a run of mir-tf fit"
        )
    return path
