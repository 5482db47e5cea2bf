"""Convert the FreePats sounds, a folder of Gravis patches, into one SoundFont of General MIDI.

    python tools/freepats.py --patches /usr/share/midi/freepats --out freepats.sf2

Debian's package freepats contains them. A program without a patch gets the nearest one of its family, so that its class
stays correct. The formats are the GF1 patch of the Gravis UltraSound SDK and the SoundFont Technical Specification
2.01.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import struct
from pathlib import Path

import click
import numpy as np
import soundfont_file
from numpy.typing import NDArray
from soundfont_file import bags, chunk, generator

_PATCH_HEADER, _INSTRUMENT_HEADER, _LAYER_HEADER, _SAMPLE_HEADER = 129, 63, 47, 96
_SAMPLE = struct.Struct("<7sBIIIHIIIhB6s6s3s3sBHH36x")
_SIXTEEN_BITS, _UNSIGNED, _LOOPED, _BACK_AND_FORTH, _BACKWARDS, _ENVELOPE = 1, 2, 4, 8, 16, 64

_FAMILY = 8
_DRUMS_BANK = 128
_SILENCE = 46
"""Samples of silence that the format requires after each sample."""

_KEY_RANGE, _ATTACK, _DECAY, _SUSTAIN, _RELEASE = 43, 34, 36, 37, 38
_INSTRUMENT, _SAMPLE_ID, _SAMPLE_MODES, _SCALE_TUNING = 41, 53, 54, 56

_FULL_DECAY = 100.0
"""Fall in dB within the time of a decay or release."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One recording of a patch.

    Attributes:
        audio: int16 [samples].
        rate: Hz.
        loop: First sample of the loop and the one after its last; None without a loop.
        low: Lowest key.
        high: Highest key.
        root: Fractional key that sounds as recorded.
        attack: Seconds.
        decay: Seconds for 100 dB.
        sustain: dB below the peak.
        release: Seconds for 100 dB.
    """

    audio: NDArray[np.int16]
    rate: int
    loop: tuple[int, int] | None
    low: int
    high: int
    root: float
    attack: float
    decay: float
    sustain: float
    release: float


def read_patch(path: Path) -> list[Sample]:
    """Return the samples of the first layer of a Gravis patch.

    Raises:
        ValueError: It is not a Gravis patch, or has samples that are played backwards.
    """
    data = path.read_bytes()
    if not data.startswith((b"GF1PATCH110\0", b"GF1PATCH100\0")):
        raise ValueError(f"{path} is not a Gravis patch: it begins with {data[:11]!r}")
    try:
        return _read(data)
    except (IndexError, struct.error, ValueError) as error:
        raise ValueError(f"{path} cannot be converted: {error}") from error


def _read(data: bytes) -> list[Sample]:
    place = _PATCH_HEADER + _INSTRUMENT_HEADER
    count = data[place + 6]
    place += _LAYER_HEADER
    samples = []
    for _ in range(count):
        (_, _, size, begin, end, rate, low, high, root, _, _, rates, offsets, _, _, modes, _, _) = _SAMPLE.unpack_from(
            data, place
        )
        place += _SAMPLE_HEADER
        if modes & _BACKWARDS:
            raise ValueError("a sample is played backwards, which SoundFonts do not support")
        width = 2 if modes & _SIXTEEN_BITS else 1
        kind = ("<u2" if modes & _UNSIGNED else "<i2") if width == 2 else ("u1" if modes & _UNSIGNED else "i1")
        values = np.frombuffer(data, kind, size // width, place).astype(np.int32)
        place += size
        if modes & _UNSIGNED:
            values -= 1 << (8 * width - 1)
        audio: NDArray[np.int16] = (values << (16 - 8 * width)).astype(np.int16)
        loop = (begin // width, end // width) if modes & _LOOPED and end > begin else None
        if loop and modes & _BACK_AND_FORTH:
            turn = audio[loop[0] : loop[1]][::-1]
            audio, loop = np.concatenate([audio[: loop[1]], turn]), (loop[0], loop[1] + len(turn))
        envelope = _envelope(rates, offsets) if modes & _ENVELOPE else (0.001, 1.0, 0.0, 0.5)
        samples.append(Sample(audio, rate, loop, *_keys(low, high), _key(root), *envelope))
    samples.sort(key=lambda sample: sample.low)
    # Each key has one recording: the last one that begins at or below it, or the lowest.
    lows = [0, *(sample.low for sample in samples[1:]), 128]
    return [
        dataclasses.replace(sample, low=low, high=max(low, above - 1))
        for sample, (low, above) in zip(samples, itertools.pairwise(lows), strict=True)
    ]


def _key(millihertz: int) -> float:
    return 69 + 12 * math.log2(max(millihertz, 1) / 440000)


def _keys(low: int, high: int) -> tuple[int, int]:
    """Return the keys nearest to two frequencies in millihertz."""
    return max(0, min(round(_key(low)), 127)), max(0, min(round(_key(high)), 127))


def _envelope(rates: bytes, offsets: bytes) -> tuple[float, float, float, float]:
    """Return attack, decay, sustain and release of six stages; the third stage sustains.

    The hardware's volume is logarithmic, with 16 steps of an offset per 6 dB. The six low bits of a rate count
    sixteenths of a step per 1, 8, 64 or 512 samples at 44.1 kHz, depending on its two high bits.
    """

    def seconds(stage: int, before: int) -> float:
        step = max(rates[stage] & 63, 1) * 44100 / float(8 ** (rates[stage] >> 6))
        return abs(offsets[stage] - before) * 16 / step

    def decibels(steps: int) -> float:
        return steps * 6.02 / 16

    attack = seconds(0, 0)
    peak, held = max(offsets[:3]), offsets[2]
    falling = seconds(1, offsets[0]) + seconds(2, offsets[1])
    sustain = decibels(peak - held)
    decay = falling * _FULL_DECAY / sustain if sustain > 1 else 1.0
    released = sum(seconds(stage, offsets[stage - 1]) for stage in (3, 4, 5))
    fall = decibels(held - offsets[5])
    release = released * _FULL_DECAY / fall if fall > 1 else 0.5
    return attack, decay, sustain, release


def write_soundfont(out: Path, programs: dict[int, list[Sample]], drums: dict[int, list[Sample]]) -> None:
    """Write ``programs`` and, by key, ``drums`` as a SoundFont; missing programs get their nearest neighbour."""
    patches = [*programs.values(), *drums.values()]
    number_of = {id(patch): number for number, patch in enumerate(patches)}
    everything = [sample for patch in patches for sample in patch]
    tones = sum(map(len, programs.values()))
    audio, headers, place = [], [], 0
    for number, sample in enumerate(everything):
        first, last = sample.loop or (0, len(sample.audio))
        root = max(0, min(round(sample.root), 127))
        # A recording is tuned to its key; drums stay as recorded.
        cents = max(-99, min(round(100 * (root - sample.root)), 99)) if number < tones else 0
        headers.append(
            struct.pack(
                "<20sIIIIIBbHH",
                f"sample{number}".encode(),
                place,
                place + len(sample.audio),
                place + first,
                place + last,
                sample.rate,
                root,
                cents,
                0,
                1,
            )
        )
        audio += [sample.audio, np.zeros(_SILENCE, np.int16)]
        place += len(sample.audio) + _SILENCE
    headers.append(struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0))

    zones: list[list[bytes]] = []
    inst, sample_number = [], 0
    for number, patch in enumerate(patches):
        inst.append(struct.pack("<20sH", f"patch{number}".encode(), len(zones)))
        for sample in patch:
            zones.append(_zone(sample, sample_number, drum=number >= len(programs)))
            sample_number += 1
    inst.append(struct.pack("<20sH", b"EOI", len(zones)))

    presets: list[bytes] = []
    preset_zones: list[list[bytes]] = []
    for program in range(128):
        nearest = min(
            (other for other in programs if other // _FAMILY == program // _FAMILY),
            key=lambda other: (abs(other - program), other),
        )
        presets.append(_preset(f"program{program}", program, 0, len(preset_zones)))
        preset_zones.append([generator(_INSTRUMENT, number_of[id(programs[nearest])])])
    presets.append(_preset("drums", 0, _DRUMS_BANK, len(preset_zones)))
    for key, patch in sorted(drums.items()):
        preset_zones.append([generator(_KEY_RANGE, key | key << 8), generator(_INSTRUMENT, number_of[id(patch)])])
    presets.append(_preset("EOP", 255, 255, len(preset_zones)))

    tables = (
        chunk(b"phdr", b"".join(presets))
        + bags(b"p", [(zone, b"") for zone in preset_zones])
        + chunk(b"inst", b"".join(inst))
        + bags(b"i", [(zone, b"") for zone in zones])
        + chunk(b"shdr", b"".join(headers))
    )
    soundfont_file.write(out, "FreePats", np.concatenate(audio).astype("<i2").tobytes(), tables)


def _zone(sample: Sample, number: int, drum: bool) -> list[bytes]:
    """Return the generators of one sample; a drum sounds as recorded on any key."""
    return [
        generator(_KEY_RANGE, sample.low | sample.high << 8),
        generator(_ATTACK, _timecents(sample.attack)),
        generator(_DECAY, _timecents(sample.decay)),
        generator(_SUSTAIN, max(0, min(round(10 * sample.sustain), 1000))),
        generator(_RELEASE, _timecents(sample.release)),
        *([generator(_SCALE_TUNING, 0)] if drum else []),
        generator(_SAMPLE_MODES, 1 if sample.loop else 0),
        generator(_SAMPLE_ID, number),
    ]


def _timecents(seconds: float) -> int:
    return max(-12000, min(round(1200 * math.log2(max(seconds, 1e-3))), 8000))


def _preset(name: str, program: int, bank: int, bag: int) -> bytes:
    return struct.pack("<20sHHHIII", name.encode(), program, bank, bag, 0, 0, 0)


@click.command(help=__doc__)
@click.option(
    "--patches",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Read the folders Tone_000 and Drum_000 in this folder.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Write this .sf2 file.")
def main(patches: Path, out: Path) -> None:
    """See the module's docstring."""
    try:
        programs, drums = (
            {
                int(match[1]): read_patch(path)
                for path in sorted(patches.glob(f"{folder}/*.pat"))
                if (match := re.match(r"(\d{3})_", path.name))
            }
            for folder in ("Tone_000", "Drum_000")
        )
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    empty = [8 * family for family in range(16) if not any(program // _FAMILY == family for program in programs)]
    if empty or not drums:
        lacking = ", ".join(f"{program} to {program + 7}" for program in empty) or "drums"
        raise click.ClickException(f"{patches} has no patch Tone_000/NNN_*.pat or Drum_000/NNN_*.pat for {lacking}")
    try:
        write_soundfont(out, programs, drums)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {len(programs)} programs and {len(drums)} drums")


if __name__ == "__main__":
    main()
