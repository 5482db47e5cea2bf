"""Composed songs are reproducible, in range, of many styles, and playable by the builder."""

import collections
import random

import numpy as np
import pretty_midi
import pytest
from helpers.commands import invoke

from mir_tf.vocabulary import VOCABULARIES, program_index
from tfrecords_builder.ensembles import composer
from tfrecords_builder.ensembles.__main__ import main
from tfrecords_builder.ensembles.arrangement import Double, arrange
from tfrecords_builder.ensembles.expression import express, hold
from tfrecords_builder.ensembles.players import BEATS, bass, chords, melody, pad
from tfrecords_builder.ensembles.styles import STYLES
from tfrecords_builder.slakh import songs

FAMILY = VOCABULARIES["family"]
SONGS = 2 * len(STYLES)


@pytest.fixture(scope="module")
def collection() -> list[pretty_midi.PrettyMIDI]:
    return [composer.compose_song(0, index) for index in range(SONGS)]


def classes_of(song: pretty_midi.PrettyMIDI) -> set[int | None]:
    return {FAMILY.class_of[program_index(part.program, part.is_drum)] for part in song.instruments}


def test_a_midi_file_holds_every_second_that_was_composed(collection, tmp_path):
    """A file would end a new note of a pitch where the previous note of that pitch ends."""
    for song in collection[::5]:
        song.write(str(tmp_path / "song.mid"))
        read = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
        for part, again in zip(song.instruments, read.instruments, strict=True):
            composed, kept = (sum(note.end - note.start for note in each.notes) for each in (part, again))
            assert kept == pytest.approx(composed, abs=0.003 * len(part.notes))


def test_notes_are_midi_s_and_songs_as_long_as_asked(collection):
    for song in collection:
        assert song.instruments
        for note in (note for part in song.instruments for note in part.notes):
            assert 0 <= note.pitch <= 127
            assert 1 <= note.velocity <= 127
            assert 0 <= note.start < note.end
        assert composer.SECONDS - 8 <= song.get_end_time() <= composer.SECONDS + 8


def test_every_style_keeps_to_its_ranges():
    for name, style in STYLES.items():
        assert all(beat in BEATS for beat in style.beats), name
        for part in style.parts:
            assert part.high - part.low >= 11, name
            assert all(0 <= program < 128 for program in part.programs), name


def test_every_class_sounds_and_none_is_in_all_songs(collection):
    counts = collections.Counter(label for song in collection for label in classes_of(song))
    assert set(counts) == set(range(len(FAMILY.classes)))
    assert max(counts.values()) < 0.75 * len(collection)


def test_arrangements_differ(collection):
    assert len({frozenset(classes_of(song)) for song in collection}) > 0.7 * len(collection)
    sizes = collections.Counter(len(song.instruments) for song in collection)
    assert sizes[1] >= 3  # alone
    assert max(sizes) >= 5


def test_most_songs_are_as_crowded_as_people_write_them(collection):
    sizes = [len(song.instruments) for song in collection]
    assert 5 <= np.median(sizes) <= 9
    assert np.mean([any(part.is_drum for part in song.instruments) for song in collection]) > 0.5
    assert max(sizes) <= 20


def test_doubles_play_another_part_s_notes_along():
    notes = [(0.0, 1.0, 60, 100), (1.5, 0.5, 64, 120)]
    echo = Double(part=0, program=73, interval=12, delay=0.5, loudness=0.5)
    assert echo.play(notes) == [(0.5, 1.0, 72, 50), (2.0, 0.5, 76, 60)]
    assert Double(0, 0, 0, 0.0, 2.0).play(notes) == [(0.0, 1.0, 60, 127), (1.5, 0.5, 64, 127)]


def test_full_arrangements_have_one_bass_and_double_parts_that_they_have():
    bands = [arrange(STYLES["rock"], random.Random(seed)) for seed in range(200)]
    assert any(band.doubles for band in bands)
    for band in bands:
        assert sum(part.role is bass for part in band.parts) <= 1
        assert len(band.programs) == len(band.parts) <= 9
        assert all(double.part < len(band.parts) for double in band.doubles)


def test_styles_without_a_kit_get_one_in_full_arrangements_only():
    bands = [arrange(STYLES["strings"], random.Random(seed)) for seed in range(200)]
    with_kit = [band for band in bands if band.kit]
    assert with_kit
    assert min(len(band.parts) for band in with_kit) >= 3
    assert any(band.kit is None for band in bands if len(band.parts) > 5)


@pytest.mark.parametrize("role", [melody, pad, chords])
def test_bends_and_swells_end_where_they_began(role):
    bends = swells = 0
    for seed in range(60):
        track = pretty_midi.Instrument(40)
        track.notes = [pretty_midi.Note(90, 60 + step, 2.0 * step, 2.0 * step + 1.8) for step in range(8)]
        express(track, role, random.Random(seed))
        assert [note.pitch for note in track.notes] == list(range(60, 68))
        for note in track.notes:
            inside = [bend for bend in track.pitch_bends if note.start <= bend.time < note.start + 2]
            assert all(-8192 <= bend.pitch <= 8191 for bend in inside)
            assert not inside or max(inside, key=lambda bend: bend.time).pitch == 0
        bends += bool(track.pitch_bends)
        swells += bool(track.control_changes)
        if track.control_changes:
            assert {change.number for change in track.control_changes} == {11}
            assert track.control_changes[-1].value == 127
    # Chords would be bent as a whole, and what does not last cannot swell.
    assert (bends > 10) is (role is melody)
    assert (swells > 5) is (role is not chords)


def test_parts_move_by_octaves_and_stay_in_compass():
    written = {(part.role, part.programs, part.high - part.low): part for part in STYLES["musette"].parts}
    assert len(written) == len(STYLES["musette"].parts)
    moves = collections.Counter()
    for seed in range(300):
        for part in arrange(STYLES["musette"], random.Random(seed)).parts:
            own = written.get((part.role, part.programs, part.high - part.low))
            if own is not None:
                moves[part.role is bass, part.low - own.low] += 1
                assert part == own or (part.low >= 28 and part.high <= 100)
    assert {move for is_bass, move in moves if is_bass} == {0}
    assert {-12, 0, 12} <= {move for is_bass, move in moves if not is_bass} <= {-24, -12, 0, 12, 24}


def test_held_notes_last_until_the_next_ones_begin():
    track = pretty_midi.Instrument(24)
    # A chord that is strummed, a note that follows, one far behind, and one that already lasts longer.
    played = [(0.0, 0.1), (0.02, 0.1), (0.04, 0.1), (0.4, 0.45), (2.0, 2.1), (3.0, 5.0), (4.0, 4.2)]
    track.notes = [pretty_midi.Note(90, 60 + place, *times) for place, times in enumerate(played)]
    hold(track)
    assert [note.end for note in track.notes] == pytest.approx([0.4, 0.4, 0.4, 0.95, 2.6, 5.0, 4.7])
    empty = pretty_midi.Instrument(0)
    hold(empty)
    assert not empty.notes


def test_some_parts_are_held_and_others_are_not(collection):
    held = []
    for song in collection:
        for part in song.instruments:
            starts = np.array(sorted({note.start for note in part.notes}))
            gaps = [(starts[starts > note.start + 0.06].min(initial=np.inf) - note.end) for note in part.notes]
            held.append(np.mean([gap < 1e-3 or gap > 0.1 for gap in gaps]) > 0.97)
    assert 0.4 < np.mean(held) < 0.9


def test_some_songs_are_typed_in(collection):
    typed = [all(len({note.velocity for note in part.notes}) == 1 for part in song.instruments) for song in collection]
    assert 0.2 < np.mean(typed) < 0.6


def test_parts_enter_and_rest(collection):
    resting = 0
    for song in (song for song in collection if len(song.instruments) > 2):
        frames = np.zeros((len(song.instruments), int(song.get_end_time()) + 1), bool)
        for row, part in zip(frames, song.instruments, strict=True):
            for note in part.notes:
                row[int(note.start) : int(note.end) + 1] = True
        resting += (frames.mean(axis=1) < 0.85).any()
    assert resting > len(collection) // 3


def test_songs_are_different_songs(tmp_path):
    paths = composer.compose_folder(tmp_path, 40, seed=1)
    groups = songs.group_songs({path.name: songs.song_notes(path) for path in paths})
    assert len(set(groups.values())) >= 38


def test_same_arguments_same_bytes(tmp_path):
    first, second = (composer.compose_folder(tmp_path / name, 3, seed=5) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert composer.compose_folder(tmp_path / "c", 1, seed=6)[0].read_bytes() != first[0].read_bytes()


def test_command_says_what_is_next(tmp_path):
    result = invoke(main, "--songs", "2", "--out", tmp_path / "new")
    assert result.exit_code == 0
    assert "--midi" in result.output
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["Ensemble00000.mid", "Ensemble00001.mid"]


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = invoke(main, "--songs", "1", "--out", tmp_path / "file" / "x")
    assert result.exit_code == 1
    assert str(tmp_path / "file" / "x") in result.output
    assert "Traceback" not in result.output
