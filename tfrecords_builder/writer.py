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
    """A finished track, as a file of one serialised record, and what the manifest needs to know of it.

    Attributes:
        id: of the track.
        song: of the track.
        split: of the track.
        path: the file.
        num_bytes: its size.
        seconds: of audio.
        label_frames: label frames.
        activity: vocabulary name → label frames of each class, in the vocabulary's order.
        num_values: values of the log-mel.
        total: their sum.
        total_squares: the sum of their squares.
    """

    id: str
    song: str
    split: str
    path: Path
    num_bytes: int
    seconds: float
    label_frames: int
    activity: dict[str, list[int]]
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


def write_part(parts: Path, split: str, record: Record) -> Part:
    """Writes a finished track into the folder ``parts``: whole under its name, or not at all."""
    serialized = schema.encode(record)
    path = parts / f"{record.id}.example"
    with whole(path) as temporary:
        temporary.write_bytes(serialized)
    # The square of a float16 is exact in float32, and half as large as in float64.
    squares = np.square(record.log_mel, dtype=np.float32)
    return Part(
        id=record.id,
        song=record.song,
        split=split,
        path=path,
        num_bytes=len(serialized),
        seconds=record.num_samples / record.sample_rate,
        label_frames=len(record.activity),
        activity={
            name: vocabulary.project(record.activity).sum(axis=0).tolist() for name, vocabulary in VOCABULARIES.items()
        },
        num_values=record.log_mel.size,
        total=float(record.log_mel.sum(dtype=np.float64)),
        total_squares=float(squares.sum(dtype=np.float64)),
    )


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
        with whole(out / name) as temporary, tf.io.TFRecordWriter(str(temporary)) as file:
            for part in shards[index]:
                file.write(part.path.read_bytes())
    return SplitSummary(
        tracks=len(parts),
        songs=len({part.song for part in parts}),
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
    )
