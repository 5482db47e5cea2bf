"""Files of object stores and clusters, ``s3://bucket/folder/file``, as paths, through TensorFlow's file systems.

TensorFlow loads at the first access to such a file, and tensorflow-io where the scheme needs it; not before.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fnmatch
import functools
import io
import os
import re
import stat
from collections.abc import Generator, Iterator
from pathlib import Path, PosixPath
from typing import Any

from mir_tf.errors import ConfigError, FileSystemError

_SCHEMES = {
    "s3": "check the bucket's name, the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in "
    "~/.aws), AWS_REGION and, for a server that is not Amazon's, S3_ENDPOINT",
    "gs": "check the bucket's name and the credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth "
    "application-default login)",
    "az": "check the account, the container and TF_AZURE_STORAGE_KEY",
    "hdfs": "check the address of the name node, HADOOP_HDFS_HOME and CLASSPATH",
}
"""Scheme → what to look at when it does not work."""

_BY_TENSORFLOW = ("gs",)
"""Schemes that TensorFlow knows by itself."""

_BUFFER = 1 << 20


def is_uri(text: str) -> bool:
    """Whether ``text`` begins with a scheme, known or not."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


class RemotePath(PosixPath):
    """A path with a scheme. Folders are not made: they are there while a file is in them.

    Reading, listing and removing work as of any other path; written are whole files, by :mod:`mir_tf.io.files`. Where
    the store does not answer, methods raise OSError: that of the same file on disk, or one that names the remedy.
    """

    @classmethod
    def parse(cls, uri: str) -> RemotePath:
        """The path ``uri``.

        Raises:
            ConfigError: its scheme is not known, or it names no bucket.
        """
        scheme, _, rest = uri.partition("://")
        if scheme not in _SCHEMES:
            known = ", ".join(f"{name}://" for name in _SCHEMES)
            raise ConfigError(f"{uri}: unknown scheme {scheme}://; a path is local, or begins with one of {known}")
        if not rest.strip("/"):
            raise ConfigError(f"{uri}: names no bucket; expected {scheme}://BUCKET/PATH")
        return cls(uri)

    def __str__(self) -> str:
        """The URI. As a path its two slashes are one; below it, relative paths have none."""
        return re.sub(r"^(\w+):/", r"\1://", super().__str__())

    @property
    def scheme(self) -> str:
        """``s3`` and the like."""
        return self.parts[0].rstrip(":")

    @property
    def _uri(self) -> str:
        """What TensorFlow takes: it asks for a slash after a bucket."""
        return f"{self}/" if len(self.parts) == 2 else str(self)

    @property
    def _tf(self) -> Any:
        return _tensorflow(self.scheme)

    def absolute(self) -> RemotePath:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """Itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Kind, size and time of the file or folder."""
        with self._os_errors():
            found = self._tf.io.gfile.stat(self._uri)
        kind = stat.S_IFDIR if found.is_directory else stat.S_IFREG
        seconds = found.mtime_nsec // 10**9
        return os.stat_result((kind, 0, 0, 1, 0, 0, found.length, seconds, seconds, seconds))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file or a folder."""
        return self._kind() is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        return self._kind() == stat.S_IFREG

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether files lie in it."""
        return self._kind() == stat.S_IFDIR

    def _kind(self) -> int | None:
        try:
            return stat.S_IFMT(self.stat().st_mode)
        except FileNotFoundError:
            return None

    def iterdir(self) -> Generator[RemotePath, None, None]:
        """What lies in the folder; nothing where there is none."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError), self._os_errors():
            names = self._tf.io.gfile.listdir(f"{self}/")
        yield from (self / name.rstrip("/") for name in names)

    def glob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """What in the folder itself matches ``pattern``: TensorFlow's own takes a request for every file."""
        yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Opens the file for reading in mode ``rb``, the only one."""
        if mode != "rb":
            raise ValueError(
                f"{self}: mode {mode!r}; a remote file is read as rb, and written whole by mir_tf.io.files"
            )
        return io.BufferedReader(_Reader(self), _BUFFER)

    def read_bytes(self) -> bytes:
        """Reads the file whole."""
        with self._os_errors():
            content: bytes = self._tf.io.read_file(self._uri).numpy()
        return content

    def read_text(self, encoding: str | None = None, *arguments: Any, **options: Any) -> str:
        """Reads the file as text, by default UTF-8."""
        return self.read_bytes().decode(encoding or "utf-8")

    def mkdir(self, *arguments: Any, **options: Any) -> None:
        """Does nothing: see the class."""

    def rmdir(self) -> None:
        """Does nothing: see the class."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the file."""
        with contextlib.suppress(FileNotFoundError) if missing_ok else contextlib.nullcontext(), self._os_errors():
            self._tf.io.gfile.remove(self._uri)

    def rmtree(self) -> None:
        """Removes the folder with all in it, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._os_errors():
            self._tf.io.gfile.rmtree(self._uri)

    def upload(self, source: Path) -> None:
        """Copies a local file here; one of this name is replaced."""
        with self._os_errors():
            self._tf.io.gfile.copy(str(source), self._uri, overwrite=True)

    def _require_bucket(self) -> None:
        """Makes sure that what was not found is really missing.

        The client for S3 finds nothing, too, where there is no such bucket, no right to see it, or no answer: a run or
        a build would begin anew over what it could not see.
        """
        if self.scheme != "s3":
            return
        bucket = RemotePath(*self.parts[:2])
        with bucket._os_errors():
            if not self._tf.io.gfile.exists(bucket._uri):
                raise OSError(errno.EIO, f"no such bucket; {_SCHEMES['s3']}", str(bucket))

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        """Turns what TensorFlow raises in the block into what a local file would."""
        errors = self._tf.errors
        try:
            yield
        except errors.UnimplementedError:
            raise _not_installed(self.scheme) from None
        except errors.NotFoundError:
            self._require_bucket()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from None
        except errors.OpError as error:
            denied = isinstance(error, errors.PermissionDeniedError | errors.UnauthenticatedError)
            number, what = (errno.EACCES, "access denied") if denied else (errno.EIO, "cannot be reached")
            cause = error.message.partition("\n")[0].strip(": .")
            detail = f" ({cause})" if cause else ""
            raise OSError(number, f"{what}{detail}; {_SCHEMES[self.scheme]}", str(self)) from None


class _Reader(io.RawIOBase):
    """A remote file for reading, at any place."""

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._size = path.stat().st_size  # raises where there is no such file: GFile only when it reads
        self._file = path._tf.io.gfile.GFile(path._uri, "rb")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        with self._path._os_errors():
            self._file.seek(self._position)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@functools.cache
def _tensorflow(scheme: str) -> Any:
    """TensorFlow, with the file system of ``scheme``.

    Raises:
        FileSystemError: tensorflow-io is needed and not installed.
    """
    import tensorflow as tf

    if scheme in _BY_TENSORFLOW:
        return tf
    # By its own default Amazon's client tries eleven times, for half a minute, before it says what is wrong.
    os.environ.setdefault("AWS_RETRY_MODE", "standard")
    # Else it asks for the size of the object before it reads each piece of it.
    os.environ.setdefault("S3_DISABLE_MULTI_PART_DOWNLOAD", "1")
    try:
        import tensorflow_io  # noqa: F401  # registers the file systems
    except (ImportError, NotImplementedError):
        raise _not_installed(scheme) from None
    _leave_destructors_out()
    return tf


def _leave_destructors_out() -> None:
    """Lets this process end, with its own status, where the destructors of tensorflow-io's client would abort it.

    Since 0.35 the wheels say "pure virtual method called" once the C library destroys what is static, and the process
    ends by SIGABRT (https://github.com/tensorflow/io/issues/2039). The C library calls what ``on_exit`` was given
    with the exit status, after Python has ended in good order - files flushed, ``atexit`` run - and before those
    destructors, for it goes backwards and they were registered before; ``_exit`` then ends the process. Only glibc
    has it. Every process that touches such a path does this, workers too.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):
        library.on_exit(library._exit, None)


def _not_installed(scheme: str) -> FileSystemError:
    return FileSystemError(
        f"{scheme}:// needs tensorflow-io, which is not installed or does not fit this TensorFlow: on Linux or macOS "
        "with Python 3.10 to 3.12, pip install 'tensorflow==2.16.2' 'tensorflow-io==0.37.1'; elsewhere, copy the files "
        "to a local folder"
    )
