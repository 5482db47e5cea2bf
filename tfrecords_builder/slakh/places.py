"""The places of tracks in a tree or an archive: the names of tracks and splits, however they were unpacked or renamed.

Places are relative to the root, as a tuple of folder names.
"""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import display_path
from tfrecords_builder.slakh.splits import OMITTED

Place = tuple[str, ...]

_SPLIT_NAMES = {
    **{name: name for name in (*SPLITS, OMITTED)},
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}
"""Names of the folders of splits, in lower case. ``eval`` is not among them: it can mean validation or test."""

_TRACK = re.compile(r"track(?!s?$)", re.IGNORECASE)
_NUMBERED = re.compile(r"track[ _-]?(\d{1,5})", re.IGNORECASE)
_COPY = re.compile(
    r"(track[ _-]?\d+)(\s*\(\d+\)|\s+\d+|~|[\s._-]+(copy|copie|kopie|copia|backup|bak|old|orig|dup|duplicate)\b.*)",
    re.IGNORECASE,
)

_ARCHIVE = re.compile(r"(.+?)\.(tar|tar\.\w+|tgz|tbz2?|txz|zip|7z|rar)([.-](part)?-?\w+)?", re.IGNORECASE)

_LEFTOVERS = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The split and the release that the folders above a track name.

    Attributes:
        split: train, validation, test or omitted; empty if no folder has such a name.
        release: The folder above that of the split: each release of Slakh has one.
        fault: Reason why the split is unknown although folders name it. Otherwise empty.
    """

    split: str
    release: Place
    fault: str = ""


def is_leftover(name: str) -> bool:
    """Return whether an operating system left a file or folder of this name: nothing in it belongs to Slakh."""
    return name.startswith(".") or name in _LEFTOVERS


def is_track(name: str) -> bool:
    """Return whether a folder of this name contains a track."""
    return _TRACK.match(name) is not None


def is_numbered(name: str) -> bool:
    """Return whether the name is that of a track of Slakh2100, such as ``Track1``."""
    return _NUMBERED.fullmatch(name) is not None


def track_id(name: str) -> str:
    """Return the id of the track in a folder of this name: ``Track1`` and ``track00001`` are Track00001."""
    match = _NUMBERED.fullmatch(name)
    return f"Track{int(match[1]):05d}" if match else name


def copied_track(name: str) -> str:
    """Return the id of the track that a folder is a copy of, by a name such as ``Track00001 (1)``; otherwise empty."""
    match = _COPY.fullmatch(name)
    return track_id(match[1]) if match else ""


def split_named(name: str) -> str:
    """Return the split that a folder's name stands for, such as ``Train`` or ``val``; otherwise empty."""
    return _SPLIT_NAMES.get(name.lower(), "")


def packed_name(name: str) -> str:
    """Return the name of an archive, or of a part of one, without its suffixes; empty for other files."""
    match = _ARCHIVE.fullmatch(name)
    return match[1] if match else ""


def shown(root: Path, place: Iterable[str]) -> str:
    """Return the path of a place for messages."""
    return display_path(root.joinpath(*place))


def common(tracks: Iterable[Place]) -> list[Place]:
    """Return the places of the folders that contain all tracks, the outermost, which is the root, first."""
    parents = [Path(*track[:-1]) for track in tracks]
    parts = Path(os.path.commonpath(parents)).parts if parents else ()
    return [parts[:at] for at in range(len(parts) + 1)]


def assign_splits(root: Path, parents: Collection[Place]) -> dict[Place, Assignment]:
    """Find the splits that folders of tracks belong to.

    The folders that all tracks have in common, such as an outer folder with the name of the release, matter only where
    no other folder names a split.

    Args:
        root: The tree or archive. Its own name counts if no folder in it names a split.
        parents: The places of the folders that contain tracks.
    """
    outer = common((*parent, "") for parent in parents)[-1]
    while outer and split_named(outer[-1]) and outer in parents:
        outer = outer[:-1]
    wrapper = next((split for part in reversed(outer) if (split := split_named(part))), "")
    found = {parent: _assign(parent, len(outer), wrapper) for parent in parents}
    if not any(item.split or item.fault for item in found.values()):
        name = os.path.basename(os.path.abspath(root))
        own = split_named(packed_name(name) or name)
        found = {parent: dataclasses.replace(item, split=own) for parent, item in found.items()}
    return found


def _assign(parent: Place, start: int, wrapper: str) -> Assignment:
    """Assign a folder of tracks, by the names of its folders from ``start`` on, or else by ``wrapper``."""
    inner = parent[start:]
    for find in (split_named, _split_mentioned):
        names = [find(part) for part in inner]
        splits = {name for name in names if name}
        if OMITTED in splits:
            splits = {OMITTED}
        if len(splits) == 1:
            (split,) = splits
            # A folder around it may name the same split less clearly: slakh_train/train.
            first = next(at for at, part in enumerate(inner) if split_named(part) or _split_mentioned(part) == split)
            return Assignment(split, parent[: start + first])
        if splits:
            return Assignment("", parent[:start], f"is in folders of several splits ({', '.join(sorted(splits))})")
    return Assignment(wrapper, parent[:start] if wrapper else parent)


def _split_mentioned(name: str) -> str:
    """Return the only split that a name mentions, such as ``train (1)`` or ``slakh_devset``; otherwise empty."""
    words = {_SPLIT_NAMES.get(word.removesuffix("set"), "") for word in re.findall("[a-z]+", name.lower())} - {""}
    return words.pop() if len(words) == 1 else ""


def require_one_release(root: Path, tracks: Mapping[Place, Sequence[str]], splits: Mapping[Place, Assignment]) -> None:
    """Refuse several releases of Slakh in one folder: they share songs.

    Folders of tracks without splits may be parts of one release, unless some of their tracks have the same name.

    Args:
        root: The tree or archive.
        tracks: Folder with tracks → the tracks' names.
        splits: Folder with tracks → its split.

    Raises:
        DataError: The message lists the releases and their numbers of tracks.
    """
    releases: dict[Place, list[str]] = {}
    for parent, names in tracks.items():
        releases.setdefault(splits[parent].release, []).extend(names)
    own = min(releases, key=len, default=())
    is_outer = all(release[: len(own)] == own for release in releases)
    own_names = releases.pop(own, []) if is_outer else []
    has_splits = any(splits[parent].split for parent in tracks if splits[parent].release in releases)
    groups = [set(own_names), *map(set, releases.values())]
    if len(releases) + bool(own_names) < 2:
        return
    if has_splits or len(set().union(*groups)) < sum(map(len, groups)):
        listed = ", ".join(f"{shown(root, place)} ({_count(names)})" for place, names in releases.items())
        if own_names:
            raise DataError(
                f"{root}: has {_count(own_names)} of its own and contains another release of Slakh: "
                f"{listed}. Move that out of the folder, or give its path instead"
            )
        raise DataError(
            f"{root}: contains several releases of Slakh: {listed}. Choose one and name its folder; if they are parts "
            "of one release, move their folders of splits together"
        )


def _count(tracks: Sequence[str]) -> str:
    return f"{len(tracks)} track{'' if len(tracks) == 1 else 's'}"
