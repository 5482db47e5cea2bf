"""The composer: songs by style, form, harmony and players, as MIDI."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pretty_midi

from mir_tf.io.files import atomic_write
from tfrecords_builder.ensembles.arrangement import SIMPLE_HANDS, arrange, arrange_simply, deal_families
from tfrecords_builder.ensembles.expression import express, hold, level, release
from tfrecords_builder.ensembles.players import Bar, Note, drums
from tfrecords_builder.ensembles.styles import STYLES

SECONDS, SIMPLE_SECONDS = 100.0, 28.0
"""Approximate length of a song and of a simple one."""

_NEXT = {
    0: (3, 4, 5, 1, 3, 2),
    1: (4, 4, 6, 3),
    2: (5, 3, 5),
    3: (4, 0, 1, 4, 0),
    4: (0, 0, 5, 3),
    5: (3, 1, 4, 3),
    6: (0, 2, 5),
}
"""Degree of a chord → degrees of the next chord; repeated ones are more likely."""

_SECTION, _SIMPLE_SECTION = 8, 4
"""Bars in a section of a song and of a simple one."""

_FORMS = ("ABAB", "AABA", "ABAC", "ABCB", "ABCA")
"""Orders of sections."""

_HELD = 0.6
"""Share of tracks whose notes last until the next ones begin, as in sequencers."""

_TYPED = 0.4
"""Share of songs that sound typed in: all notes of a part are equally loud."""


def compose_song(seed: int, index: int, simple: bool = False) -> pretty_midi.PrettyMIDI:
    """Compose one song of about :data:`SECONDS`, or a simple one of about :data:`SIMPLE_SECONDS`.

    Args:
        seed: Seed of the collection.
        index: Index of the song. Consecutive songs go through all styles before a style is repeated.
        simple: Whether to compose a short song with few parts and one program per family. A small network learns from
            an hour of them.

    Returns:
        The song; the same arguments give the same song.
    """
    rng = random.Random(f"{seed}:ensemble:{index}")
    deck, card = divmod(index, len(STYLES))
    style = STYLES[random.Random(f"{seed}:styles:{deck}").sample(sorted(STYLES), len(STYLES))[card]]
    tempo = rng.uniform(*style.tempi)
    key, scale = rng.randrange(12), rng.choice(style.scales)
    seconds, length = (SIMPLE_SECONDS, _SIMPLE_SECTION) if simple else (SECONDS, _SECTION)
    bars = max(8, round(seconds * tempo / 60 / style.meter))
    form = _form(-(-bars // length), "".join(SIMPLE_HANDS) if simple else rng.choice(_FORMS))
    names = sorted(set(form))
    harmony = {name: _progression(rng) for name in names}
    band = arrange_simply(deal_families(seed, index), rng) if simple else arrange(style, rng)

    song = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    tracks = [pretty_midi.Instrument(program) for program in band.programs]
    doubling = [pretty_midi.Instrument(double.program) for double in band.doubles]
    drummer = pretty_midi.Instrument(0, is_drum=True)
    if simple:
        active = {name: [place in SIMPLE_HANDS[name] for place in range(len(tracks))] for name in names}
        drummed = dict.fromkeys(names, False) | {rng.choice(names): True}
    else:
        active = {name: _active(band.densities, rng) for name in names}
        drummed = {name: rng.random() < 0.85 for name in names}
    habits = {
        name: (
            [part.role(rng, part.low, part.high) for part in band.parts],
            None if band.kit is None else drums(band.kit, rng),
        )
        for name in names
    }
    for section, name in enumerate(form):
        begin = section * length
        players, kit_player = habits[name]
        # In the first section, parts may enter one after the other.
        late = rng.random() < 0.5 and section == 0 and not simple
        for number in range(min(length, bars - begin)):
            root = harmony[name][number % len(harmony[name])]
            bar = Bar(
                number,
                style.meter,
                _chord(scale, key, root, style.sevenths),
                _shifted(scale, key),
                number == length - 1,
            )
            beat = (begin + number) * style.meter
            for place, (track, player) in enumerate(zip(tracks, players, strict=True)):
                if active[name][place] and not (late and number < 2 * place):
                    notes = list(player(bar, rng))
                    _write(track, notes, beat, tempo, style.swing, rng)
                    for double, double_track in zip(band.doubles, doubling, strict=True):
                        if double.part == place:
                            _write(double_track, double.play(notes), beat, tempo, style.swing, rng)
            if kit_player is not None and drummed[name] and not (late and number < length // 2):
                _write(drummer, kit_player(bar, rng), beat, tempo, style.swing, rng)
    if not simple:
        for track, part in zip(tracks, band.parts, strict=True):
            express(track, part.role, rng)
        for track in (*tracks, *doubling, drummer):
            if rng.random() < _HELD:
                hold(track)
    for track in (*tracks, *doubling, drummer):
        release(track)
    song.instruments = [track for track in (*tracks, *doubling, drummer) if track.notes]
    if not simple and rng.random() < _TYPED:
        for track in song.instruments:
            level(track, rng)
    return song


def _form(sections: int, names: str) -> list[str]:
    """Return the names of the sections; some are repeated."""
    return [names[section % len(names)] for section in range(sections)]


def _progression(rng: random.Random) -> list[int]:
    """Return the degrees of the roots of four to eight bars, or one degree for a single chord."""
    if rng.random() < 0.1:
        return [0]
    degrees = [rng.choice((0, 0, 5))]
    while len(degrees) < rng.choice((4, 4, 8)):
        degrees.append(rng.choice(_NEXT[degrees[-1]]))
    return degrees


def _shifted(scale: Sequence[int], key: int) -> tuple[int, ...]:
    return tuple((step + key) % 12 for step in scale)


def _chord(scale: Sequence[int], key: int, root: int, seventh: bool) -> tuple[int, ...]:
    """Return the pitches of the chord on a degree, in thirds of the scale, with the root below 12."""
    count = len(scale)
    steps = [root + third for third in (0, 2, 4, 6)[: 4 if seventh else 3]]
    pitches = [scale[step % count] + 12 * (step // count) + key for step in steps]
    return tuple(pitch - pitches[0] // 12 * 12 for pitch in pitches)


def _active(densities: Sequence[float], rng: random.Random) -> list[bool]:
    """Draw which of the parts play in a section, at least one."""
    active = [rng.random() < density for density in densities]
    if not any(active):
        active[rng.randrange(len(active))] = True
    return active


def _write(
    track: pretty_midi.Instrument, notes: Iterable[Note], begin: int, tempo: float, swing: bool, rng: random.Random
) -> None:
    """Add the notes of the bar that begins at beat ``begin``, slightly out of time as people play."""
    for start, length, pitch, velocity in notes:
        onset = start + (1 / 6 if swing and start % 1 == 0.5 else 0.0)
        time = max((begin + onset) * 60 / tempo + rng.gauss(0, 0.006), 0.0)
        track.notes.append(pretty_midi.Note(velocity, pitch, time, time + max(length * 60 / tempo, 0.04)))


def compose_folder(out: Path, count: int, seed: int, simple: bool = False) -> list[Path]:
    """Write ``count`` songs as MIDI files.

    Args:
        out: The folder, which is created if it is missing.
        count: Number of songs.
        seed: Seed of the collection.
        simple: See :func:`compose_song`.

    Returns:
        The files ``Ensemble00000.mid`` and so on.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        path = out / f"Ensemble{index:05d}.mid"
        with atomic_write(path) as temporary:
            compose_song(seed, index, simple).write(str(temporary))
        paths.append(path)
    return paths
