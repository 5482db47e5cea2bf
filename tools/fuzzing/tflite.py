"""``.tflite`` files: what LiteRT itself predicts from the undamaged file."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from fuzzing.cases import Case, Kind, damage
from fuzzing.json_values import JsonCase, relaid, with_a_bad_text, with_other_values
from mir_tf import pretrained
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE
from mir_tf.io import stored_json
from mir_tf.lite import LiteModel


class Tflite(Kind):
    """Exported models: damaged bytes, other values in the metadata, and changes of the archive that mean nothing."""

    suffix = ".tflite"
    sources = (".tflite",)
    model_class: ClassVar[type[LiteModel]] = LiteModel

    def __init__(self, files: list[Path], seed: int) -> None:
        """Predict from each undamaged file with LiteRT."""
        super().__init__(files, seed)
        warnings.simplefilter("ignore")  # of files without digests
        self.contents = [path.read_bytes() for path in files or [pretrained.tflite()]]
        self.expected = [predicted(content) for content in self.contents]

    def case(self, number: int) -> Case:
        """Return an altered file. Every fourth has a change that means nothing."""
        draw = self.draw(number)
        source = draw.randrange(len(self.contents))
        content = self.contents[source]
        model, metadata, labels = parts(content)
        if number % 4 == 0:
            return JsonCase(harmless(model, metadata, labels, draw), content, source=source)
        if number % 4 == 1:
            text = json.dumps(with_other_values(metadata, draw)).encode()
            if draw.random() < 0.3:
                text = with_a_bad_text(metadata, draw)
            return JsonCase(joined(model, text, labels), source=source, has_other_values=True)
        if draw.random() < 0.5:
            return JsonCase(model + damage(content[len(model) :], draw), source=source)
        return JsonCase(damage(content, draw), source=source)

    def judge(self, path: Path, case: Case) -> str:
        """Compare the metadata and the prediction for one window with those of the undamaged file."""
        assert isinstance(case, JsonCase)
        model = self.model_class(path)
        expected_metadata, expected = self.expected[case.source]
        samples = model.metadata.input_samples
        found = model.predict_window(waveform(samples)) if samples < 10**7 else np.zeros(1)
        if case.has_other_values:
            prediction = model.predict(waveform(model.sample_rate)[0], model.sample_rate)
            json.dumps(prediction.to_dict(), allow_nan=False)
            is_valid = ((model.thresholds >= 0) & (model.thresholds <= 1)).all()
            return "unjudged" if is_valid else f"wrong: thresholds {model.thresholds}"
        metadata = json.loads(model.metadata.to_json())
        if different := [name for name in metadata if metadata[name] != expected_metadata.get(name, metadata[name])]:
            return f"wrong: other metadata: {', '.join(different)}"
        if found.shape != expected.shape or not np.array_equal(found, expected):
            return "wrong: another prediction"
        return "right"


def parts(content: bytes) -> tuple[bytes, dict[str, Any], bytes]:
    """Return the bytes before the archive, and its metadata and labels."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        end = min(entry.header_offset for entry in archive.infolist())
        return content[:end], json.loads(archive.read(METADATA_FILE)), archive.read(LABELS_FILE)


def joined(model: bytes, metadata: bytes, labels: bytes) -> bytes:
    """Return the file with these parts."""
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(LABELS_FILE, labels)
        archive.writestr(METADATA_FILE, metadata)
    return content.getvalue()


def harmless(model: bytes, metadata: dict[str, Any], labels: bytes, draw: random.Random) -> bytes:
    """Return the file with another layout of its archive and of the JSON in it."""
    entries = [(METADATA_FILE, relaid(metadata, draw)), (LABELS_FILE, labels)]
    draw.shuffle(entries)
    if draw.random() < 0.3:
        entries.append(("README.txt", b"Of somebody else."))
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, text in entries:
            archive.writestr(zipfile.ZipInfo(name, (draw.randrange(1980, 2100), 1, 1, 0, 0, 0)), text)
        archive.comment = b"c" * draw.randrange(50)
    return content.getvalue()


def waveform(samples: int) -> NDArray[np.float32]:
    """Return noise [1, samples], the same every time."""
    return np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)


def predicted(content: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Return the metadata of a file without their digest, and LiteRT's prediction for one window."""
    model, metadata, _ = parts(content)
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], waveform(int(source["shape"][1])))
    interpreter.invoke()
    prediction: NDArray[np.float32] = interpreter.get_tensor(target["index"])[0]
    return {name: value for name, value in metadata.items() if name not in ("format", stored_json.DIGEST)}, prediction
