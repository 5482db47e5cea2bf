"""From shards to batches of training examples, and to whole tracks for evaluation.

Every epoch of training is a function of (seed, epoch) alone: the order of the shards, the place where each shard is
first read, the places of the crops and their order are drawn from seeds of their own. A run resumed at an epoch gets
the same batches as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE, FrontEndConfig, RunConfig
from mir_tf.data import records
from mir_tf.data.examples import Examples
from mir_tf.data.frontend import normalize_clip
from mir_tf.data.manifest import Manifest, require_intact, split_summary
from mir_tf.errors import DataError
from mir_tf.io.files import as_path, is_remote
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

_SHARDS_AT_ONCE = 8
"""Number of shards that are read interleaved."""

_SHUFFLE_BYTES = 512_000_000
"""Memory for the crops that the next one is drawn from: 11 hours of music with the default front end. With a tenth of
that, a batch came from a few neighbouring tracks and the network learned next to nothing."""

_READ_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
)
"""TensorFlow's errors for a damaged record, too few or too many of them, or a shard removed since the manifest was
read."""

_REMOTE_ERRORS = (tf.errors.UnknownError, tf.errors.PermissionDeniedError)
"""TensorFlow's errors for a bucket that has become unreadable."""


@dataclasses.dataclass(frozen=True)
class LabelledTrack:
    """A whole track, for evaluation.

    Attributes:
        id: Name of the track.
        song: Name of the song that the track belongs to.
        log_mel: float32 [frames, mels] in dB, raw.
        truth: bool [label frames, classes].
    """

    id: str
    song: str
    log_mel: NDArray[np.float32]
    truth: NDArray[np.bool_]


class _Crops(NamedTuple):
    """Crops of one record, or one of them without the first axis, before padding.

    Attributes:
        log_mel: float16, as stored, which halves the memory of the shuffle; [crops, frames, mels].
        is_active: bool [crops, label frames, classes].
        label_frames: int32 [crops].
        is_stem: bool [crops].
    """

    log_mel: tf.Tensor
    is_active: tf.Tensor
    label_frames: tf.Tensor
    is_stem: tf.Tensor


@dataclasses.dataclass(frozen=True)
class _Source:
    """The shards of a split, and how to cut examples from them.

    Attributes:
        shards: Paths of the shards.
        num_records: Number of records in all of them.
        labels: Label policy of the data set.
        config: Configuration of the run.
    """

    shards: list[str]
    num_records: int
    labels: str
    config: RunConfig

    @property
    def crop_labels(self) -> int:
        """Label frames in an example."""
        return round(self.config.train.crop_seconds * LABEL_RATE)

    @property
    def crop_frames(self) -> int:
        """Feature frames in an example."""
        return self.crop_labels * self.config.front_end.subframes

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return VOCABULARIES[self.config.train.vocabulary]


def check_front_end(folder: str | Path, manifest: Manifest, front_end: FrontEndConfig) -> None:
    """Refuse a data set whose log-mel was not computed with ``front_end``.

    Raises:
        DataError: The front ends differ; the message lists the fields.
    """
    if manifest.front_end.fingerprint() != front_end.fingerprint():
        differences = "; ".join(manifest.front_end.differences(front_end))
        raise DataError(
            f"{folder}: its front end is not the model's ({differences}); "
            "build the data set with the model's settings, or train a model on this one"
        )


def default_steps(manifest: Manifest, split: str, config: RunConfig) -> int:
    """Return the steps that cover every second of the mixes of ``split``, and the share of the stems, about once."""
    summary, train = manifest.splits[split], config.train
    crops = max(summary.records, summary.seconds / train.crop_seconds)
    taken = (summary.tracks + train.stem_share * (summary.records - summary.tracks)) / summary.records
    return math.ceil(crops * taken / train.batch_size)


def training_dataset(
    folder: str | Path,
    manifest: Manifest,
    split: str,
    config: RunConfig,
    first_epoch: int,
    steps_per_epoch: int,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """Return batches of random crops: ``steps_per_epoch`` for each epoch from ``first_epoch`` to the last one.

    With several workers each one gets its part of every batch; together they see the batches of a single worker. To
    that end each of them makes all batches and keeps its part.

    A pass over the split reads each track once and takes ``ceil(its length / crop)`` crops at random places. An epoch
    that needs more begins another pass. Memory is bounded by the crops that are shuffled, the tracks that are read,
    and a few batches.

    Args:
        folder: Folder of the data set.
        manifest: Manifest of the data set.
        split: Name of the split.
        config: Configuration of the run.
        first_epoch: First epoch, counted from 0.
        steps_per_epoch: Batches in an epoch.
        worker: Number of this worker, from 0.
        workers: Number of all workers; it divides the batch size.

    Returns:
        A data set of :class:`Examples`: this worker's part of each batch. A damaged shard raises an error of
        TensorFlow while the data set is read, so read it inside :func:`report_read_errors`.

    Raises:
        DataError: The data set has no such split, no tracks in it, or a shard that is not the one in the manifest.
    """
    summary = split_summary(folder, manifest, split)
    require_intact(folder, manifest, [split])
    shards = [str((as_path(folder) / shard.name).absolute()) for shard in summary.shards]
    source = _Source(shards, summary.records, manifest.labels, config)
    # Every mix gives at least one crop.
    most_passes = math.ceil(steps_per_epoch * config.train.batch_size / summary.tracks)

    def epoch_parts(epoch: tf.Tensor) -> tf.data.Dataset:
        passes = tf.data.Dataset.range(most_passes).flat_map(lambda number: _one_pass(source, epoch, number))
        examples = passes.map(lambda crop: _example(source, crop), num_parallel_calls=tf.data.AUTOTUNE)
        size = config.train.batch_size // workers
        return examples.batch(size, drop_remainder=True).take(steps_per_epoch * workers)

    # Of each batch the first worker's part, then the second's, and so on.
    parts = tf.data.Dataset.range(first_epoch, config.train.epochs).flat_map(epoch_parts)
    return parts.shard(workers, worker).prefetch(2)


def _one_pass(source: _Source, epoch: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
    """Return the shuffled crops of pass ``number`` in ``epoch``, both int64 and counted from 0."""
    seed = tf.stack([tf.constant(source.config.train.seed, tf.int64), epoch])
    seed = tf.random.experimental.stateless_fold_in(seed, number)
    # An epoch of few steps ends early in its first pass. Each pass therefore reads the shards from a place that is
    # drawn anew; otherwise the tracks at the ends of the shards would never be used.
    longest_shard = math.ceil(source.num_records / len(source.shards))  # about
    firsts = tf.random.stateless_uniform([len(source.shards)], seed, maxval=longest_shard, dtype=tf.int64)
    shards = tf.random.experimental.stateless_shuffle(source.shards, seed)
    serialized = (
        tf.data.Dataset.from_tensor_slices((shards, firsts))
        .interleave(_rotated, _SHARDS_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(source.num_records))
        .enumerate()
    )
    crops = serialized.map(
        lambda index, record: _crops(source, index, records.parse(record, source.labels), seed),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).unbatch()
    crop_bytes = 2 * source.crop_frames * source.config.front_end.n_mels
    return _shuffle(crops, max(1, _SHUFFLE_BYTES // crop_bytes), seed)


def _crops(source: _Source, index: tf.Tensor, record: dict[str, tf.Tensor], seed: tf.Tensor) -> _Crops:
    """Cut a record at random places.

    Args:
        source: The split that the record belongs to.
        index: Number of the record in its pass.
        record: A record, as :func:`mir_tf.data.records.parse` returns it.
        seed: int64 [2], of the pass.
    """
    label_frames = tf.shape(record["activity"])[0]
    length = tf.minimum(label_frames, source.crop_labels)
    starts = tf.random.stateless_uniform(
        [tf.maximum(-(-label_frames // source.crop_labels), 1), 1],
        tf.random.experimental.stateless_fold_in(seed, index),
        maxval=label_frames - length + 1,
        dtype=tf.int32,
    )  # [crops, 1]
    is_stem = records.is_stem(record["id"])
    stem_share = source.config.train.stem_share
    if stem_share < 1:
        chances = tf.random.stateless_uniform(
            [tf.shape(starts)[0]], tf.random.experimental.stateless_fold_in(seed, -1 - index)
        )
        starts = starts[(chances < stem_share) | ~is_stem]
    subframes = source.config.front_end.subframes
    labels = starts + tf.range(length)  # [crops, length]
    frames = starts * subframes + tf.range(length * subframes)
    is_active = tf.matmul(record["activity"], tf.constant(source.vocabulary.matrix)) > 0  # [label frames, classes]
    count = [tf.shape(starts)[0]]
    return _Crops(
        log_mel=tf.gather(tf.cast(record["log_mel"], tf.float16), frames),
        is_active=tf.gather(is_active, labels),
        label_frames=tf.fill(count, length),
        is_stem=tf.fill(count, is_stem),
    )


def _example(source: _Source, crop: _Crops) -> Examples:
    """Pad one crop to the length of an example, and weight its label frames."""
    front_end = source.config.front_end
    frames = crop.label_frames * front_end.subframes
    log_mel = tf.cast(crop.log_mel, tf.float32)
    missing = source.crop_frames - frames
    log_mel = tf.pad(log_mel, [[0, missing], [0, 0]], constant_values=front_end.log_floor_db)
    log_mel = normalize_clip(log_mel, frames, front_end)
    targets = tf.pad(tf.cast(crop.is_active, tf.float32), [[0, source.crop_labels - crop.label_frames], [0, 0]])
    weights = tf.sequence_mask(crop.label_frames, source.crop_labels, tf.float32)
    return Examples(
        log_mel=tf.ensure_shape(log_mel, [source.crop_frames, front_end.n_mels]),
        targets=tf.ensure_shape(targets, [source.crop_labels, len(source.vocabulary)]),
        weights=tf.ensure_shape(weights, [source.crop_labels]),
        is_stem=crop.is_stem,
    )


def _rotated(shard: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
    """Return the records of a shard from number ``first`` on, then those before it."""
    serialized = tf.data.TFRecordDataset(shard)
    return serialized.skip(first).concatenate(serialized.take(first))


def _shuffle(dataset: tf.data.Dataset, buffer_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Return ``dataset.shuffle`` whose order is a function of ``seed`` [2] alone.

    The method itself mixes TensorFlow's global seed into its own, and accepts no tensor if the global seed is 0.
    """
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer_size,
        seed=seed[0],
        seed2=seed[1],
        output_types=[spec.dtype for spec in dataset.element_spec],
        output_shapes=[spec.shape for spec in dataset.element_spec],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, dataset.element_spec)


def tracks(folder: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary) -> Iterator[LabelledTrack]:
    """Yield the tracks of ``split`` at full length, in the order of the shards, without records of single stems.

    Raises:
        DataError: As for :func:`read_records`.
    """
    return (track for track, is_stem in read_records(folder, manifest, split, vocabulary) if not is_stem)


def read_records(
    folder: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary
) -> Iterator[tuple[LabelledTrack, bool]]:
    """Yield the records of ``split`` in the order of the shards, each with whether it is a stem of the last track.

    Raises:
        DataError: The data set has no such split, no tracks in it, or a damaged shard; or the names of its records do
            not tell stems from tracks.
    """
    summary = split_summary(folder, manifest, split)
    require_intact(folder, manifest, [split])
    read = (
        tf.data.TFRecordDataset([str(as_path(folder) / shard.name) for shard in summary.shards])
        .apply(tf.data.experimental.assert_cardinality(summary.records))
        .map(lambda record: records.parse(record, manifest.labels))
        .prefetch(1)
    )
    stems = summary.records - summary.tracks
    mix, found = "", 0
    with report_read_errors(folder, manifest, split):
        for record in read.as_numpy_iterator():
            track = LabelledTrack(
                id=record["id"].decode(),
                song=record["song"].decode(),
                log_mel=record["log_mel"],
                truth=vocabulary.project(record["activity"] > 0),
            )
            # A mix comes before its stems. If the manifest counts no stems, no record is one, whatever its name.
            is_stem = stems > 0 and mix != "" and records.is_stem_of(track.id, mix)
            if is_stem:
                found += 1
            else:
                mix = track.id
            yield track, is_stem
    if found != stems:
        raise DataError(
            f"{folder}: {found} records of split {split!r} are named like stems, the manifest counts {stems}; "
            "name the tracks so that none begins with another's name and '-'"
        )


@contextlib.contextmanager
def report_read_errors(folder: str | Path, manifest: Manifest, split: str) -> Iterator[None]:
    """Turn an error of TensorFlow inside the block into one that names the damaged shard, if there is one.

    Raises:
        DataError: A shard is damaged, records are missing, or a remote ``folder`` has become unreadable.
    """
    try:
        yield
    except _REMOTE_ERRORS as error:
        if not is_remote(folder):
            raise
        raise DataError(f"{folder}: cannot be read any more: {_cause(error)}") from error
    except _READ_ERRORS as error:
        require_intact(folder, manifest, [split])  # names a shard that was removed or replaced meanwhile
        summary = manifest.splits[split]
        found = 0
        for shard in summary.shards:
            path = as_path(folder) / shard.name
            try:
                found += sum(1 for _ in tf.data.TFRecordDataset(str(path)).map(records.parse))
            except tf.errors.OpError as damage:
                remedy = "remove the data set and build it again"
                raise DataError(f"{path}: damaged ({_cause(damage)}); {remedy}") from error
        if found != summary.records:
            raise DataError(
                f"{folder}: the shards of split {split!r} contain {found} records, but the manifest counts "
                f"{summary.records}; remove the data set and build it again"
            ) from error
        raise


def _cause(error: tf.errors.OpError) -> str:
    """Return the error's message without TensorFlow's graph node, {{...}}, before it and graph trace after it."""
    return re.sub(r"{{.*?}} ?", "", error.message).partition("\n")[0]
