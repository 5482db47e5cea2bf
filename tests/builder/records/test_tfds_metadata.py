"""TensorFlow Datasets reads a data set: splits, slices, and the same values as records.parse."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny_data import write_data

from mir_tf.data import records
from mir_tf.data.manifest import read_manifest, shard_name
from mir_tf.vocabulary import NUM_PROGRAMS
from tfrecords_builder.records import tfds_metadata

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tfds = pytest.importorskip("tensorflow_datasets", reason="needs the extra tfds")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    manifest = write_data(folder, {"train": [[10, 20], [30, 17]], "validation": [], "test": [[12]]})
    tfds_metadata.write(folder, manifest)
    return folder


def parsed(folder: Path, split: str) -> list[dict[str, tf.Tensor]]:
    files = [str(folder / shard.name) for shard in read_manifest(folder).splits[split].shards]
    return list(tf.data.TFRecordDataset(files).map(records.parse))


@pytest.mark.parametrize(
    ("spec", "split", "part"),
    [
        ("train", "train", slice(None)),
        ("train[:50%]", "train", slice(0, 2)),
        ("train[1:3]", "train", slice(1, 3)),
        ("test", "test", slice(None)),
    ],
)
def test_splits_and_slices_hold_what_parse_gives(data: Path, spec: str, split: str, part: slice) -> None:
    builder = tfds.builder_from_directory(str(data))
    found = list(builder.as_dataset(split=spec))
    expected = parsed(data, split)[part]
    assert len(found) == len(expected) > 0
    for item, record in zip(found, expected, strict=True):
        assert item["log_mel"].dtype == tf.float16
        np.testing.assert_array_equal(tf.cast(item["log_mel"], tf.float32), record["log_mel"])
        activity = np.unpackbits(item["activity"].numpy(), axis=1)[:, :NUM_PROGRAMS]
        np.testing.assert_array_equal(activity, record["activity"])
        for name in ("id", "song", "num_samples", "sample_rate"):
            assert item[name] == record[name]


def test_the_splits_are_described(data: Path) -> None:
    info = tfds.builder_from_directory(str(data)).info
    assert info.name == "instruments"
    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 4, "test": 1}
    assert info.splits["train"].shard_lengths == [2, 2]


def test_every_key_of_a_record_is_a_feature(data: Path) -> None:
    (serialized,) = tf.data.TFRecordDataset(str(data / shard_name("test", 0, 1)))
    example = tf.train.Example.FromString(serialized.numpy())
    assert set(tfds.builder_from_directory(str(data)).info.features) == set(example.features.feature)
