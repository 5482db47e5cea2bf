"""Exports a trained model as files that take audio, and checks each of them against the Keras model."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

import mir_tf
from mir_tf.bundle import Bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.bundle.windows import WindowedModel
from mir_tf.config import LABEL_RATE
from mir_tf.data import pipeline
from mir_tf.data.frontend import log_mel_blocks, normalize_clip
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import ConfigError, ExportError
from mir_tf.export import benchmark, conversion
from mir_tf.export.conversion import QUANTIZATIONS
from mir_tf.export.graphs import ConvertedModel, Pieces, ServingModule, cloned, is_recurrent
from mir_tf.export.report import F1, MEASURED_THREADS, ExportedFile, ExportReport
from mir_tf.export.tflite import join, with_metadata
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata
from mir_tf.io import audio, locks
from mir_tf.io.files import as_path, move_into, remove, scratch_folder, workspace, write_text
from mir_tf.io.write_errors import writing
from mir_tf.lite import LiteModel
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.stream import predict_signal, windows

_SAVED_MODEL, _CLIP, _ONNX = "saved_model", "clip.tflite", "model.onnx"
_TFLITE_NAMES = {name: f"model.{'float32' if name == 'none' else name}.tflite" for name in QUANTIZATIONS}

_EXAMPLES = 64
"""Maximum number of windows for the calibration of full-int8 quantisation."""

StepProgress = Callable[[str], None]
"""Called with a description of the next step."""


def check_exportable(bundle: Bundle, formats: Sequence[str], quantizations: Sequence[str], has_data: bool) -> None:
    """Check, before any work, that the model can be exported.

    Raises:
        ConfigError: It cannot; the message names the remedy.
    """
    for kind, given, known in (("format", formats, [*EXPORT_FORMATS]), ("quantization", quantizations, QUANTIZATIONS)):
        if unknown := sorted(set(given) - set(known)):
            raise ConfigError(f"unknown {kind} {', '.join(unknown)}; choose from {', '.join(known)}")
        if not given:
            raise ConfigError(f"no {kind}; choose from {', '.join(known)}")
    front_end, window = bundle.config.front_end, bundle.config.window
    whole_segments = window.window_seconds == front_end.segment_seconds and not window.overlap_frames
    by_window = sorted(name for name in set(formats) if EXPORT_FORMATS[name].by_window)
    if front_end.segment_seconds is not None and not whole_segments and by_window:
        raise ConfigError(
            f"{', '.join(by_window)}: cannot predict single windows, because the front end takes segments of "
            f"{front_end.segment_seconds:g} s and windows are {window.window_seconds:g} s with "
            f"{window.overlap_seconds:g} s of overlap; use --formats savedmodel, or train with windows and crops as "
            "long as the segments, without overlap"
        )
    for name in formats:
        if missing := [package for package in EXPORT_FORMATS[name].needs if importlib.util.find_spec(package) is None]:
            raise ConfigError(f"{name}: {', '.join(missing)} not installed; pip install 'mir-tf[{name}]'")
    if "int8" not in quantizations or "tflite" not in formats:
        return
    if is_recurrent(bundle.model):
        raise ConfigError(
            f"int8: {bundle.config.model.architecture} has recurrent layers (GRU), which TensorFlow Lite's converter "
            "cannot fully quantise; use --quantize dynamic or float16, or train --model cnn"
        )
    if not has_data:
        raise ConfigError("int8: its scales are calibrated on a data set: give --data")


def export(
    bundle: Bundle,
    out: str | Path,
    formats: Sequence[str] = ("savedmodel", "tflite"),
    quantizations: Sequence[str] = ("none", "float16", "dynamic"),
    recordings: Sequence[str | Path] = (),
    data: str | Path | None = None,
    name: str = "mir-tf model",
    license_name: str = "",
    progress: StepProgress = lambda step: None,
) -> ExportReport:
    """Export a model, and measure every file.

    Writes to ``out``: ``saved_model``, ``model.QUANTIZATION.tflite`` for timelines, ``clip.tflite`` with one prediction
    a window, ``model.onnx``, ``report.json`` and ``report.md``. A file that fails its check is not kept.

    Args:
        bundle: The model.
        out: Output folder, created if needed.
        formats: Names in :data:`EXPORT_FORMATS`.
        quantizations: Quantizations of the ``.tflite`` files, from :data:`QUANTIZATIONS`.
        recordings: Audio for the comparison; by default a synthetic signal.
        data: Folder of a data set, for F1 and for ``int8``.
        name: Name of the model in its metadata.
        license_name: Licence of the model in its metadata.
        progress: Called with a description of each step.

    Raises:
        ConfigError: The model cannot be exported like this, see :func:`check`.
        AudioError: A recording cannot be read.
        DataError: The data set does not match the model.
        ExportError: A converter failed.
        InUseError: Another process is writing ``out``.
        WriteError: ``out`` cannot be written.
    """
    check_exportable(bundle, formats, quantizations, data is not None)
    # A model with mixed precision is exported, and compared, in float32.
    bundle = dataclasses.replace(bundle, model=cloned(bundle.model))
    sr = bundle.config.front_end.sample_rate
    if recordings:
        signals = [np.concatenate(list(audio.read_blocks(path, sr))) for path in recordings]
        sound = ", ".join(as_path(path).name for path in recordings)
    else:
        signals, sound = [probe_signal(sr, 2.6 * bundle.config.window.window_seconds)], "a synthetic signal"
    out = as_path(out)
    with locks.exclusive(out), workspace(out) as beside:
        unfinished = beside / ".unfinished-export"
        with writing(out, unfinished):
            reference = _Reference.of(bundle, signals, data, progress)
            metadata = metadata_of(bundle, name, license_name)
            with scratch_folder(unfinished) as folder:
                exporter = _Exporter(bundle, metadata, reference, tuple(quantizations), folder, progress)
                writers = [each.write for name, each in EXPORT_FORMATS.items() if name in formats]
                files = [file for write in writers for file in write(exporter)]
                for file in files:
                    target = out / file.name
                    if file.failure or target.is_dir():  # a file is replaced, so that there always is one
                        remove(target)
                    if not file.failure:
                        move_into(folder / file.name, target)
            written = {file.name for file in files}
            known = [name for each in EXPORT_FORMATS.values() for name in each.files]
            report = ExportReport(
                metadata=metadata,
                sound=sound,
                seconds=sum(map(len, signals)) / sr,
                data="" if data is None else str(data),
                keras_f1=reference.f1,
                files=tuple(files),
                older=tuple(name for name in known if name not in written and (out / name).exists()),
            )
            write_text(out / "report.md", report.to_markdown())
            write_text(out / "report.json", json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")
            return report


def metadata_of(bundle: Bundle, name: str, license_name: str) -> Metadata:
    """Return the metadata for the files of a model that predict frames."""
    front_end, window = bundle.config.front_end, bundle.config.window
    num_frames = window.window_frames * front_end.subframes
    window_samples = window.window_frames * front_end.sample_rate // LABEL_RATE
    if front_end.segment_seconds is None:
        input_samples = (num_frames - 1) * front_end.hop_length + front_end.n_fft
        left_context = front_end.left_padding
    else:
        # Audio outside of a segment has no influence on it.
        input_samples, left_context = window_samples, 0
    return Metadata(
        name=name,
        version=mir_tf.__version__,
        license=license_name,
        output="frames",
        classes=bundle.classes,
        thresholds=tuple(float(threshold) for threshold in bundle.thresholds),
        post_processing=bundle.post_processing,
        confidence=bundle.confidence,
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


def probe_signal(sr: int, seconds: float) -> NDArray[np.float32]:
    """Return a signal [samples] like music: notes, noise and silence at all levels."""
    generator = np.random.default_rng(0)
    signal = np.zeros(round(seconds * sr), np.float32)
    for start in np.arange(0, seconds, 0.25):
        length = round(generator.uniform(0.1, 2.0) * sr)
        time = np.arange(length) / sr
        pitch, level = 55 * 2 ** generator.uniform(0, 5), 10 ** generator.uniform(-3, -0.7)
        overtones = [np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9) if pitch * k < sr / 2]
        note = np.sum(overtones, axis=0) if generator.random() < 0.8 else generator.normal(0, 1, length)
        first = round(start * sr)
        end = min(first + length, len(signal))
        signal[first:end] += (level * note * np.exp(-3 * time))[: end - first]
    signal[len(signal) // 2 : len(signal) // 2 + sr] = 0
    return np.clip(signal, -1, 1)


@dataclasses.dataclass(frozen=True)
class _Reference:
    """The predictions of the Keras model that each file is compared with.

    Attributes:
        signals: float32 [samples] each.
        probabilities: float32 [label frames, classes] for each signal.
        data: The data set for F1, if any.
        f1: F1 on the data set.
    """

    signals: list[NDArray[np.float32]]
    probabilities: list[NDArray[np.float32]]
    data: str | Path | None
    f1: F1 | None

    @classmethod
    def of(
        cls, bundle: Bundle, signals: list[NDArray[np.float32]], data: str | Path | None, progress: StepProgress
    ) -> _Reference:
        """Predict the signals and the data set with Keras."""
        progress("predicting with Keras")
        probabilities = [
            bundle.windowed.predict_track(np.concatenate(list(log_mel_blocks([signal], bundle.config.front_end))))
            for signal in signals
        ]
        if data is None:
            return cls(signals, probabilities, None, None)
        progress("F1 of Keras")
        return cls(signals, probabilities, data, _f1(bundle, bundle.windowed, data))

    def difference(self, predict: Callable[[NDArray[np.float32]], Any]) -> float:
        """Return the maximum difference of a probability that ``predict`` returns for a signal."""
        return _max_difference(zip(map(predict, self.signals), self.probabilities, strict=True))


@dataclasses.dataclass(frozen=True)
class _Exporter:
    """Writes the files of an export, and measures each.

    Attributes:
        bundle: The model, in float32.
        metadata: Its metadata.
        reference: Predictions to compare the files with.
        quantizations: Quantizations of the ``.tflite`` files.
        folder: Temporary folder for the files.
        progress: Called with a description of each step.
    """

    bundle: Bundle
    metadata: Metadata
    reference: _Reference
    quantizations: tuple[str, ...]
    folder: Path
    progress: StepProgress

    def write_saved_model(self) -> Iterator[ExportedFile]:
        """Write ``saved_model``."""
        self.progress(_SAVED_MODEL)
        path = self.folder / _SAVED_MODEL
        with tempfile.TemporaryDirectory(dir=self.folder) as assets:
            module = ServingModule(self.bundle, self.metadata, Path(assets))
            signatures = {"serving_default": module.from_waveform, "log_mel": module.from_log_mel}
            tf.saved_model.save(module, str(path), signatures)
        serve = tf.saved_model.load(str(path)).signatures["serving_default"]
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        difference = self.reference.difference(
            lambda signal: serve(waveform=tf.constant(signal[np.newaxis]))["probabilities"][0]
        )
        yield ExportedFile(path.name, "none", size, difference)

    def write_tflite(self) -> Iterator[ExportedFile]:
        """Write ``model.QUANTIZATION.tflite`` for each quantization, and ``clip.tflite`` in float32."""
        pieces = self._pieces
        functions = {name: getattr(pieces, name) for name in ("front", "network", "frames", "clip")}
        clip_network = "network"
        if is_recurrent(self.bundle.model):  # MediaPipe does not support loops, which are subgraphs
            clip_network = "unrolled"
            functions[clip_network] = pieces.unrolled_network(self.bundle)
        saved = self._save(functions)
        self.progress("converting for TensorFlow Lite")
        examples = np.stack(list(self._examples())) if "int8" in self.quantizations else None
        wanted = [("network", quantization) for quantization in self.quantizations]
        wanted += [(name, "none") for name in ("front", "frames", "clip", clip_network)]
        converted = conversion.to_tflite(saved, list(dict.fromkeys(wanted)), examples)

        for quantization in self.quantizations:
            name = _TFLITE_NAMES[quantization]
            self.progress(name)
            network = converted["network", quantization]
            path = self._join(name, [converted["front", "none"], network, converted["frames", "none"]], self.metadata)
            difference = self.reference.difference(LiteModel(path).probabilities)
            yield self._measured(path, quantization, difference, self._converted_f1(name, network))

        self.progress(_CLIP)
        parts = [converted[part, "none"] for part in ("front", clip_network, "clip")]
        path = self._join(_CLIP, parts, dataclasses.replace(self.metadata, output="clip"))
        model = LiteModel(path)
        difference = _max_difference(
            (model.predict_window(window), pieces.whole(window)[0].numpy().max(axis=0))
            for signal in self.reference.signals
            for window in windows(signal, self.metadata)
        )
        yield self._measured(path, "none", difference, None)

    def write_onnx(self) -> Iterator[ExportedFile]:
        """Write ``model.onnx``."""
        import onnx
        import onnxruntime

        saved = self._save({"onnx": self._pieces.onnx})
        self.progress(_ONNX)
        model = onnx.load_from_string(conversion.to_onnx(saved, "onnx"))
        onnx.helper.set_model_props(model, {METADATA_FILE: self.metadata.to_json(), LABELS_FILE: self.metadata.labels})
        path = self.folder / _ONNX
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path)

        def predict_window(window: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(session.run(None, {"waveform": window})[0][0])

        difference = self.reference.difference(lambda signal: predict_signal(predict_window, self.metadata, signal))
        yield ExportedFile(path.name, "none", path.stat().st_size, difference)

    @functools.cached_property
    def _pieces(self) -> Pieces:
        self.progress("tracing the network")
        return Pieces(self.bundle, self.metadata)

    def _save(self, functions: Mapping[str, Any]) -> Path:
        """Save functions of the pieces as the signatures of a SavedModel, for the converters."""
        path = self.folder / "pieces"
        remove(path)
        tf.saved_model.save(self._pieces, str(path), dict(functions))
        return path

    def _join(self, name: str, parts: list[bytes], metadata: Metadata) -> Path:
        path = self.folder / name
        path.write_bytes(with_metadata(join(parts, "waveform", "probabilities"), metadata))
        _require_builtin(path)
        return path

    def _converted_f1(self, name: str, network: bytes) -> F1 | None:
        if self.reference.data is None:
            return None
        self.progress(f"F1 of {name}")
        model = WindowedModel(ConvertedModel(self.bundle, network), self.bundle.config)
        return _f1(self.bundle, model, self.reference.data)

    def _measured(self, path: Path, quantization: str, difference: float, f1: F1 | None) -> ExportedFile:
        self.progress(f"speed of {path.name}")
        speed = {threads: benchmark.measure(path, threads) for threads in MEASURED_THREADS}
        keras_f1, loss = self.reference.f1, None
        if f1 is not None and keras_f1 is not None:
            loss = max(keras_f1.macro - f1.macro, keras_f1.micro - f1.micro)
        return ExportedFile(path.name, quantization, path.stat().st_size, difference, f1, loss, speed)

    def _examples(self) -> Iterator[NDArray[np.float32]]:
        """Yield network inputs [frames or label frames, mels] for windows of the train split's tracks."""
        config, data = self.bundle.config, self.reference.data
        num_frames = config.window.window_frames * config.front_end.subframes
        normalize = keras.Model(self.bundle.model.input, self.bundle.model.get_layer("spec_augment").input)
        tracks = pipeline.tracks(data, read_manifest(data), "train", self.bundle.vocabulary)
        for track in itertools.islice(tracks, _EXAMPLES):
            first = max(0, len(track.log_mel) - num_frames) // 2  # the middle of a track is rarely silent
            window = track.log_mel[first : first + num_frames]
            floor = config.front_end.log_floor_db
            padded = np.pad(window, ((0, num_frames - len(window)), (0, 0)), constant_values=floor)
            normalized = normalize_clip(tf.constant(padded), len(window), config.front_end)
            yield normalize(normalized[tf.newaxis], training=False)[0].numpy()


class ExportFormat(NamedTuple):
    """An export format.

    Attributes:
        write: Writes its files, and yields their measurements.
        files: Names of all files that it may write.
        by_window: Whether its files predict single windows, not whole signals.
        needs: Packages that it needs, from the extra with the name of the format.
    """

    write: Callable[[_Exporter], Iterator[ExportedFile]]
    files: tuple[str, ...]
    by_window: bool
    needs: tuple[str, ...] = ()


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "savedmodel": ExportFormat(_Exporter.write_saved_model, (_SAVED_MODEL,), by_window=False),
    "tflite": ExportFormat(_Exporter.write_tflite, (*_TFLITE_NAMES.values(), _CLIP), by_window=True),
    "onnx": ExportFormat(_Exporter.write_onnx, (_ONNX,), by_window=True, needs=("onnx", "onnxruntime", "tf2onnx")),
}
"""Name → export format."""


def _max_difference(pairs: Iterable[tuple[Any, Any]]) -> float:
    return float(np.max([np.abs(np.asarray(one) - np.asarray(other)).max() for one, other in pairs]))  # keeps NaN


def _f1(bundle: Bundle, model: WindowedModel, data: str | Path) -> F1:
    """Return F1 over the test split, at the bundle's thresholds."""
    counts = [
        ConfusionCounts.of(track.probabilities >= bundle.thresholds, track.truth)
        for track in predict_split(model, bundle.config, data, "test")
    ]
    total = ConfusionCounts.stack(counts).resampled(np.ones(len(counts), np.int64))
    return F1(float(total.macro_f1), float(total.micro.f1))


def _require_builtin(path: Path) -> None:
    """Check that a ``.tflite`` file uses built-in operators only, which every LiteRT has.

    Raises:
        ExportError: It uses others; the message names them.
    """
    content = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    if custom := sorted({code.customCode.decode() for code in content.operatorCodes if code.customCode}):
        raise ExportError(f"{path.name}: needs operators that LiteRT does not have built in: {', '.join(custom)}")
