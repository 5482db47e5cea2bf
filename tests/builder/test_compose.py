import numpy as np
import pretty_midi
import pytest

from mir_tf.vocabulary import VOCABULARIES, program_index
from tfrecords_builder import compose
from tfrecords_builder.slakh import songs

FAMILY = VOCABULARIES["family"]

SONGS = 120
"""As many as the demo has."""


def activity(song: pretty_midi.PrettyMIDI) -> np.ndarray:
    """Ten times a second, which class has a note: bool [frames, 17]."""
    frames = np.zeros((int(song.get_end_time() * 10) + 1, 129), bool)
    for part in song.instruments:
        for note in part.notes:
            frames[int(note.start * 10) : int(note.end * 10) + 1, program_index(part.program, part.is_drum)] = True
    return FAMILY.project(frames)


@pytest.fixture(scope="module")
def collection() -> list[np.ndarray]:
    return [activity(compose.compose_song(0, index)) for index in range(SONGS)]


def test_songs_last_24_to_32_seconds():
    for seed in (0, 1):
        for index in range(48):
            assert 24 <= compose.compose_song(seed, index).get_end_time() <= 32


def test_every_class_sounds_for_a_twentieth_to_a_third_of_the_time(collection):
    share = np.concatenate(collection).mean(axis=0)
    assert share.min() > 0.05
    assert share.max() < 0.33


def test_every_class_is_in_every_split(collection):
    names = [f"Song{index:05d}.mid" for index in range(SONGS)]
    split = songs.split_songs(names, 0)
    for part in ("train", "validation", "test"):
        sounds = np.concatenate([frames for name, frames in zip(names, collection, strict=True) if split[name] == part])
        assert sounds.any(axis=0).all(), part


def test_activity_varies_within_songs_and_between_them(collection):
    present = np.array([frames.any(axis=0) for frames in collection])
    assert not present.all(axis=0).any()  # no class, drums neither, is in all songs
    for frames in collection:
        share = frames.mean(axis=0)
        assert share.max() < 0.9  # nor does any sound throughout a song
        changes = np.abs(np.diff(frames.astype(int), axis=0)).sum()
        assert changes > 20


def test_same_arguments_same_bytes(tmp_path):
    first, second = (compose.compose_folder(tmp_path / name, 3, seed=5) for name in "ab")
    assert [path.name for path in first] == ["Song00000.mid", "Song00001.mid", "Song00002.mid"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    other = compose.compose_folder(tmp_path / "c", 3, seed=6)
    contents = {path.read_bytes() for path in (*first, *other)}
    assert len(contents) == 6
    # A song does not depend on how many there are.
    assert compose.compose_folder(tmp_path / "d", 1, seed=5)[0].read_bytes() == first[0].read_bytes()


def test_no_file_but_the_songs_is_left(tmp_path):
    paths = compose.compose_folder(tmp_path / "new" / "folder", 2, seed=0)
    assert sorted((tmp_path / "new" / "folder").iterdir()) == paths
