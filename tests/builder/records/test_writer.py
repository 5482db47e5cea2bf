"""Parts become shards whose bytes depend only on the tracks, and no incomplete file remains."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mir_tf.data import manifest
from mir_tf.data.manifest import Shard
from mir_tf.data.records import Record, parse
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.records import writer
from tfrecords_builder.records.writer import TrackPart
from tfrecords_builder.slakh.tree import Track


def record(number: int) -> Record:
    generator = np.random.default_rng(number)
    label_frames = 5 + number
    return Record(
        id=f"Track{number:05d}",
        song=f"song {number // 2}",
        num_samples=2205 * label_frames,
        sample_rate=22050,
        log_mel=generator.uniform(-60, 20, (5 * label_frames, 16)).astype(np.float16),
        activity=generator.random((label_frames, 129)) < 0.1,
    )


def track(number: int) -> Track:
    split = "train" if number < 8 else "test"
    return Track(f"Track{number:05d}", f"song {number // 2}", split, Path("mix.flac"), ())


def write_part(folder: Path, *numbers: int) -> TrackPart:
    """Write a part with the record of the first of ``numbers``, and further records."""
    folder.mkdir(exist_ok=True)
    return writer.write_part(folder, track(numbers[0]), [record(number) for number in numbers], "midi")


def write(out: Path, numbers: list[int], shard_bytes: int = writer.SHARD_BYTES) -> dict[str, manifest.SplitSummary]:
    out.mkdir()
    parts = [write_part(out / "parts", number) for number in numbers]
    return writer.write_shards(out, out / "parts", parts, shard_bytes)


def ids_in(path: Path) -> list[str]:
    return [item["id"].numpy().decode() for item in tf.data.TFRecordDataset(str(path)).map(parse)]


def test_shards_hold_every_record_whole(tmp_path: Path) -> None:
    splits = write(tmp_path / "a", list(range(10)))
    assert splits["train"].shards == [Shard.of(tmp_path / "a" / "instruments-train.tfrecord-00000-of-00001", 8)]
    parsed = list(tf.data.TFRecordDataset(str(tmp_path / "a" / splits["train"].shards[0].name)).map(parse))
    for number, item in enumerate(parsed):
        np.testing.assert_array_equal(item["log_mel"], record(number).log_mel.astype(np.float32))
        np.testing.assert_array_equal(item["activity"], record(number).activity)
    assert len(parsed) == 8
    assert ids_in(tmp_path / "a" / splits["test"].shards[0].name) == ["Track00008", "Track00009"]


def test_the_summary_counts(tmp_path: Path) -> None:
    splits = write(tmp_path / "a", list(range(10)))
    records = [record(number) for number in range(8)]
    train = splits["train"]
    assert (train.tracks, train.songs, train.records) == (8, 4, 8)
    assert train.seconds == pytest.approx(sum(item.num_samples for item in records) / 22050)
    assert train.label_frames == sum(len(item.activity) for item in records)
    piano = sum(int(item.activity[:, :8].any(axis=1).sum()) for item in records)
    assert train.activity["family"]["Piano"] == piano > 0
    for name, vocabulary in VOCABULARIES.items():
        assert list(train.activity[name]) == list(vocabulary.classes)
    assert (splits["validation"].tracks, splits["validation"].shards) == (0, [])
    assert not any(splits["validation"].activity["program"].values())


def test_shards_do_not_depend_on_the_order_of_the_tracks(tmp_path: Path) -> None:
    numbers = list(range(10))
    first = write(tmp_path / "a", numbers, shard_bytes=5000)
    second = write(tmp_path / "b", numbers[::-1], shard_bytes=5000)
    assert first == second
    assert len(first["train"].shards) > 2
    for shard in first["train"].shards + first["test"].shards:
        assert (tmp_path / "a" / shard.name).read_bytes() == (tmp_path / "b" / shard.name).read_bytes()


def test_the_hash_of_its_id_tells_the_shard_of_a_track(tmp_path: Path) -> None:
    shards = write(tmp_path / "a", list(range(8)), shard_bytes=5000)["train"].shards
    found = {name: index for index, shard in enumerate(shards) for name in ids_in(tmp_path / "a" / shard.name)}
    assert found == {
        f"Track{number:05d}": int(hashlib.sha256(f"Track{number:05d}".encode()).hexdigest(), 16) % len(shards)
        for number in range(8)
    }


def test_the_statistics_are_those_of_all_values(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, number) for number in range(6)]
    values = np.concatenate([record(number).log_mel.astype(np.float64).ravel() for number in range(6)])
    assert writer.feature_statistics(parts) == pytest.approx((values.mean(), values.std()), rel=1e-9)
    assert writer.feature_statistics(parts) == writer.feature_statistics(parts[::-1])


def test_stems_count_but_for_the_statistics_and_what_labels_disagree(tmp_path: Path) -> None:
    mix = dataclasses.replace(record(3), audible=record(4).activity[:8], stem_checks=("S00: silent",))
    stem = dataclasses.replace(record(5), id="Track00003-S00", audible=record(6).activity[:10])
    part = writer.write_part(tmp_path, track(3), [mix, stem], "audible")
    assert (part.id, part.records, part.label_frames, part.stem_checks) == ("Track00003", 2, 8 + 10, ["S00: silent"])
    assert part.num_values == mix.log_mel.size
    assert writer.feature_statistics([part])[0] == pytest.approx(mix.log_mel.astype(np.float64).mean())
    assert mix.audible is not None
    assert stem.audible is not None
    piano = [audible[:, :8].any(axis=1) for audible in (mix.audible, stem.audible)]
    assert part.activity["family"][0] == piano[0].sum() + piano[1].sum()
    written = mix.activity[:, :8].any(axis=1)
    only_midi, only_audible, both = part.disagreement["family"][0]
    assert only_midi == (written & ~piano[0]).sum()
    assert only_audible == (piano[0] & ~written).sum() > 0
    assert both == (written & piano[0]).sum() > 0
    (train, *_) = writer.write_shards(tmp_path, tmp_path, [part]).values()
    assert (train.tracks, train.records, train.songs) == (1, 2, 1)
    assert train.disagreement["family"]["Piano"] == [only_midi, only_audible, both]
    assert ids_in(tmp_path / train.shards[0].name) == ["Track00003", "Track00003-S00"]


def test_without_tracks_the_statistics_change_nothing() -> None:
    assert writer.feature_statistics([]) == (0.0, 1.0)


def test_silence_has_a_deviation_by_which_features_can_be_divided(tmp_path: Path) -> None:
    silent = dataclasses.replace(record(1), log_mel=np.full((30, 16), -60, np.float16))
    assert writer.feature_statistics([writer.write_part(tmp_path, track(1), [silent], "midi")]) == (-60.0, 1.0)


def test_a_track_may_have_several_records(tmp_path: Path) -> None:
    parts = [write_part(tmp_path / "parts", 0, 1, 2), write_part(tmp_path / "parts", 5)]
    assert (parts[0].id, parts[0].records, parts[0].label_frames) == ("Track00000", 3, 5 + 6 + 7)
    train = writer.write_shards(tmp_path, tmp_path / "parts", parts)["train"]
    assert (train.tracks, train.records, train.label_frames) == (2, 4, 18 + 10)
    (shard,) = train.shards
    assert shard.records == 4
    assert ids_in(tmp_path / shard.name) == [f"Track{number:05d}" for number in (0, 1, 2, 5)]


def test_a_part_is_found_again(tmp_path: Path) -> None:
    part = write_part(tmp_path, 3, 4)
    assert writer.find_part(tmp_path, track(3)) == part
    assert writer.find_part(tmp_path, track(4)) is None


@pytest.mark.parametrize("suffix", ["tfrecord", "json"])
def test_a_part_that_is_not_whole_is_none(tmp_path: Path, suffix: str) -> None:
    write_part(tmp_path, 3)
    path = tmp_path / f"Track00003.{suffix}"
    content = path.read_bytes()
    for damaged in (content[:-1], b"", content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        assert writer.find_part(tmp_path, track(3)) is None
    path.unlink()
    assert writer.find_part(tmp_path, track(3)) is None


def test_a_part_with_another_count_is_none(tmp_path: Path) -> None:
    write_part(tmp_path, 3)
    path = tmp_path / "Track00003.json"
    text = path.read_text()
    assert '"records": 1' in text
    path.write_text(text.replace('"records": 1', '"records": 2'))
    assert writer.find_part(tmp_path, track(3)) is None


def test_a_part_of_another_song_or_split_is_none(tmp_path: Path) -> None:
    write_part(tmp_path, 3)
    for change in ({"split": "test"}, {"song": "another"}):
        assert writer.find_part(tmp_path, dataclasses.replace(track(3), **change)) is None


def test_shards_of_an_interrupted_build_go(tmp_path: Path) -> None:
    stale = [
        tmp_path / f"{dot}instruments-train.tfrecord-00001-of-00002{end}" for dot, end in (("", ""), (".", ".tmp"))
    ]
    for path in stale:
        path.touch()
    writer.write_shards(tmp_path, tmp_path / "parts", [write_part(tmp_path / "parts", 0)])
    assert not any(path.exists() for path in stale)
