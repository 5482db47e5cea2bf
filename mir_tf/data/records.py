"""The records of a data set: TFRecord keys, encoder and parser.

A data set is a folder of shards ``instruments-SPLIT.tfrecord-00000-of-00004`` and a ``manifest.json``, which is written
last: without it, a folder is not a data set. A record is one track of variable length, not normalised and not padded.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.vocabulary import NUM_PROGRAMS

ACTIVITY_BYTES = -(-NUM_PROGRAMS // 8)
"""Bytes of a label frame, with one bit for each program."""


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
    """One track, or a single stem of it.

    Attributes:
        id: Name of the track, or of track and stem; unique in the data set.
        song: Name of the song that the track belongs to. The manifest lists the songs that are in several splits.
        num_samples: Length of the audio used, at ``sample_rate``.
        sample_rate: Hz.
        log_mel: float16 [frames, mels] in dB, raw.
        activity: bool [label frames, 129]: the labels ``midi`` of each General MIDI program, drums last.
        audible: The labels ``audible``, in the same form; None if the audio of the stems was not measured.
        stem_checks: Warnings about stems, for the manifest; they are not stored in the record.
    """

    id: str
    song: str
    num_samples: int
    sample_rate: int
    log_mel: NDArray[np.float16]
    activity: NDArray[np.bool_]
    audible: NDArray[np.bool_] | None = None
    stem_checks: tuple[str, ...] = ()

    def targets(self, labels: str) -> NDArray[np.bool_]:
        """Return the activity [label frames, 129] by a policy of :data:`mir_tf.config.LABEL_POLICIES`.

        Raises:
            ValueError: The audio of the stems was not measured.
        """
        if labels == "midi":
            return self.activity
        if self.audible is None:
            raise ValueError(f"{self.id}: has no labels {labels!r}")
        return self.audible


def stem_id(track: str, stem: str) -> str:
    """Return the id of the record of ``stem`` in ``track``."""
    return f"{track}-{stem}"


def is_stem_of(record: str, track: str) -> bool:
    """Return whether ``record`` may be the id of a stem of ``track``, which precedes its stems in the shard."""
    return record.startswith(stem_id(track, ""))


def is_stem(record: tf.Tensor) -> tf.Tensor:
    """Return whether ``record``, a string tensor, is the id of a stem. Slakh's stems are named S00, S01, ..."""
    return tf.strings.regex_full_match(record, stem_id(".+", r"S\d+"))


def encode(record: Record) -> bytes:
    """Return a serialised ``tf.train.Example``; the same record gives the same bytes."""
    example = tf.train.Example()
    features = example.features.feature  # filled in place: a message that is put into another one is copied
    for name, number in {
        "num_samples": record.num_samples,
        "sample_rate": record.sample_rate,
        "num_frames": record.log_mel.shape[0],
        "num_mels": record.log_mel.shape[1],
        "num_label_frames": record.activity.shape[0],
    }.items():
        features[name].int64_list.value.append(number)
    for name, text in {
        "id": record.id.encode(),
        "song": record.song.encode(),
        "log_mel": np.ascontiguousarray(record.log_mel, "<f2").tobytes(),
        "activity": np.packbits(record.activity, axis=1).tobytes(),
        "audible": b"" if record.audible is None else np.packbits(record.audible, axis=1).tobytes(),
    }.items():
        features[name].bytes_list.value.append(text)
    return example.SerializeToString(deterministic=True)


def parse(serialized: tf.Tensor, labels: str = "midi") -> dict[str, tf.Tensor]:
    """Return the content of a record that :func:`encode` has serialised, as a graph operation.

    Args:
        serialized: A record.
        labels: Label policy of the activity; the manifest contains the data set's.

    Returns:
        ``id`` and ``song`` (string), ``num_samples`` and ``sample_rate`` (int64), ``log_mel`` float32 [frames, mels],
        ``activity`` float32 [label frames, 129] of 0 and 1.
    """
    features = tf.io.parse_single_example(serialized, _FEATURES)
    log_mel = tf.io.decode_raw(features["log_mel"], tf.float16, little_endian=True)
    log_mel = tf.reshape(log_mel, [features["num_frames"], features["num_mels"]])
    packed = tf.io.decode_raw(features["activity" if labels == "midi" else labels], tf.uint8)
    packed = tf.reshape(packed, [features["num_label_frames"], ACTIVITY_BYTES, 1])
    # numpy.packbits puts the first of eight values in the highest bit.
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
