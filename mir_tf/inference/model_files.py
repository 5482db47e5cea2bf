"""The paths that people give for a model: what is wrong with them, found quickly and without TensorFlow."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from mir_tf import pretrained
from mir_tf.config import BUNDLE_FILE, MODEL_FILE
from mir_tf.errors import BundleError
from mir_tf.io.audio import AUDIO_SUFFIXES
from mir_tf.io.files import as_path, is_remote
from mir_tf.io.stored_json import impostor_of

_RUN = "give the folder of a run, which mir-tf fit writes"
_RUN_OR_TFLITE = "give the folder of a run, which mir-tf fit writes, or a .tflite file of mir-tf export"
_TFLITE = "give the .tflite file that mir-tf export writes with --format tflite"

_KERAS = (f"a Keras model without {BUNDLE_FILE}", _RUN_OR_TFLITE)
_TORCH = ("a PyTorch checkpoint", "convert it with mir-tf import-torch, and give the folder that this writes")
_SAVED_MODEL = "a SavedModel, which TensorFlow itself loads"
_RECORDING = ("a recording", "load a model first, then call its method predict with the recording")
_OTHERS = {
    ".h5": _KERAS,
    ".keras": _KERAS,
    ".onnx": ("an ONNX model, which ONNX Runtime loads", _TFLITE),
    ".pb": (_SAVED_MODEL, _TFLITE),
    **dict.fromkeys((".ckpt", ".pt", ".pth", ".safetensors"), _TORCH),
    **dict.fromkeys(AUDIO_SUFFIXES, _RECORDING),
}
"""Suffix of a file that mir-tf does not load as a model → what it is, and what to do."""

START_BYTES = 200
"""Number of bytes at the start of a file that identify its format."""

_FEW = 3
"""Number of models in a folder that a message names."""


def model_path(path: object) -> Path:
    """Return the path of a model, as a :class:`pathlib.Path` or a remote path.

    Raises:
        BundleError: ``path`` is not the path of anything.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(name := os.fspath(path), str):
        raise BundleError(f"a path of type {type(path).__name__} is not a trained model; {_RUN_OR_TFLITE}")
    if not name:
        raise BundleError(f"an empty path is not a trained model; {_RUN_OR_TFLITE}")
    return path if isinstance(path, Path) else as_path(name)


def require_model(path: Path) -> None:
    """Raise an error if ``path`` is missing, or a folder without the two files of a run.

    :func:`problem_of_file` finds the faults of files.

    Raises:
        BundleError: The message tells what the path is instead, and what to do.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long
        raise BundleError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not exists:
        words = " or ".join(map(repr, pretrained.SUBFOLDERS))
        raise BundleError(f"{path}: no such file or folder; {_RUN_OR_TFLITE}, or the word {words}, as a string")
    if not path.is_file():
        require_run(path, or_tflite=True)


def require_run(folder: Path, or_tflite: bool = False) -> None:
    """Raise an error unless ``folder`` contains the two files of a run.

    Args:
        folder: The path that was given.
        or_tflite: Whether a ``.tflite`` file would do too, so that the message offers it.

    Raises:
        BundleError: The message tells what the path is instead, and what to do.
    """
    try:
        problem = _problem_of_folder(folder, or_tflite)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error.strerror or error}") from error
    if problem:
        raise BundleError(f"{folder}: {problem}")


def problem_of_file(path: Path, start: bytes) -> str:
    """Return why a file is not a ``.tflite`` file, and what to do; an empty text if it seems to be one.

    Args:
        path: Path of the file.
        start: Its first :data:`START_BYTES` bytes.
    """
    if start[4:8] == b"TFL3":
        return ""
    if not start:
        return "not a trained model: the file is empty; copy or export it again"
    if impostor := impostor_of(start):
        return f"not a trained model but {impostor}"
    if path.name in (MODEL_FILE, BUNDLE_FILE) and (path.parent / BUNDLE_FILE).is_file():
        return f"a part of a run: give its folder, {path.parent}"
    if path.suffix.lower() in _OTHERS:
        return _not_a_model(*_OTHERS[path.suffix.lower()])
    return f"not a trained model: the file does not begin like a .tflite file; {_RUN_OR_TFLITE}"


def _problem_of_folder(folder: Path, or_tflite: bool) -> str:
    remedy = _RUN_OR_TFLITE if or_tflite else _RUN
    if not folder.exists():
        return f"no such folder; {remedy}"
    if not folder.is_dir():
        return f"not a trained model; {remedy}"
    names = {path.name for path in folder.iterdir()}
    if {BUNDLE_FILE, MODEL_FILE} <= names:
        return ""
    if BUNDLE_FILE in names:
        return f"not a whole model: {MODEL_FILE} is missing; copy it too, or train the model again"
    if "saved_model.pb" in names:
        return _not_a_model(_SAVED_MODEL, _TFLITE if or_tflite else _RUN)
    if "manifest.json" in names:
        return _not_a_model("a data set", f"train a model with mir-tf fit --data {shlex.quote(str(folder))}")
    if models := _models_in(folder, names, or_tflite):
        listed = ", ".join(map(str, models[:_FEW])) + (", ..." if len(models) > _FEW else "")
        return f"not a trained model, but it contains {len(models)}; give one of them: {listed}"
    if "config.yaml" in names:
        return (
            f"not a trained model: the folder has no {BUNDLE_FILE}; if it is a run, its first epoch is not finished: "
            "run the same mir-tf fit command again"
        )
    return f"not a trained model: the folder has no {BUNDLE_FILE}; {remedy}"


def _not_a_model(what: str, remedy: str) -> str:
    return f"not a trained model of mir-tf but {what}; {remedy}"


def _models_in(folder: Path, names: set[str], or_tflite: bool) -> list[Path]:
    """Return the models directly in a folder. A remote one is not searched, which would be slow."""
    if is_remote(folder):
        return []
    paths = [folder / name for name in sorted(names)]
    return [path for path in paths if (path / BUNDLE_FILE).is_file() or (or_tflite and path.suffix == ".tflite")]
