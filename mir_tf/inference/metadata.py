"""The metadata of an exported model: the contract between ``mir-tf export`` and programs that run its files.

It is ``mir_tf.json``, beside ``labels.txt``: among the assets of a SavedModel, in the zip at the end of a ``.tflite``
file, and in the properties of an ONNX file. docs/export-formats.md describes each field. This module needs neither
TensorFlow nor YAML, because programs that run a ``.tflite`` file have neither.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mir_tf.confidence import ConfidenceModel
from mir_tf.config import LABEL_RATE, FrontEndConfig, with_current_names
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing
from mir_tf.inference.model_files import START_BYTES, problem_of_file
from mir_tf.io import stored_json
from mir_tf.io.archives import ZIP_ERRORS

METADATA_FORMAT = 4
"""Version of the format. Formats 1, which has other names, 2, which has no confidence, and 3, which has no digests, are
still read."""

_FORMER_NAMES = {"answers": "output", "event_rule": "post_processing"}
"""Name of a field in format 1 → name now."""

METADATA_FILE = "mir_tf.json"
LABELS_FILE = "labels.txt"

_MOST_BYTES = 1 << 24
"""Largest size of either file that is read. Ours have some kB."""

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""Fixed, so that equal models give equal bytes."""

_MOST_SAMPLES = 2**31 - 1
"""Largest count of samples or frames: LiteRT's tensors have no longer ones."""


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
        model_sha256: SHA-256 of the bytes of a ``.tflite`` file before its archive; empty in a SavedModel, an ONNX
            file, and files of an earlier format.
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
    model_sha256: str = ""

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
        """Return the content of :data:`METADATA_FILE`, with a digest (:mod:`mir_tf.io.stored_json`)."""
        content = stored_json.sealed({"format": METADATA_FORMAT, **dataclasses.asdict(self)})
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str | Path) -> Metadata:
        """Return the inverse of :meth:`to_json`; ``origin`` is the file to name in errors.

        Raises:
            BundleError: The text is damaged, not written by mir-tf, or in an unknown format.
        """
        return cls._read(text, origin)[0]

    @classmethod
    def _read(cls, text: str | bytes, origin: str | Path) -> tuple[Metadata, bool]:
        """Return the metadata, and whether they have a digest."""
        try:
            content = stored_json.parse_object(text)
            version = stored_json.count(content.get("format"), "format")
            if not 1 <= version <= METADATA_FORMAT:
                raise BundleError(
                    f"{origin}: format {version}; this version reads formats 1 to {METADATA_FORMAT}; "
                    "export the model again"
                )
            content, has_digest = stored_json.unsealed(content)
            del content["format"]
            if version == 1:
                content = with_current_names(content, _FORMER_NAMES)
            if version < 3:
                content["confidence"] = None
            content.setdefault("model_sha256", "")
            metadata = cls._checked(content)
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, ValueError) else repr(error)
            raise BundleError(f"{origin}: its {METADATA_FILE} is damaged: {reason}; export the model again") from error
        return metadata, has_digest

    @classmethod
    def _checked(cls, content: dict[str, Any]) -> Metadata:
        """Return the metadata with these fields, each checked by itself and against the others.

        Raises:
            ValueError, KeyError, TypeError: One is missing, unknown or wrong.
        """
        stored_json.fields(content, METADATA_FILE, *(field.name for field in dataclasses.fields(cls)))

        def count(name: str, least: int = 1) -> int:
            return stored_json.count(content[name], name, least, _MOST_SAMPLES)

        texts = ("name", "version", "license", "output", "fingerprint", "model_sha256")
        counts = ("sample_rate", "channels", "label_rate", "input_samples", "window_samples", "window_frames")
        front_end = FrontEndConfig.from_dict(stored_json.mapping(content["front_end"], "front_end"))
        confidence = content["confidence"]
        metadata = cls(
            **{name: stored_json.text(content[name], name) for name in texts},  # type: ignore[arg-type]
            **{name: count(name) for name in counts},  # type: ignore[arg-type]
            left_context=count("left_context", 0),
            overlap_frames=count("overlap_frames", 0),
            classes=stored_json.class_names(content["classes"], "classes"),
            thresholds=stored_json.numbers(content["thresholds"], "thresholds", 0, 1),
            post_processing=PostProcessing.from_dict(content["post_processing"]),
            confidence=None if confidence is None else ConfidenceModel.from_dict(confidence),
            untuned=stored_json.class_names(content["untuned"], "untuned"),
            streams=stored_json.flag(content["streams"], "streams"),
            front_end=content["front_end"],
            model=stored_json.mapping(content["model"], "model"),
        )
        num_classes = len(metadata.classes)
        for is_right, fault in (
            (metadata.output in ("frames", "clip"), f"output is {metadata.output!r}; it must be frames or clip"),
            (num_classes, "classes is empty"),
            (len(metadata.thresholds) == num_classes, "it does not have one threshold for each class"),
            (
                metadata.post_processing.fits(np.array(metadata.thresholds, np.float32)),
                "its post_processing does not match its thresholds",
            ),
            (
                metadata.confidence is None or len(metadata.confidence.weights) == num_classes,
                "its confidence does not match its classes",
            ),
            (set(metadata.untuned) <= set(metadata.classes), "untuned contains a name that classes does not"),
            (metadata.fingerprint == front_end.fingerprint(), "front_end does not give the fingerprint"),
            (metadata.sample_rate == front_end.sample_rate, "sample_rate is not that of front_end"),
            (metadata.channels == 1, "channels is not 1"),
            (metadata.label_rate == LABEL_RATE, f"label_rate is not {LABEL_RATE}"),
            (
                2 * metadata.overlap_frames <= metadata.window_frames
                and metadata.left_context < metadata.input_samples
                and metadata.window_samples == metadata.window_frames * metadata.sample_rate // LABEL_RATE,
                "the window is invalid",
            ),
            (isinstance(metadata.model.get("vocabulary"), str), "model.vocabulary is no text"),
            (isinstance(metadata.model.get("architecture"), str), "model.architecture is no text"),
        ):
            if not is_right:
                raise ValueError(fault)
        if metadata.model_sha256:
            stored_json.sha256_text(metadata.model_sha256, "model_sha256")
        return metadata


def read_tflite(path: str | Path) -> Metadata:
    """Read the metadata of a ``.tflite`` file, and check the digests in it.

    Raises:
        BundleError: The file is missing, damaged, not a ``.tflite`` file, or was not written by ``mir-tf export``.
    """
    return read_model(path)[0]


def read_model(path: str | Path) -> tuple[Metadata, bytes]:
    """Read a ``.tflite`` file as :func:`read_tflite` does, and return its metadata and its whole content."""
    try:
        with open(path, "rb") as file:
            start = file.read(START_BYTES)
            if problem := problem_of_file(Path(path), start):
                raise BundleError(f"{path}: {problem}")
            content = start + file.read()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise BundleError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except MemoryError as error:
        raise BundleError(f"{path}: not a trained model, or too large for the memory") from error
    try:
        text, labels, model_bytes = _archive(content)
    except ZIP_ERRORS as error:
        raise BundleError(
            f"{path}: no {METADATA_FILE} at its end: it is truncated, or was not written by mir-tf export; export the "
            "model again"
        ) from error
    metadata, has_digest = Metadata._read(text, path)
    if not (metadata.model_sha256 and has_digest):
        stored_json.warn_undigested(path, "export the model again")
    if metadata.model_sha256 and labels not in (None, metadata.labels.encode()):
        raise BundleError(f"{path}: its {LABELS_FILE} does not list the classes of its {METADATA_FILE}; {_AGAIN}")
    if metadata.model_sha256 and hashlib.sha256(content[:model_bytes]).hexdigest() != metadata.model_sha256:
        raise BundleError(f"{path}: damaged: its model does not give the digest in its {METADATA_FILE}; {_AGAIN}")
    return metadata, content


_AGAIN = "copy the file again, or export the model again"


def _archive(content: bytes) -> tuple[bytes, bytes | None, int]:
    """Return both files in the archive at the end of a model, and the number of bytes before it.

    Raises:
        Exception: One of :data:`mir_tf.io.archives.ZIP_ERRORS`.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.file_size > _MOST_BYTES for entry in entries.values()):
            raise zipfile.BadZipFile("an entry is too large")
        text = archive.read(METADATA_FILE)
        labels = archive.read(LABELS_FILE) if LABELS_FILE in entries else None
        return text, labels, min(entry.header_offset for entry in entries.values())


def sealed(model: bytes, metadata: Metadata) -> bytes:
    """Return a model, without an archive, with its metadata in an archive at its end, and the digests of both."""
    metadata = dataclasses.replace(metadata, model_sha256=hashlib.sha256(model).hexdigest())
    content = io.BytesIO(model)
    # Append, so that offsets in the zip count from the start of the file, as Android's MetadataExtractor requires.
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as file:
        for name, text in {LABELS_FILE: metadata.labels, METADATA_FILE: metadata.to_json()}.items():
            file.writestr(zipfile.ZipInfo(name, _ZIP_DATE), text)
    return content.getvalue()
