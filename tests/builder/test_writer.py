"""Parts become shards whose bytes depend on the tracks alone, and nothing half-written stays behind."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mir_tf import schema
from mir_tf.errors import DataError
from mir_tf.schema import Record
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder import writer


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


def write(folder: Path, numbers: list[int], shard_bytes: int = writer.SHARD_BYTES) -> dict[str, schema.SplitSummary]:
    folder.mkdir()
    parts = [writer.write_part(folder, "train" if n < 8 else "test", [record(n)], "midi") for n in numbers]
    return writer.write_shards(folder, parts, shard_bytes)


def ids_in(path: Path) -> list[str]:
    return [item["id"].numpy().decode() for item in tf.data.TFRecordDataset(str(path)).map(schema.parse)]


def test_shards_hold_every_record_whole(tmp_path: Path) -> None:
    splits = write(tmp_path / "a", list(range(10)))
    assert splits["train"].shards == ["instruments-train.tfrecord-00000-of-00001"]
    parsed = list(tf.data.TFRecordDataset(str(tmp_path / "a" / splits["train"].shards[0])).map(schema.parse))
    for number, item in enumerate(parsed):
        np.testing.assert_array_equal(item["log_mel"], record(number).log_mel.astype(np.float32))
        np.testing.assert_array_equal(item["activity"], record(number).activity)
    assert len(parsed) == 8
    assert ids_in(tmp_path / "a" / splits["test"].shards[0]) == ["Track00008", "Track00009"]


def test_the_summary_counts(tmp_path: Path) -> None:
    splits = write(tmp_path / "a", list(range(10)))
    records = [record(number) for number in range(8)]
    train = splits["train"]
    assert (train.tracks, train.songs) == (8, 4)
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
    for name in first["train"].shards + first["test"].shards:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_hash_of_its_id_tells_the_shard_of_a_track(tmp_path: Path) -> None:
    shards = write(tmp_path / "a", list(range(8)), shard_bytes=5000)["train"].shards
    found = {track: index for index, name in enumerate(shards) for track in ids_in(tmp_path / "a" / name)}
    assert found == {
        f"Track{number:05d}": int(hashlib.sha256(f"Track{number:05d}".encode()).hexdigest(), 16) % len(shards)
        for number in range(8)
    }


def test_the_statistics_are_those_of_all_values(tmp_path: Path) -> None:
    parts = [writer.write_part(tmp_path, "train", [record(number)], "midi") for number in range(6)]
    values = np.concatenate([record(number).log_mel.astype(np.float64).ravel() for number in range(6)])
    assert writer.feature_statistics(parts) == pytest.approx((values.mean(), values.std()), rel=1e-9)
    assert writer.feature_statistics(parts) == writer.feature_statistics(parts[::-1])


def test_stems_count_but_for_the_statistics_and_what_labels_disagree(tmp_path: Path) -> None:
    mix = dataclasses.replace(record(3), audible=record(4).activity[:8], findings=("S00: silent",))
    stem = dataclasses.replace(record(5), id="Track00003-S00", audible=record(6).activity[:10])
    part = writer.write_part(tmp_path, "train", [mix, stem], "audible")
    assert (part.id, part.records, part.label_frames, part.findings) == ("Track00003", 2, 8 + 10, ["S00: silent"])
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
    (train, *_) = writer.write_shards(tmp_path, [part]).values()
    assert (train.tracks, train.records, train.songs) == (1, 2, 1)
    assert train.disagreement["family"]["Piano"] == [only_midi, only_audible, both]
    assert ids_in(tmp_path / train.shards[0]) == ["Track00003", "Track00003-S00"]


def test_without_tracks_the_statistics_change_nothing() -> None:
    assert writer.feature_statistics([]) == (0.0, 1.0)


def test_silence_has_no_deviation(tmp_path: Path) -> None:
    silent = dataclasses.replace(record(1), log_mel=np.full((30, 16), -60, np.float16))
    assert writer.feature_statistics([writer.write_part(tmp_path, "train", [silent], "midi")]) == (-60.0, 0.0)


def test_a_new_data_set_may_begin_in_an_empty_folder(tmp_path: Path) -> None:
    for out in (tmp_path / "new" / "data", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with writer.new_data_set(out) as parts:
            assert parts.parent == out
            (out / "result").touch()
        assert [path.name for path in out.iterdir()] == ["result"]


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ("manifest.json", "holds a finished data set"),
        (".parts/a", "holds a build that runs or was killed"),
        ("thesis.tex", "is not empty, it holds thesis.tex"),
    ],
)
def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path: Path, held: str, reason: str) -> None:
    path = tmp_path / held
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(DataError, match=reason), writer.new_data_set(tmp_path):
        pass
    assert path.exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="is a file"):
        writer.require_new(tmp_path / "a")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "data"

    def fail() -> None:
        with writer.new_data_set(out) as parts:
            writer.write_part(parts, "train", [record(0)], "midi")
            (out / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not out.exists()
