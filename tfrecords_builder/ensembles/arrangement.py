"""Who plays in a song: the parts of its style, guests, those who double others, and the kit.

Songs that people write as MIDI files are crowded: parts join in that no style would ask for, play along with others in
unison or octaves, or come after them as echoes. A network that has heard few instruments at a time misses most of many.
"""

from __future__ import annotations

import dataclasses
import random

from tfrecords_builder.ensembles.players import BEATS, Note, bass, hits, pattern, roll
from tfrecords_builder.ensembles.styles import STYLES, Style, StylePart

_DUET = 0.15
"""How often a song has but one or two parts, and no kit: instruments are heard alone as well."""

_FULL = 0.85
"""How often any other song has all that it can: guests from other styles, those who double parts, a kit."""

_FULL_PARTS = (4, 9)
"""Parts of such a song, at least and at most."""

_FULL_KIT = 0.7
"""How often such a song has a kit that its style has not."""

_DOUBLED = 0.3
"""How often a part of such a song is doubled."""

_MOVED = 0.4
"""How often a part lies an octave or two from where its style has it."""

_COMPASS = (28, 100)
"""Lowest and highest pitch of a part that is moved."""

_FAMILY_SIZE = 8
_OTHER_PROGRAM = 0.15
"""How often someone plays another program of the family than the style has."""

_PLACED = (bass, hits, pattern, roll)
"""Roles whose pitches say what they are."""

_PITCHED_PROGRAMS = 112
"""Those before percussion and effects."""


@dataclasses.dataclass(frozen=True)
class Double:
    """Plays another part's notes along.

    Attributes:
        part: number of the part.
        program: of General MIDI.
        interval: semitones above the part.
        delay: beats behind it: an echo, where there is one.
        loudness: velocities over those of the part.
    """

    part: int
    program: int
    interval: int
    delay: float
    loudness: float

    def play(self, notes: list[Note]) -> list[Note]:
        """What it makes of the part's notes."""
        return [
            (start + self.delay, length, pitch + self.interval, max(1, min(round(velocity * self.loudness), 127)))
            for start, length, pitch, velocity in notes
        ]


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Who plays.

    Attributes:
        parts: with a player each.
        programs: of General MIDI, one a part.
        doubles: of the parts.
        kit: name of a beat; None is no kit.
        densities: how often each part plays in a section.
    """

    parts: tuple[StylePart, ...]
    programs: tuple[int, ...]
    doubles: tuple[Double, ...]
    kit: str | None
    densities: tuple[float, ...]


def arrange(style: Style, rng: random.Random) -> Arrangement:
    """Chooses who plays a song of ``style``."""
    parts = [part for part in style.parts if rng.random() < part.chance] or [rng.choice(style.parts)]
    kit = rng.choice(style.beats) if style.beats and rng.random() < 0.9 else None
    doubles: list[Double] = []
    rarest = 0.5
    if rng.random() < _DUET:
        parts, kit = rng.sample(parts, min(len(parts), rng.choice((1, 1, 2)))), None
    elif rng.random() < _FULL:
        parts += _guests(parts, rng.randint(*_FULL_PARTS) - len(parts), rng)
        doubles = [_double(place, part, rng) for place, part in enumerate(parts) if rng.random() < _DOUBLED]
        if kit is None and rng.random() < _FULL_KIT:
            kit = rng.choice(sorted(BEATS))
        rarest = 0.3
    parts = [_moved(part, rng) if rng.random() < _MOVED else part for part in parts]
    programs = tuple(_program(part, rng) for part in parts)
    densities = tuple(rng.uniform(rarest, 1.0) for _ in parts)
    return Arrangement(tuple(parts), programs, tuple(doubles), kit, densities)


def _guests(parts: list[StylePart], count: int, rng: random.Random) -> list[StylePart]:
    """``count`` parts of any styles; there is but one bass."""
    guests: list[StylePart] = []
    while len(guests) < count:
        guest = rng.choice(STYLES[rng.choice(sorted(STYLES))].parts)
        if guest.role is not bass or all(part.role is not bass for part in (*parts, *guests)):
            guests.append(guest)
    return guests


def _moved(part: StylePart, rng: random.Random) -> StylePart:
    """The part in another octave, where there is room; a bass stays, and so does what is struck at any pitch."""
    if part.role in _PLACED:
        return part
    semitones = rng.choice((-24, -12, -12, 12, 12, 24))
    low, high = part.low + semitones, part.high + semitones
    fits = _COMPASS[0] <= low and high <= _COMPASS[1]
    return dataclasses.replace(part, low=low, high=high) if fits else part


def _double(place: int, part: StylePart, rng: random.Random) -> Double:
    program = rng.choice(part.programs) if rng.random() < 0.3 else rng.randrange(_PITCHED_PROGRAMS)
    if rng.random() < 0.3:
        return Double(place, program, 0, rng.choice((0.25, 0.5, 0.5, 0.75, 1.0)), rng.uniform(0.4, 0.8))
    return Double(place, program, rng.choice((0, 0, 12, -12)), 0.0, rng.uniform(0.7, 1.1))


def _program(part: StylePart, rng: random.Random) -> int:
    program = rng.choice(part.programs)
    if rng.random() < _OTHER_PROGRAM:
        program = program // _FAMILY_SIZE * _FAMILY_SIZE + rng.randrange(_FAMILY_SIZE)
    return program
