"""Files of a data set: parts of finished tracks, then shards. Each appears only when it is complete."""

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
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from mir_tf.config import SPLITS
from mir_tf.data import manifest
from mir_tf.data.manifest import Shard, SplitSummary
from mir_tf.data.records import Record, encode
from mir_tf.io import stored_json
from mir_tf.io.files import atomic_write, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.slakh.tree import Track

if TYPE_CHECKING:
    from tfrecords_builder.synthesis.plan import PlannedTrack

SHARD_BYTES = 100_000_000
"""Approximate size of a shard: few enough files for a bucket, enough of them to shuffle."""

_LONGEST_NAME_BYTES = 200
"""Longest name of a track that its part's files have, too."""


@dataclasses.dataclass(frozen=True)
class TrackPart:
    """A finished track: the file ``ID.tfrecord`` of its records, and ``ID.json`` with its facts for the manifest.

    Attributes:
        id: Name of the track.
        song: Its song.
        split: Its split.
        records: Number of records.
        num_bytes: Size of the file.
        sha256: SHA-256 of the file.
        seconds: Seconds of audio of all records.
        label_frames: Label frames of all records.
        activity: Vocabulary name → label frames of each class, in the vocabulary's order, of all records.
        disagreement: Vocabulary name → label frames of the mix in which each class sounds by the labels ``midi`` alone,
            by ``audible`` alone, and by both; empty if the stems were not read.
        stem_checks: Warnings about stems.
        num_values: Number of log-mel values of the mix. Stems do not count: they are mostly silent and would move the
            mean.
        total: Sum of the values.
        total_squares: Sum of their squares.
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
    """Write a finished track into ``folder``.

    Args:
        folder: Folder of the parts.
        track: The track.
        records: Record of the mix, then records of its stems.
        labels: Label policy of the counts.

    Raises:
        OSError: The disk is full or not writable.
    """
    mix = records[0]
    activity = {name: np.zeros(len(vocabulary.classes), int) for name, vocabulary in VOCABULARIES.items()}
    path = _data(folder, track.id)
    with atomic_write(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as file:
            for record in records:
                file.write(encode(record))
                for name, vocabulary in VOCABULARIES.items():
                    activity[name] += vocabulary.project(record.targets(labels)).sum(axis=0)
        num_bytes, digest = temporary.stat().st_size, sha256(temporary)
    # The square of a float16 is exact in float32, which takes half the memory of float64.
    values = mix.log_mel.astype(np.float32)
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
        total=float(values.sum(dtype=np.float64)),
        total_squares=float(np.square(values, out=values).sum(dtype=np.float64)),
    )
    # Last: a part without this file does not count.
    write_text(_facts(folder, track.id), json.dumps(stored_json.sealed(dataclasses.asdict(part))))
    return part


def move_part(track: str, start: Path, folder: Path) -> None:
    """Move the part of a track from one folder to another, in the order of :func:`write_part`."""
    for path in (_data, _facts):
        os.replace(path(start, track), path(folder, track))


def _disagreement(mix: Record) -> dict[str, list[list[int]]]:
    if mix.audible is None:
        return {}
    result = {}
    for name, vocabulary in VOCABULARIES.items():
        midi, audible = vocabulary.project(mix.activity), vocabulary.project(mix.audible)  # [label frames, classes]
        kinds = (midi & ~audible, audible & ~midi, midi & audible)
        result[name] = np.stack([kind.sum(axis=0) for kind in kinds], axis=1).tolist()
    return result


def find_part(folder: Path, track: Track | PlannedTrack) -> TrackPart | None:
    """Return the part of a track in ``folder``; None if it is missing, incomplete, or has another split or song."""
    try:
        facts, has_digest = stored_json.unsealed(stored_json.parse_object(_facts(folder, track.id).read_bytes()))
        if not has_digest:
            return None
        part = TrackPart(**facts)
        fits = (part.id, part.song, part.split) == (track.id, track.song, track.split)
        return part if fits and sha256(_data(folder, track.id)) == part.sha256 else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def part_file(folder: Path, track: str, suffix: str) -> Path:
    """Return the path of a file about a track, whose name may be as long as the file system allows."""
    encoded = os.fsencode(track)
    name = track if len(encoded) <= _LONGEST_NAME_BYTES else hashlib.sha256(encoded).hexdigest()
    return folder / f"{name}{suffix}"


def _data(folder: Path, track: str) -> Path:
    return part_file(folder, track, ".tfrecord")


def _facts(folder: Path, track: str) -> Path:
    return part_file(folder, track, ".json")


def write_shards(
    out: Path, folder: Path, parts: list[TrackPart], shard_bytes: int = SHARD_BYTES
) -> dict[str, SplitSummary]:
    """Join parts into the shards of their splits. Existing shards in ``out`` are removed.

    The SHA-256 of a track's id determines its shard, and the id its place there. So the same tracks give the same
    bytes, whatever order they were finished in.

    Args:
        out: The folder of the data set.
        folder: Folder of the parts.
        parts: The finished tracks.
        shard_bytes: Approximate size of a shard.

    Returns:
        Split name → its summary, for every split.

    Raises:
        OSError: The disk is full or not writable.
    """
    for pattern in manifest.SHARDS, f".{manifest.SHARDS}":  # hidden: incomplete after a kill
        for stale in out.glob(pattern):
            stale.unlink()
    return {
        split: _write_split(out, folder, split, [part for part in parts if part.split == split], shard_bytes)
        for split in SPLITS
    }


def feature_statistics(parts: list[TrackPart]) -> tuple[float, float]:
    """Return mean and standard deviation in dB of all log-mel values of the mixes.

    The deviation is 1 if all values are equal, as of silence; without parts, the mean is 0.
    """
    if not parts:
        return 0.0, 1.0
    # Sorted by id, because the sum of floats depends on the order.
    ordered = sorted(parts, key=lambda part: part.id)
    count = sum(part.num_values for part in ordered)
    mean = sum(part.total for part in ordered) / count
    variance = sum(part.total_squares for part in ordered) / count - mean**2
    deviation = math.sqrt(max(variance, 0.0))
    return mean, deviation if deviation >= manifest.SMALLEST_DEVIATION else 1.0


def _write_split(out: Path, folder: Path, split: str, parts: list[TrackPart], shard_bytes: int) -> SplitSummary:
    count = max(1, round(sum(part.num_bytes for part in parts) / shard_bytes)) if parts else 0
    members: dict[int, list[TrackPart]] = collections.defaultdict(list)
    for part in sorted(parts, key=lambda part: part.id):
        members[int(hashlib.sha256(part.id.encode()).hexdigest(), 16) % count].append(part)
    shards = []
    for index in range(count):
        path = out / manifest.shard_name(split, index, count)
        with atomic_write(path) as temporary:
            with temporary.open("wb") as joined:
                for part in members[index]:
                    with _data(folder, part.id).open("rb") as file:
                        shutil.copyfileobj(file, joined)
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
