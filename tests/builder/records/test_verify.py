"""Verification reports every kind of damage to a data set, with the file."""

import json
from pathlib import Path

import click.testing
import pytest
from helpers.commands import run_builder
from helpers.stored import write_sealed
from helpers.tiny_data import write_data

from mir_tf.data import manifest as schema
from tfrecords_builder.records import tfds_metadata


def verify(folder: Path) -> click.testing.Result:
    return run_builder("--verify", folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    manifest = write_data(folder, {"train": [[10, 20], [30]], "test": [[12]], "validation": []})
    tfds_metadata.write(folder, manifest)
    return folder


def test_what_is_whole_is_said_to_be_fine(data: Path) -> None:
    result = verify(data)
    assert result.exit_code == 0, result.output
    size = sum(path.stat().st_size for path in data.glob(schema.SHARDS))
    assert f"{data}: fine: 3 shards, 4 records, {size / 1e6:.2f} MB" in result.stdout


def test_each_damaged_file_is_named(data: Path) -> None:
    names = [schema.shard_name("train", 0, 2), schema.shard_name("train", 1, 2), schema.shard_name("test", 0, 1)]
    cut, changed, gone = (data / name for name in names)
    cut.write_bytes(cut.read_bytes()[:-1])
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    gone.unlink()
    (data / "features.json").write_text("{}")
    result = verify(data)
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if line.startswith("damaged: ")]
    assert len(lines) == 4
    assert f"damaged: {cut}: {cut.stat().st_size} bytes; the manifest lists {cut.stat().st_size + 1}" in lines
    assert f"damaged: {changed}: its SHA-256 differs from the manifest" in lines
    assert f"damaged: {gone}: cannot be read: No such file or directory" in lines
    assert f"damaged: {data / 'features.json'}: missing, or different from the manifest" in lines
    assert "fine" not in result.stdout


@pytest.mark.parametrize(("records", "reason"), [(3, "2 records; the manifest lists 3"), (2, None)])
def test_records_are_counted(data: Path, records: int, reason: str | None) -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["splits"]["train"]["shards"][0]["records"] = records
    write_sealed(data / "manifest.json", manifest)
    result = verify(data)
    assert result.exit_code == (reason is not None)
    assert (reason or "fine") in result.stdout


@pytest.mark.parametrize("value", [None, "a", 1.5])
def test_a_manifest_whose_counts_are_none_is_damaged(data: Path, value: object) -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["splits"]["train"]["shards"][0]["num_bytes"] = value
    write_sealed(data / "manifest.json", manifest)
    result = verify(data)
    assert result.exit_code == 1
    assert "manifest.json: damaged" in result.stderr


def test_records_are_parsed(data: Path) -> None:
    shard = data / schema.shard_name("test", 0, 1)
    content = shard.read_bytes().replace(b"num_mels", b"num_mehl")
    assert content != shard.read_bytes()
    shard.write_bytes(content)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["splits"]["test"]["shards"] = [vars(schema.Shard.of(shard, 1))]
    write_sealed(data / "manifest.json", manifest)
    result = verify(data)
    assert result.exit_code == 1
    assert f"{shard}: record 0 cannot be parsed" in result.stdout


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path: Path) -> None:
    result = verify(tmp_path)
    assert result.exit_code == 1
    assert "no manifest.json" in result.stderr
