"""What a data set on disk is: the TFRecord keys, encoder beside parser, and the manifest.

A data set is a folder of shards ``instruments-SPLIT.tfrecord-00000-of-00004`` and a ``manifest.json`` that is written
last: a folder without one is no data set. One record is one track, of variable length, unnormalised and unpadded.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import LABELS, FrontEndConfig
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.files import as_path, sha256, write_text
from mir_tf.vocabulary import NUM_PROGRAMS, Vocabulary

DATA_SET_NAME = "instruments"
"""The name that TensorFlow Datasets reads from the names of the shards."""

SHARDS = f"{DATA_SET_NAME}-*.tfrecord-*"
"""Pattern of the shards' names."""

MANIFEST = "manifest.json"
FORMAT = 2
"""Version of the records and the manifest; a reader refuses any other."""

ACTIVITY_BYTES = -(-NUM_PROGRAMS // 8)
"""Bytes of a label frame: a bit a program."""

_FEATURES = {
    "id": tf.io.FixedLenFeature([], tf.string),
    "song": tf.io.FixedLenFeature([], tf.string),
    "num_samples": tf.io.FixedLenFeature([], tf.int64),
    "sample_rate": tf.io.FixedLenFeature([], tf.int64),
    "num_frames": tf.io.FixedLenFeature([], tf.int64),
    "num_mels": tf.io.FixedLenFeature([], tf.int64),
    "num_label_frames": tf.io.FixedLenFeature([], tf.int64),
    "log_mel": tf.io.FixedLenFeature([], tf.string),
    "activity": tf.io.FixedLenFeature([], tf.string),
    "audible": tf.io.FixedLenFeature([], tf.string),
}


@dataclasses.dataclass(frozen=True)
class Record:
    """One track, or one stem of it alone.

    Attributes:
        id: name of the track, or of track and stem; unique in the data set.
        song: the song it belongs to; the manifest names the songs that stand in more than one split.
        num_samples: length of the audio used, at ``sample_rate``.
        sample_rate: Hz.
        log_mel: float16 [frames, mels] in dB, raw.
        activity: bool [label frames, 129], per General MIDI program, drums last: the labels ``midi``.
        audible: the labels ``audible``, alike; None where the stems were not heard.
        findings: suspicions against stems, for the manifest; they are not stored in the record.
    """

    id: str
    song: str
    num_samples: int
    sample_rate: int
    log_mel: NDArray[np.float16]
    activity: NDArray[np.bool_]
    audible: NDArray[np.bool_] | None = None
    findings: tuple[str, ...] = ()

    def targets(self, labels: str) -> NDArray[np.bool_]:
        """Activity [label frames, 129] by a policy of ``config.LABELS``.

        Raises:
            ValueError: the stems were not heard.
        """
        if labels == "midi":
            return self.activity
        if self.audible is None:
            raise ValueError(f"{self.id}: has no labels {labels!r}")
        return self.audible


def stem_id(track: str, stem: str) -> str:
    """The id of the record of a stem: of the track ``track``, and there named ``stem``."""
    return f"{track}-{stem}"


def is_stem_of(record: str, track: str) -> bool:
    """Whether ``record`` may be the id of a stem of ``track``: in its shard it follows the mix of its track."""
    return record.startswith(stem_id(track, ""))


def is_stem(record: tf.Tensor) -> tf.Tensor:
    """Whether ``record``, a string, is the id of a stem, as a graph operation. Slakh's stems are named S00, S01, ..."""
    return tf.strings.regex_full_match(record, stem_id(".+", r"S\d+"))


def encode(record: Record) -> bytes:
    """A serialised ``tf.train.Example``; the same record gives the same bytes."""

    def integers(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def text(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "id": text(record.id.encode()),
        "song": text(record.song.encode()),
        "num_samples": integers(record.num_samples),
        "sample_rate": integers(record.sample_rate),
        "num_frames": integers(record.log_mel.shape[0]),
        "num_mels": integers(record.log_mel.shape[1]),
        "num_label_frames": integers(record.activity.shape[0]),
        "log_mel": text(np.ascontiguousarray(record.log_mel, "<f2").tobytes()),
        "activity": text(np.packbits(record.activity, axis=1).tobytes()),
        "audible": text(b"" if record.audible is None else np.packbits(record.audible, axis=1).tobytes()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def parse(serialized: tf.Tensor, labels: str = "midi") -> dict[str, tf.Tensor]:
    """The inverse of :func:`encode`, as a graph operation.

    Args:
        serialized: a record.
        labels: which activity to give: the manifest says which is the data set's.

    Returns:
        ``id`` and ``song`` (string), ``num_samples`` and ``sample_rate`` (int64), ``log_mel`` float32 [frames, mels],
        ``activity`` float32 [label frames, 129] of 0 and 1.
    """
    features = tf.io.parse_single_example(serialized, _FEATURES)
    log_mel = tf.io.decode_raw(features["log_mel"], tf.float16, little_endian=True)
    log_mel = tf.reshape(log_mel, [features["num_frames"], features["num_mels"]])
    packed = tf.io.decode_raw(features["activity" if labels == "midi" else labels], tf.uint8)
    packed = tf.reshape(packed, [features["num_label_frames"], ACTIVITY_BYTES, 1])
    # numpy.packbits puts the first of eight in the highest bit.
    bits = tf.bitwise.bitwise_and(packed, tf.constant([128, 64, 32, 16, 8, 4, 2, 1], tf.uint8))
    activity = tf.reshape(tf.cast(bits > 0, tf.float32), [features["num_label_frames"], 8 * ACTIVITY_BYTES])
    return {
        "id": features["id"],
        "song": features["song"],
        "num_samples": features["num_samples"],
        "sample_rate": features["sample_rate"],
        "log_mel": tf.cast(log_mel, tf.float32),
        "activity": activity[:, :NUM_PROGRAMS],
    }


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
        feature_deviation: their standard deviation, in dB.
        left_out: for every track or stem left out ``{"item": ..., "reason": ...}``.
        source: what it was built from and with which settings.
        labels: the policy of ``config.LABELS`` whose activity is learned and judged.
        leaks: pair of splits → song that stands in both → its tracks.
        findings: track → suspicions against its stems; tracks without are left out.
    """

    front_end: FrontEndConfig
    splits: dict[str, SplitSummary]
    feature_mean: float
    feature_deviation: float
    left_out: list[dict[str, str]]
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
        "format": FORMAT,
        "fingerprint": manifest.front_end.fingerprint(),
        **dataclasses.asdict(manifest),
    }
    content["front_end"] = manifest.front_end.to_dict()
    write_text(as_path(folder) / MANIFEST, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


_PLAIN = ("feature_mean", "feature_deviation", "left_out", "source", "labels", "leaks", "findings")
"""Fields of the manifest that JSON holds as they are."""


def read_manifest(folder: str | Path, require_shards: bool = True) -> Manifest:
    """Reads the manifest of the data set in ``folder``.

    Args:
        folder: the data set.
        require_shards: whether it is an error that a shard is missing.

    Raises:
        DataError: there is none, it is damaged, of another version, or names a shard that is missing.
    """
    path = as_path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder}: no {MANIFEST}: not a data set, or its build has not finished; "
            "build one with python -m tfrecords_builder"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    try:
        if content["format"] != FORMAT:
            raise DataError(f"{path}: format {content['format']}; this version reads format {FORMAT}: build it again")
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
    if manifest.labels not in LABELS:
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
