"""From finished tracks to a data set: part files, then shards, then the manifest, each whole or absent."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from mir_tf import schema
from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.files import whole
from mir_tf.schema import Record, SplitSummary
from mir_tf.vocabulary import VOCABULARIES

SHARD_BYTES = 100_000_000
"""Size that shards come close to: few enough files for a bucket, enough of them to shuffle."""

_PARTS = ".parts"


@dataclasses.dataclass(frozen=True)
class Part:
    """A finished track, as a file of its records, and what the manifest needs to know of it.

    Attributes:
        id: of the track.
        song: of the track.
        split: of the track.
        records: how many.
        path: the file.
        num_bytes: its size.
        seconds: of audio, of all records.
        label_frames: of all records.
        activity: vocabulary name → label frames of each class, in the vocabulary's order, of all records.
        disagreement: vocabulary name → label frames of the mix in which each class sounds by the labels ``midi``
            alone, by ``audible`` alone, and by both; empty where the stems were not heard.
        findings: suspicions against stems.
        num_values: values of the log-mel of the mix: stems, mostly silent, would move the mean away from what a
            model is to hear.
        total: their sum.
        total_squares: the sum of their squares.
    """

    id: str
    song: str
    split: str
    records: int
    path: Path
    num_bytes: int
    seconds: float
    label_frames: int
    activity: dict[str, list[int]]
    disagreement: dict[str, list[list[int]]]
    findings: list[str]
    num_values: int
    total: float
    total_squares: float


def require_new(out: Path) -> None:
    """Checks that a data set can begin in ``out``: the folder is empty or not there yet.

    Raises:
        DataError: it holds something, or is a file.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; a data set is a folder")
    held = sorted(path.name for path in out.iterdir())
    if schema.MANIFEST in held:
        raise DataError(f"{out}: holds a finished data set; remove it or choose another folder")
    if _PARTS in held:
        raise DataError(f"{out}: holds a build that runs or was killed; remove it or choose another folder")
    if held:
        raise DataError(f"{out}: is not empty, it holds {held[0]}; choose another folder")


@contextlib.contextmanager
def new_data_set(out: Path) -> Iterator[Path]:
    """Begins a data set in ``out`` and yields the folder for its parts, which is gone afterwards.

    Where the block fails, ``out`` is removed.

    Raises:
        DataError: as :func:`require_new`.
    """
    require_new(out)
    parts = out / _PARTS
    parts.mkdir(parents=True)
    try:
        yield parts
        shutil.rmtree(parts)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # it was empty: all in it is this build's
        raise


def write_part(parts: Path, split: str, records: list[Record], labels: str) -> Part:
    """Writes a finished track into the folder ``parts``: whole under its name, or not at all.

    Args:
        parts: the folder.
        split: of the track.
        records: of the mix, then of its stems.
        labels: the policy that the counts go by.
    """
    mix = records[0]
    path = parts / f"{mix.id}.tfrecord"
    activity = {name: np.zeros(len(vocabulary.classes), int) for name, vocabulary in VOCABULARIES.items()}
    with whole(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as file:
        for record in records:
            file.write(schema.encode(record))
            for name, vocabulary in VOCABULARIES.items():
                activity[name] += vocabulary.project(record.targets(labels)).sum(axis=0)
    # The square of a float16 is exact in float32, and half as large as in float64.
    squares = np.square(mix.log_mel, dtype=np.float32)
    return Part(
        id=mix.id,
        song=mix.song,
        split=split,
        records=len(records),
        path=path,
        num_bytes=path.stat().st_size,
        seconds=sum(record.num_samples / record.sample_rate for record in records),
        label_frames=sum(len(record.activity) for record in records),
        activity={name: frames.tolist() for name, frames in activity.items()},
        disagreement=_disagreement(mix),
        findings=list(mix.findings),
        num_values=mix.log_mel.size,
        total=float(mix.log_mel.sum(dtype=np.float64)),
        total_squares=float(squares.sum(dtype=np.float64)),
    )


def _disagreement(mix: Record) -> dict[str, list[list[int]]]:
    if mix.audible is None:
        return {}
    result = {}
    for name, vocabulary in VOCABULARIES.items():
        written, heard = vocabulary.project(mix.activity), vocabulary.project(mix.audible)  # [label frames, classes]
        kinds = (written & ~heard, heard & ~written, written & heard)
        result[name] = np.stack([kind.sum(axis=0) for kind in kinds], axis=1).tolist()
    return result


def write_shards(out: Path, parts: list[Part], shard_bytes: int = SHARD_BYTES) -> dict[str, SplitSummary]:
    """Joins parts into the shards of their splits.

    The SHA-256 of its id tells the shard of a track, its id the place in there: the same tracks give the same
    bytes, in whatever order they were finished.

    Args:
        out: the folder of the data set.
        parts: the finished tracks.
        shard_bytes: size that shards come close to.

    Returns:
        Split name → its summary, for every split.
    """
    return {
        split: _write_split(out, split, [part for part in parts if part.split == split], shard_bytes)
        for split in SPLITS
    }


def feature_statistics(parts: list[Part]) -> tuple[float, float]:
    """Mean and standard deviation in dB of all log-mel values; 0 and 1, which change nothing, for none."""
    if not parts:
        return 0.0, 1.0
    # In the order of ids, because the sum of floats depends on the order.
    ordered = sorted(parts, key=lambda part: part.id)
    count = sum(part.num_values for part in ordered)
    mean = sum(part.total for part in ordered) / count
    variance = sum(part.total_squares for part in ordered) / count - mean**2
    return mean, math.sqrt(max(variance, 0.0))


def _write_split(out: Path, split: str, parts: list[Part], shard_bytes: int) -> SplitSummary:
    count = max(1, round(sum(part.num_bytes for part in parts) / shard_bytes)) if parts else 0
    shards: dict[int, list[Part]] = collections.defaultdict(list)
    for part in sorted(parts, key=lambda part: part.id):
        shards[int(hashlib.sha256(part.id.encode()).hexdigest(), 16) % count].append(part)
    names = [schema.shard_name(split, index, count) for index in range(count)]
    for index, name in enumerate(names):
        with whole(out / name) as temporary, temporary.open("wb") as joined:
            for part in shards[index]:
                with part.path.open("rb") as file:
                    shutil.copyfileobj(file, joined)
    return SplitSummary(
        tracks=len(parts),
        songs=len({part.song for part in parts}),
        records=sum(part.records for part in parts),
        seconds=math.fsum(part.seconds for part in parts),
        label_frames=sum(part.label_frames for part in parts),
        shards=names,
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
