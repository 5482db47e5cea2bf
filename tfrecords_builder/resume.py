"""Leftovers of an interrupted build, and the check of whether a build may continue with them.

A hidden folder within the data set contains everything unfinished: the arguments of the build, a part for each
finished track (:mod:`tfrecords_builder.records.writer`), and the plan of a build from MIDI.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

import mir_tf
from mir_tf.config import FrontEndConfig
from mir_tf.data.manifest import MANIFEST_FILE, read_manifest
from mir_tf.errors import AudioError, DataError
from mir_tf.io import stored_json
from mir_tf.io.files import is_remote, remove, write_text
from mir_tf.io.locks import is_lock
from mir_tf.io.write_errors import writing

UNFINISHED = ".unfinished"
"""The hidden folder."""

PARTS = "parts"
TREE = "tree"
"""Its folders: parts of finished tracks, and songs.json of a build from MIDI."""

_ARGUMENTS = "arguments.json"

_REMEDY = "give the same arguments or choose another folder"


def is_finished(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> bool:
    """Return whether ``out`` contains a finished data set with these arguments.

    Raises:
        DataError: It contains one with other arguments, or one that is damaged.
    """
    if not (out / MANIFEST_FILE).exists():
        return False
    manifest = read_manifest(out)
    there = manifest.front_end.to_dict() | manifest.source
    if differences := _differences(there, front_end.to_dict() | source):
        raise DataError(f"{out}: contains a finished data set with other arguments ({differences}); {_REMEDY}")
    return True


@contextlib.contextmanager
def unfinished(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> Iterator[Path]:
    """Begin or continue a data set in ``out``. Yield the hidden folder, which is removed when the block ends.

    If the block fails or the process is killed after a track was finished, the folder remains, and a build with the
    same arguments continues with it.

    Args:
        out: Folder of the data set: new, empty, or with an interrupted build with the same arguments.
        front_end: Front end of the data set.
        source: Source of the data set, as in its manifest.

    Raises:
        DataError: ``out`` is a file, contains something else, contains a build with other arguments or another version
            of this package or of TensorFlow, or is not writable; or the block raised an error that a user can fix.
        KeyboardInterrupt: The block was interrupted; the message says how to continue.
    """
    require_free(out, front_end, source)
    folder = out / UNFINISHED
    is_new = not out.exists()
    try:
        with writing(out, folder):
            folder.mkdir(parents=True, exist_ok=True)
            arguments = json.dumps(_arguments(front_end, source), indent=2, ensure_ascii=False)
            write_text(folder / _ARGUMENTS, f"{arguments}\n")
            yield folder
    except BaseException as error:
        has_finished = any((folder / PARTS).glob("*.json"))
        if not has_finished:
            with contextlib.suppress(OSError):
                remove(folder)
                if is_new:
                    out.rmdir()  # if it is empty
        hint = f"\n{out} keeps the finished tracks: run the same command again to continue" if has_finished else ""
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted{hint}") from error
        if isinstance(error, (AudioError, DataError, OSError)):
            raise DataError(f"{error}{hint}") from error
        raise
    remove_unfinished(out)


def remove_unfinished(out: Path) -> None:
    """Remove the hidden folder of a finished data set."""
    with contextlib.suppress(OSError):
        remove(out / UNFINISHED)


def _arguments(front_end: FrontEndConfig, source: dict[str, Any]) -> dict[str, Any]:
    # Only one version of TensorFlow and of this package gives the same records, bit for bit.
    versions = {"tensorflow": tf.__version__, "mir-tf": mir_tf.__version__}
    # In another working directory, a relative path is another tree.
    root = source.get("slakh") or source.get("midi")
    place = {} if root is None or is_remote(root) else {"place": str(Path(root).resolve())}
    return front_end.to_dict() | source | versions | place


def require_free(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> None:
    """Check that a data set can begin or continue in ``out``.

    Raises:
        DataError: It is a file, contains something else, or contains a build with other arguments or another version of
            this package or of TensorFlow.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; choose a folder for the data set")
    stored = out / UNFINISHED / _ARGUMENTS
    if stored.exists():
        try:
            there = stored_json.parse_object(stored.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(f"{stored}: cannot be read: {error}; remove {out} or choose another folder") from error
        if differences := _differences(there, _arguments(front_end, source)):
            raise DataError(f"{out}: contains an interrupted build with other arguments ({differences}); {_REMEDY}")
    elif others := sorted(path.name for path in out.iterdir() if path.name != UNFINISHED and not is_lock(path)):
        raise DataError(f"{out}: is not empty, it contains {others[0]}; choose another folder")


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    here = json.loads(json.dumps(here))  # as read from a file: lists instead of tuples
    names = [name for name in there | here if there.get(name) != here.get(name)]
    return "; ".join(f"{name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in names)
