"""Records and manifests are read as they were written, or with an error that names the damage."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mir_tf.config import FrontEndConfig
from mir_tf.data.manifest import Manifest, Shard, SplitSummary, read_manifest, shard_name, split_summary, write_manifest
from mir_tf.data.records import Record, encode, parse
from mir_tf.errors import DataError


def record(frames: int = 50, label_frames: int = 10, mels: int = 128, seed: int = 0) -> Record:
    generator = np.random.default_rng(seed)
    return Record(
        id="Track00001",
        song="Größe & Höhe",
        num_samples=22049,
        sample_rate=22050,
        log_mel=generator.uniform(-60, 60, (frames, mels)).astype(np.float16),
        activity=generator.random((label_frames, 129)) < 0.3,
    )


@pytest.mark.parametrize("size", [(50, 10, 128), (0, 0, 128), (1, 1, 7), (12000, 2400, 64)])
def test_a_record_comes_back(size: tuple[int, int, int]) -> None:
    written = record(*size)
    parsed = parse(encode(written))
    assert parsed["id"].numpy().decode() == written.id
    assert parsed["song"].numpy().decode() == written.song
    assert parsed["num_samples"].numpy() == written.num_samples
    assert parsed["sample_rate"].numpy() == written.sample_rate
    assert (parsed["log_mel"].dtype, parsed["activity"].dtype) == (tf.float32, tf.float32)
    np.testing.assert_array_equal(parsed["log_mel"], written.log_mel.astype(np.float32))
    np.testing.assert_array_equal(parsed["activity"], written.activity)


def test_both_kinds_of_labels_come_back() -> None:
    written = dataclasses.replace(record(), audible=record(seed=1).activity)
    np.testing.assert_array_equal(parse(encode(written))["activity"], written.activity)
    np.testing.assert_array_equal(parse(encode(written), "audible")["activity"], written.audible)
    assert (written.activity != written.audible).any()
    with pytest.raises(ValueError, match="Track00001: has no labels 'audible'"):
        record().targets("audible")


def test_every_program_has_its_bit() -> None:
    written = dataclasses.replace(record(), activity=np.eye(129, dtype=np.bool_))
    np.testing.assert_array_equal(parse(encode(written))["activity"], np.eye(129))


def test_records_parse_inside_a_data_set(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tfrecord")
    records = [record(seed=seed, frames=50 + seed) for seed in range(3)]
    with tf.io.TFRecordWriter(path) as file:
        for item in records:
            file.write(encode(item))
    parsed = list(tf.data.TFRecordDataset(path).map(parse))
    for item, written in zip(parsed, records, strict=True):
        np.testing.assert_array_equal(item["log_mel"], written.log_mel.astype(np.float32))
        np.testing.assert_array_equal(item["activity"], written.activity)


def test_the_same_record_gives_the_same_bytes() -> None:
    assert encode(record()) == encode(record())


def test_shards_are_named_as_tfds_names_them() -> None:
    assert shard_name("train", 3, 16) == "instruments-train.tfrecord-00003-of-00016"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Write a manifest in ``tmp_path``."""
    path = tmp_path / shard_name("train", 0, 1)
    path.touch()
    train = SplitSummary(
        2, 1, 5, 12.5, 125, [Shard.of(path, 5)], {"family": {"Piano": 7}}, {"family": {"Piano": [1, 2, 3]}}
    )
    manifest = Manifest(
        front_end=FrontEndConfig(n_mels=64, n_fft=4096, hop_length=2205),
        splits={"train": train, "test": SplitSummary(0, 0, 0, 0.0, 0, [], {})},
        feature_mean=-30.5,
        feature_std=12.25,
        skipped=[{"item": "Track00009", "reason": "größer"}],
        source={"slakh": "tree", "seed": 3},
        labels="audible",
        leaks={"train, test": {"waltz": ["Track00001", "Track00002"]}},
        stem_checks={"Track00001": ["S03: silent while its MIDI plays (100% of 9 notes)"]},
    )
    write_manifest(tmp_path, manifest)
    return manifest


def test_a_manifest_comes_back(tmp_path: Path, manifest: Manifest) -> None:
    assert read_manifest(tmp_path) == manifest
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_a_manifest_tells_its_fingerprint(tmp_path: Path, manifest: Manifest) -> None:
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["fingerprint"] == manifest.front_end.fingerprint()


def test_no_manifest_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest\.json: .*build one"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 1}, "format 1; this version reads 2 and 3"),
        ({"labels": "loud"}, "damaged: labels 'loud'"),
        ({"fingerprint": "0" * 16}, "does not give the stored fingerprint"),
        ({"front_end": {"n_mels": 64, "hop_length": 2205, "colour": "red"}}, "damaged.*'colour'"),
        ({"front_end": {"n_mels": -1}}, "damaged.*n_mels"),
        ({"front_end": 3}, "damaged"),
        ({"splits": {"train": {"tracks": 1}}}, "damaged"),
        ({"splits": 3}, "damaged"),
    ],
)
@pytest.mark.usefixtures("manifest")
def test_a_damaged_manifest_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=reason) as raised:
        read_manifest(tmp_path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "key", ["format", "front_end", "splits", "feature_mean", "skipped", "fingerprint", "labels", "leaks"]
)
@pytest.mark.usefixtures("manifest")
def test_a_manifest_that_lacks_a_key_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"{key}|fingerprint"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
@pytest.mark.usefixtures("manifest")
def test_a_manifest_that_is_no_mapping_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.json: (cannot be read|damaged)"):
        read_manifest(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / manifest.splits["train"].shards[0].name).unlink()
    with pytest.raises(DataError, match=r"shard instruments-train.* is missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("split", ["test", "omitted"])
def test_a_split_without_tracks_is_refused(tmp_path: Path, manifest: Manifest, split: str) -> None:
    assert split_summary(tmp_path, manifest, "train").tracks == 2
    with pytest.raises(DataError, match=f"no track in split '{split}'; the splits with tracks are train"):
        split_summary(tmp_path, manifest, split)
