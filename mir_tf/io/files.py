"""Local and remote paths, and atomic writes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mir_tf.io import locks
from mir_tf.io.remote import RemotePath, is_uri
from mir_tf.io.write_errors import WriteError, explanation, writing

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Characters that a terminal obeys, that turn the direction of a text, or that XML does not allow."""

_SHORT_NAME_BYTES = 100
"""Up to this length, the name of an unfinished file tells which one it is."""

_SHORT_SUFFIX_BYTES = 16

_SLAKH_TRACK = re.compile(r"Track\d")
"""The beginning of the name of a track's folder in Slakh's layout."""


def as_path(path: str | Path) -> Path:
    """Return a local path, or a :class:`RemotePath` if the text begins with a scheme.

    ``pathlib.Path`` itself would take ``s3://bucket`` for a local folder ``s3:``.

    Raises:
        ConfigError: The scheme is unknown.
    """
    if isinstance(path, str):
        return RemotePath.parse(path) if is_uri(path) else Path(path)
    return path


def is_remote(path: str | Path) -> bool:
    """Return whether ``path`` is in a remote file system."""
    return isinstance(as_path(path), RemotePath)


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary local path for the block to write; it becomes ``path`` when the block completes.

    If the block raises, ``path`` is left as it was. A local file is written beside ``path`` and renamed; processes that
    write the same file wait for each other. A remote file is written locally and then uploaded: object stores show an
    object only once all of it has arrived.

    Raises:
        WriteError: The file cannot be written: no space, no right, a name that is too long, a device.
    """
    path = as_path(path)
    if isinstance(path, RemotePath):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            with writing(copy):
                yield copy
            path.upload(copy)
        return
    temporary = _unfinished(path)
    with writing(path, temporary):
        _check_target(path)
        with locks.reserved(temporary, path):
            try:
                yield temporary
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def _unfinished(path: Path) -> Path:
    """Return the hidden path beside ``path`` at which its content is written.

    It keeps the suffix, by which some writers choose the format. A name that has no room for more becomes a digest.
    """
    name = f".unfinished-{path.name}"
    if len(os.fsencode(name)) > _SHORT_NAME_BYTES:
        suffix = path.suffix if len(os.fsencode(path.suffix)) <= _SHORT_SUFFIX_BYTES else ""
        name = f".unfinished-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{suffix}"
    return path.with_name(name)


def _check_target(path: Path) -> None:
    """Raise WriteError, before any work, if ``path`` is a device or a pipe or has too long a name."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise WriteError(errno.EINVAL, "this is a device or a pipe; name a file", str(path))
        if stat.S_ISDIR(mode):
            raise WriteError(errno.EISDIR, explanation(errno.EISDIR, path), str(path))


def display_path(path: str | Path) -> str:
    """Return the path as printable text, with bytes that are not valid UTF-8 escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Return a text in one line with control characters escaped: a file name may contain commands to the terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def recording_title(path: str | Path) -> str:
    """Return the title of a recording for people: the name of its file, unless that is the same in every folder.

    In Slakh's layout, every mix has the name ``mix.flac``. Its title is the name of the track, such as ``Track00001``;
    the title of a stem is ``Track00001/S00``. Control characters are escaped.

    Args:
        path: Path of the recording; empty for audio without a file, whose title is empty too.
    """
    if not str(path):
        return ""
    full = Path(path if is_remote(path) else os.path.abspath(path))  # you may be in the folder of the track
    *_, above, folder, name = ("", "", *full.parts)
    if full.suffix.lower() in (".flac", ".wav"):
        if full.stem == "mix" and _SLAKH_TRACK.match(folder):
            return printable(folder)
        if folder == "stems" and _SLAKH_TRACK.match(above):
            return printable(f"{above}/{full.stem}")
    return printable(name)


def is_utf8(path: str | Path) -> bool:
    """Return whether JSON and records can contain the path unchanged: on Linux a name may be any bytes."""
    return display_path(path) == str(path)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are missing.

    Raises:
        WriteError: It cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path``, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def local(path: Path) -> Iterator[Path]:
    """Yield ``path``, or a temporary local copy of a remote file, for libraries that open files by name."""
    if not isinstance(path, RemotePath):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        with writing(copy):
            copy.write_bytes(path.read_bytes())
        yield copy


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Yield ``folder``, or an empty local folder that is deleted after the block if ``folder`` is remote."""
    if not isinstance(folder, RemotePath):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield ``path`` as an empty local folder that is deleted after the block.

    A leftover of a process that was killed is deleted first.
    """
    shutil.rmtree(path, ignore_errors=True)
    with writing(path):
        path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents; a missing path is ignored.

    Raises:
        OSError: It cannot be removed.
    """
    if isinstance(path, RemotePath):
        path.unlink() if path.is_file() else path.rmtree()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move_into(source: Path, target: Path) -> None:
    """Move a local file or folder to ``target``, which must not exist; to a remote target, copy it instead."""
    if not isinstance(target, RemotePath):
        os.replace(source, target)
        return
    for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
        (target / file.relative_to(source)).upload(file)
