"""Zones of SoundFont files, read and written, for the tools that make SoundFonts.

The builder's soundfont.py plays them. They follow the SoundFont Technical Specification 2.04.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.io.files import write_bytes

_INSTRUMENT, _KEY_RANGE, _SAMPLE = 41, 43, 53

Generators = dict[int, int]
"""Maps the number of a generator to its amount."""

MOST_GENERATORS = 2**16 - 1
"""Most generators of a SoundFont, which bags number with 16 bits."""


@dataclasses.dataclass
class Zone:
    """Generators of a zone by number, and its modulators as stored."""

    generators: Generators
    modulators: bytes


def write(path: Path, name: str, samples: bytes, tables: bytes) -> None:
    """Write a SoundFont file, which appears only when it is complete.

    Args:
        path: The file.
        name: Name of the SoundFont, ASCII.
        samples: int16, little-endian.
        tables: The chunks phdr, pbag, pmod, pgen, inst, ibag, imod, igen and shdr, in this order.
    """
    title = name.encode("ascii") + b"\0"
    info = (
        chunk(b"ifil", struct.pack("<HH", 2, 1))
        + chunk(b"isng", b"EMU8000\0")
        + chunk(b"INAM", title + b"\0" * (len(title) % 2))
    )
    lists = (b"INFO" + info, b"sdta" + chunk(b"smpl", samples), b"pdta" + tables)
    write_bytes(path, chunk(b"RIFF", b"sfbk" + b"".join(chunk(b"LIST", each) for each in lists)))


def bags(kind: bytes, zones: Iterable[tuple[list[bytes], bytes]]) -> bytes:
    """Return the tables of the zones of presets (``p``) or instruments (``i``): bags, modulators and generators.

    Args:
        kind: ``p`` or ``i``.
        zones: Generators from :func:`generator` and modulators, ten bytes each, of every zone.

    Raises:
        ValueError: They have more generators than the format can number.
    """
    indices: list[bytes] = []
    generators: list[bytes] = []
    modulators = b""
    for own_generators, own_modulators in [*zones, ([], b"")]:  # the last one ends the list
        if len(generators) > MOST_GENERATORS:
            raise ValueError(
                f"its zones have at least {len(generators)} generators; the format allows {MOST_GENERATORS}"
            )
        indices.append(struct.pack("<HH", len(generators), len(modulators) // 10))
        generators += own_generators
        modulators += own_modulators
    return (
        chunk(kind + b"bag", b"".join(indices))
        + chunk(kind + b"mod", modulators + bytes(10))
        + chunk(kind + b"gen", b"".join([*generators, bytes(4)]))
    )


def generator(operator: int, amount: int) -> bytes:
    """Return a generator; ``amount`` is a signed number, or two unsigned bytes."""
    return struct.pack("<HH", operator, amount & 0xFFFF)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a RIFF file: its name, its size, its data, and a padding byte after an odd size."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def read_zones(
    tables: dict[str, NDArray[np.void]], chunks: dict[str, NDArray[np.uint8]], kind: str, owners: str
) -> list[list[Zone]]:
    """Return the zones of each preset ("p") or instrument ("i"), with a global zone first."""
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


def written_zones(kind: str, owners: str, tables: dict[str, NDArray[np.void]], owned: list[list[Zone]]) -> bytes:
    """Return the four tables of presets or instruments, with headers that point to the new zones."""
    headers = tables[owners].copy()
    headers["bag"] = np.cumsum([0, *map(len, owned)])
    rows = [
        ([generator(*row) for row in sorted(zone.generators.items(), key=_order)], zone.modulators)
        for zones in owned
        for zone in zones
    ]
    return chunk(owners.encode(), headers.tobytes()) + bags(kind.encode(), rows)


def _order(generator: tuple[int, int]) -> tuple[bool, bool, int]:
    """Sort as the format requires: key range first, then velocities, and the sample or instrument last."""
    number, _ = generator
    return number in (_INSTRUMENT, _SAMPLE), number not in (_KEY_RANGE, _KEY_RANGE + 1), number
