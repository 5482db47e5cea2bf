"""Loads the PyTorch project's state dicts into the Keras models."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

State = Mapping[str, NDArray[np.float32]]


def load_state_dict(model: keras.Model, state: State) -> None:
    """Sets every weight of ``model`` from ``state``, whose modules carry the names of the layers."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_WEIGHTS[type(layer)](state, layer.name))


def _batch_norm(state: State, name: str) -> list[NDArray[np.float32]]:
    return [state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]


def _layer_norm(state: State, name: str) -> list[NDArray[np.float32]]:
    return [state[f"{name}.weight"], state[f"{name}.bias"]]


def _conv(state: State, name: str) -> list[NDArray[np.float32]]:
    # [out, in, mel, time] to [time, mel, in, out]
    return [state[f"{name}.weight"].transpose(3, 2, 1, 0), state[f"{name}.bias"]]


def _dense(state: State, name: str) -> list[NDArray[np.float32]]:
    if name == "attention_in":
        return [state["attention.in_proj_weight"].T, state["attention.in_proj_bias"]]
    name = {"attention_out": "attention.out_proj"}.get(name, name)
    return [state[f"{name}.weight"].T, state[f"{name}.bias"]]


def _bidirectional_gru(state: State, name: str) -> list[NDArray[np.float32]]:
    weights = []
    for direction in ("l0", "l0_reverse"):
        kernel = _gates(state[f"{name}.weight_ih_{direction}"]).T
        recurrent = _gates(state[f"{name}.weight_hh_{direction}"]).T
        biases = [_gates(state[f"{name}.bias_{part}_{direction}"]) for part in ("ih", "hh")]
        weights += [kernel, recurrent, np.stack(biases)]
    return weights


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch stacks the gates as reset, update, new; Keras as update, reset, new."""
    reset, update, new = np.split(weight, 3)
    return np.concatenate([update, reset, new])


_WEIGHTS = {
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.Conv2D: _conv,
    keras.layers.Dense: _dense,
    keras.layers.Bidirectional: _bidirectional_gru,
}
