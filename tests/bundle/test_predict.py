"""The loop over the tracks of a split: order, workers, progress, and the checks before it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.stored import write_sealed
from helpers.tiny_data import CONFIG, FRONT_END, make_record, write_data, write_stems
from numpy.typing import NDArray

from mir_tf.bundle.predict import predict_split
from mir_tf.errors import DataError
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]


class Stub:
    """In the place of a model: predicts the level of each label frame for every class, and counts the tracks."""

    def __init__(self) -> None:
        self.tracks = 0

    def predict_track(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        self.tracks += 1
        return np.repeat(log_mel[:: FRONT_END.subframes, :1], len(FAMILY), axis=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[20]], "test": [[35, 60], [20, 45, 30]]})
    return folder


def test_every_track_is_predicted_beside_its_truth(data: Path) -> None:
    found = list(predict_split(Stub(), CONFIG, data, "test"))
    assert [track.id for track in found] == ["test-0-0", "test-0-1", "test-1-0", "test-1-1", "test-1-2"]
    for track, length in zip(found, (35, 60, 20, 45, 30), strict=True):
        record = make_record(track.id, length)
        assert track.song == record.song
        np.testing.assert_array_equal(track.truth, FAMILY.project(record.activity))
        np.testing.assert_array_equal(track.probabilities[:, 0], record.log_mel[:: FRONT_END.subframes, 0])


def test_workers_share_the_tracks(data: Path) -> None:
    whole = [track.id for track in predict_split(Stub(), CONFIG, data, "test")]
    for workers in (2, 3, 6):
        for worker in range(workers):
            tracks = predict_split(Stub(), CONFIG, data, "test", worker=worker, workers=workers)
            assert [track.id for track in tracks] == whole[worker::workers]


@pytest.mark.parametrize(("worker", "workers", "tracks"), [(0, 1, 5), (0, 2, 3), (1, 2, 2)])
def test_progress_is_of_this_worker_s_tracks(data: Path, worker: int, workers: int, tracks: int) -> None:
    seen: list[tuple[int, int]] = []
    predictions = predict_split(
        Stub(), CONFIG, data, "test", lambda *calls: seen.append(calls), worker=worker, workers=workers
    )
    assert len(list(predictions)) == tracks
    assert seen == [(done, tracks) for done in range(1, tracks + 1)]


def test_a_track_is_predicted_when_it_is_asked_for(data: Path) -> None:
    model = Stub()
    tracks: Iterator[object] = predict_split(model, CONFIG, data, "test")
    assert model.tracks == 0
    next(tracks)
    assert model.tracks == 1


def test_stems_are_left_out(tmp_path: Path) -> None:
    write_stems(tmp_path / "stems")
    tracks = predict_split(Stub(), CONFIG, tmp_path / "stems", "train")
    assert [track.id for track in tracks] == ["Track1", "Track2"]


def test_the_data_set_is_checked_before_the_first_track(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no track in split 'validation'"):
        predict_split(Stub(), CONFIG, data, "validation")
    with pytest.raises(DataError, match="n_mels: 8 here, 16 there"):
        predict_split(Stub(), CONFIG.merge({"front_end": {"n_mels": 16}}), data, "test")
    write_data(tmp_path, {"test": [[20]]})
    content = json.loads((tmp_path / "manifest.json").read_text())
    activity = content["splits"]["test"]["activity"]["family"]
    content["splits"]["test"]["activity"]["family"] = dict.fromkeys(activity, 0)
    write_sealed(tmp_path / "manifest.json", content)
    with pytest.raises(DataError, match="nothing sounds in split 'test', so there is nothing to measure"):
        predict_split(Stub(), CONFIG, tmp_path, "test")
