"""Files that appear whole under their name, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``, for the block to write; it becomes ``path`` when the block is through."""
    path = Path(path)
    temporary = path.with_name(f".unfinished-{path.name}")  # with its suffix, by which some writers choose the format
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes ``text`` as UTF-8: whole under its name, or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
