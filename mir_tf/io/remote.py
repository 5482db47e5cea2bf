"""Files in object stores, such as ``s3://bucket/folder/file``, as paths, through TensorFlow's file systems.

TensorFlow, and tensorflow-io where the scheme needs it, are imported only at the first access to such a file.
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
from mir_tf.extras import require_training

_SCHEMES = {
    "s3": "check the bucket's name, the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in "
    "~/.aws), AWS_REGION and, for a server that is not Amazon's, S3_ENDPOINT",
    "gs": "check the bucket's name and the credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth "
    "application-default login)",
}
"""Scheme → hint for the error message when an access fails."""

_BY_TENSORFLOW = ("gs",)
"""Schemes that TensorFlow supports without tensorflow-io."""

_BUFFER = 1 << 20


def is_uri(text: str) -> bool:
    """Return whether ``text`` begins with a scheme, known or not."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


class RemotePath(PosixPath):
    """A path with a scheme.

    You read, list and remove it like any other path. To write a file, use :mod:`mir_tf.io.files`, which uploads it as
    a whole. Folders are not created: they exist while they contain a file. If an access fails, methods raise the
    OSError that a local file would raise, or one that names the settings to check.
    """

    @classmethod
    def parse(cls, uri: str) -> RemotePath:
        """Return the path for ``uri``.

        Raises:
            ConfigError: The scheme is unknown or that of a web address, or the bucket is missing.
        """
        scheme, _, rest = uri.partition("://")
        if scheme.lower() in ("http", "https"):
            raise ConfigError(
                f"{uri}: web addresses are not read; download the file first, for example: curl -LO {uri}"
            )
        if scheme not in _SCHEMES:
            known = ", ".join(f"{name}://" for name in _SCHEMES)
            raise ConfigError(f"{uri}: unknown scheme {scheme}://; give a local path, or one that begins with {known}")
        if not rest.strip("/"):
            raise ConfigError(f"{uri}: the bucket is missing; expected {scheme}://BUCKET/PATH")
        return cls(uri)

    def __str__(self) -> str:
        """Return the URI: pathlib merges its two slashes into one, and relative paths have no scheme."""
        return re.sub(r"^(\w+):/", r"\1://", super().__str__())

    @property
    def scheme(self) -> str:
        """The scheme, such as ``s3``."""
        return self.parts[0].rstrip(":")

    @property
    def _uri(self) -> str:
        """The URI for TensorFlow, which requires a slash after a bucket."""
        return f"{self}/" if len(self.parts) == 2 else str(self)

    @property
    def _tf(self) -> Any:
        return _tensorflow(self.scheme)

    def absolute(self) -> RemotePath:
        """Return the path itself."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """Return the path itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the kind, size and modification time of the file or folder."""
        with self._os_errors():
            found = self._tf.io.gfile.stat(self._uri)
        kind = stat.S_IFDIR if found.is_directory else stat.S_IFREG
        seconds = found.mtime_nsec // 10**9
        times = {"st_mtime_ns": found.mtime_nsec}
        return os.stat_result((kind, 0, 0, 1, 0, 0, found.length, seconds, seconds, seconds), times)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file or a folder."""
        return self._kind() is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""
        return self._kind() == stat.S_IFREG

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder, that is, contains files."""
        return self._kind() == stat.S_IFDIR

    def _kind(self) -> int | None:
        try:
            return stat.S_IFMT(self.stat().st_mode)
        except FileNotFoundError:
            return None

    def iterdir(self) -> Generator[RemotePath, None, None]:
        """Yield the files and folders in the folder; none if it does not exist."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError), self._os_errors():
            names = self._tf.io.gfile.listdir(f"{self}/")
        yield from (self / name.rstrip("/") for name in names)

    def glob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """Yield the entries of the folder whose names match ``pattern``, with one request for all of them."""
        yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open the file for reading; ``mode`` must be ``rb``."""
        if mode != "rb":
            raise ValueError(f"{self}: mode {mode!r}; open a remote file as rb, and write it with mir_tf.io.files")
        return io.BufferedReader(_Reader(self), _BUFFER)

    def read_bytes(self) -> bytes:
        """Read the whole file.

        ``tf.io.read_file`` is not used, because it crashes the interpreter if tensorflow-io's S3 client reads an empty
        object.
        """
        with self.open("rb") as file:
            content: bytes = file.read()
        return content

    def read_text(self, encoding: str | None = None, *arguments: Any, **options: Any) -> str:
        """Read the file as text, by default UTF-8."""
        return self.read_bytes().decode(encoding or "utf-8")

    def mkdir(self, *arguments: Any, **options: Any) -> None:
        """Do nothing: folders are not created or removed."""

    def rmdir(self) -> None:
        """Do nothing: folders are not created or removed."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError) if missing_ok else contextlib.nullcontext(), self._os_errors():
            self._tf.io.gfile.remove(self._uri)

    def rmtree(self) -> None:
        """Remove the folder and its contents, if it exists."""
        with contextlib.suppress(FileNotFoundError), self._os_errors():
            self._tf.io.gfile.rmtree(self._uri)

    def upload(self, source: Path) -> None:
        """Copy a local file to this path, replacing an existing file."""
        with self._os_errors():
            self._tf.io.gfile.copy(str(source), self._uri, overwrite=True)

    def _require_bucket(self) -> None:
        """Raise OSError if a file seems missing only because its bucket cannot be accessed.

        The S3 client also reports files as not found if the bucket does not exist, access is denied or the server does
        not respond. A run or a build would then start over on top of files it could not see.
        """
        if self.scheme != "s3":
            return
        bucket = RemotePath(*self.parts[:2])
        with bucket._os_errors():
            if not self._tf.io.gfile.exists(bucket._uri):
                raise OSError(errno.EIO, f"no such bucket; {_SCHEMES['s3']}", str(bucket))

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        """Convert TensorFlow's exceptions in the block to those of a local file."""
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
    """A seekable, readable remote file."""

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._size = path.stat().st_size  # raises if the file is missing; GFile would only when it reads
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
        if not data:
            raise OSError(
                errno.EIO,
                f"ends after {self._position} of {self._size} bytes; it was replaced, or the "
                "connection broke: run the command again",
                str(self._path),
            )
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@functools.cache
def _tensorflow(scheme: str) -> Any:
    """Import TensorFlow with the file system for ``scheme``, and return it.

    Raises:
        InstallationError: TensorFlow is not installed.
        FileSystemError: tensorflow-io is needed and not installed.
    """
    require_training()
    import tensorflow as tf

    if scheme in _BY_TENSORFLOW:
        return tf
    # By default Amazon's client retries eleven times, for half a minute, before it reports an error.
    os.environ.setdefault("AWS_RETRY_MODE", "standard")
    # Otherwise, if a connection breaks and the client tries again, it returns wrong bytes without an error.
    os.environ["S3_DISABLE_MULTI_PART_DOWNLOAD"] = "1"
    try:
        import tensorflow_io  # noqa: F401  # registers the file systems
    except (ImportError, NotImplementedError):
        raise _not_installed(scheme) from None
    _skip_destructors_at_exit()
    return tf


def _skip_destructors_at_exit() -> None:
    """Let this process end with its own status instead of aborting in the destructors of tensorflow-io's client.

    Since 0.35 the wheels abort with "pure virtual method called" when the C library destroys static objects
    (https://github.com/tensorflow/io/issues/2039). ``on_exit`` handlers run after Python has flushed its files and run
    its ``atexit`` handlers, and before destructors registered earlier; calling ``_exit`` there ends the process with
    its status. Only glibc has ``on_exit``. Worker processes that access such a path need this too.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):
        library.on_exit(library._exit, None)


def _not_installed(scheme: str) -> FileSystemError:
    return FileSystemError(
        f"{scheme}:// needs tensorflow-io, which is missing or does not fit this TensorFlow: on Linux or macOS "
        "with Python 3.10 to 3.12, pip install 'tensorflow==2.16.2' 'tensorflow-io==0.37.1'; there is none for another "
        "Python or Windows: use one of these, or copy the files to a local folder (aws s3 sync)"
    )
