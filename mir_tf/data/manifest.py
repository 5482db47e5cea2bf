"""The manifest of a data set: its splits and shards, how it was built, and how often each class sounds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_POLICIES, FrontEndConfig, with_current_names
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.files import as_path, sha256, write_text
from mir_tf.vocabulary import Vocabulary

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
    write_text(as_path(folder) / MANIFEST_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


_PLAIN = ("feature_mean", "feature_std", "skipped", "source", "labels", "leaks", "stem_checks")
"""Fields of the manifest that JSON stores unchanged."""


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder}: no {MANIFEST_FILE}: not a data set, or its build has not finished; "
            "build one with python -m tfrecords_builder"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    try:
        if content["format"] == 2:
            content = with_current_names(content, _FORMER_FIELDS)
            content["source"] = with_current_names(content["source"], FORMER_SOURCE_NAMES)
        elif content["format"] != MANIFEST_FORMAT:
            raise DataError(
                f"{path}: format {content['format']}; this version reads 2 and {MANIFEST_FORMAT}: build it again"
            )
        front_end = FrontEndConfig.from_dict(content["front_end"])
        splits = {
            name: SplitSummary(**{**summary, "shards": [Shard(**shard) for shard in summary["shards"]]})
            for name, summary in content["splits"].items()
        }
        _require_counts(splits.values())
        manifest = Manifest(
            front_end=front_end,
            splits=splits,
            **{key: content[key] for key in _PLAIN},
        )
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{path}: damaged: {error!r}; remove the data set and build it again") from error
    if content.get("fingerprint") != front_end.fingerprint():
        raise DataError(
            f"{path}: the front end does not give the stored fingerprint; remove the data set and build it again"
        )
    for shard in manifest.shards() if require_shards else []:
        if not (path.parent / shard.name).is_file():
            raise DataError(f"{folder}: shard {shard.name} is missing; remove the data set and build it again")
    if manifest.labels not in LABEL_POLICIES:
        raise DataError(f"{path}: damaged: labels {manifest.labels!r}; remove the data set and build it again")
    return manifest


def _require_counts(splits: Iterable[SplitSummary]) -> None:
    """Raise TypeError unless every count in the manifest is an integer."""
    for split in splits:
        counts = [(split, name) for name in ("tracks", "songs", "records", "label_frames")]
        counts += [(shard, name) for shard in split.shards for name in ("records", "num_bytes")]
        for holder, name in counts:
            if type(count := getattr(holder, name)) is not int:  # a bool is an int too
                raise TypeError(f"{name} is {count!r}")


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
