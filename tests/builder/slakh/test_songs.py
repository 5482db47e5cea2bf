import collections
import random
import time

import pretty_midi
import pytest

from mir_tf.errors import DataError
from tfrecords_builder.ensembles import composer
from tfrecords_builder.slakh import songs


def groups(notes) -> set[frozenset[str]]:
    members = collections.defaultdict(set)
    for item, song in songs.group_songs(notes).items():
        members[song].add(item)
    assert all(song == min(items) for song, items in members.items())
    return {frozenset(items) for items in members.values()}


def changed(song: pretty_midi.PrettyMIDI, path, stretch=1.0, delay=0.0, program=None, keep=1.0):
    """Write a copy of ``song`` with another tempo, beginning or orchestration, or only its first part."""
    copy = pretty_midi.PrettyMIDI(initial_tempo=97)
    until = song.get_end_time() * keep
    for old in reversed(song.instruments):
        new = pretty_midi.Instrument(old.program if program is None else program, old.is_drum)
        new.notes = [
            pretty_midi.Note(note.velocity, note.pitch, note.start * stretch + delay, note.end * stretch + delay)
            for note in old.notes
            if note.start < until
        ]
        copy.instruments.append(new)
    copy.write(str(path))
    return songs.song_notes(path)


def test_a_song_is_known_again_in_another_guise_and_others_are_not(tmp_path):
    original, other = (composer.compose_song(0, index, simple=True) for index in range(2))
    notes = {
        "b original": changed(original, tmp_path / "1.mid"),
        "c faster": changed(original, tmp_path / "2.mid", stretch=0.8),
        "d later": changed(original, tmp_path / "3.mid", delay=3.3),
        "e on an organ": changed(original, tmp_path / "4.mid", program=19),
        "a cut short": changed(original, tmp_path / "5.mid", keep=0.8),
        "f other": changed(other, tmp_path / "6.mid"),
    }
    assert groups(notes) == {frozenset(set(notes) - {"f other"}), frozenset({"f other"})}


def test_composed_songs_are_all_different(tmp_path):
    paths = composer.compose_folder(tmp_path, 24, seed=3, simple=True)
    assert len(groups({path.name: songs.song_notes(path) for path in paths})) == 24


def test_more_than_60_percent_of_the_smaller_is_one_song():
    base = range(100)
    assert len(groups({"a": base, "b": [*range(40, 100), *range(200, 240)]})) == 2  # 60 of 100
    assert len(groups({"a": base, "b": [*range(39, 100), *range(200, 239)]})) == 1  # 61 of 100
    assert len(groups({"a": range(1000), "b": [*range(39, 100), *range(2000, 2039)]})) == 1


def test_kinship_is_handed_on():
    notes = {"a": range(0, 100), "b": range(35, 135), "c": range(70, 170), "d": range(500, 600)}
    assert groups(notes) == {frozenset("abc"), frozenset("d")}


def test_a_few_notes_are_no_song_within_another():
    assert len(groups({"long": range(1000), "jingle": range(30)})) == 2
    assert len(groups({"jingle": range(30), "same": range(31)})) == 1
    assert len(groups({"empty": [], "empty too": []})) == 2


def test_drums_count_only_where_nothing_else_does(tmp_path):
    def write(name, melody):
        song = pretty_midi.PrettyMIDI()
        for is_drum, keys in ((True, [36, 42, 38, 42] * 30), (False, melody)):
            part = pretty_midi.Instrument(0, is_drum)
            part.notes = [pretty_midi.Note(90, key, i / 4, i / 4 + 0.2) for i, key in enumerate(keys)]
            song.instruments.append(part)
        song.write(str(tmp_path / name))
        return songs.song_notes(tmp_path / name)

    assert not write("rising.mid", range(30, 80)) & write("falling.mid", range(80, 30, -1))
    assert write("drums.mid", []) == write("again.mid", []) != frozenset()


def test_two_thousand_items_are_grouped_in_seconds():
    rng = random.Random(0)
    pool = range(60_000)
    notes = {f"{i:04d}": rng.sample(pool, 300) for i in range(1000)}
    notes |= {f"{item} again": [*own[:210], *rng.sample(pool, 90)] for item, own in notes.items()}
    began = time.process_time()
    assert len(groups(notes)) == 1000
    assert time.process_time() - began < 10


def test_earlier_versions_of_real_songs_are_found(shared_folder):
    folder = shared_folder / "data/midi"
    families = [
        ["freedoom/d_dm10.mid", "freedoom_history/9638c73f5a.mid", "freedoom_history/9d996eb0bd.mid"],
        ["freedoom/d_dm11.mid", "freedoom_history/c835b6a6e4.mid"],
        ["freedoom/d_dm03.mid"],
        ["openmsx/chuggachugga.mid"],
    ]
    notes = {name: songs.song_notes(folder / name) for family in families for name in family}
    assert groups(notes) == {frozenset(family) for family in families}


def test_unreadable_midi_is_named(tmp_path):
    for name, data in {
        "text.mid": b"not MIDI",
        "cut.mid": b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk\0\0",
        "empty.mid": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            songs.song_notes(tmp_path / name)
    with pytest.raises(DataError, match="absent"):
        songs.song_notes(tmp_path / "absent.mid")


def test_split_is_80_10_10_by_seed():
    names = [f"song {i}" for i in range(100)]
    split = songs.split_songs(names, 7)
    assert collections.Counter(split.values()) == {"train": 80, "validation": 10, "test": 10}
    assert split == songs.split_songs(reversed(names + names), 7)
    assert split != songs.split_songs(names, 8)


def test_split_is_the_same_on_every_machine():
    # Golden: Python's own hash() would change with each process.
    split = songs.split_songs("abcdefghij", 0)
    assert {song for song in split if split[song] == "validation"} == {"h"}
    assert {song for song in split if split[song] == "test"} == {"f"}


@pytest.mark.parametrize("count", range(3, 16))
def test_no_split_is_empty_from_three_songs_on(count):
    split = songs.split_songs(map(str, range(count)), 0)
    assert set(split.values()) == {"train", "validation", "test"}


def test_fewer_songs_are_all_for_training():
    assert songs.split_songs(["a", "b"], 0) == {"a": "train", "b": "train"}
    assert songs.split_songs([], 0) == {}
