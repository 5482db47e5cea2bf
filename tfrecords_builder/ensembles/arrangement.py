"""The arrangement of a song: the parts of its style, guests, doubled parts and the kit.

Songs that people write as MIDI files are crowded: they have parts that are foreign to the style, double others in
unison or octaves, or follow them as echoes. A network trained on few instruments at a time misses most of many.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable

from mir_tf.vocabulary import FAMILY_SIZE
from tfrecords_builder.ensembles.players import BEATS, Note, bass, hits, pattern, roll
from tfrecords_builder.ensembles.styles import STYLES, Style, StylePart

_DUET = 0.15
"""Share of songs with only one or two parts and no kit, so that instruments also play alone."""

_FULL = 0.85
"""Share of full arrangements among the other songs: with guests from other styles, doubled parts and a kit."""

_FULL_PARTS = (4, 9)
"""Fewest and most parts of a full arrangement."""

_FULL_KIT = 0.7
"""Share of full arrangements that get a kit although their style has none."""

_DOUBLED = 0.3
"""Share of doubled parts in full arrangements."""

_MOVED = 0.4
"""Share of parts that are moved by one or two octaves."""

_COMPASS = (28, 100)
"""Lowest and highest pitch of a moved part."""

SIMPLE_HANDS = {"A": (0, 1), "B": (2, 3), "C": (4, 5), "D": (6, 7)}
"""Section of a simple song → numbers of the parts that play in it."""

_SIMPLE_PROGRAMS = (0, 9, 16, 24, 33, 40, 48, 56, 65, 73, 80, 89, 98, 104, 112, 122)
"""Program of each General MIDI family in simple arrangements."""

_SIMPLE_KIT = 0.7
"""Share of simple arrangements with a kit."""

_OTHER_PROGRAM = 0.15
"""Share of parts with another program of the family than the style lists."""

_PLACED = (bass, hits, pattern, roll)
"""Roles that depend on their pitches and are not moved."""

_PITCHED_PROGRAMS = 112
"""Number of programs before percussion and effects."""


@dataclasses.dataclass(frozen=True)
class Double:
    """An instrument that doubles another part.

    Attributes:
        part: Index of the part.
        program: General MIDI program.
        interval: Semitones above the part.
        delay: Beats behind the part; above 0 it is an echo.
        loudness: Ratio of its velocities to those of the part.
    """

    part: int
    program: int
    interval: int
    delay: float
    loudness: float

    def play(self, notes: list[Note]) -> list[Note]:
        """Return its notes for those of the part."""
        return [
            (start + self.delay, length, pitch + self.interval, max(1, min(round(velocity * self.loudness), 127)))
            for start, length, pitch, velocity in notes
        ]


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """The instruments of a song.

    Attributes:
        parts: The parts.
        programs: General MIDI program of each part.
        doubles: Instruments that double parts.
        kit: Name of a beat, or None without a kit.
        densities: Probability of each part to play in a section.
    """

    parts: tuple[StylePart, ...]
    programs: tuple[int, ...]
    doubles: tuple[Double, ...]
    kit: str | None
    densities: tuple[float, ...]


def arrange(style: Style, rng: random.Random) -> Arrangement:
    """Draw the arrangement of a song in ``style``."""
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


def deal_families(seed: int, index: int) -> list[int]:
    """Return the General MIDI families of simple song ``index``: half a shuffled deck; the next song has the rest.

    So even a few songs give each family its share of the time.
    """
    deck, half = divmod(index, 2)
    order = random.Random(f"{seed}:deck:{deck}").sample(range(len(_SIMPLE_PROGRAMS)), len(_SIMPLE_PROGRAMS))
    return order[half::2]


def arrange_simply(families: list[int], rng: random.Random) -> Arrangement:
    """Draw a sparse arrangement with one part for each family, the same part and program in all songs."""
    everywhere = [part for name in sorted(STYLES) for part in STYLES[name].parts]
    parts = tuple(_of_family(everywhere, family)[0] for family in families)
    kit = rng.choice(sorted(BEATS)) if rng.random() < _SIMPLE_KIT else None
    return Arrangement(parts, tuple(_SIMPLE_PROGRAMS[family] for family in families), (), kit, (1.0,) * len(parts))


def _of_family(parts: Iterable[StylePart], family: int) -> list[StylePart]:
    return [part for part in parts if any(program // FAMILY_SIZE == family for program in part.programs)]


def _guests(parts: list[StylePart], count: int, rng: random.Random) -> list[StylePart]:
    """Draw ``count`` parts of any styles; there is at most one bass."""
    guests: list[StylePart] = []
    while len(guests) < count:
        guest = rng.choice(STYLES[rng.choice(sorted(STYLES))].parts)
        if guest.role is not bass or all(part.role is not bass for part in (*parts, *guests)):
            guests.append(guest)
    return guests


def _moved(part: StylePart, rng: random.Random) -> StylePart:
    """Return the part in another octave if it fits; basses and percussive roles stay."""
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
        program = program // FAMILY_SIZE * FAMILY_SIZE + rng.randrange(FAMILY_SIZE)
    return program
