"""What an interrupted build leaves behind, and when a build may go on with it.

All that is not yet the data set stands in a hidden folder within it: the arguments of the build, a part for each
finished track (:mod:`tfrecords_builder.records.writer`), and the rendered tree of a build from MIDI.
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
from mir_tf.data import manifest as records
from mir_tf.errors import AudioError, DataError
from mir_tf.io.files import is_remote, write_text
from mir_tf.io.files import remove as remove_all

UNFINISHED = ".unfinished"
"""The hidden folder."""

PARTS = "parts"
TREE = "tree"
"""Its folders that hold finished work: of tracks, and of rendered ones."""

_ARGUMENTS = "arguments.json"

_REMEDY = "give the same arguments or choose another folder"


def is_finished(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> bool:
    """Whether ``out`` holds a finished data set of these arguments.

    Raises:
        DataError: it holds one of other arguments, or one that is damaged.
    """
    if not (out / records.MANIFEST_FILE).exists():
        return False
    manifest = records.read_manifest(out)
    there = manifest.front_end.to_dict() | manifest.source
    if differences := _differences(there, front_end.to_dict() | source):
        raise DataError(f"{out}: holds a finished data set of other arguments ({differences}); {_REMEDY}")
    return True


@contextlib.contextmanager
def unfinished(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> Iterator[Path]:
    """Begins a data set in ``out``, or goes on with one, and yields the hidden folder, which goes with the block's end.

    Where the block fails or the process is killed, the folder stays, and the same arguments take it up; but for a
    failure before any track was finished.

    Args:
        out: folder of the data set: empty, not there yet, or with an interrupted build of the same arguments.
        front_end: of the data set.
        source: of the data set, as in its manifest.

    Raises:
        DataError: ``out`` is a file, holds other things, a build of other arguments or of another version of this
            package or of TensorFlow, or cannot be written; the block was interrupted or raised an error that a person
            can mend.
    """
    require_free(out, front_end, source)
    folder = out / UNFINISHED
    is_new = not out.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / _ARGUMENTS, json.dumps(_arguments(front_end, source), indent=2, ensure_ascii=False) + "\n")
        yield folder
    except BaseException as error:
        stands = any((folder / PARTS).glob("*.json")) or any((folder / TREE).glob("*/Track*"))
        if not stands:
            with contextlib.suppress(OSError):
                remove_all(folder)
                if is_new:
                    out.rmdir()  # where it holds nothing
        if isinstance(error, (AudioError, DataError, OSError, KeyboardInterrupt)):
            message = str(error) or "interrupted"
            hint = f"\n{out} keeps what is finished: run the same command again to go on" if stands else ""
            raise DataError(message + hint) from error
        raise
    remove(out)


def remove(out: Path) -> None:
    """Removes what a build needed until its data set was finished."""
    with contextlib.suppress(OSError):
        remove_all(out / UNFINISHED)


def _arguments(front_end: FrontEndConfig, source: dict[str, Any]) -> dict[str, Any]:
    # Records are the same, bit for bit, from one version of TensorFlow and of this package only.
    versions = {"tensorflow": tf.__version__, "mir-tf": mir_tf.__version__}
    # One relative path is two trees in two folders.
    root = source.get("slakh") or source.get("midi")
    place = {} if root is None or is_remote(root) else {"place": str(Path(root).resolve())}
    return front_end.to_dict() | source | versions | place


def require_free(out: Path, front_end: FrontEndConfig, source: dict[str, Any]) -> None:
    """Checks that a data set can begin in ``out``, or go on there.

    Raises:
        DataError: it is a file, holds other things, or a build of other arguments or of another version of this package
            or of TensorFlow.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; a data set is a folder")
    stored = out / UNFINISHED / _ARGUMENTS
    if stored.exists():
        try:
            there = json.loads(stored.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{stored}: cannot be read: {error}; remove {out} or choose another folder") from error
        if differences := _differences(there, _arguments(front_end, source)):
            raise DataError(f"{out}: holds an interrupted build of other arguments ({differences}); {_REMEDY}")
    elif held := sorted(path.name for path in out.iterdir() if path.name != UNFINISHED):
        raise DataError(f"{out}: is not empty, it holds {held[0]}; choose another folder")


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    here = json.loads(json.dumps(here))  # as it comes back from a file: lists for tuples
    names = [name for name in there | here if there.get(name) != here.get(name)]
    return "; ".join(f"{name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in names)
