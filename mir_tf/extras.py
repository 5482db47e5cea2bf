"""The packages of the extra ``train``, which the commands that train, evaluate and export need."""

from __future__ import annotations

import importlib.util
import os
import sys

from mir_tf.errors import InstallationError

TRAIN_MODULES = (
    "tensorflow",
    "keras",
    "h5py",
    "keras_tuner",
    "tensorboard",
    "librosa",
    "pretty_midi",
    "scipy",
    "pyloudnorm",
    "jinja2",
    "flatbuffers",
    "packaging",
)
"""The modules that commands import from the extra ``train``, apart from optional ones."""

_REMEDY = "run: pip install 'mir-tf[train]'"


def require_tensorflow_backend() -> None:
    """Let Keras use TensorFlow, whatever ``keras.json`` in the home folder names.

    Raises:
        InstallationError: Keras was imported with another backend, or ``KERAS_BACKEND`` names one.
    """
    loaded = sys.modules.get("keras")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow") if loaded is None else loaded.config.backend()
    if backend != "tensorflow":
        raise InstallationError(
            f"this needs Keras with TensorFlow, but its backend is {backend}: set the environment variable "
            "KERAS_BACKEND to tensorflow before you start Python"
        )


def require_training() -> None:
    """Check that the extra ``train`` is installed, without importing its packages.

    Raises:
        InstallationError: A package is missing, or NumPy has a version that this TensorFlow cannot use.
    """
    for module in TRAIN_MODULES:
        if importlib.util.find_spec(module) is None:
            raise InstallationError(f"this needs the package {module}; to install it, {_REMEDY}")
    from importlib import metadata  # here, because commands that do without the extra start faster without it

    from packaging.requirements import Requirement

    try:
        requirements = metadata.requires("tensorflow") or ()
    except metadata.PackageNotFoundError:  # another distribution of it, such as a nightly build
        return
    installed = metadata.version("numpy")
    for requirement in map(Requirement, requirements):
        if requirement.name != "numpy" or (requirement.marker is not None and not requirement.marker.evaluate()):
            continue
        # With another NumPy, TensorFlow's import prints pages before it fails.
        if not requirement.specifier.contains(installed, prereleases=True):
            tensorflow = metadata.version("tensorflow")
            raise InstallationError(
                f"TensorFlow {tensorflow} needs numpy {requirement.specifier}, but {installed} is installed; "
                f"to replace it, {_REMEDY}"
            )
