"""A record of the files that commands have written: from which input, by which model, and with which content.

It lets a second run skip finished work, and tells files that mir-tf wrote from files that somebody else wrote or
edited. It is a database in the user's cache folder, which several commands may use at once, so that nothing but output
lies beside people's music.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mir_tf.errors import FileSystemError
from mir_tf.io.files import as_path, is_remote
from mir_tf.io.write_errors import describe

CACHE_VARIABLE = "MIR_TF_CACHE"
"""Environment variable that names another cache folder than the one of the system."""

OLD_LEDGER = ".mir-tf.jsonl"
"""End of the name of the hidden files that earlier versions wrote beside output files. They are ignored."""

_FILE = "outputs-1.sqlite"
"""Name of the database. The number is that of its format."""

_WAIT_SECONDS = 30.0
"""How long to wait while another command writes to the database."""

_CHECK_SECONDS = 30 * 86400.0
"""Age after which the entries of an output are dropped if it no longer exists."""

_TABLES = """
CREATE TABLE IF NOT EXISTS outputs (path BLOB PRIMARY KEY, checked REAL);
CREATE TABLE IF NOT EXISTS digests (path BLOB, sha256 TEXT, PRIMARY KEY (path, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stamps (path BLOB, item BLOB, stamp TEXT, content BLOB, PRIMARY KEY (path, item));
"""
_OK, _DONE = 0, 101  # sqlite3 has names for them from Python 3.11 on
_NAMES = ("outputs", "digests", "stamps")


def cache_folder() -> Path:
    """Return the folder for files that can be lost: ``$MIR_TF_CACHE``, or the one that the system has for them.

    Raises:
        OSError: The user has no home folder.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    import platformdirs

    folder = platformdirs.user_cache_path("mir-tf", appauthor=False)
    if not folder.is_absolute():
        raise OSError(f"no home folder for {folder}")
    return folder


class Ledger:
    """For each output file, the SHA-256 of every content that was written, and a stamp of the input of each item in it.

    A file for a single recording has one item, named ``""``. A table has one for each recording. If an item has had
    several stamps, the last one counts.

    Attributes:
        problem: Why the database cannot be used, in words; None if it can. Everything then works as with an empty
            database, and what is recorded lasts as long as this object.
    """

    def __init__(self) -> None:
        """Do nothing yet: the database in the cache folder is opened, or created, at the first use."""
        self.problem: str | None = None

    @functools.cached_property
    def _database(self) -> sqlite3.Connection:
        try:
            folder = cache_folder()
            folder.mkdir(parents=True, exist_ok=True)
            database = _open(folder / _FILE)
        except (OSError, sqlite3.Error) as error:
            self.problem = (describe(error) if isinstance(error, OSError) else None) or str(error)
            return _connect("")
        with contextlib.suppress(sqlite3.Error):  # a database that cannot be written can still be read
            _prune(database)
        return database

    def close(self) -> None:
        """Close the database."""
        if "_database" in self.__dict__:
            self._database.close()

    def is_finished(self, output: Path, stamp: object, item: str = "") -> bool:
        """Return whether ``item`` of ``output`` was last written with this stamp."""
        query = "SELECT 1 FROM stamps WHERE path = ? AND item = ? AND stamp = ?"
        return self._first(query, _key(output), os.fsencode(item), json.dumps(stamp)) is not None

    def has_written(self, output: Path, digest: str) -> bool:
        """Return whether a content with this SHA-256 was written to ``output``, or was about to be."""
        return self._first("SELECT 1 FROM digests WHERE path = ? AND sha256 = ?", _key(output), digest) is not None

    def begin(self, output: Path, digest: str) -> None:
        """Record the SHA-256 of the content about to be written, to recognise the file if this process is killed."""
        key = _key(output)
        self._write(
            ("INSERT OR REPLACE INTO outputs VALUES (?, ?)", (key, time.time())),
            ("INSERT OR IGNORE INTO digests VALUES (?, ?)", (key, digest)),
        )

    def finish(self, output: Path, stamp: object, item: str = "", content: object = None) -> None:
        """Record that ``item`` of ``output`` is written, with a stamp of its input, and content for :meth:`content`."""
        key = _key(output)
        packed = zlib.compress(json.dumps(content).encode())
        self._write(
            ("INSERT OR REPLACE INTO outputs VALUES (?, ?)", (key, time.time())),
            (
                "INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?)",
                (key, os.fsencode(item), json.dumps(stamp), packed),
            ),
        )

    def content(self, output: Path, stamp: object, item: str = "") -> Any:
        """Return the content given to :meth:`finish`.

        Raises:
            FileSystemError: Another command has replaced it, or the database is damaged.
        """
        query = "SELECT content FROM stamps WHERE path = ? AND item = ? AND stamp = ?"
        packed = self._first(query, _key(output), os.fsencode(item), json.dumps(stamp))
        if packed is None:
            raise FileSystemError(f"{output}: another command writes this file; run this one again when it has ended")
        try:
            return json.loads(zlib.decompress(packed))
        except (zlib.error, ValueError, TypeError, RecursionError) as error:
            raise FileSystemError(
                f"{output}: what was recorded for it in {cache_folder() / _FILE} is damaged; remove that file, and run "
                "this command again with --overwrite"
            ) from error

    def _first(self, query: str, *values: object) -> Any:
        """Return the first column of the first row; None if there is no row."""
        try:
            row = self._database.execute(query, values).fetchone()
        except sqlite3.Error as error:
            self._become_temporary(error)
            row = self._database.execute(query, values).fetchone()
        return row and row[0]

    def _write(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """Execute the statements in one transaction."""
        try:
            _execute(self._database, statements)
        except sqlite3.Error as error:
            self._become_temporary(error)
            _execute(self._database, statements)

    def _become_temporary(self, error: Exception) -> None:
        """Replace a database that fails by a temporary one, with everything that can still be read."""
        if self.problem is not None:
            raise OSError(f"the temporary database fails: {error}") from error
        self.problem = str(error)
        temporary = _connect("")
        with contextlib.closing(self._database), contextlib.suppress(sqlite3.Error):
            self._database.backup(temporary, progress=_stop_if_locked)
        self._database = temporary


def _key(output: Path) -> bytes:
    """Return the absolute path, the same for all ways to write it, as bytes: it may not be valid UTF-8."""
    folder = str(output.parent) if is_remote(output) else os.path.realpath(output.parent)
    return os.fsencode(f"{folder}/{output.name}")


def _stop_if_locked(status: int, remaining: int, pages: int) -> None:
    """Raise OperationalError if the database is locked, because its backup would retry for ever."""
    if status not in (_OK, _DONE):
        raise sqlite3.OperationalError(f"status {status}")


def _prune(database: sqlite3.Connection) -> None:
    """Drop the entries of local files that no longer exist and were not written or checked for a month."""
    now = time.time()
    query = "SELECT path FROM outputs WHERE checked < ?"
    old = [path for (path,) in database.execute(query, (now - _CHECK_SECONDS,))]
    gone = [path for path in old if not _may_exist(as_path(os.fsdecode(path)))]
    if old:
        checked = [("UPDATE outputs SET checked = ? WHERE path = ?", (now, path)) for path in old]
        dropped = [(f"DELETE FROM {name} WHERE path = ?", (path,)) for name in _NAMES for path in gone]
        _execute(database, (*checked, *dropped))


def _may_exist(path: Path) -> bool:
    return is_remote(path) or path.exists()


def _open(path: Path) -> sqlite3.Connection:
    """Open the database; create it if it is missing, or anew if it is damaged.

    Raises:
        OSError: It cannot be read or written.
    """
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:  # no right to write, no space, or locked for too long
        raise OSError(f"{path}: {error}") from error
    except sqlite3.DatabaseError:
        path.unlink()
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path | str) -> sqlite3.Connection:
    """Open a database that can be written; the path ``""`` is a temporary one, on disk only if it becomes large."""
    database = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        _execute(database, [(statement, ()) for statement in _TABLES.split(";")])
    except BaseException:
        database.close()
        raise
    return database


def _execute(database: sqlite3.Connection, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    """Execute statements in one transaction."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in statements:
            database.execute(statement, values)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
