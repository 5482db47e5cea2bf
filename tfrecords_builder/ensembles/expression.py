"""Expression of notes: slides, vibrato, swells and durations."""

from __future__ import annotations

import bisect
import math
import random

import pretty_midi

from tfrecords_builder.ensembles.players import Role, bass, line, melody, pad, riff

_SINGLE_VOICED = (melody, line, riff, bass)
_SUSTAINED = (pad, line, melody)
_EXPRESSION = 11
_RANGE = 2.0
"""Range of a pitch bend in semitones."""

_STEP = 0.02
"""Seconds between two events."""

_HELD = 0.5
"""Most seconds by which a note is extended."""

_LONG = 0.35
"""Seconds before vibrato begins. Notes of at least twice this length have vibrato and swell."""


def express(track: pretty_midi.Instrument, role: Role, rng: random.Random) -> None:
    """Add pitch bends and expression to a track, according to random habits of a player of ``role``."""
    slides = rng.choice((0.2, 0.6)) if rng.random() < 0.35 else 0.0
    depth = rng.uniform(0.1, 0.5) if rng.random() < 0.35 else 0.0
    if role in _SINGLE_VOICED and (slides or depth):
        _bend(track, slides, depth, rng.uniform(4.5, 6.5), rng)
    if role in _SUSTAINED and rng.random() < 0.25:
        _swell(track, rng.randint(40, 90), rng)


def hold(track: pretty_midi.Instrument) -> None:
    """Extend each note until the track's next notes begin, but by at most :data:`_HELD`."""
    starts = [*sorted(note.start for note in track.notes), math.inf]
    for note in track.notes:
        # Tones of the same chord begin slightly apart and do not count as next notes.
        following = starts[bisect.bisect(starts, note.start + 3 * _STEP)]
        note.end = max(note.end, min(following, note.end + _HELD))


def release(track: pretty_midi.Instrument) -> None:
    """End each note before its pitch begins again, because a MIDI file would end the new note there."""
    following: dict[int, float] = {}
    for note in sorted(track.notes, key=lambda note: -note.start):
        note.end = min(note.end, following.get(note.pitch, math.inf))
        following[note.pitch] = note.start
    track.notes = [note for note in track.notes if note.end > note.start]


def level(track: pretty_midi.Instrument, rng: random.Random) -> None:
    """Give all notes of a track the same velocity."""
    velocity = rng.choice((100, 127, rng.randint(60, 127)))
    for note in track.notes:
        note.velocity = velocity


def _bend(track: pretty_midi.Instrument, slides: float, depth: float, rate: float, rng: random.Random) -> None:
    """Add slides from below or above to some notes, and vibrato of ``depth`` semitones to long ones."""
    for note, end in _until_next(track):
        bends = []
        if rng.random() < slides:
            reach, length = rng.choice((-2.0, -1.0, -1.0, 1.0)), min(rng.uniform(0.05, 0.15), (end - note.start) / 2)
            steps = max(round(length / _STEP), 1)
            bends += [(note.start + length * step / steps, reach * (1 - step / steps)) for step in range(steps + 1)]
        if depth and end - note.start > 2 * _LONG:
            first = note.start + _LONG
            count = int((end - first) / _STEP)
            bends += [(first + step * _STEP, depth * math.sin(math.tau * rate * step * _STEP)) for step in range(count)]
            bends.append((first + count * _STEP, 0.0))
        track.pitch_bends += [pretty_midi.PitchBend(round(8191 * bend / _RANGE), time) for time, bend in bends]


def _swell(track: pretty_midi.Instrument, softest: int, rng: random.Random) -> None:
    """Let long notes begin or end softly."""
    for note, end in _until_next(track):
        if end - note.start < 2 * _LONG:
            continue
        first, last = rng.choice(((softest, 127), (softest, 127), (127, softest)))
        steps = max(round((end - note.start) / (5 * _STEP)), 1)
        for step in range(steps + 1):
            value = round(first + (last - first) * step / steps)
            time = note.start + (end - note.start) * step / steps
            track.control_changes.append(pretty_midi.ControlChange(_EXPRESSION, value, time))
        track.control_changes.append(pretty_midi.ControlChange(_EXPRESSION, 127, end))


def _until_next(track: pretty_midi.Instrument) -> list[tuple[pretty_midi.Note, float]]:
    """Return the notes that begin apart from others, each with its end or the beginning of the next one."""
    notes = sorted(track.notes, key=lambda note: note.start)
    apart = [note for place, note in enumerate(notes) if place == 0 or note.start - notes[place - 1].start > 2 * _STEP]
    starts = [*(note.start for note in apart), math.inf]
    return [(note, min(note.end, start)) for note, start in zip(apart, starts[1:], strict=False)]
