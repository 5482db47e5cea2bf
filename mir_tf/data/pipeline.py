"""From shards to batches of training examples, and to whole tracks for evaluation.

Every epoch of training is a function of (seed, epoch) alone: the order of the shards, where their reading begins,
the places of the crops and their order are drawn from seeds of its own. A run resumed at an epoch sees what an
undisturbed one would.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE, FrontEndConfig, RunConfig
from mir_tf.data import records
from mir_tf.data.frontend import normalize_clip
from mir_tf.data.manifest import Manifest, split_summary
from mir_tf.errors import DataError
from mir_tf.io.files import as_path, is_remote
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

_SHARDS_AT_ONCE = 8
"""Shards that are read interleaved."""

_SHUFFLE_BYTES = 512_000_000
"""Memory for the crops from which the next one is drawn: 11 hours of music in the default front end. With a tenth of
that a batch came from a few neighbouring tracks, and the network learnt next to nothing."""

# A damaged record, one that does not parse, too few or too many, a shard gone since the manifest was read.
_READ_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
)


# What TensorFlow says where a bucket is not to be read any more.
_REMOTE_ERRORS = (tf.errors.UnknownError, tf.errors.PermissionDeniedError)


@dataclasses.dataclass(frozen=True)
class LabelledTrack:
    """A whole track, as evaluation wants it.

    Attributes:
        id: its name.
        song: the song it belongs to.
        log_mel: float32 [frames, mels] in dB, raw.
        truth: bool [label frames, classes].
    """

    id: str
    song: str
    log_mel: NDArray[np.float32]
    truth: NDArray[np.bool_]


def check_front_end(folder: str | Path, manifest: Manifest, front_end: FrontEndConfig) -> None:
    """Refuses a data set whose log-mel was not made by ``front_end``.

    Raises:
        DataError: naming the fields that differ.
    """
    if manifest.front_end.fingerprint() != front_end.fingerprint():
        differences = "; ".join(manifest.front_end.differences(front_end))
        raise DataError(
            f"{folder}: its front end is not the model's ({differences}); "
            "build the data set with the model's settings, or train a model on this one"
        )


def default_steps(manifest: Manifest, split: str, config: RunConfig) -> int:
    """Steps that pass about once over every second of the mixes of ``split``, and over the share of stems."""
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
    """Batches of random crops: ``steps_per_epoch`` for each epoch from ``first_epoch`` to the last one.

    Of several workers each gets its part of every batch; together they see the batches of a single one. For that
    each of them makes all batches and keeps its part.

    A pass over the split reads each track once and takes ``ceil(its length / crop)`` crops at random places;
    an epoch that needs more begins another pass. Memory is bounded by the crops being shuffled, the tracks
    being read, and a few batches.

    Args:
        folder: the data set.
        manifest: of the data set.
        split: name of the split.
        config: the run's.
        first_epoch: the epoch to begin with, counted from 0.
        steps_per_epoch: batches in an epoch.
        worker: number of this worker.
        workers: all of them; they divide the batch size.

    Returns:
        Of (log-mel float32 [batch, frames, mels], targets float32 [batch, label frames, classes], weights
        float32 [batch, label frames], whether it is a stem's, bool [batch]), the batch being this worker's part of
        one; the weights of padding are 0. A damaged shard raises an error of TensorFlow while the data set is read:
        read it inside :func:`damage_named`.

    Raises:
        DataError: the data set has no such split, or no track in it.
    """
    train, front_end = config.train, config.front_end
    summary = split_summary(folder, manifest, split)
    shards = [str((as_path(folder) / shard.name).absolute()) for shard in summary.shards]
    projection = tf.constant(VOCABULARIES[train.vocabulary].matrix)
    crop_labels = round(train.crop_seconds * LABEL_RATE)
    crop_frames = crop_labels * front_end.subframes
    longest_shard = math.ceil(summary.records / len(shards))  # about
    # Every mix gives at least one crop.
    most_passes = math.ceil(steps_per_epoch * train.batch_size / summary.tracks)

    def crops_of(index: tf.Tensor, record: dict[str, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """All crops of a record: log-mel, targets, true label frames, and whether it is a stem's."""
        label_frames = tf.shape(record["activity"])[0]
        length = tf.minimum(label_frames, crop_labels)
        starts = tf.random.stateless_uniform(
            [tf.maximum(-(-label_frames // crop_labels), 1), 1],
            tf.random.experimental.stateless_fold_in(seed, index),
            maxval=label_frames - length + 1,
            dtype=tf.int32,
        )  # [crops, 1]
        is_stem = records.is_stem(record["id"])
        if train.stem_share < 1:
            chances = tf.random.stateless_uniform(
                [tf.shape(starts)[0]], tf.random.experimental.stateless_fold_in(seed, -1 - index)
            )
            starts = starts[(chances < train.stem_share) | ~is_stem]
        labels = starts + tf.range(length)  # [crops, length]
        frames = starts * front_end.subframes + tf.range(length * front_end.subframes)
        is_active = tf.matmul(record["activity"], projection) > 0  # [label frames, classes]
        # float16, as stored: half the memory of the shuffle.
        log_mel = tf.cast(record["log_mel"], tf.float16)  # [frames, mels]
        crops = [tf.shape(starts)[0]]
        return tf.gather(log_mel, frames), tf.gather(is_active, labels), tf.fill(crops, length), tf.fill(crops, is_stem)

    def example(log_mel: tf.Tensor, target: tf.Tensor, length: tf.Tensor, is_stem: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Pads a crop and weights its label frames."""
        frames = length * front_end.subframes
        log_mel = tf.cast(log_mel, tf.float32)
        log_mel = tf.pad(log_mel, [[0, crop_frames - frames], [0, 0]], constant_values=front_end.log_floor_db)
        log_mel = normalize_clip(log_mel, frames, front_end)
        target = tf.pad(tf.cast(target, tf.float32), [[0, crop_labels - length], [0, 0]])
        weights = tf.sequence_mask(length, crop_labels, tf.float32)
        return (
            tf.ensure_shape(log_mel, [crop_frames, front_end.n_mels]),
            tf.ensure_shape(target, [crop_labels, projection.shape[1]]),
            tf.ensure_shape(weights, [crop_labels]),
            is_stem,
        )

    def one_pass(epoch: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        seed = tf.stack([tf.constant(train.seed, tf.int64), epoch])
        seed = tf.random.experimental.stateless_fold_in(seed, number)
        # An epoch of few steps ends early in its first pass. Shards are therefore read from a place that is drawn anew
        # for every pass: else the tracks at their ends would never be heard.
        firsts = tf.random.stateless_uniform([len(shards)], seed, maxval=longest_shard, dtype=tf.int64)
        serialized = (
            tf.data.Dataset.from_tensor_slices((tf.random.experimental.stateless_shuffle(shards, seed), firsts))
            .interleave(_rotated, _SHARDS_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE)
            .apply(tf.data.experimental.assert_cardinality(summary.records))
            .enumerate()
        )
        crops = serialized.map(
            lambda index, record: crops_of(index, records.parse(record, manifest.labels), seed),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).unbatch()
        return _shuffle(crops, max(1, _SHUFFLE_BYTES // (2 * crop_frames * front_end.n_mels)), seed)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        passes = tf.data.Dataset.range(most_passes).flat_map(lambda number: one_pass(epoch, number))
        examples = passes.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(train.batch_size // workers, drop_remainder=True).take(steps_per_epoch * workers)

    # Of each batch the first worker's part, then the second's, and so on.
    parts = tf.data.Dataset.range(first_epoch, train.epochs).flat_map(one_epoch)
    return parts.shard(workers, worker).prefetch(2)


def _rotated(shard: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
    """The records of a shard from number ``first`` on, then those before it."""
    serialized = tf.data.TFRecordDataset(shard)
    return serialized.skip(first).concatenate(serialized.take(first))


def _shuffle(dataset: tf.data.Dataset, buffer_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """``dataset.shuffle`` whose order is a function of ``seed`` [2] alone.

    The method mixes TensorFlow's global seed into its own and, where that is 0, takes no tensor.
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
    """The tracks of ``split``, whole, in the order of the shards, without the stems that are records of their own.

    Raises:
        DataError: as :func:`read_records`.
    """
    return (track for track, is_stem in read_records(folder, manifest, split, vocabulary) if not is_stem)


def read_records(
    folder: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary
) -> Iterator[tuple[LabelledTrack, bool]]:
    """The records of ``split``, whole, in the order of the shards, each with whether it is a stem of the last track.

    Raises:
        DataError: the data set has no such split, no track in it, or a damaged shard; or its stems cannot be told from
            its tracks.
    """
    summary = split_summary(folder, manifest, split)
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
            # A mix comes before its stems. Where the manifest counts no stems, a name cannot make one.
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
    """Turns an error of TensorFlow inside the block into one that names the damaged shard, if there is one.

    Raises:
        DataError: naming the shard, or the records missing from all of them; or a remote ``folder`` cannot be read.
    """
    try:
        yield
    except _REMOTE_ERRORS as error:
        if not is_remote(folder):
            raise
        raise DataError(f"{folder}: cannot be read any more: {_cause(error)}") from error
    except _READ_ERRORS as error:
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
                f"{folder}: the shards of split {split!r} hold {found} records, the manifest says "
                f"{summary.records}; remove the data set and build it again"
            ) from error
        raise


def _cause(error: tf.errors.OpError) -> str:
    """Its message without the graph node, {{...}}, that TensorFlow puts before, and the graph trace after it."""
    return re.sub(r"{{.*?}} ?", "", error.message).partition("\n")[0]
