"""Zip archives of unknown origin, read without filling the memory."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,  # an encrypted archive; NotImplementedError, a subclass: an unknown compression
    ValueError,
    OSError,  # a seek to a negative place; and the file itself
)
"""Errors of :mod:`zipfile` for an archive that is damaged or that it cannot read."""

NPZ_ERRORS = (
    *ZIP_ERRORS,
    TypeError,
    AttributeError,
    SyntaxError,  # of the header of an array, a Python literal; and the next
    tokenize.TokenError,
    MemoryError,
)
"""Errors of :func:`load_npz` for a file that is not an ``.npz``, or a damaged one."""

_FREE_BYTES = 1 << 26
"""An archive may always unpack to this size, 64 MiB."""

_MOST_RATIO = 20
"""A larger archive may unpack to this many times its size: weights hardly compress."""


def require_plausible_sizes(file: str | Path | BinaryIO, size: int) -> None:
    """Check the sizes that an archive states, before anything is unpacked: a zip bomb has a few kB and unpacks to GB.

    No entry unpacks to more than its stated size, because :mod:`zipfile` stops there.

    Args:
        file: The archive.
        size: Its size in bytes.

    Raises:
        ValueError: It would unpack to an implausible size.
        zipfile.BadZipFile: It is not an archive, or another of :data:`ZIP_ERRORS`.
    """
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(_FREE_BYTES, _MOST_RATIO * size):
        raise ValueError(
            f"it would unpack from {size / 1e6:.1f} MB to {unpacked / 1e6:.0f} MB; no file of weights does"
        )


def load_npz(file: str | Path | BinaryIO, size: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name, without unpickling objects.

    The sizes that it states are checked before memory is allocated for them.

    Args:
        file: The file.
        size: Its size in bytes.

    Raises:
        Exception: One of :data:`NPZ_ERRORS`.
    """
    require_plausible_sizes(file, size)
    npy: Any = np.lib.format  # has no types
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as member:
                is_first = npy.read_magic(member) == (1, 0)
                shape, _, dtype = (npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0)(member)
                if math.prod(shape) * dtype.itemsize > entry.file_size:
                    raise ValueError(f"{entry.filename} is shorter than its shape, {list(shape)}")
    if not isinstance(file, str | Path):
        file.seek(0)
    with np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}
