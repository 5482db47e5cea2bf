"""Edits of a MIDI song before it is rendered: excerpts, transposition, random programs, and one file a stem."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pretty_midi

from mir_tf.vocabulary import DRUMS, FAMILY_SIZE
from tfrecords_builder.midi import read_parts

TAIL = 2.0
"""Seconds after the last note-off in which sounds die away."""

MAX_NOTE_SECONDS = 60.0
"""Longest note. Most longer ones lack a note-off, and playing a note takes 50 bytes a sample."""

_PARAMETERS = frozenset({6, 38, 96, 97, 98, 99, 100, 101})
"""Controllers that select a registered parameter, such as the range of bends, and set it."""

_TEMPO, _RESOLUTION = 120.0, 960
"""Tempo and ticks per beat of the MIDI files of a tree. They have one tempo because FluidSynth's clock drifts with
every tempo change, by 0.2 s after some hundreds of them."""


def read_song(path: Path) -> pretty_midi.PrettyMIDI:
    """Read a MIDI file with the reader that also makes the labels.

    Every instrument has the controllers and bends of its channel. The song has one tempo and no signatures or lyrics.

    Raises:
        DataError: The file cannot be read.
    """
    song = pretty_midi.PrettyMIDI(resolution=_RESOLUTION, initial_tempo=_TEMPO)
    for part in read_parts(path):
        instrument = pretty_midi.Instrument(part.program, part.is_drum, part.name)
        columns = (part.velocities, part.pitches, part.starts, part.ends)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        instrument.notes = [pretty_midi.Note(*row) for row in rows]
        instrument.control_changes = [
            pretty_midi.ControlChange(number, value, time) for time, number, value in part.controls
        ]
        instrument.pitch_bends = [pretty_midi.PitchBend(bend, time) for time, bend in part.bends]
        song.instruments.append(instrument)
    return song


def limit_notes(song: pretty_midi.PrettyMIDI) -> float:
    """Shorten all notes to :data:`MAX_NOTE_SECONDS` and return the length of the song's track in seconds."""
    for note in (notes := [note for instrument in song.instruments for note in instrument.notes]):
        note.end = min(note.end, note.start + MAX_NOTE_SECONDS)
    return float(max(note.end for note in notes) + TAIL)


def cut(song: pretty_midi.PrettyMIDI, seconds: float, generator: random.Random) -> None:
    """Reduce a song to an excerpt of at most ``seconds`` that begins at a random place.

    The beginning of the excerpt becomes second 0. Controllers and bends that were set before it still apply.
    """
    notes = [note for instrument in song.instruments for note in instrument.notes]
    end = max(note.end for note in notes)
    begin = generator.uniform(0, max(end - seconds, 0.0))
    if not any(note.end > begin and note.start < begin + seconds for note in notes):
        begin = min(note.start for note in notes)
    for instrument in song.instruments:
        instrument.notes = [note for note in instrument.notes if note.end > begin and note.start < begin + seconds]
        for note in instrument.notes:
            note.start, note.end = max(note.start - begin, 0.0), min(note.end - begin, seconds)
        for events in (instrument.control_changes, instrument.pitch_bends):
            before = [event for event in events if event.time <= begin]
            after = [event for event in events if event.time > begin]
            for event in after:
                event.time -= begin
            events[:] = [*_in_force(before), *after]
    song.instruments = [instrument for instrument in song.instruments if instrument.notes]


def _in_force(events: list[Any]) -> list[Any]:
    """Return the controllers or bends that are still in force after ``events``, moved to the beginning.

    Of each controller the last value counts. pretty_midi does not keep the order of events within a tick. Registered
    parameters depend on their order, so their events are placed one tick apart.
    """
    last, parameters = {}, []
    for event in sorted(events, key=lambda event: event.time):
        if (number := getattr(event, "number", None)) in _PARAMETERS:
            parameters.append(event)
        else:
            last[number] = event
    for event in last.values():
        event.time = 0.0
    for tick, event in enumerate(parameters):
        event.time = tick * 60 / _TEMPO / _RESOLUTION
    return [*last.values(), *parameters]


def transpose(song: pretty_midi.PrettyMIDI, semitones: int) -> None:
    """Transpose all parts except drums. A note that would leave MIDI's range keeps its pitch."""
    for note in (note for instrument in song.instruments if not instrument.is_drum for note in instrument.notes):
        if 0 <= note.pitch + semitones <= 127:
            note.pitch += semitones


def shuffle_programs(song: pretty_midi.PrettyMIDI, seed: str) -> None:
    """Give each instrument except drums a random program: first draw the family, then one of its eight programs."""
    generator = random.Random(seed)
    for instrument in song.instruments:
        family = generator.randrange(DRUMS // FAMILY_SIZE)
        program = family * FAMILY_SIZE + generator.randrange(FAMILY_SIZE)
        if not instrument.is_drum:
            instrument.program = program


def song_of(instruments: Sequence[pretty_midi.Instrument]) -> pretty_midi.PrettyMIDI:
    """Return a song of instruments at one tempo, and drop notes shorter than one tick from them.

    A MIDI file would place the end of such a note before its beginning, and FluidSynth would hold it for ever.
    """
    song = pretty_midi.PrettyMIDI(resolution=_RESOLUTION, initial_tempo=_TEMPO)
    tick = song.time_to_tick
    for instrument in instruments:
        instrument.notes = [note for note in instrument.notes if tick(note.end) > tick(note.start)]
    song.instruments = list(instruments)
    return song
