"""Writes a SoundFont with the instruments of another one that sound otherwise: more sounds to learn from.

    python tools/alter_soundfont.py FluidR3_GM.sf2 --seed 1 --out FluidR3_GM-1.sf2

What General MIDI calls a violin differs from one SoundFont to the next in what was recorded, between which keys each
recording plays, how it begins and dies away, how bright it is, and how many play. All but the recordings is drawn anew
here, for each instrument by itself; pitch stays, and so does the class, for only programs of one family of eight are
layered. Drums keep their keys. Numbers are generators of the SoundFont Technical Specification 2.04.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import click
import numpy as np
from freepats import chunk
from numpy.typing import NDArray

from mir_tf.files import write_bytes
from tfrecords_builder.soundfont import RECORDS, read_chunks

_DRUM_BANK = 128
_FAMILY = 8

_VIBRATO, _CUTOFF, _RESONANCE, _VIBRATO_DELAY, _VIBRATO_RATE = 6, 8, 9, 23, 24
_ATTACK, _DECAY, _SUSTAIN, _RELEASE = 34, 36, 37, 38
_INSTRUMENT, _KEY_RANGE, _ATTENUATION, _SEMITONES, _CENTS, _SAMPLE = 41, 43, 48, 51, 52, 53

_BRIGHTEST = 13500
"""Cutoff, in cents above 8.176 Hz, at which the filter lets everything through."""

Generators = dict[int, int]


class Zone:
    """Generators of a zone by number, and its modulators as they are stored."""

    def __init__(self, generators: Generators, modulators: bytes) -> None:
        """Holds them."""
        self.generators = generators
        self.modulators = modulators


def alter(source: Path, out: Path, seed: int) -> None:
    """Writes ``source`` with other instruments to ``out``.

    Args:
        source: an .sf2 file.
        out: another one.
        seed: of all that is drawn.

    Raises:
        ValueError: ``source`` is no SoundFont, or one of too many zones.
        IndexError: its tables are damaged.
    """
    data = np.memmap(source, np.uint8, mode="r").view(np.ndarray)
    chunks = read_chunks(data)
    tables = {name: chunks[name].view(fields) for name, fields in RECORDS.items()}
    presets, instruments = (_zones(tables, chunks, kind, owners) for kind, owners in (("p", "phdr"), ("i", "inst")))
    headers = tables["phdr"][:-1]
    drums = {
        zone.generators[_INSTRUMENT]
        for header, zones in zip(headers, presets, strict=True)
        for zone in zones
        if header["bank"] == _DRUM_BANK and _INSTRUMENT in zone.generators
    }
    for number, zones in enumerate(instruments):
        generator = random.Random(f"{seed}:{source.name}:{number}")
        if number in drums:
            _alter_drums(zones, generator)
        else:
            _alter_tones(zones, generator)
    _layer(headers, presets, random.Random(f"{seed}:{source.name}:layers"))
    hydra = b""
    for kind, owners, owned in (("p", "phdr", presets), ("i", "inst", instruments)):
        hydra += _written(kind, owners, tables[owners], owned)
    hydra += chunk(b"shdr", chunks["shdr"].tobytes())
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0") + chunk(b"INAM", b"altered\0")
    samples = chunk(b"smpl", chunks["smpl"].tobytes())
    lists = (b"INFO" + info, b"sdta" + samples, b"pdta" + hydra)
    body = b"".join(chunk(b"LIST", each) for each in lists)
    write_bytes(out, chunk(b"RIFF", b"sfbk" + body))


def _zones(
    tables: dict[str, NDArray[np.void]], chunks: dict[str, NDArray[np.uint8]], kind: str, owners: str
) -> list[list[Zone]]:
    """The zones of each preset ("p") or instrument ("i"), a global one first where there is one."""
    bags, generators = tables[f"{kind}bag"], tables[f"{kind}gen"]
    modulators = chunks[f"{kind}mod"].tobytes()
    found = []
    for owner, following in zip(tables[owners][:-1], tables[owners][1:], strict=True):
        zones = []
        for number in range(owner["bag"], following["bag"]):
            begin, end = bags[number], bags[number + 1]
            rows = generators[begin["generator"] : end["generator"]]
            amounts = dict(zip(rows["operator"].tolist(), rows["amount"].tolist(), strict=True))
            zones.append(Zone(amounts, modulators[10 * int(begin["modulator"]) : 10 * int(end["modulator"])]))
        found.append(zones)
    return found


def _written(kind: str, owners: str, headers: NDArray[np.void], owned: list[list[Zone]]) -> bytes:
    """The four tables of presets or of instruments."""
    headers = headers.copy()
    headers["bag"] = np.cumsum([0, *map(len, owned)])
    bags: list[tuple[int, int]] = []
    generators: list[tuple[int, int]] = []
    modulators = b""
    for zone in (zone for zones in owned for zone in zones):
        bags.append((len(generators), len(modulators) // 10))
        generators += sorted(zone.generators.items(), key=_order)
        modulators += zone.modulators
    bags.append((len(generators), len(modulators) // 10))
    if len(generators) >= 2**16:
        raise ValueError(f"it would need {len(generators)} generators of {owners}; the format numbers 65,535")
    name = kind.encode()
    return (
        chunk(owners.encode(), headers.tobytes())
        + chunk(name + b"bag", np.array(bags, np.uint16).astype("<u2").tobytes())
        + chunk(name + b"mod", modulators + bytes(10))
        + chunk(name + b"gen", b"".join(struct.pack("<Hh", *row) for row in generators) + bytes(4))
    )


def _order(generator: tuple[int, int]) -> tuple[bool, bool, int]:
    """The format wants the key range first, then the velocities, and what the zone plays last."""
    number, _ = generator
    return number in (_INSTRUMENT, _SAMPLE), number not in (_KEY_RANGE, _KEY_RANGE + 1), number


def _alter_tones(zones: list[Zone], generator: random.Random) -> None:
    """Gives an instrument other keys for each recording, another envelope, another brightness, perhaps vibrato."""
    moved = max(-7, min(round(generator.gauss(0, 3)), 7))
    attack = 1200 * generator.uniform(-9, -4.5)  # 2 to 44 ms
    slower = generator.random() < 0.4
    decay, release, sustain = generator.gauss(0, 700), generator.gauss(0, 900), generator.gauss(0, 30)
    cutoff = generator.uniform(9300, _BRIGHTEST)
    darker, resonance = generator.random() < 0.5, generator.uniform(0, 60)
    vibrato = generator.uniform(5, 30) if generator.random() < 0.25 else None
    rate = 1200 * generator.uniform(-1, -0.2)  # 4.1 to 7.1 Hz
    playing = _playing(zones)
    if not playing:
        return
    ranges = [_keys(zone) for zone in playing]
    ends = min(low for low, _ in ranges), max(high for _, high in ranges)
    for zone, keys in zip(playing, ranges, strict=True):
        own = zone.generators
        low, high = (key if key in ends else max(ends[0], min(key + moved, ends[1])) for key in keys)
        own[_KEY_RANGE] = _signed(low | high << 8)
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


def _alter_drums(zones: list[Zone], generator: random.Random) -> None:
    """Tunes each drum otherwise, and lets it die away sooner or later."""
    for zone in _playing(zones):
        own = zone.generators
        _set(own, _SEMITONES, own.get(_SEMITONES, 0) + round(generator.gauss(0, 1.2)))
        _set(own, _CENTS, max(-99, min(own.get(_CENTS, 0) + generator.gauss(0, 30), 99)))
        _add(own, _DECAY, generator.gauss(0, 600), -12000)
        _add(own, _RELEASE, generator.gauss(0, 600), -12000)
        if generator.random() < 0.3:
            _set(own, _CUTOFF, min(own.get(_CUTOFF, _BRIGHTEST), generator.uniform(10500, _BRIGHTEST)))


def _layer(headers: NDArray[np.void], presets: list[list[Zone]], generator: random.Random) -> None:
    """Lets a third of the programs play together with one of their family, itself perhaps, a little out of tune."""
    families: dict[int, list[int]] = {}
    for number, header in enumerate(headers):
        if header["bank"] == 0:
            families.setdefault(int(header["program"]) // _FAMILY, []).append(number)
    playing = [[Zone(dict(zone.generators), zone.modulators) for zone in zones] for zones in presets]
    for number in sorted(number for numbers in families.values() for number in numbers):
        other = generator.choice(families[int(headers[number]["program"]) // _FAMILY])
        attenuation, cents = generator.uniform(0, 250), generator.choice((-1, 1)) * generator.uniform(3, 14)
        if generator.random() < 1 / 3:
            common: Generators = {}
            for zone in playing[other]:
                if _INSTRUMENT not in zone.generators:
                    common = zone.generators
                    continue
                own = common | zone.generators
                _add(own, _ATTENUATION, attenuation, 0)
                _add(own, _CENTS, cents, 0)
                presets[number].append(Zone(own, zone.modulators))


def _playing(zones: list[Zone]) -> list[Zone]:
    """The zones of an instrument that have a sample, with what a global one says filled in."""
    common = next((zone.generators for zone in zones[:1] if _SAMPLE not in zone.generators), {})
    playing = [zone for zone in zones if _SAMPLE in zone.generators]
    for zone in playing:
        zone.generators = common | zone.generators
    return playing


def _keys(zone: Zone) -> tuple[int, int]:
    """Lowest and highest key."""
    both = zone.generators.get(_KEY_RANGE, 127 << 8)
    return both & 0xFF, both >> 8 & 0xFF


def _set(generators: Generators, number: int, amount: float) -> None:
    generators[number] = max(-(2**15), min(round(amount), 2**15 - 1))


def _add(generators: Generators, number: int, amount: float, default: int) -> None:
    """Adds to a generator; to times that are as short as can be nothing, for they say that there is no such stage."""
    if generators.get(number, default) > default or default == 0:
        _set(generators, number, generators.get(number, default) + amount)


def _signed(amount: int) -> int:
    return amount - 2**16 if amount >= 2**15 else amount


@click.command(help=__doc__)
@click.argument("soundfont", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seed", type=int, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(soundfont: Path, seed: int, out: Path) -> None:
    """See the module's docstring."""
    try:
        alter(soundfont, out, seed)
    except (ValueError, IndexError) as error:
        raise click.ClickException(f"{soundfont} cannot be altered: {error}") from error
    click.echo(f"{out}: {soundfont.name}, altered with seed {seed}")


if __name__ == "__main__":
    main()
