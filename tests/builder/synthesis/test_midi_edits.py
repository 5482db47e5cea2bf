"""Edits of MIDI songs before they are rendered."""

import mido
import numpy as np
import pretty_midi

from tfrecords_builder.synthesis import midi_edits


def test_shuffled_programs_are_spread_over_all_families():
    song = pretty_midi.PrettyMIDI()
    song.instruments = [pretty_midi.Instrument(0) for _ in range(3200)]
    midi_edits.shuffle_programs(song, "seed")
    drawn = np.bincount([part.program for part in song.instruments], minlength=128)
    assert len(drawn) == 128
    assert drawn.min() > 0
    assert 140 < drawn.reshape(16, 8).sum(axis=1).min() <= drawn.reshape(16, 8).sum(axis=1).max() < 260


def test_a_note_shorter_than_a_tick_is_left_out(tmp_path):
    """Its end would precede its beginning, and FluidSynth would hold it for ever."""
    part = pretty_midi.Instrument(16)
    part.notes = [pretty_midi.Note(100, 60, 0.0, 0.0002), pretty_midi.Note(100, 72, 1.0, 1.5)]
    midi_edits.song_of([part]).write(str(tmp_path / "S00.mid"))
    assert [note.pitch for note in part.notes] == [72]
    messages = [message for track in mido.MidiFile(tmp_path / "S00.mid").tracks for message in track]
    assert [message.note for message in messages if message.type in ("note_on", "note_off")] == [72, 72]
