"""The manifest of a data set: its splits and shards, how it was built, and how often each class sounds.

It contains the SHA-256 of each shard, and of its own content (:mod:`mir_tf.io.stored_json`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_POLICIES, FrontEndConfig, with_current_names
from mir_tf.errors import DataError
from mir_tf.io import stored_json
from mir_tf.io.files import as_path, is_remote, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

DATA_SET_NAME = "instruments"
"""Name of the data set, which TensorFlow Datasets reads from the names of the shards."""


SHARDS = f"{DATA_SET_NAME}-*.tfrecord-*"
"""Pattern of the shards' names."""


MANIFEST_FILE = "manifest.json"


MANIFEST_FORMAT = 3
"""Version of the records and the manifest. Format 2, which differs only in names, is still read."""

_FORMER_FIELDS = {"feature_deviation": "feature_std", "left_out": "skipped", "findings": "stem_checks"}
"""Renamed fields of format 2: former name → current name."""

FORMER_SOURCE_NAMES = {"vary": "augment"}
"""Renamed fields of ``source`` in format 2: former name → current name."""


def shard_name(split: str, index: int, count: int) -> str:
    """Return the file name of a shard in the form of TensorFlow Datasets."""
    return f"{DATA_SET_NAME}-{split}.tfrecord-{index:05d}-of-{count:05d}"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard, with the size and digest that show whether it is complete.

    Attributes:
        name: Name of the file.
        records: Number of records.
        num_bytes: Size of the file.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    name: str
    records: int
    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, records: int) -> Shard:
        """Describe the file ``path`` with this number of records."""
        return cls(path.name, records, path.stat().st_size, sha256(path))


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """The content of a split.

    Attributes:
        tracks: Number of tracks.
        songs: Number of songs that the tracks belong to.
        records: Number of records: the mixes of the tracks, and stems.
        seconds: Length of all records.
        label_frames: Label frames of all records.
        shards: The shards in order.
        activity: Vocabulary name → class name → label frames in which the class sounds, by the data set's labels.
        disagreement: Vocabulary name → class name → label frames of the mixes in which the class sounds by the
            labels ``midi`` alone, by ``audible`` alone, and by both; empty if the audio of the stems was not measured.
    """

    tracks: int
    songs: int
    records: int
    seconds: float
    label_frames: int
    shards: list[Shard]
    activity: dict[str, dict[str, int]]
    disagreement: dict[str, dict[str, list[int]]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of a data set, and how it was built.

    Attributes:
        front_end: Front end of every record.
        splits: Split name → its summary.
        feature_mean: Mean of all log-mel values of the mixes of the train split, in dB.
        feature_std: Standard deviation of these values, in dB.
        skipped: ``{"item": ..., "reason": ...}`` for every track or stem that was left out.
        source: Origin of the data set, and the settings of its build.
        labels: The policy of :data:`mir_tf.config.LABEL_POLICIES` that models are trained and evaluated on.
        leaks: Pair of splits → song in both → its tracks.
        stem_checks: Track → warnings about its stems; only tracks with warnings.
    """

    front_end: FrontEndConfig
    splits: dict[str, SplitSummary]
    feature_mean: float
    feature_std: float
    skipped: list[dict[str, str]]
    source: dict[str, Any]
    labels: str = "midi"
    leaks: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    stem_checks: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def shards(self) -> list[Shard]:
        """Return the shards of all splits."""
        return [shard for summary in self.splits.values() for shard in summary.shards]


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into ``folder``, completely or not at all."""
    content = {
        "format": MANIFEST_FORMAT,
        "fingerprint": manifest.front_end.fingerprint(),
        **dataclasses.asdict(manifest),
    }
    content["front_end"] = manifest.front_end.to_dict()
    text = json.dumps(stored_json.sealed(content), indent=2, ensure_ascii=False)
    write_text(as_path(folder) / MANIFEST_FILE, text + "\n")


SMALLEST_DEVIATION = 1e-6
"""Smallest standard deviation of log-mel values in dB. Features are divided by it."""

_AGAIN = "copy the data set again, or remove it and build it again"


def read_manifest(folder: str | Path, require_shards: bool = True) -> Manifest:
    """Read the manifest of the data set in ``folder``.

    Args:
        folder: Folder of the data set.
        require_shards: Whether a missing shard is an error.

    Raises:
        DataError: There is no manifest, it is damaged or has another version, or a shard is missing.
    """
    path = as_path(folder) / MANIFEST_FILE
    try:
        content = stored_json.parse_object(path.read_bytes())
        version = stored_json.count(content.get("format"), "format")
        if version not in (2, MANIFEST_FORMAT):
            raise DataError(f"{path}: format {version}; this version reads 2 and {MANIFEST_FORMAT}: build it again")
        content, has_digest = stored_json.unsealed(content)
        if version == 2:
            content = with_current_names(content, _FORMER_FIELDS)
            source = stored_json.mapping(content.get("source"), "source")
            content["source"] = with_current_names(source, FORMER_SOURCE_NAMES)
        manifest = _manifest(content)
    except FileNotFoundError:
        raise DataError(
            f"{folder}: no {MANIFEST_FILE}: not a data set, or its build has not finished; "
            "build one with python -m tfrecords_builder"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}; {_AGAIN}") from error
    for shard in manifest.shards() if require_shards else []:
        if not (path.parent / shard.name).is_file():
            raise DataError(f"{folder}: shard {shard.name} is missing; {_AGAIN}")
    if not has_digest:
        stored_json.warn_undigested(path, "build the data set again")
    return manifest


def _manifest(content: dict[str, Any]) -> Manifest:
    """Return the manifest with these fields, each checked by itself and against the others.

    Raises:
        ValueError: One is missing, unknown or wrong.
    """
    names = [field.name for field in dataclasses.fields(Manifest)]
    stored_json.fields(content, MANIFEST_FILE, "format", "fingerprint", *names)
    front_end = FrontEndConfig.from_dict(stored_json.mapping(content["front_end"], "front_end"))
    if content["fingerprint"] != front_end.fingerprint():
        raise ValueError("the front end does not give the stored fingerprint")
    if content["labels"] not in LABEL_POLICIES:
        raise ValueError(f"labels is {content['labels']!r}; it must be {' or '.join(LABEL_POLICIES)}")
    splits = stored_json.mapping(content["splits"], "splits")
    skipped = stored_json.items(content["skipped"], "skipped")
    return Manifest(
        front_end=front_end,
        splits={name: _split(name, summary) for name, summary in splits.items()},
        feature_mean=stored_json.number(content["feature_mean"], "feature_mean", -1000, 1000),
        feature_std=stored_json.number(content["feature_std"], "feature_std", SMALLEST_DEVIATION, 1000),
        skipped=[_texts(item, f"skipped[{index}]") for index, item in enumerate(skipped)],
        source=stored_json.mapping(content["source"], "source"),
        labels=content["labels"],
        leaks={
            pair: {song: _text_list(tracks, f"leaks.{pair}.{song}") for song, tracks in songs.items()}
            for pair, songs in _mappings(content["leaks"], "leaks").items()
        },
        stem_checks={
            track: _text_list(warnings, f"stem_checks.{track}")
            for track, warnings in stored_json.mapping(content["stem_checks"], "stem_checks").items()
        },
    )


def _split(split: str, stored: Any) -> SplitSummary:
    """Return the summary of a split.

    Raises:
        ValueError: A value in it is wrong.
    """
    where = f"splits.{split}"
    names = [field.name for field in dataclasses.fields(SplitSummary)]
    content = stored_json.fields(stored, where, *names[:-1], optional=(names[-1],))
    counts = {
        name: stored_json.count(content[name], f"{where}.{name}")
        for name in ("tracks", "songs", "records", "label_frames")
    }
    shards = stored_json.items(content["shards"], f"{where}.shards")
    frames = counts["label_frames"]
    summary = SplitSummary(
        **counts,
        seconds=stored_json.number(content["seconds"], f"{where}.seconds", 0, 1e12),
        shards=[_shard(each, f"{where}.shards[{index}]") for index, each in enumerate(shards)],
        activity={
            vocabulary: {
                name: stored_json.count(value, f"{where}.activity.{vocabulary}.{name}", 0, frames)
                for name, value in classes.items()
            }
            for vocabulary, classes in _of_vocabularies(content["activity"], f"{where}.activity").items()
        },
        disagreement={
            vocabulary: {
                name: _three_counts(values, f"{where}.disagreement.{vocabulary}.{name}", frames)
                for name, values in classes.items()
            }
            for vocabulary, classes in _of_vocabularies(
                content.get("disagreement", {}), f"{where}.disagreement"
            ).items()
        },
    )
    for index, shard in enumerate(summary.shards):
        if shard.name != (right := shard_name(split, index, len(shards))):
            raise ValueError(f"{where}.shards[{index}].name is {shard.name[:80]!r}; it must be {right}")
    if not summary.songs <= summary.tracks <= summary.records or (summary.records > 0) != (summary.tracks > 0):
        raise ValueError(f"{where} has {summary.songs} songs, {summary.tracks} tracks and {summary.records} records")
    return summary


def _shard(stored: Any, where: str) -> Shard:
    content = stored_json.fields(stored, where, *(field.name for field in dataclasses.fields(Shard)))
    return Shard(
        name=stored_json.text(content["name"], f"{where}.name"),
        records=stored_json.count(content["records"], f"{where}.records"),
        num_bytes=stored_json.count(content["num_bytes"], f"{where}.num_bytes"),
        sha256=stored_json.sha256_text(content["sha256"], f"{where}.sha256"),
    )


def _of_vocabularies(stored: Any, where: str) -> dict[str, dict[str, Any]]:
    """Return an object of each vocabulary's counts, without vocabularies that this version does not have."""
    return {name: classes for name, classes in _mappings(stored, where).items() if name in VOCABULARIES}


def _mappings(stored: Any, where: str) -> dict[str, dict[str, Any]]:
    content = stored_json.mapping(stored, where)
    return {name: stored_json.mapping(each, f"{where}.{name}") for name, each in content.items()}


def _texts(stored: Any, where: str) -> dict[str, str]:
    content = stored_json.mapping(stored, where)
    return {name: stored_json.text(each, f"{where}.{name}") for name, each in content.items()}


def _text_list(stored: Any, where: str) -> list[str]:
    return [stored_json.text(each, where) for each in stored_json.items(stored, where)]


def _three_counts(stored: Any, where: str, most: int) -> list[int]:
    values = [stored_json.count(each, where, 0, most) for each in stored_json.items(stored, where)]
    if len(values) != 3:
        raise ValueError(f"{where} has {len(values)} counts; it must have 3")
    return values


OnShard = Callable[[int, int], None]
"""Called with the bytes that are checked so far, and the bytes of all shards."""

_intact: dict[tuple[str, str], tuple[int, int]] = {}
"""Path and SHA-256 of the shards that this process has checked → their size and time of change then."""

_CHECKS_AT_ONCE = 4
"""Number of shards that are read at once: hashing leaves Python, so that they use several cores."""


def require_intact(
    folder: str | Path, manifest: Manifest, splits: Sequence[str], progress: OnShard | None = None
) -> None:
    """Check that the shards of some splits are those that the manifest lists, by their size and SHA-256.

    A shard is checked once in a process, unless it changes.

    Args:
        folder: Folder of the data set.
        manifest: Its manifest.
        splits: Names of the splits; those that the data set does not have are ignored.
        progress: Called after each shard.

    Raises:
        DataError: A shard is missing, cannot be read, or is another file.
    """
    shards = [shard for name in splits if name in manifest.splits for shard in manifest.splits[name].shards]
    total, done = sum(shard.num_bytes for shard in shards), 0
    with ThreadPoolExecutor(_CHECKS_AT_ONCE) as pool:
        checks = [pool.submit(_require_intact, as_path(folder) / shard.name, shard) for shard in shards]
        try:
            for shard, check in zip(shards, checks, strict=True):
                check.result()
                done += shard.num_bytes
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _require_intact(path: Path, shard: Shard) -> None:
    try:
        key = (str(path if is_remote(path) else path.absolute()), shard.sha256)
        status = path.stat()
        now = (status.st_size, status.st_mtime_ns)
        if _intact.get(key) == now:
            return
        if now[0] != shard.num_bytes:
            raise DataError(f"{path}: damaged: {now[0]} bytes; the manifest lists {shard.num_bytes}; {_AGAIN}")
        if sha256(path) != shard.sha256:
            raise DataError(f"{path}: damaged: its SHA-256 differs from the manifest; {_AGAIN}")
    except FileNotFoundError:
        raise DataError(f"{path.parent}: shard {path.name} is missing; {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    _intact[key] = now


def split_summary(folder: str | Path, manifest: Manifest, split: str) -> SplitSummary:
    """Return the summary of ``split``.

    Raises:
        DataError: The data set has no such split, or no tracks in it.
    """
    if split not in manifest.splits or not manifest.splits[split].tracks:
        filled = [name for name, summary in manifest.splits.items() if summary.tracks]
        raise DataError(
            f"{folder}: no track in split {split!r}; the splits with tracks are {', '.join(filled) or 'none'}"
        )
    return manifest.splits[split]


def class_frames(folder: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return the label frames [classes] of ``split`` in which each class of ``vocabulary`` sounds.

    Raises:
        DataError: The data set has no such split, no tracks in it, or its manifest does not count these classes.
    """
    activity = split_summary(folder, manifest, split).activity
    try:
        return np.array([activity[vocabulary.name][name] for name in vocabulary.classes], np.int64)
    except KeyError as error:
        raise DataError(
            f"{folder}: its manifest counts no {error} in split {split!r}; remove the data set and build it again"
        ) from error
