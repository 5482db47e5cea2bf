"""The result of a training run: a model and everything that is needed to use it correctly.

A bundle is a folder with ``model.keras`` and ``bundle.json``: configuration of front end, network, training and
windows, vocabulary, thresholds, post-processing and versions. Prediction, evaluation and export read nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import mir_tf
import mir_tf.models  # registers the layers that model.keras names
from mir_tf.bundle.windows import WindowedModel
from mir_tf.confidence import ConfidenceModel
from mir_tf.config import BUNDLE_FILE, MODEL_FILE, RunConfig, with_current_names
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing
from mir_tf.inference.model_files import require_run
from mir_tf.io.files import as_path, atomic_write, local, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

BUNDLE_FORMAT = 3
"""Version of bundle.json. Formats 1, which has other names, and 2, which has no confidence, are still read."""

FORMER_BUNDLE_FIELDS = {"event_rule": "post_processing"}
"""Renamed fields of format 1: former name → current name. Those of the sections are in their classes."""


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
        folder.mkdir(parents=True, exist_ok=True)
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
        write_text(folder / BUNDLE_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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


def describe(folder: str | Path) -> BundleDescription:
    """Read the description of a bundle without loading its model.

    Raises:
        BundleError: There is no bundle, or it is damaged or has another version.
    """
    require_run(as_path(folder))
    description = as_path(folder) / BUNDLE_FILE
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        if content["format"] == 1:
            content = with_current_names(content, FORMER_BUNDLE_FIELDS)
        elif content["format"] not in (2, BUNDLE_FORMAT):
            raise BundleError(
                f"{description}: format {content['format']!r}; this version reads formats 1 to {BUNDLE_FORMAT}; "
                "train the model again"
            )
        config = RunConfig.from_dict({section: content[section] for section in RunConfig.SECTIONS})
        thresholds = np.array(content["thresholds"], np.float32)
        post_processing = PostProcessing.from_dict(content["post_processing"])
        stored = content["confidence"] if content["format"] == BUNDLE_FORMAT else None
        confidence = None if stored is None else ConfidenceModel.from_dict(stored)
        untuned, info = tuple(content["untuned"]), content["info"]
        if not isinstance(info, dict):
            raise TypeError(f"info is {info!r}")
        classes, fingerprint, model_sha256 = (content[key] for key in ("classes", "fingerprint", "model_sha256"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{description}: damaged: {error!r}; train the model again") from error
    if fingerprint != config.front_end.fingerprint():
        raise BundleError(f"{description}: the front end does not give the stored fingerprint; train the model again")
    if list(VOCABULARIES[config.train.vocabulary].classes) != classes or thresholds.shape != (len(classes),):
        raise BundleError(
            f"{description}: its classes or thresholds are not those of the vocabulary "
            f"{config.train.vocabulary!r} of this version; train the model again"
        )
    if not post_processing.fits(thresholds):
        raise BundleError(f"{description}: its post_processing does not match its thresholds; train the model again")
    if confidence is not None and len(confidence.weights) != len(classes):
        raise BundleError(f"{description}: its confidence does not match its classes; train the model again")
    return BundleDescription(config, thresholds, post_processing, confidence, untuned, info, model_sha256)


def load(folder: str | Path) -> Bundle:
    """Read a bundle.

    Raises:
        BundleError: There is no bundle, or it is damaged, incomplete, has another version, or contains code.
    """
    described, model_path = describe(folder), as_path(folder) / MODEL_FILE
    if sha256(model_path) != described.model_sha256:
        raise BundleError(
            f"{model_path}: not the file that {BUNDLE_FILE} describes: it was changed or truncated, or saving it was "
            "interrupted; run mir-tf fit with the same command again, or copy both files again"
        )
    try:
        with local(model_path) as file:
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{model_path}: Keras {keras.__version__} cannot load it: {error}") from error
    return Bundle(
        model=model,
        config=described.config,
        thresholds=described.thresholds,
        post_processing=described.post_processing,
        confidence=described.confidence,
        untuned=described.untuned,
        info=described.info,
    )
