"""Detect which instruments play in a music recording, ten times a second, and which one is dominant.

``mir_tf.load(path)`` returns a trained model that predicts for files and arrays: see :mod:`mir_tf.loading`.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from mir_tf.loading import load as load


def __getattr__(name: str) -> Any:
    """Import ``load`` at its first use (PEP 562): importing the package loads nothing else."""
    if name == "load":
        return importlib.import_module("mir_tf.loading").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
