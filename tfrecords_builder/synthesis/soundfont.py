"""SoundFont 2 synthesis of single notes, in NumPy: in tune, with velocity layers, loops and volume envelopes.

It exists because FluidSynth is a system package and no wheel plays SoundFonts in tune. It follows the "SoundFont
Technical Specification 2.04" (E-mu, 2006), whose generators have the numbers in the code. It does not play
low-frequency oscillators, the filter's motion and resonance, pan, reverb and chorus.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from mir_tf.errors import DataError

RECORDS: dict[str, list[Any]] = {
    "phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("unused", "<u4", 3)],
    "pbag": [("generator", "<u2"), ("modulator", "<u2")],
    "pgen": [("operator", "<u2"), ("amount", "<i2")],
    "inst": [("name", "S20"), ("bag", "<u2")],
    "ibag": [("generator", "<u2"), ("modulator", "<u2")],
    "igen": [("operator", "<u2"), ("amount", "<i2")],
    "shdr": [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop_start", "<u4"),
        ("loop_end", "<u4"),
        ("rate", "<u4"),
        ("key", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ],
}
"""Fields of the tables: presets, instruments, the zones and generators of both, samples."""

_DRUM_BANK = 128
_KEY_RANGE, _VELOCITY_RANGE, _INSTRUMENT, _SAMPLE = 43, 44, 41, 53

# All other generators of a preset zone add to the instrument's.
_NOT_ADDED = {_KEY_RANGE, _VELOCITY_RANGE, _INSTRUMENT, _SAMPLE, 46, 47, 54, 57, 58}

_DEFAULTS = {8: 13500, 33: -12000, 34: -12000, 35: -12000, 36: -12000, 38: -12000, 56: 100, 58: -1}

_ROCK_BOTTOM = 100.0
"""Fall of an envelope in dB within its decay or release time, after which a note is over."""

_INAUDIBLE = 60.0
"""Fall of a released note in dB before it is cut."""

_MIN_RELEASE = 0.03
_MAX_RELEASE = 3.0
"""Seconds in which a release falls by :data:`_ROCK_BOTTOM` dB: shorter ones click, longer ones outlast a track."""

_ATTENUATION = 0.4
"""SoundFonts are made for the EMU8000, which applies 0.4 of the stored attenuation, as FluidSynth does."""

_COMPRESSED = 0x10
"""Bit in a sample's type for Ogg Vorbis, in .sf3 files."""

_IN_THE_FILE = 0x0F
"""Bits in a sample's type of those that the file contains; others are in the ROM of a sound card, or unknown."""

_INDICES = (
    ("phdr", "bag", "pbag"),
    ("pbag", "generator", "pgen"),
    ("inst", "bag", "ibag"),
    ("ibag", "generator", "igen"),
)
"""Table, its field that numbers the rows of another table, and that table."""

_LOWEST_RATE = 400
"""Hz. The specification wants the nearest practical value in place of an illegal one, such as 0."""

_MOST_ZONES = 200_000
"""Most zones of all presets: a damaged table can stand for billions."""

_MOST_OCTAVES = 15
"""Most octaves by which a recording is transposed, which is more than any sound needs."""

Generators = dict[int, int]


@dataclasses.dataclass(frozen=True)
class _Zone:
    """One sample of a preset, with the sums of its generators.

    Positions are in samples (those of the loop from ``start``), pitch in semitones, levels in dB, times in seconds, the
    cutoff in Hz.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    start: int
    end: int
    loop: tuple[int, int] | None
    rate: int
    root: int
    scale: float
    tuning: float
    attenuation: float
    delay: float
    attack: float
    hold: float
    decay: float
    sustain: float
    release: float
    cutoff: float


class SoundFont:
    """A SoundFont 2 file, mapped into memory, so that worker processes share its pages.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Read the tables of ``path``.

        Raises:
            DataError: The file is missing, truncated, or not a SoundFont 2.
        """
        self.path = path
        try:
            self._read()
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise DataError(
                f"{path}: not a readable SoundFont 2 file ({error}); give a complete .sf2 file, not an .sf3"
            ) from error

    def _read(self) -> None:
        if self.path.is_fifo():  # it would be waited for
            raise ValueError("it is a pipe, which cannot be mapped into memory")
        data = np.memmap(self.path, np.uint8, mode="r").view(np.ndarray)
        chunks = read_chunks(data)
        self._tables = {name: chunks[name].view(fields) for name, fields in RECORDS.items()}
        require_plain(self._tables["shdr"])
        self._samples = chunks["smpl"].view("<i2")
        for table, field, other in _INDICES:
            indices = self._tables[table][field].astype(np.int64)
            if not len(indices) or (np.diff(indices) < 0).any() or indices[-1] != len(self._tables[other]) - 1:
                raise ValueError(f"its table {table} is damaged: it does not number the rows of {other}")
        self._presets: dict[tuple[int, int], list[_Zone]] = {}
        count = 0
        for index, header in enumerate(self._tables["phdr"][:-1]):
            zones = self._zones(index)
            self._presets.setdefault((int(header["bank"]), int(header["program"])), zones)  # players take the first
            count += len(zones)
            if count > _MOST_ZONES:
                raise ValueError(f"its presets have more than {_MOST_ZONES} zones")

    def has(self, program: int, is_drum: bool) -> bool:
        """Return whether it has a sound for a General MIDI program, or for drums any kit that can replace another."""
        return bool(self._presets.get(self._preset(program, is_drum)))

    def _preset(self, program: int, is_drum: bool) -> tuple[int, int]:
        """Return bank and program; kit 0 replaces a missing kit."""
        preset = (_DRUM_BANK if is_drum else 0, program)
        return (_DRUM_BANK, 0) if is_drum and preset not in self._presets else preset

    def note(
        self,
        program: int,
        is_drum: bool,
        key: int,
        velocity: int,
        seconds: float,
        sample_rate: int,
        cents: float = 0.0,
    ) -> NDArray[np.float32]:
        """Return the sound of one note, mono, including its release.

        Args:
            program: General MIDI program, 0 to 127; for drums the kit. Kit 0 replaces a missing kit; a missing program
                is silent.
            is_drum: Whether ``key`` chooses a drum.
            key: MIDI note number.
            velocity: 1 to 127.
            seconds: Time from note-on to note-off.
            sample_rate: Hz.
            cents: Tuning above 440 Hz.

        Returns:
            float32 [samples], as long as the note sounds; empty if the SoundFont has no sound for it.
        """
        preset = self._preset(program, is_drum)
        sounds = [
            self._play(zone, key, seconds, sample_rate, cents)
            for zone in self._presets.get(preset, ())
            if zone.keys[0] <= key <= zone.keys[1] and zone.velocities[0] <= velocity <= zone.velocities[1]
        ]
        mix = np.zeros(max(map(len, sounds), default=0), np.float32)
        for sound in sounds:
            mix[: len(sound)] += sound
        # The default modulator of velocity: 40 dB per decade.
        return mix * np.float32((velocity / 127) ** 2)

    def _play(self, zone: _Zone, key: int, seconds: float, sample_rate: int, cents: float) -> NDArray[np.float32]:
        octaves = (zone.scale * (key - zone.root) + zone.tuning + cents / 100) / 12
        step = zone.rate / sample_rate * 2 ** min(max(octaves, -_MOST_OCTAVES), _MOST_OCTAVES)
        release = min(max(zone.release, _MIN_RELEASE), _MAX_RELEASE)
        count = round((seconds + release * _INAUDIBLE / _ROCK_BOTTOM) * sample_rate)
        if zone.loop is None:
            count = min(count, int((zone.end - zone.start - 1) / step))
        position = np.arange(count) * step
        if zone.loop is not None:
            begin, end = zone.loop
            beyond = position[math.ceil(end / step) :]
            # Twice as fast as the remainder operator.
            beyond -= np.floor((beyond - begin) / (end - begin)) * (end - begin)
        index = position.astype(np.int32)
        fraction = (position - index).astype(np.float32)
        index += zone.start
        left: NDArray[np.float32] = self._samples[index].astype(np.float32)
        sound: NDArray[np.float32] = left + fraction * (self._samples[index + 1] - left)
        if zone.cutoff < 0.45 * sample_rate:
            sound = _low_pass(sound, zone.cutoff / sample_rate)
        return sound * _envelope(zone, seconds, release, count, sample_rate)

    def _zones(self, preset: int) -> list[_Zone]:
        zones = []
        for outer in self._bags("p", preset, self._tables["phdr"], _INSTRUMENT):
            for inner in self._bags("i", outer[_INSTRUMENT], self._tables["inst"], _SAMPLE):
                if not self._tables["shdr"][inner[_SAMPLE]]["type"] & ~_IN_THE_FILE:
                    zones.append(self._zone(outer, inner))
            if len(zones) > _MOST_ZONES:
                raise ValueError(f"a preset has more than {_MOST_ZONES} zones")
        return [zone for zone in zones if zone.start < zone.end]

    def _bags(self, kind: str, owner: int, owners: NDArray[np.void], link: int) -> list[Generators]:
        """Return the generators of each zone of a preset or instrument, completed by those of its global zone."""
        bags, generators = self._tables[f"{kind}bag"]["generator"], self._tables[f"{kind}gen"]
        common: Generators = {}
        zones = []
        for bag in range(owners[owner]["bag"], owners[owner + 1]["bag"]):
            rows = generators[bags[bag] : bags[bag + 1]]
            zone = dict(zip(rows["operator"].tolist(), rows["amount"].tolist(), strict=True))
            if link in zone:
                zones.append(common | zone)
            elif bag == owners[owner]["bag"]:
                common = zone
        return zones

    def _zone(self, outer: Generators, inner: Generators) -> _Zone:
        header = self._tables["shdr"][inner[_SAMPLE]]

        def amount(operator: int) -> int:
            own = inner.get(operator, _DEFAULTS.get(operator, 0))
            return own if operator in _NOT_ADDED else own + outer.get(operator, 0)

        def seconds(operator: int) -> float:
            return float(2 ** (min(amount(operator), 8000) / 1200))

        if header["end"] > len(self._samples):
            raise ValueError(f"its sample {bytes(header['name'])!r} ends after the audio")
        start = max(int(header["start"]) + amount(0) + 32768 * amount(4), 0)
        end = min(int(header["end"]) + amount(1) + 32768 * amount(12), len(self._samples) - 1)
        loop = (
            int(header["loop_start"]) + amount(2) + 32768 * amount(45) - start,
            int(header["loop_end"]) + amount(3) + 32768 * amount(50) - start,
        )
        looped = amount(54) & 1 and 0 <= loop[0] < loop[1] <= end - start
        root = amount(58) if amount(58) >= 0 else int(header["key"])
        # A cutoff moved by the modulation envelope is fixed half-way between the envelope's peak and sustain.
        cutoff = amount(8) + amount(11) * (1 - min(max(amount(29), 0), 1000) / 2000)
        return _Zone(
            keys=_overlap(outer, inner, _KEY_RANGE),
            velocities=_overlap(outer, inner, _VELOCITY_RANGE),
            start=start,
            end=end,
            loop=loop if looped else None,
            rate=max(int(header["rate"]), _LOWEST_RATE),
            root=root if root <= 127 else 60,
            scale=amount(56) / 100,
            tuning=amount(51) + (amount(52) + int(header["correction"])) / 100,
            attenuation=_ATTENUATION * max(amount(48), 0) / 10,
            delay=seconds(33),
            attack=seconds(34),
            hold=seconds(35),
            decay=seconds(36),
            sustain=min(max(amount(37), 0) / 10, _ROCK_BOTTOM),
            release=seconds(38),
            cutoff=8.176 * 2 ** (cutoff / 1200),
        )


def require_plain(headers: NDArray[np.void]) -> None:
    """Raise an error unless all samples are stored as PCM.

    Args:
        headers: The table ``shdr``.

    Raises:
        ValueError: A sample is compressed.
    """
    if (headers["type"] & _COMPRESSED).any():
        raise ValueError("its samples are compressed, as in .sf3")


def read_chunks(data: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return the leaf chunks of a SoundFont by name.

    Args:
        data: The bytes of the file.

    Raises:
        ValueError: It is not a SoundFont, or is truncated.
    """
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
        raise ValueError("it does not begin with RIFF ... sfbk")
    leaves = {}
    offset = 12
    while offset + 8 <= len(data):
        name, size = bytes(data[offset : offset + 4]), int(data[offset + 4 : offset + 8].view("<u4")[0])
        if name == b"LIST":
            offset += 12
            continue
        if offset + 8 + size > len(data):
            raise ValueError(f"it ends within its chunk {name.decode('latin-1')!r}")
        leaves[name.decode("latin-1")] = data[offset + 8 : offset + 8 + size]
        offset += 8 + size + size % 2
    if missing := sorted({*RECORDS, "smpl"} - set(leaves)):
        raise ValueError(f"it has no chunk {', '.join(missing)}")
    return leaves


def _overlap(outer: Generators, inner: Generators, operator: int) -> tuple[int, int]:
    """Return the lowest and highest key or velocity in the ranges of both zones, 0 and 127 by default."""
    ranges = [zone.get(operator, 127 << 8) for zone in (outer, inner)]
    return max(value & 0xFF for value in ranges), min(value >> 8 & 0xFF for value in ranges)


def _envelope(zone: _Zone, seconds: float, release: float, count: int, sample_rate: int) -> NDArray[np.float32]:
    """Return the gain [count] of the volume envelope and the zone's attenuation, from -32768..32767 to -1..1."""
    time = np.arange(count, dtype=np.float32) / np.float32(sample_rate)
    fall = np.clip((time - (zone.delay + zone.attack + zone.hold)) * (_ROCK_BOTTOM / zone.decay), 0, zone.sustain)
    fall += np.maximum(time - seconds, 0) * (_ROCK_BOTTOM / release) + zone.attenuation
    rise = np.clip((np.minimum(time, seconds) - zone.delay) / zone.attack, 0, 1)
    gain: NDArray[np.float32] = rise * np.exp(fall * (-math.log(10) / 20)) * np.float32(1 / 32768)
    return gain


def _low_pass(sound: NDArray[np.float32], frequency: float) -> NDArray[np.float32]:
    """Apply a Butterworth low-pass of second order; ``frequency`` is in cycles per sample."""
    warped = math.tan(math.pi * frequency)
    scale = 1 / (1 + math.sqrt(2) * warped + warped**2)
    forward = np.array([1, 2, 1]) * warped**2 * scale
    backward = [1, 2 * (warped**2 - 1) * scale, (1 - math.sqrt(2) * warped + warped**2) * scale]
    return np.asarray(lfilter(forward, backward, sound), np.float32)
