"""Whether a data set is still what its build wrote."""

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


def damages(folder: Path, progress: TrackProgress | None = None) -> Iterator[str]:
    """Reads a data set whole, and names each file that is not as the manifest tells, with what is wrong.

    The manifest itself is taken on trust.

    Args:
        folder: the data set.
        progress: called after each record that can be read.

    Raises:
        DataError: there is no manifest, it is damaged or of another version.
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
            yield f"{path}: missing, or not as the manifest tells"


def _damage(path: Path, shard: Shard, labels: str, total: int, progress: TrackProgress | None) -> str | None:
    if (size := path.stat().st_size) != shard.num_bytes:
        return f"{size} bytes; the manifest says {shard.num_bytes}"
    if sha256(path) != shard.sha256:
        return "its SHA-256 is not that of the manifest"
    # Bytes as they were written: what follows fails where the build itself was at fault.
    records = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).map(lambda item: parse(item, labels)):
            records += 1
            if progress is not None:
                progress(total, int(record["num_samples"]) / int(record["sample_rate"]))
    except tf.errors.OpError as error:
        # Before its message TensorFlow puts the graph node, {{...}}, and after it a graph trace.
        cause = re.sub(r"{{.*?}} ?", "", error.message).partition("\n")[0]
        return f"record {records} cannot be parsed ({cause})"
    return None if records == shard.records else f"{records} records; the manifest says {shard.records}"
