"""Write small data sets that a small model learns within seconds, and their configuration."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from mir_tf.config import FrontEndConfig, RunConfig
from mir_tf.data.manifest import Manifest, Shard, SplitSummary, shard_name, write_manifest
from mir_tf.data.records import Record, encode, stem_id
from mir_tf.vocabulary import DRUMS, NUM_PROGRAMS, VOCABULARIES

FRONT_END = FrontEndConfig(sample_rate=8000, n_fft=512, hop_length=400, n_mels=8)
"""Each label frame has two sub-frames."""

CONFIG = RunConfig(FRONT_END).merge(
    {
        "model": {
            "conv_filters": [4],
            "gru_units": 4,
            "gru_layers": 1,
            "time_padding": 2,
            "freq_mask_bands": 2,
            "time_mask_frames": 4,
        },
        "train": {
            "crop_seconds": 2.0,
            "batch_size": 4,
            "epochs": 4,
            "steps_per_epoch": 3,
            "learning_rate": 1e-2,
            "image_every": 2,
            "seed": 3,
            "deterministic": True,
        },
        "window": {"window_seconds": 3.0, "overlap_seconds": 1.0},
    }
)

PROGRAMS = (0, 40, DRUMS)
"""The programs that play: piano, strings and drums. Each raises the level of mel bands of its own."""


def make_record(name: str, label_frames: int, front_end: FrontEndConfig = FRONT_END, seed: int = 0) -> Record:
    """Return the record of a track in which each of :data:`PROGRAMS` starts and stops at random."""
    rng = np.random.default_rng([seed, *name.encode()])
    activity = np.zeros((label_frames, NUM_PROGRAMS), bool)
    log_mel = np.full((label_frames * front_end.subframes, front_end.n_mels), front_end.log_floor_db, np.float32)
    for index, program in enumerate(PROGRAMS):
        activity[:, program] = np.repeat(rng.random(-(-label_frames // 5)) < 0.5, 5)[:label_frames]
        sounds = np.repeat(activity[:, program], front_end.subframes)
        log_mel[sounds, index * 2 : index * 2 + 2] = -20
    log_mel += rng.normal(0, 3, log_mel.shape)
    num_samples = label_frames * front_end.sample_rate // 10
    return Record(name, f"song of {name}", num_samples, front_end.sample_rate, log_mel.astype(np.float16), activity)


def write_split(folder: Path, split: str, shards: list[list[Record]]) -> SplitSummary:
    """Write the shards of a split, and return its entry in the manifest."""
    names = [shard_name(split, index, len(shards)) for index in range(len(shards))]
    for name, records in zip(names, shards, strict=True):
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for record in records:
                writer.write(encode(record))
    written = [Shard.of(folder / name, len(records)) for name, records in zip(names, shards, strict=True)]
    records = [record for shard in shards for record in shard]
    return SplitSummary(
        tracks=len(records),
        songs=len({record.song for record in records}),
        records=len(records),
        seconds=sum(record.num_samples / record.sample_rate for record in records),
        label_frames=sum(len(record.activity) for record in records),
        shards=written,
        activity={
            name: {
                class_name: sum(int(vocabulary.project(record.activity)[:, index].sum()) for record in records)
                for index, class_name in enumerate(vocabulary.classes)
            }
            for name, vocabulary in VOCABULARIES.items()
        },
    )


def write_data(folder: Path, splits: dict[str, list[list[int]]], front_end: FrontEndConfig = FRONT_END) -> Manifest:
    """Write a data set and return its manifest.

    Args:
        folder: Folder of the data set; created.
        splits: Maps a split to its shards, each a list of its tracks' lengths in label frames.
        front_end: Front end that the features belong to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summaries = {
        split: write_split(
            folder,
            split,
            [
                [make_record(f"{split}-{shard}-{index}", length, front_end) for index, length in enumerate(lengths)]
                for shard, lengths in enumerate(shards)
            ],
        )
        for split, shards in splits.items()
    }
    manifest = Manifest(front_end, summaries, -45.0, 20.0, [], {"kind": "tiny"})
    write_manifest(folder, manifest)
    return manifest


def stem(mix: Record, name: str, program: int, bands: slice) -> Record:
    """Return a stem of ``mix`` that plays in the first half: -20 dB in the mel ``bands``, -50 dB in the others."""
    frames, half = len(mix.activity), len(mix.activity) // 2
    activity = np.zeros((frames, NUM_PROGRAMS), bool)
    activity[:half, program] = True
    log_mel = np.full((frames * FRONT_END.subframes, FRONT_END.n_mels), -90, np.float16)
    log_mel[: half * FRONT_END.subframes] = -50
    log_mel[: half * FRONT_END.subframes, bands] = -20
    return Record(stem_id(mix.id, name), mix.song, mix.num_samples, mix.sample_rate, log_mel, activity)


def write_stems(folder: Path) -> Manifest:
    """Write a data set with two tracks and their three stems in train, and one track in test."""
    folder.mkdir()
    mixes = [make_record("Track1", 40), make_record("Track2", 60)]
    records = [
        mixes[0],
        stem(mixes[0], "S00", 0, slice(0, 2)),
        stem(mixes[0], "S01", 40, slice(4, 6)),
        mixes[1],
        stem(mixes[1], "S00", 0, slice(0, 2)),
    ]
    train = dataclasses.replace(write_split(folder, "train", [records]), tracks=2)
    test = write_split(folder, "test", [[make_record("Track3", 30)]])
    manifest = Manifest(
        FRONT_END,
        {"train": train, "validation": write_split(folder, "validation", []), "test": test},
        -45.0,
        20.0,
        [],
        {},
    )
    write_manifest(folder, manifest)
    return manifest
