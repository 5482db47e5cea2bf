"""Locks that keep two processes from writing the same folder or file.

The operating system locks a hidden file in the folder (``flock``), so a lock ends when its process ends, for whatever
reason. The file names the process. Releasing the lock removes the file; after ``kill -9`` it remains, and the next
process takes it over. Commands that only read take no lock.

Nothing keeps two processes apart in remote folders, on Windows, and on file systems without locks.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
import shlex
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from mir_tf.errors import InUseError, MirTfWarning
from mir_tf.io.remote import RemotePath
from mir_tf.io.write_errors import writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system that has no locks."""

_PREFIX = ".mir-tf"
_SUFFIX = ".lock"

_held: dict[str, int] = {}
"""Lock file → the thread of this process that has it: a command and what it calls may lock the same folder."""

_LONGEST_COMMAND = 300
"""Most characters of the holder's command in a message: it may name a hundred thousand files."""

_LONGEST_WAIT_SECONDS = 60.0
"""How long to wait for another process that writes the same file."""

_PATIENCE_SECONDS = 0.5
"""How long to wait for the name of a process that has just taken the lock."""


def is_lock(path: Path) -> bool:
    """Return whether a file is the file of a lock; listings of a folder leave these out."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


@contextlib.contextmanager
def exclusive(folder: Path, name: str | None = None) -> Iterator[None]:
    """Keep other processes from writing ``folder`` during the block. It is created if needed.

    If the block fails, a folder that was created for it and is empty is removed again.

    Args:
        folder: The folder. If it is remote, nothing is locked.
        name: Name of a file or another part of the folder, to lock only that.

    Raises:
        InUseError: Another process has the lock; the message says which.
        OSError: The folder cannot be created or written.
    """
    if isinstance(folder, RemotePath):
        yield
        return
    with writing(folder):
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    part = "" if name is None else "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    path = Path(os.path.realpath(folder), f"{_PREFIX}{part}{_SUFFIX}")
    process = os.getpid()  # a forked process that ends within the block leaves all to its parent
    try:
        with _locked(path, folder if name is None else folder / name):
            yield
    except BaseException:
        with contextlib.suppress(OSError):
            for each in missing if os.getpid() == process else ():
                each.rmdir()
        raise


@contextlib.contextmanager
def _locked(path: Path, shown: Path) -> Iterator[None]:
    """Hold the lock on the file ``path``, which protects the folder or file ``shown``."""
    key = str(path)
    if fcntl is None or _held.get(key) == threading.get_ident():
        yield
        return
    with writing(shown, path):
        descriptor = _acquire(path, shown)
    process = os.getpid()
    try:
        _held[key] = threading.get_ident()
        yield
    finally:
        del _held[key]
        # While it is still locked, so that it is not that of another process; or somebody has removed the folder.
        if os.getpid() == process and _is_still(path, descriptor):
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(descriptor)


def _acquire(path: Path, shown: Path) -> int:
    """Return the descriptor of the locked file.

    Raises:
        InUseError: Another process has it.
    """
    try:
        descriptor, is_locked = _open_locked(path)
    except BlockingIOError:
        raise InUseError(
            f"{shown}: another process is writing here: {_holder(path)}. Wait until it has ended, stop it, or choose "
            "another place"
        ) from None
    if not is_locked:
        text = f"{shown}: this file system has no locks: write there with one process at a time"
        warnings.warn(text, MirTfWarning, stacklevel=2)
        return descriptor
    with contextlib.suppress(OSError):  # a full disk: the next file that is written reports it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _description(), 0)
    return descriptor


@contextlib.contextmanager
def reserved(path: Path, shown: Path) -> Iterator[None]:
    """Let the processes that write the unfinished file ``path`` wait for each other, with a lock on the file itself.

    The block must rename or remove the file. Without locks in the file system, nobody waits.

    Args:
        path: The unfinished file, which is created if needed.
        shown: The file that it becomes, for the message.

    Raises:
        InUseError: Another process has been writing it for a minute.
    """
    if fcntl is None:
        yield
        return
    descriptor = _wait(path, shown)
    try:
        yield
    finally:
        os.close(descriptor)


def _wait(path: Path, shown: Path) -> int:
    """Return the descriptor of ``path``, locked and not yet renamed by another process."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(BlockingIOError):
            return _open_locked(path)[0]
        if time.monotonic() > began + _LONGEST_WAIT_SECONDS:
            raise InUseError(f"{shown}: another process has been writing this file for a minute; stop it first")
        time.sleep(0.01)


def _open_locked(path: Path) -> tuple[int, bool]:
    """Open and lock a file, which is created if needed.

    Returns:
        Its descriptor, and whether it is locked: not on a file system without locks.

    Raises:
        BlockingIOError: Another process has the lock.
    """
    while True:
        descriptor, is_writable = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return descriptor, False
            os.close(descriptor)
            if isinstance(error, PermissionError):  # as NFS may report it
                raise BlockingIOError from error
            raise
        if _is_still(path, descriptor):
            if is_writable:
                return descriptor, True
            path.unlink()
        os.close(descriptor)  # the file was renamed or removed, by the process before or here


def _open(path: Path) -> tuple[int, bool]:
    """Return a descriptor of a lock file, which is created if needed, and whether it can be written.

    It cannot if another user's process left it. It can be locked nevertheless, and removed by who may write the folder.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666), True
    except PermissionError:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY), False
        raise


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether ``path`` is still the file that was opened."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:  # it was removed, or a folder above it
        return False


def _description() -> bytes:
    program, *rest = sys.argv or [""]
    words = [os.path.basename(program) or "python", *rest]
    if words[0] == "__main__.py":
        words[:1] = ["python", "-m", os.path.basename(os.path.dirname(program))]
    command = shlex.join(words)
    content = {
        "command": command if len(command) <= _LONGEST_COMMAND else f"{command[:_LONGEST_COMMAND]}...",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    return json.dumps(content).encode()


def _holder(path: Path) -> str:
    """Return which process has the lock, as far as it has written that down."""
    began = time.monotonic()
    while time.monotonic() < began + _PATIENCE_SECONDS:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(path.read_bytes())
            return "{command} (process {pid} on {host}, since {since})".format(**holder)
        time.sleep(0.02)
    return "its name is not known"
