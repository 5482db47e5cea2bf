"""Make a variant of a SoundFont whose instruments sound different, to train on more sounds.

    python tools/alter_soundfont.py FluidR3_GM.sf2 --seed 1 --out FluidR3_GM-1.sf2

SoundFonts differ in their recordings, the keys that each recording plays, attack, decay, brightness, and the number of
players. This tool redraws everything except the recordings, for each instrument separately. Pitches stay the same. So
do the 17 classes, because only programs of one family are layered. Drums keep their keys.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from pathlib import Path

import click
import numpy as np
import soundfont_file
from numpy.typing import NDArray
from soundfont_file import Generators, Zone, chunk, read_zones, written_zones

from tfrecords_builder.synthesis.soundfont import RECORDS, read_chunks, require_plain

_DRUM_BANK = 128
_FAMILY = 8

# Generators of the SoundFont Technical Specification 2.04.
_VIBRATO, _CUTOFF, _RESONANCE, _VIBRATO_DELAY, _VIBRATO_RATE = 6, 8, 9, 23, 24
_ATTACK, _DECAY, _SUSTAIN, _RELEASE = 34, 36, 37, 38
_INSTRUMENT, _KEY_RANGE, _ATTENUATION, _SEMITONES, _CENTS, _SAMPLE = 41, 43, 48, 51, 52, 53

_BRIGHTEST = 13500
"""Cutoff of an open filter, in cents above 8.176 Hz."""


def alter(source: Path, out: Path, seed: int) -> None:
    """Write ``source`` with altered instruments to ``out``.

    Args:
        source: An .sf2 file.
        out: The .sf2 file to write.
        seed: Seed of all random draws.

    Raises:
        ValueError: ``source`` is not a SoundFont, is compressed, or has too many zones.
        IndexError, KeyError, struct.error: Its tables are damaged or missing.
    """
    data = np.memmap(source, np.uint8, mode="r").view(np.ndarray)
    chunks = read_chunks(data)
    tables = {name: chunks[name].view(fields) for name, fields in RECORDS.items()}
    require_plain(tables["shdr"])
    presets, instruments = (read_zones(tables, chunks, kind, owners) for kind, owners in (("p", "phdr"), ("i", "inst")))
    headers = tables["phdr"][:-1]
    drums = {
        zone.generators[_INSTRUMENT]
        for header, zones in zip(headers, presets, strict=True)
        for zone in zones
        if header["bank"] == _DRUM_BANK and _INSTRUMENT in zone.generators
    }
    for number, zones in enumerate(instruments):
        drawn = random.Random(f"{seed}:{source.name}:{number}")
        if number in drums:
            _alter_drums(_filled(zones, _SAMPLE), drawn)
        else:
            _alter_tones(_filled(zones, _SAMPLE), drawn)
    _layer(headers, presets, random.Random(f"{seed}:{source.name}:layers"))
    tables_written = (
        written_zones("p", "phdr", tables, presets)
        + written_zones("i", "inst", tables, instruments)
        + chunk(b"shdr", chunks["shdr"].tobytes())
    )
    soundfont_file.write(out, "altered", chunks["smpl"].tobytes(), tables_written)


def _alter_tones(playing: list[Zone], drawn: random.Random) -> None:
    """Give an instrument other keys for each recording, another envelope and brightness, and perhaps vibrato."""
    moved = max(-7, min(round(drawn.gauss(0, 3)), 7))
    attack = 1200 * drawn.uniform(-9, -4.5)  # 2 to 44 ms
    slower = drawn.random() < 0.4
    decay, release, sustain = drawn.gauss(0, 700), drawn.gauss(0, 900), drawn.gauss(0, 30)
    cutoff = drawn.uniform(9300, _BRIGHTEST)
    darker, resonance = drawn.random() < 0.5, drawn.uniform(0, 60)
    vibrato = drawn.uniform(5, 30) if drawn.random() < 0.25 else None
    rate = 1200 * drawn.uniform(-1, -0.2)  # 4.1 to 7.1 Hz
    if not playing:
        return
    ranges = [_keys(zone) for zone in playing]
    ends = min(low for low, _ in ranges), max(high for _, high in ranges)
    for zone, keys in zip(playing, ranges, strict=True):
        own = zone.generators
        low, high = (key if key in ends else max(ends[0], min(key + moved, ends[1])) for key in keys)
        own[_KEY_RANGE] = low | high << 8
        if slower:
            _set(own, _ATTACK, max(own.get(_ATTACK, -12000), attack))
        _add(own, _DECAY, decay, -12000)
        _add(own, _RELEASE, release, -12000)
        _set(own, _SUSTAIN, max(0, own.get(_SUSTAIN, 0) + (sustain if own.get(_SUSTAIN, 0) else 0)))
        if darker:
            _set(own, _CUTOFF, min(own.get(_CUTOFF, _BRIGHTEST), cutoff))
            _set(own, _RESONANCE, resonance)
        if vibrato is not None:
            for number, amount in ((_VIBRATO, vibrato), (_VIBRATO_DELAY, -1200), (_VIBRATO_RATE, rate)):
                _set(own, number, amount)


def _alter_drums(playing: list[Zone], drawn: random.Random) -> None:
    """Change the tuning and the decay of each drum."""
    for zone in playing:
        own = zone.generators
        _set(own, _SEMITONES, own.get(_SEMITONES, 0) + round(drawn.gauss(0, 1.2)))
        _set(own, _CENTS, max(-99, min(own.get(_CENTS, 0) + drawn.gauss(0, 30), 99)))
        _add(own, _DECAY, drawn.gauss(0, 600), -12000)
        _add(own, _RELEASE, drawn.gauss(0, 600), -12000)
        if drawn.random() < 0.3:
            _set(own, _CUTOFF, min(own.get(_CUTOFF, _BRIGHTEST), drawn.uniform(10500, _BRIGHTEST)))


def _layer(headers: NDArray[np.void], presets: list[list[Zone]], drawn: random.Random) -> None:
    """Layer a third of the programs with one of their family, perhaps themselves, slightly out of tune."""
    families: dict[int, list[int]] = {}
    for number, header in enumerate(headers):
        if header["bank"] == 0:
            families.setdefault(int(header["program"]) // _FAMILY, []).append(number)
    alone = [_filled([dataclasses.replace(zone) for zone in zones], _INSTRUMENT) for zones in presets]
    for number in sorted(number for numbers in families.values() for number in numbers):
        other = drawn.choice(families[int(headers[number]["program"]) // _FAMILY])
        attenuation, cents = drawn.uniform(0, 250), drawn.choice((-1, 1)) * drawn.uniform(3, 14)
        if drawn.random() < 1 / 3:
            for zone in alone[other]:
                own = dict(zone.generators)
                _add(own, _ATTENUATION, attenuation, 0)
                _add(own, _CENTS, cents, 0)
                presets[number].append(Zone(own, zone.modulators))


def _filled(zones: list[Zone], link: int) -> list[Zone]:
    """Return the zones with the generator ``link`` (sample or instrument), completed by those of a global zone."""
    common = next((zone.generators for zone in zones[:1] if link not in zone.generators), {})
    linked = [zone for zone in zones if link in zone.generators]
    for zone in linked:
        zone.generators = common | zone.generators
    return linked


def _keys(zone: Zone) -> tuple[int, int]:
    """Return the lowest and highest key."""
    both = zone.generators.get(_KEY_RANGE, 127 << 8)
    return both & 0xFF, both >> 8 & 0xFF


def _set(generators: Generators, number: int, amount: float) -> None:
    generators[number] = max(-(2**15), min(round(amount), 2**15 - 1))


def _add(generators: Generators, number: int, amount: float, default: int) -> None:
    """Add to a generator, except to the shortest possible times, which mean that there is no such stage."""
    if generators.get(number, default) > default or default == 0:
        _set(generators, number, generators.get(number, default) + amount)


@click.command(help=__doc__)
@click.argument("soundfont", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seed", type=int, required=True, help="Seed the variant. The same seed gives the same file.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Write this .sf2 file.")
def main(soundfont: Path, seed: int, out: Path) -> None:
    """See the module's docstring."""
    try:
        alter(soundfont, out, seed)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise click.ClickException(f"{soundfont} cannot be altered: {error}") from error
    click.echo(f"{out}: {soundfont.name}, altered with seed {seed}")


if __name__ == "__main__":
    main()
