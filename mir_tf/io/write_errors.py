"""Errors of writing as messages that name the file and the remedy: a full disk, a quota, missing rights, long names.

The same fault comes in many shapes: Python raises ``OSError``, TensorFlow a ``ResourceExhaustedError`` as if memory had
run out, HDF5 and others put the number or the text of the system's error into a text of their own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
}
_NOT_PERMITTED = "you may not write here; change the permissions of the file and its folder, or choose another folder"
_EXPLANATIONS = {
    errno.EFBIG: "the file would be larger than the limit for files; raise the limit (ulimit -f), or write it to "
    "another disk",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.ENAMETOOLONG: "this name is too long for the file system; shorten it, or choose another folder",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.EIO: "the disk reports an error; check it, or choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder",
    errno.EEXIST: "there is something of this name that is no folder; choose another name",
    errno.EISDIR: "this is a folder; name a file",
}
"""Number of an error → what it means for a file that is written, and what to do."""

_ONLY_WRITING = (*_SPACE, errno.EFBIG, errno.EROFS)
"""The errors that reading a file cannot cause."""

_IN_TEXTS = (*_ONLY_WRITING, errno.ENAMETOOLONG)
"""The errors that are recognised by their text in the exceptions of libraries."""


class WriteError(OSError):
    """A file cannot be written; the message names it, the reason and the remedy."""

    def __str__(self) -> str:
        """Return the message without the number of the error."""
        return f"{os.fspath(self.filename)}: cannot be written: {self.strerror}"


def explanation(number: int, path: str | Path) -> str:
    """Return what is wrong with ``path``, which is to be written, and what to do about it.

    Args:
        number: The number of the system's error, as in :mod:`errno`.
        path: The file.
    """
    if number in _SPACE:
        where = "write to another disk"
        if _is_temporary(path):
            where = "let the environment variable TMPDIR name a folder on another disk"
        return f"{_SPACE[number]} ({os.strerror(number)}); free space, or {where}"
    known = _EXPLANATIONS.get(number)
    return f"{os.strerror(number)}: {known}" if known else os.strerror(number)


def describe(error: OSError) -> str | None:
    """Return the message for an error of the system; None if the error names no file."""
    if isinstance(error, WriteError) or error.errno is None or not isinstance(error.filename, str | bytes):
        return None
    name = os.fsdecode(error.filename)
    both = f"{name} -> {os.fsdecode(error.filename2)}" if isinstance(error.filename2, str | bytes) else name
    is_clear = error.errno in (*_ONLY_WRITING, errno.ENAMETOOLONG)
    text = explanation(error.errno, name) if is_clear else error.strerror
    return f"{both}: {text}"


@contextlib.contextmanager
def writing(path: str | Path, temporary: str | Path | None = None) -> Iterator[None]:
    """Raise the errors of writing within the block as those of ``path``, whatever library writes.

    Args:
        path: The file or folder as the user knows it.
        temporary: The file or folder that is written in its place; its name appears in no message.

    Raises:
        WriteError: It cannot be written. Errors that concern other files are raised as they are.
    """
    try:
        yield
    except Exception as error:
        if (number := _number(error, str(path), None if temporary is None else str(temporary))) is None:
            raise
        raise WriteError(number, explanation(number, path), os.fspath(path)) from error


def _number(error: Exception, path: str, temporary: str | None) -> int | None:
    """Return the number of the system's error behind an exception; None if it is not one of writing these paths."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number is not None:
        if error.filename is None:
            return number if number in _ONLY_WRITING else None
        named = os.fsdecode(error.filename)
        if isinstance(error, WriteError):  # another one has named its file already
            return number if temporary is not None and _is_within(named, temporary) else None
        is_ours = _is_within(named, path) or (temporary is not None and _is_within(named, temporary))
        return number if is_ours else None
    text = str(error)
    return next((number for number in _IN_TEXTS if os.strerror(number) in text), None)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_temporary(path: str | Path) -> bool:
    """Return whether a command chose the path, not the user.

    Such a path is in the folder for temporary files, under a name that Python or this project gives.
    """
    with contextlib.suppress(OSError):  # no folder for temporary files
        root = os.path.join(os.path.abspath(tempfile.gettempdir()), "")
        full = os.path.abspath(path)
        return full.startswith(root) and full[len(root) :].startswith(("tmp", "mir-tf-"))
    return False
