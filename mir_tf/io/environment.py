"""The environment of the commands, without the settings that other projects and notebooks left in it.

A notebook names a display for Matplotlib, another project names another backend for Keras, and a test run turns
warnings into errors. None of that is meant for the commands of this package, and all of it can break them.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from mir_tf.io.write_errors import WriteError, explanation

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OURS = {
    "MPLBACKEND": "agg",  # pictures are written to files
    "MATPLOTLIBRC": os.devnull,  # the defaults: mir_tf.figures.style
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.path.join(os.devnull, "keras"),  # no keras.json, which may name another number format
}
"""Environment variables that are set, whatever they were."""

_FOREIGN = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "LIBROSA_CACHE_DIR",
    "LIBROSA_CACHE_LEVEL",
    "LIBROSA_CACHE_MMAP",
    "NUMBA_DISABLE_JIT",
    "NUMBA_NUM_THREADS",
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "TF_USE_LEGACY_KERAS",
)
"""Environment variables that are removed."""


def prepare() -> None:
    """Make this process, and those that it starts, independent of the settings of other projects.

    Call it when a command starts, before it imports what it needs. Under ``python -OO``, where help texts are missing,
    and ``python -W error``, where a library's warning ends it, the command starts again without these options.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit("Error: the working directory was deleted; change to one that exists (cd), and run this again")
    _prepare_streams()
    os.environ.update(_OURS)
    for name in _FOREIGN:
        os.environ.pop(name, None)
    if not os.environ.get("OMP_NUM_THREADS", "1").isdecimal() or os.environ.get("OMP_NUM_THREADS") == "0":
        del os.environ["OMP_NUM_THREADS"]
    if sys.flags.optimize or any(option.startswith("e") for option in sys.warnoptions):
        found = sys.modules["__main__"].__spec__
        program = [sys.argv[0]] if found is None else ["-m", found.parent or found.name]
        os.execv(sys.executable, [sys.executable, *program, *sys.argv[1:]])


def _prepare_streams() -> None:
    """Make errors of standard output name it, and open the null device in place of closed standard streams.

    ``mir-tf predict song.mp3 2>&-`` closes one. Python then has None for it, and the next file that is opened would
    take its number: messages of libraries would end up in that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            if number:  # sys.stdin stays None, so that commands notice that there is no input
                setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_StandardOutput(1, "wb", closefd=False)),
            encoding=stdout.encoding,
            errors="backslashreplace",  # for file names with characters the terminal lacks
            line_buffering=stdout.line_buffering,
            write_through=stdout.write_through,
        )


class _StandardOutput(io.FileIO):
    """Standard output, whose errors name it, except that of a closed pipe."""

    def write(self, content: ReadableBuffer) -> int:
        """Write, as the file would."""
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            name = "standard output"
            raise WriteError(error.errno, explanation(error.errno or 0, name), name) from error
