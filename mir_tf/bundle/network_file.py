"""``model.keras``: the network of a bundle, loaded without running code in it or filling the memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import keras

from mir_tf.errors import BundleError
from mir_tf.inference.model_files import START_BYTES
from mir_tf.io.archives import require_plausible_sizes

_WEIGHTS_FILE = "model.weights.h5"


def first_bytes(path: Path) -> bytes:
    """Return the start of a file, which identifies its format."""
    with path.open("rb") as file:
        return file.read(START_BYTES)


def load_network(file: Path, origin: Path) -> keras.Model:
    """Load a network.

    Args:
        file: The file, on disk.
        origin: The path to name in errors.

    Raises:
        BundleError: Keras cannot load the file, it contains code, or its arrays are larger than the file.
    """
    try:
        size = file.stat().st_size
        require_plausible_sizes(file, size)
        _require_plausible_weights(file)
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model) or not (_is_shape(model.input_shape) and _is_shape(model.output_shape)):
            raise TypeError("it contains no network with one input and one output")
    # Keras, h5py and TensorFlow have no common class for the errors of a file.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BundleError(f"{origin}: Keras {keras.__version__} cannot load it: {reason}") from error
    return model


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 3 and not isinstance(shape[0], tuple | list)


def _require_plausible_weights(file: Path) -> None:
    """Check the arrays before one is read: HDF5 too can unpack a few kB to GB, or read another file of this machine.

    Raises:
        ValueError: An array is not within the file, or they are larger than the file.
    """
    with zipfile.ZipFile(file) as archive, archive.open(_WEIGHTS_FILE) as content, h5py.File(content, "r") as weights:
        size = archive.getinfo(_WEIGHTS_FILE).file_size
        total = 0

        def visit(group: h5py.Group, depth: int) -> None:
            nonlocal total
            if depth > 40:
                raise ValueError(f"{_WEIGHTS_FILE} is nested too deeply")
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{_WEIGHTS_FILE} refers to another file or place at {name!r}")
                item = group[name]
                if isinstance(item, h5py.Group):
                    visit(item, depth + 1)
                elif item.external or item.is_virtual:
                    raise ValueError(f"{_WEIGHTS_FILE} refers to another file at {name!r}")
                else:
                    total += item.size * item.dtype.itemsize
                if total > size:
                    raise ValueError(f"the arrays in {_WEIGHTS_FILE} are larger than the file")

        visit(weights, 0)
