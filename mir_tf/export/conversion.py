"""Converters to TensorFlow Lite and ONNX, each run in a separate process: a converter may crash on a network."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import ExportError
from mir_tf.io.files import atomic_write

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
_SHOWN_LINES = 5
_EXAMPLES = "examples.npy"
_ONNX = "model.onnx"
_OPSET = 17


def to_tflite(
    saved_model: Path, wanted: Sequence[tuple[str, str]], examples: NDArray[np.float32] | None = None
) -> dict[tuple[str, str], bytes]:
    """Convert signatures with one input, one output and fixed shapes, using built-in operators only.

    Args:
        saved_model: Folder of a SavedModel.
        wanted: Name of a signature and one of :data:`QUANTIZATIONS`, for each file.
        examples: Typical inputs [examples, ...], for ``int8``.

    Returns:
        Name and quantization → ``.tflite`` file.

    Raises:
        ExportError: The converter failed or crashed.
    """
    with tempfile.TemporaryDirectory(dir=saved_model.parent) as folder:
        if examples is not None:
            content = io.BytesIO()  # into a file, numpy.save would not say why it fails
            np.save(content, examples)
            Path(folder, _EXAMPLES).write_bytes(content.getbuffer())
        targets = {pair: Path(folder, "{}.{}.tflite".format(*pair)) for pair in wanted}
        done = _run(["tflite", str(saved_model), folder, *(path.name for path in targets.values())])
        # They are converted in order, so the process ended at the first one that is missing.
        for (signature, quantization), path in targets.items():
            if not path.is_file():
                converter = f"TensorFlow Lite's converter, on the {signature} with quantization {quantization}"
                raise ExportError(f"{converter}, {_outcome(done)}")
        return {pair: path.read_bytes() for pair, path in targets.items()}


def to_onnx(saved_model: Path, signature: str) -> bytes:
    """Convert a signature to ONNX.

    Raises:
        ExportError: The converter failed or crashed.
    """
    with tempfile.TemporaryDirectory(dir=saved_model.parent) as folder:
        done = _run(["onnx", str(saved_model), folder, signature])
        path = Path(folder, _ONNX)
        if not path.is_file():
            raise ExportError(f"tf2onnx, on the {signature}, {_outcome(done)}")
        return path.read_bytes()


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mir_tf.export.conversion", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


def _outcome(done: subprocess.CompletedProcess[str]) -> str:
    outcome = f"crashed (signal {-done.returncode})" if done.returncode < 0 else "failed"
    return "\n".join([f"{outcome}:", *done.stderr.strip().splitlines()[-_SHOWN_LINES:]])


def _convert(kind: str, saved_model: str, folder: str, *wanted: str) -> None:
    """Convert signatures; this runs in the separate process."""
    import tensorflow as tf

    loaded = tf.saved_model.load(saved_model)
    if kind == "onnx":
        import tf2onnx
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        # tf2onnx's own freezing turns constants that a saved function captured into inputs.
        frozen = convert_variables_to_constants_v2(loaded.signatures[wanted[0]], lower_control_flow=False)
        source, target = frozen.inputs[0].name, frozen.outputs[0].name
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(), input_names=[source], output_names=[target], opset=_OPSET
        )
        _rename(model.graph, {source: "waveform", target: "probabilities"})
        _write(Path(folder, _ONNX), model.SerializeToString())
        return
    for file in wanted:
        signature, quantization, _ = file.split(".")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([loaded.signatures[signature]], loaded)
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantization == "int8":
            examples = np.load(Path(folder, _EXAMPLES))
            converter.representative_dataset = lambda examples=examples: ([one[np.newaxis]] for one in examples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        _write(Path(folder, file), converter.convert())


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename the inputs and outputs of an ONNX graph, whose names from TensorFlow contain colons."""
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    _convert(*sys.argv[1:])
