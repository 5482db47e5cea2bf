"""A trained model as files that take audio and name instruments, wherever they run, each proved equal to it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

import mir_tf
from mir_tf.bundle import Bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.bundle.windows import WindowedModel
from mir_tf.config import LABEL_RATE
from mir_tf.data import pipeline
from mir_tf.data.frontend import log_mel, log_mel_batch, log_mel_blocks, log_mel_of_padded, normalize_clip
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import ConfigError, ExportError
from mir_tf.export import benchmark, conversion
from mir_tf.export.benchmark import Speed
from mir_tf.export.conversion import QUANTIZATIONS
from mir_tf.export.tflite import join, with_metadata
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata
from mir_tf.io import audio
from mir_tf.io.files import as_path, move_into, remove, workspace, write_text
from mir_tf.io.markdown import markdown
from mir_tf.lite import LiteModel
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.stream import windowed, windows

FORMATS = ("savedmodel", "tflite", "onnx")
TOLERANCES = {"none": 1e-4, "float16": 5e-3, "dynamic": 2e-2}
"""The greatest difference of a probability from Keras that a file may show."""

F1_LOSS = 0.01
"""How much lower than Keras' the F1 of a full-int8 file may be, micro and macro."""

_SAVED_MODEL, _CLIP, _ONNX = "saved_model", "clip.tflite", "model.onnx"
_TFLITE_NAMES = {name: f"model.{'float32' if name == 'none' else name}.tflite" for name in QUANTIZATIONS}
_NAMES = (_SAVED_MODEL, *_TFLITE_NAMES.values(), _CLIP, _ONNX)
"""Of all that an export may write."""

_ONNX_NEEDS = ("onnx", "onnxruntime", "tf2onnx")

_EXAMPLES = 64
"""Windows, at most, that full-int8 quantisation is calibrated with."""

_THREADS = (1, 2)

_ROW = 1024
"""Samples among which :func:`_last` searches at once."""

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class F1:
    """Over the frames of a data set's test split, at the model's thresholds."""

    macro: float
    micro: float


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file and what was measured of it.

    Attributes:
        name: of the file, or folder.
        quantization: of its network.
        size: bytes.
        difference: the greatest of any probability from Keras' for the same audio.
        f1: of its network on the data set, if one was given.
        f1_loss: the greater loss against Keras, of macro and micro F1.
        speed: by number of threads, of a ``.tflite`` file.
        failure: what it fails, empty where it passes.
    """

    name: str
    quantization: str
    size: int
    difference: float
    f1: F1 | None
    f1_loss: float | None
    speed: dict[int, Speed]

    @property
    def failure(self) -> str:
        """What it fails; empty where it passes."""
        if self.quantization == "int8":
            if self.f1_loss is None or not self.f1_loss <= F1_LOSS:
                return f"F1 loss {self.f1_loss} is above {F1_LOSS}"
        elif not self.difference <= TOLERANCES[self.quantization]:
            return f"difference {self.difference:.1e} is above {TOLERANCES[self.quantization]:g}"
        return ""


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What an export wrote, and how near each file is to the model.

    Attributes:
        metadata: of the frame-level files.
        sound: what the files were compared on.
        seconds: of it.
        data: the data set of the F1; empty without one.
        keras_f1: of the Keras model on it.
        files: those that pass stand under their names; those that fail do not.
        older: names beside them that an earlier export left, of this model or another.
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
        """The files that fail."""
        return tuple(file for file in self.files if file.failure)

    def table(self) -> list[list[str]]:
        """The measures as rows of text, the first one the header."""
        # What matters most stands left: a narrow terminal leaves out the last columns.
        header = ["file", "passes", "size (MB)", "difference", "tolerance", "macro F1", "micro F1"]
        header += [f"ms/s, {threads} thread{'s'[: threads - 1]}" for threads in _THREADS]
        header += [f"peak MB, {threads} thread{'s'[: threads - 1]}" for threads in _THREADS]
        rows = [header]
        for file in self.files:
            tolerance = f"F1 loss {F1_LOSS:g}" if file.quantization == "int8" else f"{TOLERANCES[file.quantization]:g}"
            speeds = [file.speed.get(threads) for threads in _THREADS]
            rows.append(
                [
                    file.name,
                    "no" if file.failure else "yes",
                    f"{file.size / 1e6:.2f}",
                    f"{file.difference:.1e}",
                    tolerance,
                    *(("–", "–") if file.f1 is None else (f"{file.f1.macro:.4f}", f"{file.f1.micro:.4f}")),
                    *("–" if speed is None else f"{1000 * speed.seconds:.1f}" for speed in speeds),
                    *(
                        "–" if speed is None or speed.megabytes is None else f"{speed.megabytes:.0f}"
                        for speed in speeds
                    ),
                ]
            )
        return rows

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        notes = [
            f"Difference: the greatest of any probability from the Keras model's, on {self.sound}, "
            f"{self.seconds:.0f} s at {self.metadata.sample_rate} Hz.",
            "ms/s: milliseconds that LiteRT takes to answer for a second of audio; peak MB: memory of a whole Python "
            "process that runs the file.",
        ]
        if self.keras_f1 is not None:
            notes.append(
                f"F1 on the test split of {self.data}, on which Keras has {self.keras_f1.macro:.4f} (macro) and "
                f"{self.keras_f1.micro:.4f} (micro): of the file's network, run by LiteRT on the data set's log-mel. "
                "What leads to log-mel is float32 in every file."
            )
        notes += [f"{file.name} was not kept: {file.failure}." for file in self.failed]
        if self.older:
            notes.append(f"Of an earlier export, and not measured now: {', '.join(self.older)}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it."""
        content = dataclasses.asdict(self)
        for file, measured in zip(self.files, content["files"], strict=True):
            measured["failure"] = file.failure
        return content

    def to_markdown(self) -> str:
        """The table and its notes."""
        return markdown(f"Export of {self.metadata.name}", [self.table()], self.notes())


def check(bundle: Bundle, formats: Sequence[str], quantizations: Sequence[str], has_data: bool) -> None:
    """Refuses what cannot be exported, before any work.

    Raises:
        ConfigError: naming what cannot be done, and what can instead.
    """
    for kind, given, known in (("format", formats, FORMATS), ("quantization", quantizations, QUANTIZATIONS)):
        if unknown := sorted(set(given) - set(known)):
            raise ConfigError(f"unknown {kind} {', '.join(unknown)}; known are {', '.join(known)}")
        if not given:
            raise ConfigError(f"no {kind}; name some of {', '.join(known)}")
    front_end, window = bundle.config.front_end, bundle.config.window
    whole_segments = window.window_seconds == front_end.segment_seconds and not window.overlap_frames
    if front_end.segment_seconds is not None and not whole_segments and set(formats) != {"savedmodel"}:
        raise ConfigError(
            f"{', '.join(sorted(set(formats) - {'savedmodel'}))}: one window of audio cannot be answered by itself "
            f"where the front end takes segments of {front_end.segment_seconds:g} s and windows are "
            f"{window.window_seconds:g} s with {window.overlap_seconds:g} s of overlap; use --formats savedmodel, or "
            "train with windows and crops as long as the segments, without overlap"
        )
    if "onnx" in formats and (missing := [name for name in _ONNX_NEEDS if importlib.util.find_spec(name) is None]):
        raise ConfigError(f"onnx: {', '.join(missing)} not installed; pip install 'mir-tf[onnx]'")
    if "int8" not in quantizations or "tflite" not in formats:
        return
    if _is_recurrent(bundle.model):
        raise ConfigError(
            f"int8: {bundle.config.model.architecture} has recurrent layers (GRU), which TensorFlow Lite's converter "
            "cannot quantise in full; use --quantize dynamic or float16, or train --model cnn"
        )
    if not has_data:
        raise ConfigError("int8: its scales are measured on a data set's records: give --data")


def export(
    bundle: Bundle,
    out: str | Path,
    formats: Sequence[str] = ("savedmodel", "tflite"),
    quantizations: Sequence[str] = ("none", "float16", "dynamic"),
    recordings: Sequence[str | Path] = (),
    data: str | Path | None = None,
    name: str = "mir-tf model",
    license_name: str = "",
    progress: Progress = lambda step: None,
) -> ExportReport:
    """Exports a model, and measures every file.

    ``out`` receives ``saved_model``, ``model.QUANTIZATION.tflite`` for timelines, ``clip.tflite`` with one answer a
    window, ``model.onnx``, and ``report.json`` and ``report.md``. What fails its tolerance does not appear there.

    Args:
        bundle: the model.
        out: folder, made if need be.
        formats: of :data:`FORMATS`.
        quantizations: of the ``.tflite`` files, of :data:`QUANTIZATIONS`.
        recordings: audio to compare on; without any, a made-up signal.
        data: folder of a data set, for the F1 and for ``int8``.
        name: of the model, in its metadata.
        license_name: of the model, in its metadata.
        progress: called with what is done next.

    Raises:
        ConfigError: what is asked for cannot be exported, see :func:`check`.
        AudioError: a recording cannot be read.
        DataError: the data set does not fit the model.
        ExportError: a converter failed.
    """
    check(bundle, formats, quantizations, data is not None)
    # A model that computes in 16 bits too is exported, and compared, in float32.
    bundle = dataclasses.replace(bundle, model=_cloned(bundle.model))
    rate = bundle.config.front_end.sample_rate
    progress("listening with Keras")
    if recordings:
        signals = [np.concatenate(list(audio.read_blocks(path, rate))) for path in recordings]
        sound = ", ".join(as_path(path).name for path in recordings)
    else:
        signals, sound = [probe_signal(rate, 2.6 * bundle.config.window.window_seconds)], "a made-up signal"
    references = [
        bundle.windowed.predict_track(np.concatenate(list(log_mel_blocks([signal], bundle.config.front_end))))
        for signal in signals
    ]
    out = as_path(out)
    out.mkdir(parents=True, exist_ok=True)
    keras_f1 = None
    if data is not None:
        progress("F1 of Keras")
        keras_f1 = _f1(bundle, bundle.windowed, data)
    metadata = describe(bundle, name, license_name)
    files: list[ExportedFile] = []
    with workspace(out) as beside, _unfinished(beside) as folder:
        job = _Exporter(bundle, metadata, folder, signals, references, data, keras_f1, progress)
        if "savedmodel" in formats:
            files.append(job.saved_model())
        if {"tflite", "onnx"} & set(formats):
            job.trace(with_clip="tflite" in formats)
        if "tflite" in formats:
            job.convert(quantizations)
            files.extend(job.tflite(quantization) for quantization in quantizations)
            files.append(job.clip())
        if "onnx" in formats:
            files.append(job.onnx())
        for file in files:
            target = out / file.name
            remove(target)
            if not file.failure:
                move_into(folder / file.name, target)
    seconds = sum(map(len, signals)) / rate
    written = {file.name for file in files}
    older = tuple(name for name in _NAMES if name not in written and (out / name).exists())
    report = ExportReport(metadata, sound, seconds, "" if data is None else str(data), keras_f1, tuple(files), older)
    write_text(out / "report.md", report.to_markdown())
    write_text(out / "report.json", json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")
    return report


@contextlib.contextmanager
def _unfinished(beside: Path) -> Iterator[Path]:
    """An empty folder that goes with the block; what a killed export left of it goes too."""
    folder = beside / ".unfinished-export"
    remove(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)


def describe(bundle: Bundle, name: str, license_name: str) -> Metadata:
    """The metadata of a model's frame-level files."""
    front_end, window = bundle.config.front_end, bundle.config.window
    num_frames = window.window_frames * front_end.subframes
    window_samples = window.window_frames * front_end.sample_rate // LABEL_RATE
    if front_end.segment_seconds is None:
        input_samples = (num_frames - 1) * front_end.hop_length + front_end.n_fft
        left_context = front_end.left_padding
    else:
        # A segment knows nothing of what surrounds it.
        input_samples, left_context = window_samples, 0
    return Metadata(
        name=name,
        version=mir_tf.__version__,
        license=license_name,
        answers="frames",
        classes=bundle.classes,
        thresholds=tuple(float(threshold) for threshold in bundle.thresholds),
        post_processing=bundle.post_processing,
        untuned=bundle.untuned,
        sample_rate=front_end.sample_rate,
        channels=1,
        label_rate=LABEL_RATE,
        input_samples=input_samples,
        left_context=left_context,
        window_samples=window_samples,
        window_frames=window.window_frames,
        overlap_frames=window.overlap_frames,
        streams=front_end.normalization == "global",
        front_end=front_end.to_dict(),
        fingerprint=front_end.fingerprint(),
        model={
            "architecture": bundle.config.model.architecture,
            "vocabulary": bundle.vocabulary.name,
            **bundle.info,
        },
    )


def probe_signal(sample_rate: int, seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Something like music [samples], of notes, noise and silence at all levels, for where no recording is at hand."""
    generator = np.random.default_rng(seed)
    signal = np.zeros(round(seconds * sample_rate), np.float32)
    for start in np.arange(0, seconds, 0.25):
        length = round(generator.uniform(0.1, 2.0) * sample_rate)
        time = np.arange(length) / sample_rate
        pitch, level = 55 * 2 ** generator.uniform(0, 5), 10 ** generator.uniform(-3, -0.7)
        overtones = [np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9) if pitch * k < sample_rate / 2]
        note = np.sum(overtones, axis=0) if generator.random() < 0.8 else generator.normal(0, 1, length)
        first = round(start * sample_rate)
        end = min(first + length, len(signal))
        signal[first:end] += (level * note * np.exp(-3 * time))[: end - first]
    signal[len(signal) // 2 : len(signal) // 2 + sample_rate] = 0
    return np.clip(signal, -1, 1)


class _Server(tf.Module):
    """What a SavedModel holds."""

    def __init__(self, bundle: Bundle, metadata: Metadata, assets: Path) -> None:
        super().__init__()
        front_end, windowed_model = bundle.config.front_end, bundle.windowed
        self.model_variables = [variable.value for variable in bundle.model.variables]
        self.classes = tf.Variable(list(metadata.classes), trainable=False)  # [classes]
        self.thresholds = tf.Variable(bundle.thresholds, trainable=False)  # [classes]
        self.metadata = tf.Variable(metadata.to_json(), trainable=False)
        (assets / LABELS_FILE).write_text(metadata.labels, encoding="utf-8")
        (assets / METADATA_FILE).write_text(metadata.to_json(), encoding="utf-8")
        self.labels_file = tf.saved_model.Asset(str(assets / LABELS_FILE))
        self.metadata_file = tf.saved_model.Asset(str(assets / METADATA_FILE))

        def answer(frames: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = windowed_model.predict_batch(frames)  # [batch, label frames, classes]
            active = probabilities >= self.thresholds
            count = tf.reduce_sum(tf.cast(active, tf.int32), axis=1)  # [batch, classes]
            longest = tf.gather(self.classes, tf.argmax(count, axis=1))  # [batch]
            return {
                "probabilities": probabilities,
                "active": active,
                "playing_time": tf.cast(count, tf.float32) / LABEL_RATE,
                "dominant": tf.where(tf.reduce_max(count, axis=1) > 0, longest, ""),
            }

        def from_waveform(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
            waveform = tf.debugging.check_numerics(waveform, "waveform holds NaN or infinity")
            return answer(log_mel_batch(waveform, front_end))

        self.from_waveform = tf.function(
            from_waveform, input_signature=[tf.TensorSpec([None, None], tf.float32, name="waveform")]
        )
        self.from_log_mel = tf.function(
            lambda log_mel: answer(log_mel),
            input_signature=[tf.TensorSpec([None, None, front_end.n_mels], tf.float32, name="log_mel")],
        )


class _Pieces(tf.Module):
    """One window's way from waveform to probabilities, in the pieces that are converted each by itself.

    ``front``: waveform [1, input samples] to what the network takes, float32 in every file. ``network``: to logits of
    steps, quantised; ``unrolled`` is the same without loops. ``frames`` and ``clip``: to probabilities.
    """

    def __init__(self, bundle: Bundle, metadata: Metadata, with_unrolled: bool) -> None:
        super().__init__()
        config = bundle.config.front_end
        model = bundle.model
        features = model.get_layer("spec_augment").input
        normalize = keras.Model(model.input, features)
        network = keras.Model(features, model.get_layer("fc").output)
        interpolate = _interpolation(bundle)
        self.model_variables = [variable.value for variable in model.variables]
        num_frames = metadata.window_frames * config.subframes
        heard_frames = num_frames if bundle.config.model.uses_subframes else metadata.window_frames
        features_spec = tf.TensorSpec([1, heard_frames, config.n_mels], tf.float32, name="features")
        waveform_spec = tf.TensorSpec([1, metadata.input_samples], tf.float32, name="waveform")

        def front(waveform: tf.Tensor, by_convolution: bool = False) -> tf.Tensor:
            """Features [1, frames or label frames, mels]; samples that are NaN lie outside of the signal."""
            # By no other comparison: tf2onnx selects by multiplication, which NaN survives, unless it sees this one.
            is_outside = tf.math.is_nan(waveform)
            is_inside = tf.logical_not(is_outside)
            waveform = tf.where(is_outside, 0.0, waveform)
            num_samples = _last(is_inside[0]) - metadata.left_context
            true_frames = config.num_frames(tf.clip_by_value(num_samples, 0, metadata.window_samples))
            if config.segment_seconds is None:
                decibels = log_mel_of_padded(waveform, config, by_convolution)  # [1, frames, mels]
            else:
                decibels = log_mel(waveform, config, by_convolution)
            is_true = tf.range(num_frames)[:, tf.newaxis] < true_frames  # [frames, 1]
            decibels = tf.where(is_true, decibels, config.log_floor_db)
            return normalize(normalize_clip(decibels[0], true_frames, config)[tf.newaxis], training=False)

        def logits(features: tf.Tensor) -> tf.Tensor:
            return network(features, training=False)  # [1, steps, classes]

        def frames(steps: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(interpolate(steps, tf.zeros([1, metadata.window_frames, 1])))

        self.front = tf.function(front, input_signature=[waveform_spec])
        self.network = tf.function(logits, input_signature=[features_spec])
        steps_spec = tf.TensorSpec(self.network.get_concrete_function().outputs[0].shape, tf.float32, name="steps")
        self.frames = tf.function(frames, input_signature=[steps_spec])
        self.clip = tf.function(lambda steps: tf.reduce_max(frames(steps), axis=1), input_signature=[steps_spec])
        self.whole = tf.function(lambda waveform: frames(logits(front(waveform))), input_signature=[waveform_spec])
        self.onnx = tf.function(lambda waveform: frames(logits(front(waveform, True))), input_signature=[waveform_spec])
        if with_unrolled:
            unrolled = _cloned(network, keras.Input(batch_shape=features_spec.shape), unroll=True)
            self.unrolled_variables = [variable.value for variable in unrolled.variables]
            self.unrolled = tf.function(
                lambda features: unrolled(features, training=False), input_signature=[features_spec]
            )


def _interpolation(bundle: Bundle) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From logits of steps, and something as long as the answer, to those of label frames."""
    if bundle.config.model.uses_subframes:  # its steps are label frames
        return lambda steps, frames: steps
    layer: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = bundle.model.get_layer("logits")
    return layer


def _last(is_inside: tf.Tensor) -> tf.Tensor:
    """The number, counted from 1, of the last that holds of bool [samples]; 0 where none does.

    By rows, because the converter would store the numbers of all samples in the file.
    """
    num_rows = -(-is_inside.shape[0] // _ROW)
    rows = tf.pad(tf.cast(is_inside, tf.int32), [[0, num_rows * _ROW - is_inside.shape[0]]])
    last = tf.reduce_max(tf.reshape(rows, [num_rows, _ROW]) * tf.range(1, _ROW + 1), axis=1)  # [rows]
    return tf.reduce_max(tf.where(last > 0, last + tf.range(num_rows) * _ROW, 0))


def _is_recurrent(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.Bidirectional | keras.layers.RNN) for layer in model.layers)


def _cloned(model: keras.Model, inputs: keras.KerasTensor | None = None, unroll: bool = False) -> keras.Model:
    """The same model in float32, if wanted on inputs of its own and with its recurrent layers unrolled."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if "dtype" in config:  # a bare operation has none: it computes in what it is given
            config["dtype"] = "float32"
        for part in ("layer", "backward_layer"):  # of a bidirectional layer
            if config.get(part) is not None:
                config[part]["config"].update({"dtype": "float32", "unroll": unroll})
        return type(layer).from_config(config)

    cloned = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)
    cloned.set_weights(model.get_weights())
    return cloned


class _Exporter:
    """Writes the files into a folder, and measures each."""

    def __init__(
        self,
        bundle: Bundle,
        metadata: Metadata,
        folder: Path,
        signals: Sequence[NDArray[np.float32]],
        references: Sequence[NDArray[np.float32]],
        data: str | Path | None,
        keras_f1: F1 | None,
        progress: Progress,
    ) -> None:
        self._bundle, self._metadata, self._folder = bundle, metadata, folder
        self._signals, self._references = signals, references
        self._data, self._keras_f1, self._progress = data, keras_f1, progress
        self._saved_pieces = folder / "pieces"

    def saved_model(self) -> ExportedFile:
        """Writes ``saved_model``."""
        self._progress(_SAVED_MODEL)
        path = self._folder / _SAVED_MODEL
        with tempfile.TemporaryDirectory() as assets:
            server = _Server(self._bundle, self._metadata, Path(assets))
            signatures = {"serving_default": server.from_waveform, "log_mel": server.from_log_mel}
            tf.saved_model.save(server, str(path), signatures)
        serve = tf.saved_model.load(str(path)).signatures["serving_default"]
        found = [serve(waveform=tf.constant(signal[np.newaxis]))["probabilities"][0] for signal in self._signals]
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return ExportedFile(path.name, "none", size, self._difference(found), None, None, {})

    def trace(self, with_clip: bool) -> None:
        """Writes what the converters read."""
        self._progress("tracing the network")
        with_unrolled = with_clip and _is_recurrent(self._bundle.model)
        # MediaPipe takes no loops: they are subgraphs.
        self._clip_network = "unrolled" if with_unrolled else "network"
        self._pieces = _Pieces(self._bundle, self._metadata, with_unrolled)
        signatures = {name: getattr(self._pieces, name) for name in ("front", "frames", "clip", "onnx", "network")}
        signatures[self._clip_network] = getattr(self._pieces, self._clip_network)
        tf.saved_model.save(self._pieces, str(self._saved_pieces), signatures)

    def convert(self, quantizations: Sequence[str]) -> None:
        """Converts all that the ``.tflite`` files are joined of."""
        self._progress("converting for TensorFlow Lite")
        examples = np.stack(list(self._examples())) if "int8" in quantizations else None
        wanted = [("network", quantization) for quantization in quantizations]
        wanted += [(name, "none") for name in ("front", "frames", "clip", self._clip_network)]
        self._converted = conversion.to_tflite(self._saved_pieces, list(dict.fromkeys(wanted)), examples)

    def tflite(self, quantization: str) -> ExportedFile:
        """Writes ``model.QUANTIZATION.tflite``."""
        name = _TFLITE_NAMES[quantization]
        self._progress(name)
        network = self._converted["network", quantization]
        path = self._write_tflite(name, network, "frames", self._metadata)
        model = LiteModel(path)
        difference = self._difference([model.probabilities(signal) for signal in self._signals])
        f1 = None
        if self._data is not None:
            self._progress(f"F1 of {name}")
            f1 = _f1(self._bundle, WindowedModel(_Converted(self._bundle, network), self._bundle.config), self._data)
        return self._measured(path, quantization, difference, f1)

    def clip(self) -> ExportedFile:
        """Writes ``clip.tflite``, float32."""
        self._progress(_CLIP)
        metadata = dataclasses.replace(self._metadata, answers="clip")
        path = self._write_tflite(_CLIP, self._converted[self._clip_network, "none"], "clip", metadata)
        model = LiteModel(path)
        pairs = [
            (model.answer(window), self._pieces.whole(window)[0].numpy().max(axis=0))
            for signal in self._signals
            for window in windows(signal, metadata)
        ]
        difference = float(np.max([np.abs(found - expected).max() for found, expected in pairs]))  # NaN if one is
        return self._measured(path, "none", difference, None)

    def onnx(self) -> ExportedFile:
        """Writes ``model.onnx``."""
        import onnx
        import onnxruntime

        self._progress(_ONNX)
        model = onnx.load_from_string(conversion.to_onnx(self._saved_pieces, "onnx"))
        onnx.helper.set_model_props(
            model, {METADATA_FILE: self._metadata.to_json(), LABELS_FILE: self._metadata.labels}
        )
        path = self._folder / _ONNX
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path)

        def answer(window: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(session.run(None, {"waveform": window})[0][0])

        found = [windowed(answer, self._metadata, signal) for signal in self._signals]
        return ExportedFile(path.name, "none", path.stat().st_size, self._difference(found), None, None, {})

    def _write_tflite(self, name: str, network: bytes, end: str, metadata: Metadata) -> Path:
        path = self._folder / name
        pieces = [self._converted["front", "none"], network, self._converted[end, "none"]]
        path.write_bytes(with_metadata(join(pieces, "waveform", "probabilities"), metadata))
        _require_builtin(path)
        return path

    def _measured(self, path: Path, quantization: str, difference: float, f1: F1 | None) -> ExportedFile:
        self._progress(f"speed of {path.name}")
        speed = {threads: benchmark.measure(path, threads) for threads in _THREADS}
        loss = None
        if f1 is not None and self._keras_f1 is not None:
            loss = max(self._keras_f1.macro - f1.macro, self._keras_f1.micro - f1.micro)
        return ExportedFile(path.name, quantization, path.stat().st_size, difference, f1, loss, speed)

    def _difference(self, found: Sequence[Any]) -> float:
        pairs = zip(found, self._references, strict=True)
        return float(np.max([np.abs(np.asarray(ours) - reference).max() for ours, reference in pairs]))  # NaN if one is

    def _examples(self) -> Iterator[NDArray[np.float32]]:
        """What the network takes, [frames or label frames, mels], of windows of the train split's tracks."""
        config, manifest = self._bundle.config, read_manifest(self._data)
        num_frames = config.window.window_frames * config.front_end.subframes
        normalize = keras.Model(self._bundle.model.input, self._bundle.model.get_layer("spec_augment").input)
        tracks = pipeline.tracks(self._data, manifest, "train", self._bundle.vocabulary)
        for track in itertools.islice(tracks, _EXAMPLES):
            first = max(0, len(track.log_mel) - num_frames) // 2  # a track's middle is seldom silent
            window = track.log_mel[first : first + num_frames]
            floor = config.front_end.log_floor_db
            padded = np.pad(window, ((0, num_frames - len(window)), (0, 0)), constant_values=floor)
            normalized = normalize_clip(tf.constant(padded), len(window), config.front_end)
            yield normalize(normalized[tf.newaxis], training=False)[0].numpy()


class _Converted:
    """A Keras model whose network is a converted one, for the windowed inference."""

    def __init__(self, bundle: Bundle, network: bytes) -> None:
        model = bundle.model
        self.output_shape = model.output_shape
        self._normalize = keras.Model(model.input, model.get_layer("spec_augment").input)
        self._interpolate = _interpolation(bundle)
        self._num_classes = model.output_shape[-1]
        self._interpreter = Interpreter(model_content=network, num_threads=os.cpu_count())
        self._interpreter.allocate_tensors()

    def __call__(self, windows: tf.Tensor, training: bool) -> tf.Tensor:
        """Raw log-mel [batch, frames, mels] to logits [batch, label frames, classes]."""
        features = self._normalize(windows, training=training)  # [batch, frames or label frames, mels]
        steps = tf.numpy_function(self._run, [features], tf.float32, stateful=False)
        return self._interpolate(tf.ensure_shape(steps, [None, None, self._num_classes]), features)

    def _run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        source, target = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        answers = []
        for window in features:
            self._interpreter.set_tensor(source["index"], window[np.newaxis])
            self._interpreter.invoke()
            answers.append(self._interpreter.get_tensor(target["index"])[0])
        return np.stack(answers)


def _f1(bundle: Bundle, model: WindowedModel, data: str | Path) -> F1:
    """Over the test split, at the bundle's thresholds."""
    counts = [
        ConfusionCounts.of(track.probabilities >= bundle.thresholds, track.truth)
        for track in predict_split(model, bundle.config, data, "test")
    ]
    total = ConfusionCounts(
        *(getattr(ConfusionCounts.stack(counts), name).sum(axis=0) for name in ("tp", "fp", "fn", "tn"))
    )
    return F1(float(total.macro_f1), float(total.micro.f1))


def _require_builtin(path: Path) -> None:
    """Every LiteRT runs built-in operators; others need what the small ones do not have.

    Raises:
        ExportError: naming the others.
    """
    content = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    if custom := sorted({code.customCode.decode() for code in content.operatorCodes if code.customCode}):
        raise ExportError(f"{path.name}: needs operators that LiteRT does not have built in: {', '.join(custom)}")
