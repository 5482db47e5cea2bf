"""From finished tracks to a data set: part files, then shards, each whole or absent under its name."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mir_tf.config import SPLITS
from mir_tf.data import manifest
from mir_tf.data.manifest import Shard, SplitSummary
from mir_tf.data.records import Record, encode
from mir_tf.io.files import atomic_write, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.slakh.tree import Track

SHARD_BYTES = 100_000_000
"""Size that shards come close to: few enough files for a bucket, enough of them to shuffle."""


@dataclasses.dataclass(frozen=True)
class TrackPart:
    """A finished track: the file ``ID.tfrecord`` of its records, and in ``ID.json`` what the manifest needs to know.

    Attributes:
        id: of the track.
        song: of the track.
        split: of the track.
        records: how many.
        num_bytes: size of the file.
        sha256: of the file.
        seconds: of audio, of all records.
        label_frames: of all records.
        activity: vocabulary name → label frames of each class, in the vocabulary's order, of all records.
        disagreement: vocabulary name → label frames of the mix in which each class sounds by the labels ``midi``
            alone, by ``audible`` alone, and by both; empty where the stems were not heard.
        stem_checks: check_stem against stems.
        num_values: values of the log-mel of the mix: stems, mostly silent, would move the mean away from what a
            model is to hear.
        total: their sum.
        total_squares: the sum of their squares.
    """

    id: str
    song: str
    split: str
    records: int
    num_bytes: int
    sha256: str
    seconds: float
    label_frames: int
    activity: dict[str, list[int]]
    disagreement: dict[str, list[list[int]]]
    stem_checks: list[str]
    num_values: int
    total: float
    total_squares: float


def write_part(folder: Path, track: Track, records: Sequence[Record], labels: str) -> TrackPart:
    """Writes a finished track into ``folder``.

    Args:
        folder: of the parts.
        track: whose records they are.
        records: of the mix, then of its stems.
        labels: the policy that the counts go by.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    mix = records[0]
    activity = {name: np.zeros(len(vocabulary.classes), int) for name, vocabulary in VOCABULARIES.items()}
    path = _data(folder, track.id)
    with atomic_write(path) as temporary:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as file:
                for record in records:
                    file.write(encode(record))
                    for name, vocabulary in VOCABULARIES.items():
                        activity[name] += vocabulary.project(record.targets(labels)).sum(axis=0)
        except tf.errors.OpError as error:
            raise OSError(error.message) from error
        num_bytes, digest = temporary.stat().st_size, sha256(temporary)
    # The square of a float16 is exact in float32, and half as large as in float64.
    squares = np.square(mix.log_mel, dtype=np.float32)
    part = TrackPart(
        id=track.id,
        song=track.song,
        split=track.split,
        records=len(records),
        num_bytes=num_bytes,
        sha256=digest,
        seconds=sum(record.num_samples / record.sample_rate for record in records),
        label_frames=sum(len(record.activity) for record in records),
        activity={name: frames.tolist() for name, frames in activity.items()},
        disagreement=_disagreement(mix),
        stem_checks=list(mix.stem_checks),
        num_values=mix.log_mel.size,
        total=float(mix.log_mel.sum(dtype=np.float64)),
        total_squares=float(squares.sum(dtype=np.float64)),
    )
    # Last: a part without this file is none.
    write_text(_facts(folder, track.id), json.dumps(dataclasses.asdict(part)))
    return part


def move_part(track: str, start: Path, folder: Path) -> None:
    """Moves the part of a track from one folder to another, in the order of :func:`write_part`."""
    for path in (_data, _facts):
        os.replace(path(start, track), path(folder, track))


def _disagreement(mix: Record) -> dict[str, list[list[int]]]:
    if mix.audible is None:
        return {}
    result = {}
    for name, vocabulary in VOCABULARIES.items():
        written, heard = vocabulary.project(mix.activity), vocabulary.project(mix.audible)  # [label frames, classes]
        kinds = (written & ~heard, heard & ~written, written & heard)
        result[name] = np.stack([kind.sum(axis=0) for kind in kinds], axis=1).tolist()
    return result


def find_part(folder: Path, track: Track) -> TrackPart | None:
    """The part of a track in ``folder``, or None where it is missing, not whole, or of another split or song."""
    try:
        part = TrackPart(**json.loads(_facts(folder, track.id).read_text(encoding="utf-8")))
        fits = (part.id, part.song, part.split) == (track.id, track.song, track.split)
        return part if fits and sha256(_data(folder, track.id)) == part.sha256 else None
    except (OSError, ValueError, TypeError):
        return None


def _data(folder: Path, track: str) -> Path:
    return folder / f"{track}.tfrecord"


def _facts(folder: Path, track: str) -> Path:
    return folder / f"{track}.json"


def write_shards(
    out: Path, folder: Path, parts: list[TrackPart], shard_bytes: int = SHARD_BYTES
) -> dict[str, SplitSummary]:
    """Joins parts into the shards of their splits; shards that stand in ``out`` already go.

    The SHA-256 of its id tells the shard of a track, its id the place in there: the same tracks give the same
    bytes, in whatever order they were finished.

    Args:
        out: the folder of the data set.
        folder: of the parts.
        parts: the finished tracks.
        shard_bytes: size that shards come close to.

    Returns:
        Split name → its summary, for every split.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    for pattern in manifest.SHARDS, f".{manifest.SHARDS}":  # hidden: what was being written when a process was killed
        for stale in out.glob(pattern):
            stale.unlink()
    return {
        split: _write_split(out, folder, split, [part for part in parts if part.split == split], shard_bytes)
        for split in SPLITS
    }


def feature_statistics(parts: list[TrackPart]) -> tuple[float, float]:
    """Mean and standard deviation in dB of all log-mel values of the mixes; 0 and 1, which change nothing, for none."""
    if not parts:
        return 0.0, 1.0
    # In the order of ids, because the sum of floats depends on the order.
    ordered = sorted(parts, key=lambda part: part.id)
    count = sum(part.num_values for part in ordered)
    mean = sum(part.total for part in ordered) / count
    variance = sum(part.total_squares for part in ordered) / count - mean**2
    return mean, math.sqrt(max(variance, 0.0))


def _write_split(out: Path, folder: Path, split: str, parts: list[TrackPart], shard_bytes: int) -> SplitSummary:
    count = max(1, round(sum(part.num_bytes for part in parts) / shard_bytes)) if parts else 0
    members: dict[int, list[TrackPart]] = collections.defaultdict(list)
    for part in sorted(parts, key=lambda part: part.id):
        members[int(hashlib.sha256(part.id.encode()).hexdigest(), 16) % count].append(part)
    shards = []
    for index in range(count):
        path = out / manifest.shard_name(split, index, count)
        with atomic_write(path) as temporary:
            try:
                with temporary.open("wb") as joined:
                    for part in members[index]:
                        with _data(folder, part.id).open("rb") as file:
                            shutil.copyfileobj(file, joined)
            except OSError as error:
                raise OSError(f"{path}: cannot be written: {error.strerror or error}") from error
            shard = Shard.of(temporary, sum(part.records for part in members[index]))
        shards.append(dataclasses.replace(shard, name=path.name))
    return SplitSummary(
        tracks=len(parts),
        songs=len({part.song for part in parts}),
        records=sum(part.records for part in parts),
        seconds=math.fsum(part.seconds for part in parts),
        label_frames=sum(part.label_frames for part in parts),
        shards=shards,
        activity={
            name: {
                class_name: sum(part.activity[name][index] for part in parts)
                for index, class_name in enumerate(vocabulary.classes)
            }
            for name, vocabulary in VOCABULARIES.items()
        },
        disagreement={
            name: {
                class_name: np.sum([part.disagreement[name][index] for part in parts], axis=0).tolist()
                for index, class_name in enumerate(vocabulary.classes)
            }
            for name, vocabulary in VOCABULARIES.items()
            if any(part.disagreement for part in parts)
        },
    )
