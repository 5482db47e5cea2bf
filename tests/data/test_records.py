"""Records and manifests are read as they were written, or with an error that names the damage."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.stored import change_sealed, write_sealed

from mir_tf.config import FrontEndConfig
from mir_tf.data.manifest import Manifest, Shard, SplitSummary, read_manifest, shard_name, split_summary, write_manifest
from mir_tf.data.records import Record, encode, parse
from mir_tf.errors import DataError, MirTfWarning


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
        ({"labels": "loud"}, "damaged: labels is 'loud'; it must be midi or audible"),
        ({"fingerprint": "0" * 16}, "does not give the stored fingerprint"),
        ({"front_end": {"n_mels": 64, "hop_length": 2205, "colour": "red"}}, "damaged.*'colour'"),
        ({"front_end": {"n_mels": -1}}, "damaged.*n_mels"),
        ({"front_end": 3}, "damaged: front_end is 3; it must be an object"),
        ({"splits": {"train": {"tracks": 1}}}, r"damaged: splits\.train has no field songs"),
        ({"splits": 3}, "damaged: splits is 3; it must be an object"),
        ({"splits": []}, "damaged: splits is a list of 0 items; it must be an object"),
        ({"format": True}, "damaged: format is True; it must be a whole number"),
        ({"labels": ["midi"]}, r"damaged: labels is \['midi'\]"),
        ({"color": 1}, r"damaged: manifest\.json has an unknown field color"),
        ({"feature_std": 0}, "damaged: feature_std is 0; it must be a number between 1e-06 and 1000"),
        ({"feature_std": -1.5}, "damaged: feature_std is -1.5"),
        ({"feature_std": "12"}, "damaged: feature_std is '12'"),
        ({"feature_mean": None}, "damaged: feature_mean is None"),
        ({"feature_mean": 10**400}, "damaged: feature_mean is a whole number of very many digits"),
        ({"skipped": "all"}, "damaged: skipped is 'all'; it must be a list"),
        ({"skipped": [{"item": 3}]}, r"damaged: skipped\[0\]\.item is 3; it must be a text"),
        ({"source": []}, "damaged: source is a list of 0 items; it must be an object"),
        ({"leaks": {"train, test": 1}}, "damaged: leaks.train, test is 1; it must be an object"),
        ({"stem_checks": {"Track1": "silent"}}, r"damaged: stem_checks\.Track1 is 'silent'; it must be a list"),
    ],
)
@pytest.mark.usefixtures("manifest")
def test_a_damaged_manifest_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "manifest.json"
    change_sealed(path, **change)
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
    write_sealed(path, content)
    with pytest.raises(DataError, match=rf"damaged: .*{key}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff", "[" * 100_000, '{"feature_std": NaN}'])
@pytest.mark.usefixtures("manifest")
def test_a_manifest_that_is_no_mapping_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.json: damaged"):
        read_manifest(tmp_path)


def shard_entry(**changes: object) -> dict[str, object]:
    return {"name": shard_name("train", 0, 1), "records": 5, "num_bytes": 0, "sha256": "0" * 64} | changes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tracks": -1}, "splits.train.tracks is -1; it must be a whole number, at least 0"),
        ({"tracks": 2.0}, "splits.train.tracks is 2.0; it must be a whole number"),
        ({"tracks": True}, "splits.train.tracks is True; it must be a whole number"),
        ({"records": 10**400}, "splits.train.records is a whole number of very many digits"),
        ({"records": 1}, "splits.train has 1 songs, 2 tracks and 1 records"),
        ({"songs": 3}, "splits.train has 3 songs, 2 tracks"),
        ({"seconds": "12"}, "splits.train.seconds is '12'; it must be a number"),
        ({"activity": {"family": {"Piano": 126}}}, r"activity\.family\.Piano is 126; .* between 0 and 125"),
        ({"activity": {"family": {"Piano": -1}}}, r"activity\.family\.Piano is -1; .* between 0 and 125"),
        ({"activity": {"family": 1}}, r"activity\.family is 1; it must be an object"),
        ({"disagreement": {"family": {"Piano": [1, 2]}}}, r"disagreement\.family\.Piano has 2 counts; it must have 3"),
        ({"shards": {}}, r"shards is a dict of 0 items; it must be a list"),
        ({"shards": [shard_entry(records=-1)]}, r"shards\[0\]\.records is -1; it must be a whole number"),
        ({"shards": [shard_entry(num_bytes=None)]}, r"shards\[0\]\.num_bytes is None; it must be a whole number"),
        ({"shards": [shard_entry(sha256="0")]}, r"shards\[0\]\.sha256 is '0'; it must be 64 hexadecimal digits"),
        ({"shards": [shard_entry(name="../../etc/passwd")]}, r"shards\[0\]\.name is '../../etc/passwd'; it must be"),
        ({"shards": [shard_entry(), shard_entry()]}, r"shards\[0\]\.name is .*-00001'; it must be .*-00002"),
        ({"shards": [shard_entry(color="red")]}, r"shards\[0\] has an unknown field color"),
    ],
)
@pytest.mark.usefixtures("manifest")
def test_a_wrong_value_in_a_split_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "manifest.json"
    splits = json.loads(path.read_text())["splits"]
    change_sealed(path, splits={**splits, "train": splits["train"] | change})
    with pytest.raises(DataError, match=rf"manifest\.json: damaged: .*{reason}"):
        read_manifest(tmp_path)


def test_a_vocabulary_of_another_version_is_left_out(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "manifest.json"
    splits = json.loads(path.read_text())["splits"]
    splits["train"]["activity"]["birds"] = {"Wren": 3}
    change_sealed(path, splits=splits)
    assert read_manifest(tmp_path) == manifest


def test_an_edited_manifest_is_refused_with_the_remedy(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"feature_mean": -31}))
    with pytest.raises(DataError, match=r"does not match its content_sha256 .* remove content_sha256 from it"):
        read_manifest(tmp_path)
    del content["content_sha256"]
    path.write_text(json.dumps(content))
    with pytest.warns(MirTfWarning, match=r"manifest\.json: without a digest, .*; build the data set again"):
        assert read_manifest(tmp_path) == manifest


def test_a_missing_shard_is_named(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / manifest.splits["train"].shards[0].name).unlink()
    with pytest.raises(DataError, match=r"shard instruments-train.* is missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("split", ["test", "omitted"])
def test_a_split_without_tracks_is_refused(tmp_path: Path, manifest: Manifest, split: str) -> None:
    assert split_summary(tmp_path, manifest, "train").tracks == 2
    with pytest.raises(DataError, match=f"no track in split '{split}'; the splits with tracks are train"):
        split_summary(tmp_path, manifest, split)
