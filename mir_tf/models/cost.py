"""The cost of a network: parameters, and multiply-adds counted layer by layer from the shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

Shape = tuple[int, ...]


def parameters(model: keras.Model) -> int:
    """Return the number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def macs(model: keras.Model, frames: int) -> int:
    """Return the multiply-adds of one prediction for an input of ``frames`` feature frames.

    Convolutions, matrix products, recurrences and attention are counted. Normalisation, activations, pooling and the
    interpolation of the outputs, a few percent, are left out, as in the literature.

    Args:
        model: As :func:`mir_tf.models.build_model` builds it, from log-mel [batch, frames, mels].
        frames: A multiple of the sub-frames in a label frame.
    """
    return sum(macs_by_layer(model, frames).values())


def macs_by_layer(model: keras.Model, frames: int) -> dict[str, int]:
    """Return the multiply-adds of :func:`macs` for each counted layer, by its name."""
    counted = [operation for operation in model.operations if type(operation).__name__ in _COUNTS]
    shapes = keras.Function(model.inputs, [[keras.tree.flatten(o.input)[0], o.output] for o in counted])
    specs = shapes.compute_output_spec([keras.KerasTensor((1, frames, model.inputs[0].shape[2]))])
    return {
        o.name: _COUNTS[type(o).__name__](o, given.shape, made.shape)
        for o, (given, made) in zip(counted, specs, strict=True)
    }


def _convolution(layer: keras.layers.Conv1D | keras.layers.Conv2D, given: Shape, made: Shape) -> int:
    return math.prod(made) * math.prod(layer.kernel_size) * given[-1]


def _dense(layer: keras.layers.Dense, given: Shape, made: Shape) -> int:
    return math.prod(made) * given[-1]


def _recurrence(layer: keras.layers.Bidirectional, given: Shape, made: Shape) -> int:
    units = layer.forward_layer.units
    return 2 * given[1] * 3 * units * (given[-1] + units)  # directions × steps × gates


def _attention(operation: keras.Operation, given: Shape, made: Shape) -> int:
    _, steps, heads, width = given
    return 2 * heads * steps**2 * width  # query with key, weights with value


_COUNTS: dict[str, Callable[..., int]] = {
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Dense": _dense,
    "Bidirectional": _recurrence,
    "DotProductAttention": _attention,  # of keras.ops; the class has no public name
}
