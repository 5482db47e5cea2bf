"""Performances of songs that were made from scores."""

import copy

import numpy as np
import pretty_midi
import pytest

from tfrecords_builder.synthesis.humanization import humanize


@pytest.fixture
def score() -> pretty_midi.PrettyMIDI:
    """Return a minute of two parts in unison, on a grid and equally loud, with a bend and a controller."""
    song = pretty_midi.PrettyMIDI()
    song.instruments = [pretty_midi.Instrument(0), pretty_midi.Instrument(40)]
    for instrument in song.instruments:
        for beat in range(120):
            instrument.notes.append(pretty_midi.Note(80, 60 + beat // 2 % 7, beat / 2, beat / 2 + 0.5))
    song.instruments[0].pitch_bends = [pretty_midi.PitchBend(100, 40.0)]
    song.instruments[0].control_changes = [pretty_midi.ControlChange(7, 90, 40.0)]
    return song


def starts(instrument: pretty_midi.Instrument) -> np.ndarray:
    return np.array([note.start for note in instrument.notes])


def test_notes_leave_the_grid_and_vary_in_loudness_but_keep_their_order(score: pretty_midi.PrettyMIDI) -> None:
    grid = starts(score.instruments[0])
    humanize(score, "seed")
    for instrument in score.instruments:
        assert len(instrument.notes) == 120
        assert np.all(np.diff(starts(instrument)) > 0.3)
        assert np.abs(np.diff(starts(instrument)) - 0.5).mean() > 0.003
        assert np.std([note.velocity for note in instrument.notes]) > 4
        assert all(15 <= note.velocity <= 127 and note.end > note.start >= 0 for note in instrument.notes)
        following = {}
        for note in reversed(instrument.notes):  # no note overlaps with the next one of its pitch
            assert note.end <= following.get(note.pitch, np.inf)
            following[note.pitch] = note.start
    assert np.abs(starts(score.instruments[0]) - grid).max() > 0.2  # the tempo drifts


def test_all_players_follow_one_tempo(score: pretty_midi.PrettyMIDI) -> None:
    for seed in range(20):
        song = copy.deepcopy(score)
        humanize(song, str(seed))
        first, second = song.instruments
        apart = starts(first) - starts(second)
        assert 0 < np.std(apart) < 0.06
        assert np.abs(apart).max() < 0.2
        moved = np.interp(40.0, np.arange(120) / 2, starts(first))
        assert first.pitch_bends[0].time == first.control_changes[0].time == pytest.approx(moved, abs=0.12)


def test_the_performance_depends_on_the_seed_alone(score: pretty_midi.PrettyMIDI) -> None:
    songs = [copy.deepcopy(score) for _ in range(3)]
    for song, seed in zip(songs, ("1", "1", "2"), strict=True):
        humanize(song, seed)
    same, again, other = (starts(song.instruments[1]) for song in songs)
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)
