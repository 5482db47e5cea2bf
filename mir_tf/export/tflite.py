"""Assembles ``.tflite`` files: joins models end to end, and adds the standard metadata with its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata, sealed

# Field and enumeration numbers from TensorFlow Lite's metadata_schema.fbs.
_AUDIO_PROPERTIES, _FEATURE_PROPERTIES = 4, 1
_AXIS_LABELS = 2


def join(pieces: Sequence[bytes], input_name: str, output_name: str) -> bytes:
    """Join models to one, in which the output of each is the input of the next.

    Each piece keeps its own arithmetic, so a quantised network can follow a float32 front end.

    Args:
        pieces: ``.tflite`` files with one input and one output. At most one has several subgraphs.
        input_name: Name of the input in the signature of the joined model.
        output_name: Name of its output.
    """
    models = [schema.ModelT.InitFromPackedBuf(piece, 0) for piece in pieces]
    # Loops refer to subgraphs by number, so the piece that has several must keep its numbers.
    whole = max(models, key=lambda model: len(model.subgraphs))
    if sum(len(model.subgraphs) > 1 for model in models) > 1:
        raise ValueError("more than one piece has several subgraphs")
    operators: list[Any] = []
    link: int | None = None  # the tensor that the next piece reads
    first_input = -1
    for model in models:
        main = model.subgraphs[0]
        moved = range(len(main.tensors))
        if model is not whole:
            moved = _append_parts(whole, model)
        source, target = moved[main.inputs[0]], moved[main.outputs[0]]
        for operator in main.operators:
            if model is not whole:
                operator.inputs = [moved[index] if index >= 0 else index for index in operator.inputs]
                operator.outputs = [moved[index] for index in operator.outputs]
                operator.intermediates = [moved[index] for index in _list(operator.intermediates)]
            if link is not None:
                operator.inputs = [link if index == source else index for index in operator.inputs]
            operators.append(operator)
        if link is None:
            first_input = source
        link = target
    assert link is not None
    main = whole.subgraphs[0]
    main.operators, main.inputs, main.outputs = operators, [first_input], [link]
    main.tensors[first_input].name, main.tensors[link].name = input_name.encode(), output_name.encode()
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [_named(input_name, first_input)], [_named(output_name, link)]
    whole.signatureDefs = [signature]
    return _pack(whole)


def _append_parts(whole: Any, model: Any) -> range:
    """Append a model's buffers, operator codes and main tensors to ``whole``; return the tensors' new numbers."""
    first_buffer, first_code = len(whole.buffers), len(whole.operatorCodes)
    main, target = model.subgraphs[0], whole.subgraphs[0]
    first_tensor = len(target.tensors)
    whole.buffers.extend(model.buffers)
    whole.operatorCodes.extend(model.operatorCodes)
    for tensor in main.tensors:
        tensor.buffer += first_buffer
    for operator in main.operators:
        operator.opcodeIndex += first_code
    target.tensors.extend(main.tensors)
    return range(first_tensor, first_tensor + len(main.tensors))


def _list(values: Any) -> list[int]:
    return [] if values is None else list(values)


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


_METADATA_NAME = b"TFLITE_METADATA"
"""Name under which TensorFlow Lite's tools look for metadata."""


def with_metadata(model: bytes, metadata: Metadata) -> bytes:
    """Return the model with TensorFlow Lite's standard metadata and a zip of ``labels.txt`` and ``mir_tf.json``.

    ``mir_tf.json`` contains the digest of everything before the zip.

    Those that the model already has are replaced.
    """
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    entries = content.metadata or []
    entry = next((each for each in entries if each.name == _METADATA_NAME), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = _METADATA_NAME, len(content.buffers)
        content.buffers.append(schema.BufferT())
        content.metadata = [*entries, entry]
    content.buffers[entry.buffer].data = np.frombuffer(_model_metadata(metadata), np.uint8)
    content.description = f"{metadata.name}, exported by mir-tf {metadata.version}".encode()
    return sealed(_pack(content), metadata)


def _model_metadata(metadata: Metadata) -> bytes:
    """Return the flatbuffer for metadata_schema.fbs, identifier M001."""
    builder = flatbuffers.Builder(1024)

    def table(fields: dict[int, tuple[str, Any]], count: int) -> int:
        """Add a table with ``count`` fields; ``fields`` maps their numbers to kind and value."""
        builder.StartObject(count)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                builder.PrependUOffsetTRelativeSlot(number, value, 0)
            elif kind == "byte":
                builder.PrependUint8Slot(number, value, 0)
            else:
                builder.PrependUint32Slot(number, value, 0)
        return int(builder.EndObject())

    def text(value: str) -> tuple[str, int]:
        return "offset", builder.CreateString(value)

    def vector(offsets: list[int]) -> tuple[str, int]:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return "offset", builder.EndVector()

    labels = table({0: text(LABELS_FILE), 1: text("One class a line."), 2: ("byte", _AXIS_LABELS)}, 5)
    contract = table({0: text(METADATA_FILE), 1: text("Window, thresholds and front end.")}, 5)
    audio = table({0: ("uint", metadata.sample_rate), 1: ("uint", metadata.channels)}, 2)
    audio_content = table({0: ("byte", _AUDIO_PROPERTIES), 1: ("offset", audio)}, 2)
    scores_content = table({0: ("byte", _FEATURE_PROPERTIES), 1: ("offset", table({}, 0))}, 2)
    waveform = table({0: text("waveform"), 1: text("Mono samples, about -1 to 1."), 3: ("offset", audio_content)}, 7)
    probabilities = table(
        {
            0: text("probabilities"),
            1: text(f"Probability of each class, for the {metadata.output}."),
            3: ("offset", scores_content),
            6: vector([labels]),
        },
        7,
    )
    subgraph = table({0: text(metadata.name), 2: vector([waveform]), 3: vector([probabilities])}, 10)
    model = table(
        {
            0: text(metadata.name),
            1: text("Detects the instruments that play in a music recording."),
            2: text(metadata.version),
            3: vector([subgraph]),
            5: text(metadata.license),
            6: vector([contract]),
            7: text("1.3.0"),
        },
        8,
    )
    builder.Finish(model, b"M001")
    return bytes(builder.Output())
