"""What players do to a note while it sounds: slides into it, vibrato, swells, and how long they hold it."""

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
"""Semitones that a pitch bend reaches."""

_STEP = 0.02
"""Seconds between two events."""

_HELD = 0.5
"""Seconds that a note is made longer at most."""

_LONG = 0.35
"""Seconds after which vibrato begins; notes of twice as long have it, and swell."""


def express(track: pretty_midi.Instrument, role: Role, rng: random.Random) -> None:
    """Adds pitch bends and expression to a track, as one who plays ``role`` may be in the habit of."""
    slides = rng.choice((0.2, 0.6)) if rng.random() < 0.35 else 0.0
    depth = rng.uniform(0.1, 0.5) if rng.random() < 0.35 else 0.0
    if role in _SINGLE_VOICED and (slides or depth):
        _bend(track, slides, depth, rng.uniform(4.5, 6.5), rng)
    if role in _SUSTAINED and rng.random() < 0.25:
        _swell(track, rng.randint(40, 90), rng)


def hold(track: pretty_midi.Instrument) -> None:
    """Makes each note last until the track's next ones begin, or :data:`_HELD` longer where these are far."""
    starts = [*sorted(note.start for note in track.notes), math.inf]
    for note in track.notes:
        # The tones of a chord are no next ones, though they begin a little apart.
        following = starts[bisect.bisect(starts, note.start + 3 * _STEP)]
        note.end = max(note.end, min(following, note.end + _HELD))


def release(track: pretty_midi.Instrument) -> None:
    """Ends each note where its pitch begins anew, at the latest: a MIDI file would end the new one there."""
    following: dict[int, float] = {}
    for note in sorted(track.notes, key=lambda note: -note.start):
        note.end = min(note.end, following.get(note.pitch, math.inf))
        following[note.pitch] = note.start
    track.notes = [note for note in track.notes if note.end > note.start]


def level(track: pretty_midi.Instrument, rng: random.Random) -> None:
    """Gives all notes of a track one velocity."""
    velocity = rng.choice((100, 127, rng.randint(60, 127)))
    for note in track.notes:
        note.velocity = velocity


def _bend(track: pretty_midi.Instrument, slides: float, depth: float, rate: float, rng: random.Random) -> None:
    """Slides from below or above into some notes, and vibrato ``depth`` semitones deep in the long ones."""
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
    """Long notes begin or end softly."""
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
    """Notes that begin apart from others, with where they end or the next one begins."""
    notes = sorted(track.notes, key=lambda note: note.start)
    apart = [note for place, note in enumerate(notes) if place == 0 or note.start - notes[place - 1].start > 2 * _STEP]
    starts = [*(note.start for note in apart), math.inf]
    return [(note, min(note.end, start)) for note, start in zip(apart, starts[1:], strict=False)]
