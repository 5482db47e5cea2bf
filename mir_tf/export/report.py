"""The report of an export: how close each file is to the Keras model, its size, speed and memory."""

from __future__ import annotations

import dataclasses
from typing import Any

from mir_tf.export.benchmark import Speed
from mir_tf.inference.metadata import Metadata
from mir_tf.io.markdown import markdown

TOLERANCES = {"none": 1e-4, "float16": 5e-3, "dynamic": 0.2}
"""Quantization → maximum difference between a probability of the file and of the Keras model.

With 8-bit weights, a few frames of the pretrained model differ by more than 0.1, but only 1 decision in 200 changes.
"""

MAX_F1_LOSS = 0.01
"""How much lower the F1 of an 8-bit file may be than that of the Keras model, micro and macro."""

MEASURED_THREADS = (1, 2)
"""Numbers of threads for which the speed of ``.tflite`` files is measured."""


@dataclasses.dataclass(frozen=True)
class F1:
    """F1 over the frames of a data set's test split, at the model's thresholds."""

    macro: float
    micro: float


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """An exported file and its measurements.

    Attributes:
        name: Name of the file or folder.
        quantization: Quantization of its network.
        size: Size in bytes.
        difference: Maximum difference between a probability of the file and of the Keras model, for the same audio.
        f1: F1 of its network on the data set, if one was given.
        f1_loss: Loss of F1 against the Keras model: the greater of macro and micro.
        speed: Number of threads → speed, for a ``.tflite`` file.
    """

    name: str
    quantization: str
    size: int
    difference: float
    f1: F1 | None = None
    f1_loss: float | None = None
    speed: dict[int, Speed] = dataclasses.field(default_factory=dict)

    @property
    def failure(self) -> str:
        """The check that the file fails; empty if it passes."""
        if self.quantization == "int8" and self.f1_loss is None:
            return "F1 was not measured"
        if self.quantization in ("int8", "dynamic") and self.f1_loss is not None and not self.f1_loss <= MAX_F1_LOSS:
            return f"F1 loss {self.f1_loss:.4f} is above {MAX_F1_LOSS}"
        if self.quantization != "int8" and not self.difference <= TOLERANCES[self.quantization]:
            return f"difference {self.difference:.1e} is above {TOLERANCES[self.quantization]:g}"
        return ""


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """The files of an export and their measurements.

    Attributes:
        metadata: Metadata of the files that predict frames.
        sound: Description of the audio for the comparison.
        seconds: Duration of that audio.
        data: The data set for F1; empty without one.
        keras_f1: F1 of the Keras model on the data set.
        files: All files that were made. Those that fail a check are not in the output folder.
        older: Names of files beside them that an earlier export left, of this model or another.
    """

    metadata: Metadata
    sound: str
    seconds: float
    data: str
    keras_f1: F1 | None
    files: tuple[ExportedFile, ...]
    older: tuple[str, ...]

    @property
    def failed(self) -> tuple[ExportedFile, ...]:
        """The files that fail a check."""
        return tuple(file for file in self.files if file.failure)

    def table(self) -> list[list[str]]:
        """Return the measurements as rows of text; the first one is the header."""
        # The most important columns come first, because a narrow terminal drops the last ones.
        units = [f"{threads} thread{'s'[: threads - 1]}" for threads in MEASURED_THREADS]
        header = ["file", "passes", "size (MB)", "difference", "tolerance", "macro F1", "micro F1"]
        return [
            [*header, *(f"ms/s, {unit}" for unit in units), *(f"peak MB, {unit}" for unit in units)],
            *map(self._row, self.files),
        ]

    def _row(self, file: ExportedFile) -> list[str]:
        is_int8 = file.quantization == "int8"
        speeds = [file.speed.get(threads) for threads in MEASURED_THREADS]
        return [
            file.name,
            "no" if file.failure else "yes",
            f"{file.size / 1e6:.2f}",
            f"{file.difference:.1e}",
            f"F1 loss {MAX_F1_LOSS:g}" if is_int8 else f"{TOLERANCES[file.quantization]:g}",
            *(("–", "–") if file.f1 is None else (f"{file.f1.macro:.4f}", f"{file.f1.micro:.4f}")),
            *("–" if speed is None else f"{1000 * speed.seconds:.1f}" for speed in speeds),
            *("–" if speed is None or speed.megabytes is None else f"{speed.megabytes:.0f}" for speed in speeds),
        ]

    def notes(self) -> list[str]:
        """Return the notes that explain the table, and name the files that failed or are old."""
        notes = [
            f"Difference: the maximum difference between a probability of the file and of the Keras model, on "
            f"{self.sound}, {self.seconds:.0f} s at {self.metadata.sample_rate} Hz.",
            "ms/s: milliseconds that LiteRT takes for a second of audio; peak MB: memory of a whole Python process "
            "that runs the file.",
        ]
        if self.keras_f1 is not None:
            notes.append(
                f"F1 on the test split of {self.data}, where the Keras model has {self.keras_f1.macro:.4f} (macro) and "
                f"{self.keras_f1.micro:.4f} (micro): LiteRT runs the file's network on the log-mel of the data set. "
                "The front end is float32 in every file."
            )
        notes += [f"{file.name} was not kept: {file.failure}." for file in self.failed]
        if self.older:
            notes.append(f"Left by an earlier export, and not measured now: {', '.join(self.older)}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        content = dataclasses.asdict(self)
        for file, measured in zip(self.files, content["files"], strict=True):
            measured["failure"] = file.failure
        return content

    def to_markdown(self) -> str:
        """Return the table and its notes as a Markdown page."""
        return markdown(f"Export of {self.metadata.name}", self.table(), *self.notes())
