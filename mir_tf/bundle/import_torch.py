"""Import of checkpoints of the PyTorch project that this one reimplements.

Its networks are those of :mod:`mir_tf.models` with ``alignment="stretch"`` and the front end of a seed preset, and its
modules have the names of the layers here. The shapes of the arrays determine widths and depths. They do not determine
the number of attention heads, which is the default of :class:`mir_tf.config.ModelConfig`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.bundle import Bundle
from mir_tf.config import FRONT_ENDS, RunConfig
from mir_tf.errors import BundleError, ConfigError
from mir_tf.events import PostProcessing
from mir_tf.inference.model_files import START_BYTES
from mir_tf.io.archives import NPZ_ERRORS, load_npz
from mir_tf.io.stored_json import impostor_of
from mir_tf.models import build_model
from mir_tf.vocabulary import VOCABULARIES

PRESETS = ("seed_44k", "seed_22k")
"""The front ends of the PyTorch project."""

_NAMES = {
    "family": {"Ensemble": "Strings (continued)", "Synth Effects": "Sound Effects", "Sound Effects": "Sound effects"},
    "program": {"Guitar Harmonics": "Guitar harmonics", "Synth Choir": "Synth Voice", "Bagpipe": "Bag pipe"},
}
"""Vocabulary → class → name in the PyTorch project, where it differs. Its outputs are sorted by its own names."""

_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a name that DataParallel, torch.compile and the like add. No layer has such a name."""

_NOT_WEIGHTS = ("n_averaged",)
"""Names of tensors that averages of weights contain besides them."""

_DEEPEST = 4
"""Dictionaries within each other in a checkpoint, in which the state dict is looked for."""

_REMEDY = "save model.state_dict() by itself"

_UNTUNED = 0.5


def import_checkpoint(checkpoint: str | Path, thresholds: str | Path | None = None, preset: str = "seed_44k") -> Bundle:
    """Return the bundle of a checkpoint.

    Args:
        checkpoint: State dict of a CNN, CRNN or CRNN + MHA with 17 or 129 classes: ``.pth`` or ``.pt``, read by PyTorch
            without running code in it, or ``.npz`` of arrays with the names of the state dict. It may be inside a
            dictionary with other things, and its names may have prefixes such as ``module.``.
        thresholds: ``.npy`` with one threshold for each class, in the checkpoint's order; None sets all to 0.5.
        preset: The front end that the model was trained with, one of :data:`PRESETS`. The arrays do not show it.

    Raises:
        BundleError: A file cannot be read, or an array is missing, superfluous or has the wrong shape; the message
            names it.
        ConfigError: The preset is not the project's, or PyTorch is needed and not installed.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset is {preset!r}; it must be {' or '.join(PRESETS)}")
    state = _StateDict(Path(checkpoint))
    vocabulary = state.vocabulary()
    classes = VOCABULARIES[vocabulary].classes
    try:
        config = RunConfig.for_front_end(FRONT_ENDS[preset]).merge(
            {"model": state.architecture(), "train": {"vocabulary": vocabulary}}
        )
        model = build_model(config.model, config.front_end, len(classes))
    except ConfigError as error:
        raise BundleError(f"{checkpoint}: its shapes fit no network: {error}") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise BundleError(f"{checkpoint}: a network of its shapes does not fit into memory") from error
    state.load_into(model)
    order = [_original_order(vocabulary).index(name) for name in classes]
    head = model.get_layer("fc")
    head.set_weights([weight[..., order] for weight in head.get_weights()])  # [width, classes] and [classes]
    chosen = (
        np.full(len(classes), _UNTUNED, np.float32)
        if thresholds is None
        else _read_thresholds(Path(thresholds), len(classes))[order]
    )
    return Bundle(
        model=model,
        config=config,
        thresholds=chosen,
        post_processing=PostProcessing.plain(chosen),  # a checkpoint has no data to tune it on
        untuned=classes if thresholds is None else (),
        info={"imported_from": Path(checkpoint).name, "sha256": state.sha256},
    )


def _original_order(vocabulary: str) -> list[str]:
    """Return the vocabulary's classes in the order of the PyTorch project's outputs."""
    return sorted(VOCABULARIES[vocabulary].classes, key=lambda name: _NAMES[vocabulary].get(name, name))


class _StateDict:
    """A state dict that remembers its file and the arrays that were not used yet."""

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
        if impostor := impostor_of(content[:START_BYTES]):
            raise BundleError(f"{path}: {impostor}")
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._path = path
        read = _read_torch if path.suffix.lower() in (".pth", ".pt") else _read_npz
        self._arrays = _unwrapped(path, read(path))
        for name, array in self._arrays.items():
            if not array.size:
                raise BundleError(f"{path}: {name} is empty: its shape is {list(array.shape)}")
            if not np.isfinite(array).all():
                raise BundleError(f"{path}: {name} contains NaN or infinity: the training that wrote it had failed")
        self._unused = {name for name in self._arrays if not name.endswith(".num_batches_tracked")}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if name not in self._arrays:
            raise BundleError(
                f"{self._path}: no array {name!r}: not a state dict of the PyTorch project's CNN, CRNN or CRNN + MHA"
            )
        self._unused.discard(name)
        return self._arrays[name]

    def _shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        shape = self[name].shape
        if len(shape) != dimensions:
            raise BundleError(f"{self._path}: {name} has the shape {list(shape)}; it must have {dimensions} dimensions")
        return shape

    def _count(self, name: str) -> int:
        """Return how many arrays of the pattern ``name``, numbered from 1, the state dict has."""
        number = 0
        while name.format(number + 1) in self._arrays:
            number += 1
        return number

    def architecture(self) -> dict[str, object]:
        """Return the fields of :class:`mir_tf.config.ModelConfig` that the shapes show."""
        blocks = max(1, self._count("conv{}.weight"))
        shapes = [self._shape(f"conv{block}.weight", 4) for block in range(1, blocks + 1)]
        for block, (before, after) in enumerate(itertools.pairwise(shapes), start=2):
            if after[1] != before[0]:
                raise BundleError(
                    f"{self._path}: conv{block}.weight takes {after[1]} channels, but conv{block - 1}.weight gives "
                    f"{before[0]}"
                )
        fields: dict[str, object] = {"architecture": "cnn", "conv_filters": [shape[0] for shape in shapes]}
        if layers := self._count("gru{}.weight_hh_l0"):
            units = self._shape("gru1.weight_hh_l0", 2)[1]
            fields |= {"architecture": "crnn", "gru_layers": layers, "gru_units": units}
        if any(name.startswith("attention.") for name in self._arrays):
            fields["architecture"] = "crnn_mha"
        return fields

    def vocabulary(self) -> str:
        """Return the name of the vocabulary with as many classes."""
        count = self._shape("fc.weight", 2)[0]
        known = {len(VOCABULARIES[name]): name for name in _NAMES}
        if count not in known:
            raise BundleError(
                f"{self._path}: {count} classes; the PyTorch project's networks have {' or '.join(map(str, known))}"
            )
        return known[count]

    def load_into(self, model: keras.Model) -> None:
        """Set every weight of ``model``."""
        for layer in model.layers:
            if not layer.weights:
                continue
            try:
                values = _WEIGHTS[type(layer)](self, layer.name)
            except (ValueError, IndexError) as error:
                raise BundleError(f"{self._path}: {layer.name}: its arrays have wrong shapes: {error}") from error
            for weight, value in zip(layer.weights, values, strict=True):
                if weight.shape != value.shape:
                    raise BundleError(
                        f"{self._path}: {layer.name}: an array for {weight.path} has the shape {list(value.shape)}; "
                        f"with the widths of the other layers it must be {list(weight.shape)} (as Keras orders it)"
                    )
            layer.set_weights(values)
        if self._unused:
            raise BundleError(
                f"{self._path}: {', '.join(sorted(self._unused))}: no part of the PyTorch project's {model.name}"
            )


def _unwrapped(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of the network by their own names, without what wrappers add to names and weights.

    Raises:
        BundleError: There are several networks.
    """
    bare: dict[str, NDArray[np.float32]] = {}
    for name, array in arrays.items():
        short = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if short in bare:
            raise BundleError(f"{path}: contains several networks, of which {name} and another have {short}; {_REMEDY}")
        bare[short] = array
    prefixes = [name.removesuffix("fc.weight") for name in bare if name == "fc.weight" or name.endswith(".fc.weight")]
    if len(prefixes) > 1:
        names = ", ".join(f"{prefix}*" for prefix in prefixes)
        raise BundleError(f"{path}: contains several networks: {names}; save the state_dict() of one of them by itself")
    prefix = prefixes[0] if prefixes else ""
    # What lies outside of the network keeps its name, and is refused as no part of it.
    within = {name[len(prefix) :]: array for name, array in bare.items() if name.startswith(prefix)}
    outside = {
        f"{name} (outside)" if name in within else name: bare[name] for name in bare if not name.startswith(prefix)
    }
    return {name: array for name, array in (within | outside).items() if name not in _NOT_WEIGHTS}


def _read_npz(path: Path) -> Mapping[str, NDArray[np.float32]]:
    try:
        arrays = load_npz(path, path.stat().st_size)
    except NPZ_ERRORS as error:
        raise BundleError(f"{path}: not an .npz of arrays, nor named .pth or .pt: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise BundleError(f"{path}: {name} has the type {array.dtype}; weights are real numbers")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _read_torch(path: Path) -> Mapping[str, NDArray[np.float32]]:
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"{path}: PyTorch is needed to read it: pip install 'mir-tf[torch]'; or save its arrays as .npz with numpy"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)  # runs no code of the file
    except Exception as error:  # PyTorch has no base class for errors of a file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BundleError(f"{path}: PyTorch cannot read it as weights alone: {reason}; {_REMEDY}") from error
    states = list(_state_dicts(content, ""))
    if len(states) > 1:
        places = ", ".join(place or "the outermost" for place, _ in states)
        raise BundleError(f"{path}: contains several state dicts: {places}; save one of them by itself")
    if not states:
        raise BundleError(f"{path}: not a state dict (name → tensor); {_REMEDY}")
    arrays = {}
    for name, value in states[0][1].items():
        if value.is_complex():
            raise BundleError(f"{path}: {name} has the type {value.dtype}; weights are real numbers")
        try:
            arrays[name] = value.detach().float().numpy()
        except Exception as error:  # a tensor without values, a sparse or a quantised one
            raise BundleError(f"{path}: {name} has no plain values: {str(error).splitlines()[0]}") from error
    return arrays


def _state_dicts(content: Any, place: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each dictionary in a checkpoint that has the tensors of a network, with its place."""
    import torch

    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    # An optimizer's state has numbers as names.
    if any(str(name).endswith("fc.weight") for name in tensors) or (not depth and len(tensors) == len(content) > 0):
        yield place, {str(name): value for name, value in tensors.items()}
        return
    for name, value in content.items():
        yield from _state_dicts(value, f"{place}[{name!r}]", depth + 1)


def _read_thresholds(path: Path, count: int) -> NDArray[np.float32]:
    try:
        thresholds = np.load(path, allow_pickle=False)
    except NPZ_ERRORS as error:
        raise BundleError(f"{path}: not an .npy of numbers: {error}") from error
    if (
        not isinstance(thresholds, np.ndarray)
        or thresholds.shape != (count,)
        or thresholds.dtype.kind not in "fiu"
        or not ((thresholds >= 0) & (thresholds <= 1)).all()
    ):
        raise BundleError(f"{path}: must contain {count} numbers between 0 and 1, one for each class")
    return thresholds.astype(np.float32)


def _batch_norm(state: _StateDict, name: str) -> list[NDArray[np.float32]]:
    return [state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]


def _layer_norm(state: _StateDict, name: str) -> list[NDArray[np.float32]]:
    return [state[f"{name}.weight"], state[f"{name}.bias"]]


def _conv(state: _StateDict, name: str) -> list[NDArray[np.float32]]:
    # [out, in, mel, time] to [time, mel, in, out]
    return [state[f"{name}.weight"].transpose(3, 2, 1, 0), state[f"{name}.bias"]]


def _dense(state: _StateDict, name: str) -> list[NDArray[np.float32]]:
    if name == "attention_in":
        return [state["attention.in_proj_weight"].T, state["attention.in_proj_bias"]]
    name = {"attention_out": "attention.out_proj"}.get(name, name)
    return [state[f"{name}.weight"].T, state[f"{name}.bias"]]


def _bidirectional_gru(state: _StateDict, name: str) -> list[NDArray[np.float32]]:
    weights = []
    for direction in ("l0", "l0_reverse"):
        kernel = _gates(state[f"{name}.weight_ih_{direction}"]).T
        recurrent = _gates(state[f"{name}.weight_hh_{direction}"]).T
        biases = [_gates(state[f"{name}.bias_{part}_{direction}"]) for part in ("ih", "hh")]
        weights += [kernel, recurrent, np.stack(biases)]
    return weights


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder stacked gates from PyTorch's reset, update, new to Keras' update, reset, new."""
    reset, update, new = np.array_split(weight, 3)
    return np.concatenate([update, reset, new])


_WEIGHTS: dict[type, Callable[[_StateDict, str], list[NDArray[np.float32]]]] = {
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.Conv2D: _conv,
    keras.layers.Dense: _dense,
    keras.layers.Bidirectional: _bidirectional_gru,
}
"""Type of layer → function that returns its weights from the state dict, given the layer's name."""
