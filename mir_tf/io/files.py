"""Paths, local or remote, and files that appear whole under their name, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mir_tf.io.remote import RemotePath, is_uri


def as_path(path: str | Path) -> Path:
    """The path that a user or a caller means: local, or a :class:`RemotePath` where it begins with a scheme.

    ``pathlib.Path`` itself takes ``s3://bucket`` for a local folder ``s3:``.

    Raises:
        ConfigError: the scheme is not known.
    """
    if isinstance(path, str):
        return RemotePath.parse(path) if is_uri(path) else Path(path)
    return path


def is_remote(path: str | Path) -> bool:
    """Whether ``path`` lies in a remote file system."""
    return isinstance(as_path(path), RemotePath)


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary local name for the block to write; it becomes ``path`` when the block is through.

    On disk it lies beside ``path`` and is renamed. A remote file is written locally, then copied: object stores (s3,
    gs, az) show an object once it has arrived whole; on hdfs a process killed meanwhile leaves a part of it.
    """
    path = as_path(path)
    if isinstance(path, RemotePath):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, path.name)
            path.upload(Path(folder, path.name))
        return
    temporary = path.with_name(f".unfinished-{path.name}")  # with its suffix, by which some writers choose the format
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def display_path(path: str | Path) -> str:
    """A path as text that can be written and printed: escaped is what is not UTF-8 in a name."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def is_utf8(path: str | Path) -> bool:
    """Whether a path can be written into JSON and records as it is: on Linux a name may be any bytes."""
    return display_path(path) == str(path)


def write_text(path: str | Path, text: str) -> None:
    """Writes ``text`` as UTF-8: whole under its name, or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes ``content``: whole under its name, or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def local(path: Path) -> Iterator[Path]:
    """``path`` itself or, of a remote file, a local copy for the block: for libraries that open files by name."""
    if not isinstance(path, RemotePath):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(path.read_bytes())
        yield copy


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """``folder`` itself or, of a remote one, an empty local folder that goes with the block."""
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def remove(path: Path) -> None:
    """Removes a file or a folder with all in it, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    if isinstance(path, RemotePath):
        path.unlink() if path.is_file() else path.rmtree()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move_into(source: Path, target: Path) -> None:
    """Gives a local file or folder the name ``target``, which is free: renamed on disk, copied to a remote folder."""
    if not isinstance(target, RemotePath):
        os.replace(source, target)
        return
    for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
        (target / file.relative_to(source)).upload(file)
