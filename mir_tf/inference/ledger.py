"""A record of the files that a command has written, from which input and by which model.

It is a hidden file beside them, so that a second run can skip finished work and does not overwrite files that somebody
else wrote or edited.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from mir_tf.io.files import is_remote, write_text

LEDGER = ".mir-tf.jsonl"
"""Name of the ledger in a folder of output files. The ledger for ``songs.csv`` is ``.songs.csv.mir-tf.jsonl``."""

_REMOTE_INTERVAL = 100
"""Entries after which a remote ledger is written: it can only be written as a whole."""


class Ledger:
    """For each file name, the stamp of its input and the SHA-256 of each content that was written, as lines of JSON.

    If a name has several stamps, the last one counts. Incomplete lines are ignored.
    """

    def __init__(self, path: Path) -> None:
        """Read the ledger at ``path``, if there is one."""
        self._path = path
        self._stamps: dict[str, Any] = {}
        self._digests: defaultdict[str, set[str]] = defaultdict(set)
        self._offsets: dict[str, int] = {}  # in the ledger, of the line with a name's last stamp
        self._ends_with_newline, self._unsaved = True, 0
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            offset = 0
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    name = entry["name"]
                    if "sha256" in entry:
                        self._digests[name].add(entry["sha256"])
                    if "stamp" in entry:
                        self._stamps[name], self._offsets[name] = entry["stamp"], offset
                offset += len(line)
                self._ends_with_newline = line.endswith(b"\n")

    def is_finished(self, name: str, stamp: object) -> bool:
        """Return whether ``name`` was written with this stamp."""
        return self._stamps.get(name) == stamp

    def has_written(self, name: str, digest: str) -> bool:
        """Return whether a content with this SHA-256 was written to ``name``, or was about to be."""
        return digest in self._digests.get(name, ())

    def begin(self, name: str, digest: str) -> None:
        """Record the SHA-256 of the content about to be written, to recognise the file if this process is killed."""
        if digest not in self._digests[name]:
            self._digests[name].add(digest)
            self._append({"name": name, "sha256": digest})

    def finish(self, name: str, stamp: object, content: object = None) -> None:
        """Record that ``name`` is written, with a stamp of its input and optional content for :meth:`content`."""
        self._stamps[name] = stamp
        entry = {"name": name, "stamp": stamp}
        self._offsets[name] = self._append(entry if content is None else {**entry, "content": content})

    def content(self, name: str) -> Any:
        """Return the content given to :meth:`finish`; for local ledgers only."""
        with self._path.open("rb") as file:
            file.seek(self._offsets[name])
            return json.loads(file.readline())["content"]

    def close(self) -> None:
        """Write the entries of a remote ledger that are not saved yet."""
        if not self._unsaved:
            return
        entries: list[dict[str, object]] = [
            {"name": name, "sha256": digest} for name, digests in self._digests.items() for digest in sorted(digests)
        ]
        entries += [{"name": name, "stamp": stamp} for name, stamp in self._stamps.items()]
        write_text(self._path, "".join(map(_line, entries)))
        self._unsaved = 0

    def _append(self, entry: dict[str, object]) -> int:
        """Append a line to a local ledger, and return its offset; write a remote one from time to time."""
        if is_remote(self._path):
            self._unsaved += 1
            if self._unsaved == _REMOTE_INTERVAL:
                self.close()
            return 0
        with self._path.open("ab") as file:
            if not self._ends_with_newline:  # a process was killed while it wrote
                file.write(b"\n")
                self._ends_with_newline = True
            offset = file.tell()
            file.write(_line(entry).encode())
            return offset


def _line(entry: dict[str, object]) -> str:
    return json.dumps(entry) + "\n"  # ASCII escapes preserve names that are not valid UTF-8
