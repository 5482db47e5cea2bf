"""Detect which instruments play in a music recording, ten times a second, and which one is dominant.

``mir_tf.load(path)`` returns a trained model that predicts for files and arrays: see :mod:`mir_tf.loading`. Catch its
errors as ``mir_tf.errors.MirTfError``. ``mir_tf.lite`` runs exported models in programs that ship them, also live.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["errors", "lite", "load"]

if TYPE_CHECKING:
    from mir_tf import errors as errors
    from mir_tf import lite as lite
    from mir_tf.loading import load as load


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562): importing the package loads nothing else."""
    if name == "load":
        return importlib.import_module("mir_tf.loading").load
    if name in __all__:
        return importlib.import_module(f"mir_tf.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names for completion, without the modules that happen to be imported."""
    return [*__all__, "__version__"]
