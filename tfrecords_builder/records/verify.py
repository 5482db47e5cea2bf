"""Verification that a data set is still as its build wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from mir_tf.data.manifest import Shard, read_manifest
from mir_tf.data.records import parse
from mir_tf.io.files import sha256
from tfrecords_builder.processes import TrackProgress
from tfrecords_builder.records import tfds_metadata


def find_damage(folder: Path, progress: TrackProgress | None = None) -> Iterator[str]:
    """Read all of a data set, and yield a message for each file that differs from the manifest.

    The manifest itself is trusted.

    Args:
        folder: The data set.
        progress: Called after each readable record.

    Raises:
        DataError: There is no manifest, or it is damaged or of another version.
    """
    manifest = read_manifest(folder, require_shards=False)
    total = sum(split.records for split in manifest.splits.values())
    for shard in manifest.shards():
        path = folder / shard.name
        try:
            reason = _damage(path, shard, manifest.labels, total, progress)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason:
            yield f"{path}: {reason}"
    for name, text in tfds_metadata.contents(manifest).items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            yield f"{path}: missing, or different from the manifest"


def _damage(path: Path, shard: Shard, labels: str, total: int, progress: TrackProgress | None) -> str | None:
    if (size := path.stat().st_size) != shard.num_bytes:
        return f"{size} bytes; the manifest lists {shard.num_bytes}"
    if sha256(path) != shard.sha256:
        return "its SHA-256 differs from the manifest"
    # The bytes are as they were written, so an error from here on is a fault of the build.
    records = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).map(lambda item: parse(item, labels)):
            records += 1
            if progress is not None:
                progress(total, int(record["num_samples"]) / int(record["sample_rate"]))
    except tf.errors.OpError as error:
        # TensorFlow prefixes its message with the graph node, {{...}}, and appends a graph trace.
        cause = re.sub(r"{{.*?}} ?", "", error.message).partition("\n")[0]
        return f"record {records} cannot be parsed ({cause})"
    return None if records == shard.records else f"{records} records; the manifest lists {shard.records}"
