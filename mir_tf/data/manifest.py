"""The manifest of a data set: its splits and shards, how it was built, and what its labels count."""

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
"""The name that TensorFlow Datasets reads from the names of the shards."""


SHARDS = f"{DATA_SET_NAME}-*.tfrecord-*"
"""Pattern of the shards' names."""


MANIFEST_FILE = "manifest.json"


MANIFEST_FORMAT = 3
"""Version of the records and the manifest. Format 2, which differs in names alone, is still read."""

FORMER_NAMES = {"feature_deviation": "feature_std", "left_out": "skipped"}
"""Former name → name now of the fields of format 2."""


def shard_name(split: str, index: int, count: int) -> str:
    """File name of a shard, as TensorFlow Datasets spells it."""
    return f"{DATA_SET_NAME}-{split}.tfrecord-{index:05d}-of-{count:05d}"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard, and what tells that it is whole.

    Attributes:
        name: of the file.
        records: records in it.
        num_bytes: its size.
        sha256: of its bytes, in hexadecimal.
    """

    name: str
    records: int
    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, records: int) -> Shard:
        """The shard in the file ``path``, which holds so many records."""
        return cls(path.name, records, path.stat().st_size, sha256(path))


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """What a split holds.

    Attributes:
        tracks: different tracks.
        songs: different songs among them.
        records: items to learn from: the mixes of the tracks, and stems.
        seconds: audio of all records.
        label_frames: label frames of all records.
        shards: in order.
        activity: vocabulary name → class name → label frames in which the class sounds, by the data set's labels.
        disagreement: vocabulary name → class name → label frames of the mixes in which the class sounds by the
            labels ``midi`` alone, by ``audible`` alone, and by both; empty where the stems were not heard.
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
    """What a data set holds, and how it was made.

    Attributes:
        front_end: of every record.
        splits: split name → its summary.
        feature_mean: mean of all log-mel values of the mixes of the train split, in dB.
        feature_std: their standard deviation, in dB.
        skipped: for every track or stem left out ``{"item": ..., "reason": ...}``.
        source: what it was built from and with which settings.
        labels: the policy of ``config.LABELS`` whose activity is learned and judged.
        leaks: pair of splits → song that stands in both → its tracks.
        findings: track → suspicions against its stems; tracks without are left out.
    """

    front_end: FrontEndConfig
    splits: dict[str, SplitSummary]
    feature_mean: float
    feature_std: float
    skipped: list[dict[str, str]]
    source: dict[str, Any]
    labels: str = "midi"
    leaks: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    findings: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def shards(self) -> list[Shard]:
        """The shards of all splits."""
        return [shard for summary in self.splits.values() for shard in summary.shards]


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Writes ``manifest.json`` in ``folder``: whole under its name, or not at all."""
    content = {
        "format": MANIFEST_FORMAT,
        "fingerprint": manifest.front_end.fingerprint(),
        **dataclasses.asdict(manifest),
    }
    content["front_end"] = manifest.front_end.to_dict()
    write_text(as_path(folder) / MANIFEST_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


_PLAIN = ("feature_mean", "feature_std", "skipped", "source", "labels", "leaks", "findings")
"""Fields of the manifest that JSON holds as they are."""


def read_manifest(folder: str | Path, require_shards: bool = True) -> Manifest:
    """Reads the manifest of the data set in ``folder``.

    Args:
        folder: the data set.
        require_shards: whether it is an error that a shard is missing.

    Raises:
        DataError: there is none, it is damaged, of another version, or names a shard that is missing.
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
            content = with_current_names(content, FORMER_NAMES)
        elif content["format"] != MANIFEST_FORMAT:
            raise DataError(
                f"{path}: format {content['format']}; this version reads format {MANIFEST_FORMAT}: build it again"
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
    """TypeError where a count in a manifest is none."""
    for split in splits:
        counts = [(split, name) for name in ("tracks", "songs", "records", "label_frames")]
        counts += [(shard, name) for shard in split.shards for name in ("records", "num_bytes")]
        for holder, name in counts:
            if type(count := getattr(holder, name)) is not int:  # a bool is an int too
                raise TypeError(f"{name} is {count!r}")


def split_summary(folder: str | Path, manifest: Manifest, split: str) -> SplitSummary:
    """The summary of ``split``.

    Raises:
        DataError: the data set has no such split, or no track in it.
    """
    if split not in manifest.splits or not manifest.splits[split].tracks:
        filled = [name for name, summary in manifest.splits.items() if summary.tracks]
        raise DataError(
            f"{folder}: no track in split {split!r}; the splits with tracks are {', '.join(filled) or 'none'}"
        )
    return manifest.splits[split]


def class_frames(folder: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Label frames [classes] of ``split`` in which each class of ``vocabulary`` sounds.

    Raises:
        DataError: the data set has no such split, no track in it, or its manifest does not count these classes.
    """
    activity = split_summary(folder, manifest, split).activity
    try:
        return np.array([activity[vocabulary.name][name] for name in vocabulary.classes], np.int64)
    except KeyError as error:
        raise DataError(
            f"{folder}: its manifest counts no {error} in split {split!r}; remove the data set and build it again"
        ) from error
