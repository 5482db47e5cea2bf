"""Simple songs, those of the demo: every class sounds, none sounds always, and every split has all of them."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from helpers.commands import invoke

from mir_tf.vocabulary import VOCABULARIES, program_index
from tfrecords_builder.ensembles import composer
from tfrecords_builder.ensembles.__main__ import main
from tfrecords_builder.slakh import songs

FAMILY = VOCABULARIES["family"]

SONGS = 120
"""Number of songs in the demo."""


def activity(song: pretty_midi.PrettyMIDI) -> np.ndarray:
    """Return the classes with a note, ten times a second: bool [frames, 17]."""
    frames = np.zeros((int(song.get_end_time() * 10) + 1, 129), bool)
    for part in song.instruments:
        for note in part.notes:
            frames[int(note.start * 10) : int(note.end * 10) + 1, program_index(part.program, part.is_drum)] = True
    return FAMILY.project(frames)


@pytest.fixture(scope="module")
def collection() -> list[np.ndarray]:
    return [activity(composer.compose_song(0, index, simple=True)) for index in range(SONGS)]


def test_songs_last_24_to_40_seconds() -> None:
    for seed in (0, 1):
        for index in range(48):
            assert 24 <= composer.compose_song(seed, index, simple=True).get_end_time() <= 40


def test_each_family_has_one_program() -> None:
    programs = {
        part.program
        for index in range(48)
        for part in composer.compose_song(0, index, simple=True).instruments
        if not part.is_drum
    }
    assert len(programs) == len({program // 8 for program in programs}) == 16


def test_every_class_sounds_for_a_twenty_fifth_to_a_third_of_the_time(collection: list[np.ndarray]) -> None:
    share = np.concatenate(collection).mean(axis=0)
    assert share.min() > 0.04
    assert share.max() < 0.33


def test_every_class_is_in_every_split(collection: list[np.ndarray]) -> None:
    names = [f"Ensemble{index:05d}.mid" for index in range(SONGS)]
    split = songs.split_songs(names, 0)
    for part in ("train", "validation", "test"):
        sounds = np.concatenate([frames for name, frames in zip(names, collection, strict=True) if split[name] == part])
        assert sounds.any(axis=0).all(), part


def test_activity_varies_within_songs_and_between_them(collection: list[np.ndarray]) -> None:
    present = np.array([frames.any(axis=0) for frames in collection])
    assert not present.all(axis=0).any()  # no class is in all songs
    for frames in collection:
        assert frames.mean(axis=0).max() < 0.9  # and none plays throughout a song
        assert np.abs(np.diff(frames.astype(int), axis=0)).sum() > 10


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    first, second = (composer.compose_folder(tmp_path / name, 3, seed=5, simple=True) for name in "ab")
    assert [path.name for path in first] == ["Ensemble00000.mid", "Ensemble00001.mid", "Ensemble00002.mid"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    other = composer.compose_folder(tmp_path / "c", 3, seed=6, simple=True)
    assert len({path.read_bytes() for path in (*first, *other)}) == 6
    # A song does not depend on how many there are.
    assert composer.compose_folder(tmp_path / "d", 1, seed=5, simple=True)[0].read_bytes() == first[0].read_bytes()


def test_no_file_but_the_songs_is_left(tmp_path: Path) -> None:
    paths = composer.compose_folder(tmp_path / "new" / "folder", 2, seed=0, simple=True)
    assert sorted((tmp_path / "new" / "folder").iterdir()) == paths


def test_the_command_composes_simple_songs_too(tmp_path: Path) -> None:
    result = invoke(main, "--songs", 1, "--simple", "--out", tmp_path / "by command")
    assert result.exit_code == 0
    (expected,) = composer.compose_folder(tmp_path / "expected", 1, seed=0, simple=True)
    assert (tmp_path / "by command" / expected.name).read_bytes() == expected.read_bytes()
