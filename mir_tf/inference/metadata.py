"""The metadata of an exported model: the contract between ``mir-tf export`` and programs that run its files.

It is ``mir_tf.json``, beside ``labels.txt``: among the assets of a SavedModel, in the zip at the end of a ``.tflite``
file, and in the properties of an ONNX file. docs/export-formats.md describes each field. This module needs neither
TensorFlow nor YAML, because programs that run a ``.tflite`` file have neither.
"""

from __future__ import annotations

import dataclasses
import json
import typing
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mir_tf.confidence import ConfidenceModel
from mir_tf.config import with_current_names
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing
from mir_tf.inference.model_files import problem_of_file

METADATA_FORMAT = 3
"""Version of the format. Formats 1, which has other names, and 2, which has no confidence, are still read."""

_FORMER_NAMES = {"answers": "output", "event_rule": "post_processing"}
"""Name of a field in format 1 → name now."""

METADATA_FILE = "mir_tf.json"
LABELS_FILE = "labels.txt"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The data that a program needs to use an exported model.

    A file with ``output="frames"`` takes one window of ``input_samples`` samples. The first ``left_context`` of them
    precede the window, the next ``window_samples`` are the window, and the rest follow it. NaN marks samples outside of
    the signal: use it before the signal's start and after its end.

    Attributes:
        name: Name of the model.
        version: Version of mir-tf that wrote the file.
        license: Licence of the model; empty if none was given.
        output: ``frames`` for probabilities [1, window_frames, classes], or ``clip`` for their maximum [1, classes].
        classes: Class names in the order of the probabilities.
        thresholds: A class is detected where its probability reaches its threshold.
        post_processing: How frames become intervals.
        confidence: How a recording's probabilities become the confidence that a class plays in it, or None.
        untuned: Classes without data to tune a threshold.
        sample_rate: Sample rate of the waveform in Hz.
        channels: Channels of the waveform: 1.
        label_rate: Label frames a second.
        input_samples: Samples that the model takes.
        left_context: Samples at the start of the input that precede the window.
        window_samples: Samples in a window.
        window_frames: Label frames in a window.
        overlap_frames: Label frames that consecutive windows share, and that are cross-faded.
        streams: Whether windows can be predicted before the signal ends; false if the front end normalises each clip.
        front_end: All settings of the front end.
        fingerprint: Fingerprint of the front end.
        model: Architecture, vocabulary, and facts about the training.
    """

    name: str
    version: str
    license: str
    output: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    post_processing: PostProcessing
    confidence: ConfidenceModel | None
    untuned: tuple[str, ...]
    sample_rate: int
    channels: int
    label_rate: int
    input_samples: int
    left_context: int
    window_samples: int
    window_frames: int
    overlap_frames: int
    streams: bool
    front_end: dict[str, Any]
    fingerprint: str
    model: dict[str, Any]

    @property
    def labels(self) -> str:
        """The content of :data:`LABELS_FILE`: one class a line."""
        return "".join(f"{name}\n" for name in self.classes)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the probabilities for one window."""
        frames = (self.window_frames,) if self.output == "frames" else ()
        return (1, *frames, len(self.classes))

    def to_json(self) -> str:
        """Return the content of :data:`METADATA_FILE`."""
        content = {"format": METADATA_FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str | Path) -> Metadata:
        """Return the inverse of :meth:`to_json`; ``origin`` is the file to name in errors.

        Raises:
            BundleError: The text is damaged, not written by mir-tf, or in an unknown format.
        """
        try:
            content = json.loads(text)
            if (version := content.pop("format")) == 1:
                content = with_current_names(content, _FORMER_NAMES)
            elif version not in (2, METADATA_FORMAT):
                raise BundleError(
                    f"{origin}: format {version!r}; this version reads formats 1 to {METADATA_FORMAT}; "
                    "export the model again"
                )
            if version != METADATA_FORMAT:
                content["confidence"] = None
            metadata = cls(**content)
            for name, kind in typing.get_type_hints(cls).items():
                if type(content[name]) not in (allowed := _json_types(kind)):
                    raise TypeError(f"{name} is {content[name]!r}; it must be of type {allowed[0].__name__}")
            stored = content["confidence"]
            metadata = dataclasses.replace(
                metadata,
                classes=tuple(map(str, metadata.classes)),
                thresholds=tuple(map(float, metadata.thresholds)),
                post_processing=PostProcessing.from_dict(content["post_processing"]),
                confidence=None if stored is None else ConfidenceModel.from_dict(stored),
                untuned=tuple(map(str, metadata.untuned)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{origin}: its {METADATA_FILE} is damaged: {error!r}; export the model again") from error
        if not metadata.classes or len(metadata.classes) != len(metadata.thresholds):
            raise BundleError(
                f"{origin}: its {METADATA_FILE} does not have one threshold for each class; export the model again"
            )
        if not metadata.post_processing.fits(np.array(metadata.thresholds, np.float32)):
            raise BundleError(f"{origin}: its post_processing does not match its thresholds; export the model again")
        if metadata.confidence is not None and len(metadata.confidence.weights) != len(metadata.classes):
            raise BundleError(f"{origin}: its confidence does not match its classes; export the model again")
        counts = (metadata.sample_rate, metadata.label_rate, metadata.window_frames, metadata.window_samples)
        overlap, left = metadata.overlap_frames, metadata.left_context
        if min(counts) < 1 or not 0 <= 2 * overlap <= metadata.window_frames or not 0 <= left < metadata.input_samples:
            raise BundleError(f"{origin}: the window in its {METADATA_FILE} is invalid; export the model again")
        return metadata


def _json_types(hint: Any) -> tuple[type, ...]:
    """Return the types that a field with this annotation may have in JSON."""
    if hint == ConfidenceModel | None:
        return (dict, type(None))
    kind: type = typing.get_origin(hint) or hint
    return ({tuple: list, PostProcessing: dict}.get(kind, kind),)


def read_tflite(path: str | Path) -> Metadata:
    """Read the metadata of a ``.tflite`` file.

    Raises:
        BundleError: The file is missing, truncated, not a ``.tflite`` file, or was not written by ``mir-tf export``.
    """
    try:
        with open(path, "rb") as file:
            problem = problem_of_file(Path(path), file.read(8))
        if problem:
            raise BundleError(f"{path}: {problem}")
        with zipfile.ZipFile(path) as archive:
            text = archive.read(METADATA_FILE).decode("utf-8")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: no {METADATA_FILE} at its end: it is truncated, or was not written by mir-tf export; export the "
            "model again"
        ) from error
    return Metadata.from_json(text, path)
