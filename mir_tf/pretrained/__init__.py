"""The model that comes with this package, so that recordings can be heard without training one first.

Its files lie beside this module: ``model.tflite``, which hears without TensorFlow; the same model as a bundle,
``model.keras`` and ``bundle.json``, to be measured, exported and trained further; and ``MODEL_CARD.md``, which says
what it was trained on and how good it is.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import mir_tf
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import BundleError

WORD = "pretrained"
"""Names this model wherever a command takes one; a folder of that name is ``./pretrained``."""

FOLDER = Path(str(importlib.resources.files(__name__)))
"""Where its files are."""


def tflite() -> Path:
    """The file that hears.

    Raises:
        BundleError: this copy of the package has none.
    """
    return _present(FOLDER / "model.tflite")


def folder() -> Path:
    """The bundle, a folder as :func:`mir_tf.bundle.load` takes it.

    Raises:
        BundleError: this copy of the package has none.
    """
    return _present(FOLDER / BUNDLE_FILE).parent


def is_own(model: Path) -> bool:
    """Whether a path is what :func:`tflite` or :func:`folder` gives."""
    return FOLDER in (model, model.parent)


def name(model: Path) -> str:
    """What people are told of the model at a path, in a word or two."""
    return f"mir-tf {mir_tf.__version__}" if is_own(model) else model.resolve().name


def _present(path: Path) -> Path:
    if not path.is_file():
        raise BundleError(
            f"{path}: absent: this copy of mir-tf comes without a model of its own; name one, a .tflite file of "
            "mir-tf export or a run of mir-tf fit"
        )
    return path
