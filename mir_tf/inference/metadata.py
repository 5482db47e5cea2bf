"""What an exported model says of itself: the contract between export and all who run its files.

It travels as ``mir_tf.json`` beside ``labels.txt``: among the assets of a SavedModel, in the zip that ends a
``.tflite`` file, and in the properties of an ONNX file. docs/export-formats.md lists its fields. No TensorFlow
here, and no YAML: who runs a ``.tflite`` has neither.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mir_tf.config import with_current_names
from mir_tf.errors import BundleError
from mir_tf.events import PostProcessing

METADATA_FORMAT = 2
"""Version of the contract. Format 1, which differs in names alone, is still read."""

FORMER_NAMES = {"event_rule": "post_processing"}
"""Former name → name now of the fields of format 1."""

METADATA_FILE = "mir_tf.json"
LABELS_FILE = "labels.txt"


_JSON_TYPES = {
    "str": str,
    "int": int,
    "bool": bool,
    "tuple[str, ...]": list,
    "tuple[float, ...]": list,
    "dict[str, Any]": dict,
    "PostProcessing": dict,
}


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What is needed to use an exported model rightly.

    A window of a file with ``answers="frames"`` takes ``input_samples`` samples. The first ``left_context`` are those
    before the window, and what is left after ``window_samples`` more are those after it. A sample that is NaN lies
    outside of the signal: put NaN where the signal has not begun or has ended.

    Attributes:
        name: of the model.
        version: of mir-tf that wrote the file.
        license: of the model; empty where its trainer stated none.
        answers: ``frames``, probabilities [1, window_frames, classes]; or ``clip``, [1, classes], the greatest of them.
        classes: class names in the order of the outputs.
        thresholds: a class is heard where its probability is at least its threshold.
        post_processing: how frames become the intervals that people are shown.
        untuned: classes whose threshold could not be tuned.
        sample_rate: Hz of the waveform.
        channels: of the waveform: 1.
        label_rate: label frames a second.
        input_samples: samples that one window takes.
        left_context: samples at its start that come before the window.
        window_samples: samples from one window's start to its end.
        window_frames: label frames that a window answers for.
        overlap_frames: label frames that neighbouring windows share, over which their answers are cross-faded.
        streams: whether windows may be answered while the signal goes on; false where the front end normalises each
            clip by itself.
        front_end: every setting of the front end.
        fingerprint: of the front end.
        model: architecture, vocabulary, and what is known of the training.
    """

    name: str
    version: str
    license: str
    answers: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    post_processing: PostProcessing
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
        """The content of :data:`LABELS`: a class a line."""
        return "".join(f"{name}\n" for name in self.classes)

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Of the probabilities that one window gives."""
        frames = (self.window_frames,) if self.answers == "frames" else ()
        return (1, *frames, len(self.classes))

    def to_json(self) -> str:
        """The content of :data:`METADATA`."""
        content = {"format": METADATA_FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str | Path) -> Metadata:
        """The inverse of :meth:`to_json`; ``origin`` is the file that errors name.

        Raises:
            BundleError: it is not ours, damaged, or of another version.
        """
        try:
            content = json.loads(text)
            if (version := content.pop("format")) == 1:
                content = with_current_names(content, FORMER_NAMES)
            elif version != METADATA_FORMAT:
                raise BundleError(
                    f"{origin}: format {version!r}; this version reads format {METADATA_FORMAT}; export the model again"
                )
            metadata = cls(**content)
            for field in dataclasses.fields(cls):
                value, kind = content[field.name], _JSON_TYPES[str(field.type)]
                if type(value) is not kind:
                    raise TypeError(f"{field.name} is {value!r}; it must be of type {field.type}")
            metadata = dataclasses.replace(
                metadata,
                classes=tuple(map(str, metadata.classes)),
                thresholds=tuple(map(float, metadata.thresholds)),
                post_processing=PostProcessing.from_dict(content["post_processing"]),
                untuned=tuple(map(str, metadata.untuned)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{origin}: its {METADATA_FILE} is damaged: {error!r}; export the model again") from error
        if not metadata.classes or len(metadata.classes) != len(metadata.thresholds):
            raise BundleError(
                f"{origin}: its {METADATA_FILE} does not give each class a threshold; export the model again"
            )
        if not metadata.post_processing.fits(np.array(metadata.thresholds, np.float32)):
            raise BundleError(f"{origin}: its post_processing does not go with its thresholds; export the model again")
        counts = (metadata.sample_rate, metadata.label_rate, metadata.window_frames, metadata.window_samples)
        overlap, left = metadata.overlap_frames, metadata.left_context
        if min(counts) < 1 or not 0 <= 2 * overlap <= metadata.window_frames or not 0 <= left < metadata.input_samples:
            raise BundleError(f"{origin}: its {METADATA_FILE} describes no window; export the model again")
        return metadata


def read_tflite(path: str | Path) -> Metadata:
    """The metadata of a ``.tflite`` file.

    Raises:
        BundleError: the file is missing, cut off, no ``.tflite`` file, or none of ours.
    """
    try:
        with open(path, "rb") as file:
            if file.read(8)[4:] != b"TFL3":
                raise BundleError(f"{path}: not a .tflite file")
        with zipfile.ZipFile(path) as archive:
            text = archive.read(METADATA_FILE).decode("utf-8")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: holds no {METADATA_FILE} at its end: cut off, or not made by mir-tf export; "
            "export the model again"
        ) from error
    return Metadata.from_json(text, path)
