"""The input pipeline: batches of crops as a function of the seed, whole tracks, and damaged shards."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny_data import CONFIG, FRONT_END, PROGRAMS, make_record, write_data, write_split, write_stems

from mir_tf.config import FRONT_ENDS, RunConfig
from mir_tf.data import manifest as schema
from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest
from mir_tf.data.records import Record
from mir_tf.errors import DataError
from mir_tf.io.files import sha256
from mir_tf.vocabulary import VOCABULARIES

LENGTHS = [[30, 50, 15], [25, 60], [20]]
"""Label frames of each track in each train shard; a crop has 20."""

CROPS_A_PASS = 2 + 3 + 1 + 2 + 3 + 1


DataSet = tuple[Path, Manifest]
"""Folder and manifest."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    folder = tmp_path_factory.mktemp("data")
    return folder, write_data(folder, {"train": LENGTHS, "validation": [[35, 60]]})


def batches(
    data: DataSet, config: RunConfig = CONFIG, first_epoch: int = 0, steps: int = 3
) -> list[tuple[np.ndarray, ...]]:
    dataset = pipeline.training_dataset(*data, "train", config, first_epoch, steps)
    return [tuple(tensor.numpy() for tensor in batch) for batch in dataset]


def assert_equal(left: list[tuple[np.ndarray, ...]], right: list[tuple[np.ndarray, ...]]) -> None:
    assert len(left) == len(right)
    for mine, theirs in zip(left, right, strict=True):
        for array, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(array, other)


def tracks_of_train() -> dict[str, Record]:
    return {
        f"train-{shard}-{index}": make_record(f"train-{shard}-{index}", length)
        for shard, lengths in enumerate(LENGTHS)
        for index, length in enumerate(lengths)
    }


def origin(log_mel: np.ndarray) -> tuple[str, int]:
    """Return the track and the first label frame that a crop [frames, mels] was cut from."""
    for name, record in tracks_of_train().items():
        whole = record.log_mel.astype(np.float32)
        for start in range(0, max(len(whole) - len(log_mel), 0) + 1):
            piece = whole[start : start + len(log_mel)]
            if (piece == log_mel[: len(piece)]).all():
                assert start % FRONT_END.subframes == 0
                return name, start // FRONT_END.subframes
    raise AssertionError("a crop of no track")


def test_every_epoch_has_its_steps_of_the_promised_shapes(data: DataSet) -> None:
    made = batches(data)
    assert len(made) == 3 * CONFIG.train.epochs
    for log_mel, targets, weights, is_stem in made:
        assert (log_mel.shape, targets.shape, weights.shape) == ((4, 40, 8), (4, 20, 17), (4, 20))
        assert {log_mel.dtype, targets.dtype, weights.dtype} == {np.dtype(np.float32)}
        assert not is_stem.any()
    element = pipeline.training_dataset(*data, "train", CONFIG, 0, 3).element_spec[0]
    assert element.shape.as_list() == [4, 40, 8]


def test_a_crop_carries_the_labels_of_its_place(data: DataSet) -> None:
    family = VOCABULARIES["family"]
    starts = set()
    for log_mel, targets, weights, _ in batches(data):
        for crop, target, weight in zip(log_mel, targets, weights, strict=True):
            name, start = origin(crop)
            activity = family.project(tracks_of_train()[name].activity[start : start + 20])
            np.testing.assert_array_equal(target[: len(activity)], activity)
            np.testing.assert_array_equal(weight, np.arange(20) < len(activity))
            np.testing.assert_array_equal(target[len(activity) :], 0)
            np.testing.assert_array_equal(crop[len(activity) * FRONT_END.subframes :], FRONT_END.log_floor_db)
            starts.add((name, start))
    assert len(starts) > 20, "crops lie at random places"


def test_a_pass_takes_each_track_as_often_as_it_is_long(data: DataSet) -> None:
    config = CONFIG.merge({"train": {"batch_size": CROPS_A_PASS, "epochs": 2}})
    expected = sorted(name for name, record in tracks_of_train().items() for _ in range(-(-len(record.activity) // 20)))
    for log_mel, *_ in batches(data, config, steps=1):
        assert sorted(origin(crop)[0] for crop in log_mel) == expected


def test_an_epoch_longer_than_a_pass_begins_another(data: DataSet) -> None:
    config = CONFIG.merge({"train": {"batch_size": CROPS_A_PASS, "epochs": 1}})
    first, second = batches(data, config, steps=2)
    assert [origin(crop) for crop in first[0]] != [origin(crop) for crop in second[0]]


def numbered_tracks(folder: Path, count: int, label_frames: int) -> DataSet:
    """Write a data set of one shard; each value of a track's log-mel is minus an eighth of its number."""
    shard = [
        dataclasses.replace(record, log_mel=np.full_like(record.log_mel, -number / 8))
        for number, record in ((number, make_record(f"{number:03}", label_frames)) for number in range(count))
    ]
    return folder, Manifest(FRONT_END, {"train": write_split(folder, "train", [shard])}, 0.0, 1.0, [], {})


def test_a_batch_is_not_made_of_neighbours(tmp_path: Path) -> None:
    data = numbered_tracks(tmp_path, 40, label_frames=400)  # of 20 crops each, 800 in all
    drawn = [-8 * log_mel[:, 0, 0] for log_mel, *_ in batches(data, CONFIG.merge({"train": {"epochs": 1}}), steps=25)]
    assert len(set(np.concatenate(drawn))) > 32  # of 100 crops; 36.8 tracks are expected


def test_short_epochs_use_every_part_of_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass of an epoch may end long before the end of a shard that is larger than the shuffle."""
    monkeypatch.setattr(pipeline, "_SHUFFLE_BYTES", 200_000)
    data = numbered_tracks(tmp_path, 400, label_frames=20)
    config = CONFIG.merge({"train": {"epochs": 60}})
    drawn = [-8 * log_mel[:, 0, 0] for log_mel, *_ in batches(data, config, steps=10)]
    counts, _ = np.histogram(np.concatenate(drawn), bins=10, range=(0, 400))  # 2400 crops, in tenths of the shard
    assert counts.min() > 120
    assert counts.max() < 360


def test_an_epoch_is_a_function_of_seed_and_number(data: DataSet) -> None:
    whole = batches(data)
    tf.random.set_seed(0)  # TensorFlow's global seed must not matter
    assert_equal(batches(data), whole)
    tf.random.set_seed(7)
    assert_equal(batches(data, first_epoch=2), whole[2 * 3 :])
    order = [crop[0, 0].item() for log_mel, *_ in whole for crop in log_mel]
    assert order[:12] != order[12:24]
    other = batches(data, CONFIG.merge({"train": {"seed": CONFIG.train.seed + 1}}))
    assert not np.array_equal(other[0][0], whole[0][0])


def test_the_vocabulary_is_chosen_when_reading(data: DataSet) -> None:
    config = CONFIG.merge({"train": {"vocabulary": "program"}})
    for _, targets, *_ in batches(data, config):
        assert targets.shape[2] == 129
        assert set(np.flatnonzero(targets.any(axis=(0, 1)))) <= set(PROGRAMS)


def test_clips_are_normalised_over_their_true_frames(tmp_path: Path) -> None:
    front_end = FRONT_ENDS["seed_22k"]
    manifest = write_data(tmp_path, {"train": [[1000, 400]]}, front_end)
    config = RunConfig.for_front_end(front_end).merge({"train": {"batch_size": 2, "epochs": 1}})
    [(log_mel, _, weights, _)] = batches((tmp_path, manifest), config, steps=1)
    assert log_mel.shape == (2, 1000, 128)
    assert sorted(weights.sum(axis=1)) == [400, 1000]
    for clip, weight in zip(log_mel, weights, strict=True):
        true = clip[weight > 0]
        np.testing.assert_allclose([true.mean(), true.std()], [0, 1], atol=1e-4)
        np.testing.assert_allclose(clip[weight == 0], true.min())


@pytest.mark.parametrize(("crop_seconds", "steps"), [(2.0, 3), (1.0, 5), (20.0, 2)])
def test_default_steps_pass_over_every_second_once(data: DataSet, crop_seconds: float, steps: int) -> None:
    """20 s in 6 tracks and batches of 4: 10 crops of 2 s, 20 of 1 s, one of each track."""
    config = CONFIG.merge({"train": {"crop_seconds": crop_seconds}})
    assert pipeline.default_steps(data[1], "train", config) == steps


def test_tracks_are_whole_and_in_order(data: DataSet) -> None:
    read = list(pipeline.tracks(*data, "validation", VOCABULARIES["family"]))
    assert [track.id for track in read] == ["validation-0-0", "validation-0-1"]
    for track, length in zip(read, [35, 60], strict=True):
        record = make_record(track.id, length)
        assert track.song == record.song
        np.testing.assert_array_equal(track.log_mel, record.log_mel.astype(np.float32))
        np.testing.assert_array_equal(track.truth, VOCABULARIES["family"].project(record.activity))
        assert track.truth.dtype == bool


def test_tracks_come_without_stems(tmp_path: Path) -> None:
    manifest = write_stems(tmp_path / "stems")
    folder, family = tmp_path / "stems", VOCABULARIES["family"]
    assert [track.id for track in pipeline.tracks(folder, manifest, "train", family)] == ["Track1", "Track2"]
    records = [(track.id, is_stem) for track, is_stem in pipeline.read_records(folder, manifest, "train", family)]
    stems = ["Track1-S00", "Track1-S01", "Track2-S00"]
    assert [id for id, is_stem in records if is_stem] == stems
    assert [id for id, _ in records] == ["Track1", *stems[:2], "Track2", stems[2]]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def replace_by_another_record(path: Path) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example().SerializeToString())


@pytest.mark.parametrize("damage", [truncate, corrupt, replace_by_another_record])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    manifest = write_data(tmp_path, {"train": LENGTHS})
    shard = manifest.splits["train"].shards[1].name
    damage(tmp_path / shard)
    with pytest.raises(DataError, match=rf"{shard}: damaged: .*the manifest.*; copy the data set again, or remove it"):
        list(pipeline.tracks(tmp_path, manifest, "train", VOCABULARIES["family"]))
    with (
        pytest.raises(DataError, match=rf"{shard}: damaged"),
        pipeline.report_read_errors(tmp_path, manifest, "train"),
    ):
        batches((tmp_path, manifest))


def test_a_shard_that_is_damaged_after_its_check_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_data(tmp_path, {"train": LENGTHS})
    shard = manifest.splits["train"].shards[1].name
    corrupt(tmp_path / shard)
    monkeypatch.setattr(pipeline, "require_intact", lambda *_: None)
    with pytest.raises(DataError, match=rf"{shard}: damaged .*remove the data set and build it again"):
        list(pipeline.tracks(tmp_path, manifest, "train", VOCABULARIES["family"]))


def test_a_shard_is_read_once_for_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_data(tmp_path, {"train": LENGTHS, "test": [[20]]})
    read: list[str] = []
    monkeypatch.setattr(schema, "sha256", lambda path: read.append(path.name) or sha256(path))
    progress: list[tuple[int, int]] = []
    for _ in range(2):
        schema.require_intact(tmp_path, manifest, ("train", "validation"), lambda *done: progress.append(done))
        list(pipeline.tracks(tmp_path, manifest, "train", VOCABULARIES["family"]))
    shards = manifest.splits["train"].shards
    assert sorted(read) == [shard.name for shard in shards]
    sizes = np.cumsum([shard.num_bytes for shard in shards]).tolist()
    assert progress == [(done, sizes[-1]) for done in sizes] * 2
    path = tmp_path / shards[0].name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)  # of the same size
    with pytest.raises(DataError, match=rf"{shards[0].name}: damaged: its SHA-256 differs from the manifest"):
        schema.require_intact(tmp_path, manifest, ("train",))
    path.unlink()
    with pytest.raises(DataError, match=rf"shard {shards[0].name} is missing; copy the data set again"):
        schema.require_intact(tmp_path, manifest, ("train",))


def test_missing_records_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_data(tmp_path, {"train": LENGTHS})
    (tmp_path / manifest.splits["train"].shards[0].name).write_bytes(b"")
    monkeypatch.setattr(pipeline, "require_intact", lambda *_: None)
    with pytest.raises(DataError, match="contain 3 records, but the manifest counts 6"):
        list(pipeline.tracks(tmp_path, manifest, "train", VOCABULARIES["family"]))
    with (
        pytest.raises(DataError, match="contain 3 records, but the manifest counts 6"),
        pipeline.report_read_errors(tmp_path, manifest, "train"),
    ):
        batches((tmp_path, manifest))


def test_an_error_that_is_not_the_datas_stays_what_it_is(data: DataSet) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"), pipeline.report_read_errors(*data, "train"):
        raise tf.errors.InvalidArgumentError(None, None, "mine")


def test_an_unknown_split_is_refused(data: DataSet) -> None:
    with pytest.raises(DataError, match="no track in split 'test'; the splits with tracks are train, validation"):
        list(pipeline.tracks(*data, "test", VOCABULARIES["family"]))


def test_another_front_end_is_refused_by_field(data: DataSet) -> None:
    folder, manifest = data
    pipeline.check_front_end(folder, manifest, FRONT_END)
    other = dataclasses.replace(FRONT_END, n_mels=16)
    with pytest.raises(DataError, match=r"n_mels: 8 here, 16 there"):
        pipeline.check_front_end(folder, manifest, other)


def test_the_manifest_on_disk_is_the_one_written(data: DataSet) -> None:
    folder, manifest = data
    assert schema.read_manifest(folder) == manifest


def test_stems_are_told_from_mixes_and_taken_in_their_share(tmp_path: Path) -> None:
    """Ten mixes and forty stems of one crop each: a pass takes all mixes and about a quarter of the stems."""
    names = [name for track in range(10) for name in (f"T{track}", *(f"T{track}-S{stem:02d}" for stem in range(4)))]
    records = [dataclasses.replace(make_record(name, 20), num_samples=index) for index, name in enumerate(names)]
    summary = dataclasses.replace(write_split(tmp_path, "train", [records]), tracks=10)
    manifest = Manifest(FRONT_END, {"train": summary}, 0.0, 1.0, [], {})
    counts = []
    for share in (1.0, 0.25, 0.0):
        config = CONFIG.merge({"train": {"stem_share": share, "batch_size": 10, "epochs": 1}})
        stems = np.concatenate([batch[3] for batch in batches((tmp_path, manifest), config, steps=20)])
        counts.append(stems.mean())
    assert counts[0] == pytest.approx(0.8)
    assert counts[1] == pytest.approx(0.5, abs=0.1)
    assert counts[2] == 0
