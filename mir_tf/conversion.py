"""The converters, each run in a process of its own: on a network it cannot do, a converter may end the process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import ExportError

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
_SHOWN_LINES = 5


def to_tflite(
    saved_model: Path, signature: str, quantization: str = "none", examples: NDArray[np.float32] | None = None
) -> bytes:
    """Converts a signature of one input and one output, both of fixed shapes, with built-in operators only.

    Args:
        saved_model: folder of a SavedModel.
        signature: its name.
        quantization: of :data:`QUANTIZATIONS`.
        examples: with ``int8``, inputs [examples, ...] that represent what the model will hear.

    Raises:
        ExportError: the converter failed or crashed.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.tflite")
        arguments = ["tflite", str(saved_model), signature, str(target), quantization]
        if examples is not None:
            np.save(Path(folder, "examples.npy"), examples)
            arguments.append(str(Path(folder, "examples.npy")))
        _run(arguments, f"TensorFlow Lite's converter, on {signature} with quantization {quantization}")
        return target.read_bytes()


def to_onnx(saved_model: Path, signature: str) -> bytes:
    """Converts a signature to ONNX.

    Raises:
        ExportError: the converter is not installed, failed or crashed.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.onnx")
        _run(["onnx", str(saved_model), signature, str(target)], f"tf2onnx, on {signature}")
        return target.read_bytes()


def _run(arguments: list[str], what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mir_tf.conversion", *arguments], capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        how = f"crashed (signal {-done.returncode})" if done.returncode < 0 else "failed"
        last = "\n".join(done.stderr.strip().splitlines()[-_SHOWN_LINES:])
        raise ExportError(f"{what}, {how}:\n{last}")


def _convert(kind: str, saved_model: str, signature: str, target: str, *rest: str) -> None:
    """What the process of its own does."""
    import tensorflow as tf

    if kind == "onnx":
        import tf2onnx

        function = tf.saved_model.load(saved_model).signatures[signature]
        (name, spec), = function.structured_input_signature[1].items()
        model, _ = tf2onnx.convert.from_function(
            tf.function(lambda waveform: function(**{name: waveform})),
            [tf.TensorSpec(spec.shape, spec.dtype, name=name)],
            opset=17,
        )
        Path(target).write_bytes(model.SerializeToString())
        return
    quantization, *examples = rest
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[signature])
    if quantization != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        converter.representative_dataset = lambda: ([example[np.newaxis]] for example in np.load(examples[0]))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    Path(target).write_bytes(converter.convert())


if __name__ == "__main__":
    _convert(*sys.argv[1:])
