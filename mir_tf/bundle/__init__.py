"""The result of a training run: a model and everything that is needed to use it correctly.

A bundle is a folder with ``model.keras`` and ``bundle.json``: configuration of front end, network, training and
windows, vocabulary, thresholds, post-processing and versions. Prediction, evaluation and export read nothing else.

``bundle.json`` contains the SHA-256 of ``model.keras``, and of its own content (:mod:`mir_tf.io.stored_json`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import mir_tf
import mir_tf.models  # registers the layers that model.keras names
from mir_tf.bundle.network_file import first_bytes, load_network
from mir_tf.bundle.windows import WindowedModel
from mir_tf.confidence import ConfidenceModel
from mir_tf.config import BUNDLE_FILE, MODEL_FILE, RunConfig, with_current_names
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing
from mir_tf.inference.model_files import model_path, require_run
from mir_tf.io import stored_json
from mir_tf.io.files import as_path, atomic_write, is_remote, local, make_folder, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

BUNDLE_FORMAT = 3
"""Version of bundle.json. Formats 1, which has other names, and 2, which has no confidence, are still read."""

FORMER_BUNDLE_FIELDS = {"event_rule": "post_processing"}
"""Renamed fields of format 1: former name → current name. Those of the sections are in their classes."""


_READ_ATTEMPTS = 10
_PAUSE_SECONDS = 0.5
"""How often, and after which time, a bundle is read again that changes while it is read."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A trained model with its configuration.

    Attributes:
        model: float32 [batch, frames, mels] to logits [batch, label frames, classes].
        config: Configuration of the run that trained it.
        thresholds: float32 [classes]; a class is detected in a frame if its probability is at least its threshold.
        post_processing: How detected frames become the intervals that are shown.
        untuned: Names of the classes that never sound in the split on which thresholds and post-processing were tuned.
        info: Epoch and scores, as JSON stores them.
        confidence: How the probabilities of a recording become the confidence that a class plays in it; None if the
            model has none, because an earlier version made it or it has seen no validation songs.
    """

    model: keras.Model
    config: RunConfig
    thresholds: NDArray[np.float32]
    post_processing: PostProcessing
    untuned: tuple[str, ...]
    info: dict[str, Any]
    confidence: ConfidenceModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, for copies and other processes; those trace the windowed inference anew."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def windowed(self) -> WindowedModel:
        """The model with its windowed inference: from raw log-mel of any length to probabilities."""
        return WindowedModel(self.model, self.config)

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's classes."""
        return VOCABULARIES[self.config.train.vocabulary]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's outputs, in order."""
        return self.vocabulary.classes

    def save(self, folder: str | Path) -> None:
        """Write the bundle into ``folder``, which is created if needed. A bundle in it is replaced."""
        folder = as_path(folder)
        make_folder(folder)
        with atomic_write(folder / MODEL_FILE) as model_path:
            # The same layers without the optimizer that the model was compiled with: it would triple the file.
            keras.Model(self.model.input, self.model.output, name=self.model.name).save(model_path)
        content = {
            "format": BUNDLE_FORMAT,
            "fingerprint": self.config.front_end.fingerprint(),
            "model_sha256": sha256(folder / MODEL_FILE),
            **self.config.to_dict(),
            "classes": list(self.classes),
            "thresholds": [float(threshold) for threshold in self.thresholds],
            "post_processing": self.post_processing.to_dict(),
            "confidence": None if self.confidence is None else self.confidence.to_dict(),
            "untuned": list(self.untuned),
            "info": self.info,
            "versions": {
                "mir_tf": mir_tf.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
            },
        }
        # If this is stopped before the next line, load refuses the folder: its model is not the one described.
        write_description(folder, content)


def write_description(folder: Path, content: dict[str, Any]) -> None:
    """Write ``bundle.json``, with the digest of its content."""
    write_text(folder / BUNDLE_FILE, json.dumps(stored_json.sealed(content), indent=2, ensure_ascii=False) + "\n")


@dataclasses.dataclass(frozen=True)
class BundleDescription:
    """The content of ``bundle.json``: a bundle without its model.

    Attributes:
        config, thresholds, post_processing, confidence, untuned, info: As in :class:`Bundle`.
        model_sha256: SHA-256 of ``model.keras``, in hexadecimal.
    """

    config: RunConfig
    thresholds: NDArray[np.float32]
    post_processing: PostProcessing
    confidence: ConfidenceModel | None
    untuned: tuple[str, ...]
    info: dict[str, Any]
    model_sha256: str


_FIELDS = (
    "fingerprint",
    "model_sha256",
    *RunConfig.SECTIONS,
    "classes",
    "thresholds",
    "post_processing",
    "untuned",
    "info",
    "versions",
)
"""Fields of bundle.json in every format, besides ``format``. ``confidence`` came with format 3."""

_AGAIN = "copy the folder again, or train the model again"


def describe(folder: str | Path) -> BundleDescription:
    """Read the description of a bundle without loading its model.

    Raises:
        BundleError: There is no bundle, or it is damaged or has another version.
    """
    folder = model_path(folder)
    require_run(folder)
    path = folder / BUNDLE_FILE
    try:
        content = stored_json.parse_object(path.read_bytes())
        version = stored_json.count(content.get("format"), "format")
        if not 1 <= version <= BUNDLE_FORMAT:
            raise BundleError(
                f"{path}: format {version}; this version reads formats 1 to {BUNDLE_FORMAT}; train the model again"
            )
        content, has_digest = stored_json.unsealed(content)
        described = _described(content, version)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise BundleError(f"{path}: damaged: {error}; {_AGAIN}") from error
    if not has_digest:
        stored_json.warn_undigested(path, "load the run with mir_tf.bundle.load and save it again")
    return described


def _described(content: dict[str, Any], version: int) -> BundleDescription:
    """Return the description with these fields, each checked by itself and against the others.

    Raises:
        ValueError: One is missing, unknown or wrong.
    """
    if version == 1:
        content = with_current_names(content, FORMER_BUNDLE_FIELDS)
    # Before format 3 there was no confidence: a field of this name meant something else.
    has_confidence = version >= 3
    stored_json.fields(
        content, BUNDLE_FILE, "format", *_FIELDS, *(("confidence",) if has_confidence else ()), optional=("confidence",)
    )
    config = RunConfig.from_dict({section: content[section] for section in RunConfig.SECTIONS})
    stored = content["confidence"] if has_confidence else None
    described = BundleDescription(
        config=config,
        thresholds=np.array(stored_json.numbers(content["thresholds"], "thresholds", 0, 1), np.float32),
        post_processing=PostProcessing.from_dict(content["post_processing"]),
        confidence=None if stored is None else ConfidenceModel.from_dict(stored),
        untuned=stored_json.class_names(content["untuned"], "untuned"),
        info=stored_json.mapping(content["info"], "info"),
        model_sha256=stored_json.sha256_text(content["model_sha256"], "model_sha256"),
    )
    classes = VOCABULARIES[config.train.vocabulary].classes
    of_this_version = f"those of the vocabulary {config.train.vocabulary!r} of this version"
    for is_right, fault in (
        (
            content["fingerprint"] == config.front_end.fingerprint(),
            "the front end does not give the stored fingerprint",
        ),
        (
            content["classes"] == list(classes) and described.thresholds.shape == (len(classes),),
            f"its classes or thresholds are not {of_this_version}",
        ),
        (described.post_processing.fits(described.thresholds), "its post_processing does not match its thresholds"),
        (
            described.confidence is None or len(described.confidence.weights) == len(classes),
            "its confidence does not match its classes",
        ),
        (set(described.untuned) <= set(classes), f"its untuned classes are not {of_this_version}"),
    ):
        if not is_right:
            raise ValueError(fault)
    return described


def load(folder: str | Path) -> Bundle:
    """Read a bundle. It is that of one epoch, although training may replace it at the same time.

    Raises:
        BundleError: There is no bundle, or it is damaged, incomplete, has another version, contains code, or would
            unpack to an implausible size.
    """
    for _ in range(_READ_ATTEMPTS):
        before = _state(as_path(folder))
        try:
            bundle = _load(folder)
        except BundleError:
            time.sleep(_PAUSE_SECONDS)  # training may have replaced one of the two files, and not yet the other
            if _state(as_path(folder)) == before:
                raise
            continue
        if _state(as_path(folder)) == before:
            return bundle
    raise BundleError(f"{folder}: another process replaces this run all the time; try again when it has ended")


def _state(folder: Path) -> list[tuple[int, int]]:
    """Return what tells whether the files of a bundle were replaced; nothing for a remote folder."""
    if is_remote(folder):
        return []
    found = [path.stat() for name in (MODEL_FILE, BUNDLE_FILE) if (path := folder / name).exists()]
    return [(status.st_ino, status.st_mtime_ns) for status in found]


def _load(folder: str | Path) -> Bundle:
    """Read a bundle that nobody writes."""
    described, path = describe(folder), as_path(folder) / MODEL_FILE
    try:
        is_described = sha256(path) == described.model_sha256
        if not is_described and (impostor := stored_json.impostor_of(first_bytes(path))):
            raise BundleError(f"{path}: {impostor}")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not is_described:
        raise BundleError(
            f"{path}: not the file that {BUNDLE_FILE} describes: it was changed or truncated, or saving it was "
            "interrupted; run mir-tf fit with the same command again, or copy both files again"
        )
    with local(path) as file:
        model = load_network(file, path)
    shape = (described.config.front_end.n_mels, len(described.thresholds))
    if (model.input_shape[-1], model.output_shape[-1]) != shape:
        raise BundleError(f"{path}: its network does not have the mel bands and classes of {BUNDLE_FILE}; {_AGAIN}")
    return Bundle(
        model=model,
        config=described.config,
        thresholds=described.thresholds,
        post_processing=described.post_processing,
        confidence=described.confidence,
        untuned=described.untuned,
        info=described.info,
    )
