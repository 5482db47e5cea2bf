"""SoundFont files: the presets that FluidSynth finds in them, and which of them sound when it plays a note."""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import struct
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfont_file
from numpy.typing import NDArray
from soundfont_file import bags, chunk, generator

from fuzzing.cases import Case, Kind, damage
from tfrecords_builder.synthesis.soundfont import SoundFont

RATE = 44100
SECONDS = 0.15
KEY, VELOCITY = 60, 100
SOUNDS, SILENT = 1e-3, 1e-5
"""Peaks above which a note sounds, and below which it does not; between them, readers may differ."""
PLAYED = 4
"""Most presets that are played."""

_DRUM_BANK = 128


class SoundFonts(Kind):
    """Small SoundFonts that are damaged, of which every fourth has changes that mean nothing instead."""

    suffix = ".sf2"
    sources = (".sf2", ".sf3")
    read: ClassVar[type[SoundFont]] = SoundFont

    def case(self, number: int) -> Case:
        """Return a file, a random one if there are none, and what is done to it."""
        if number < len(self.files):
            return Case(self.files[number].read_bytes())
        draw = self.draw(number)
        content = draw.choice(self.files).read_bytes() if self.files else random_soundfont(draw)
        if number % 4 == 0 and not self.files:
            return Case(change_names(content, draw), content)
        if draw.random() < 0.5:
            return Case(damage_tables(content, draw))
        return Case(damage(content, draw))

    def judge(self, path: Path, case: Case) -> str:
        """Compare which presets there are and sound with FluidSynth, or all sounds with those of the original."""
        soundfont = self.read(path)
        presets = fluidsynth_presets(path)
        asked = sorted(presets or {(0, program): None for program in range(0, 128, 16)})
        ours = {
            preset: play(soundfont, *preset) for preset in asked if preset[0] in (0, _DRUM_BANK) and preset[1] < 128
        }
        if case.original is not None:
            with tempfile.TemporaryDirectory() as folder:
                before = Path(folder, "original.sf2")
                before.write_bytes(case.original)
                original = self.read(before)
                same = all(np.array_equal(sound, play(original, *preset)) for preset, sound in ours.items())
            return "right" if same else "wrong: a change that means nothing changes the sound"
        if presets is None:
            return "unjudged"
        for preset, theirs in presets.items():
            if theirs is None or preset not in ours:
                continue
            peak = float(np.abs(ours[preset]).max(initial=0.0))
            if peak < SILENT and theirs > SOUNDS:
                return f"wrong: preset {preset} is silent, and has a peak of {theirs} in FluidSynth"
            if peak > SOUNDS and theirs < SILENT:
                return f"wrong: preset {preset} has a peak of {peak}, and is silent in FluidSynth"
        return "right"


def play(soundfont: SoundFont, bank: int, program: int) -> NDArray[np.float32]:
    """Return a note; ValueError if it is not made of numbers, which no reader may return."""
    sound = soundfont.note(program, bank == _DRUM_BANK, KEY, VELOCITY, SECONDS, RATE)
    if not np.isfinite(sound).all():
        raise ValueError("a note that is not finite")
    return sound


def random_soundfont(draw: random.Random) -> bytes:
    """Return a SoundFont of a few presets, instruments and samples, with all kinds of generators."""
    samples, headers, instruments, presets = b"", b"", [], []
    for number in range(draw.randrange(1, 4)):
        length = draw.choice([200, 1000])
        start = len(samples) // 2
        wave = 20_000 * np.sin(np.arange(length) * draw.uniform(0.02, 0.5))
        samples += wave.astype("<i2").tobytes() + bytes(92)
        loop = (start + 10, start + length - 10)
        headers += struct.pack("<20sIIIIIBbHH", b"s%d" % number, start, start + length, *loop, 22050, 60, 0, 0, 1)
    count = number + 1
    headers += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    zones = []
    for number in range(draw.randrange(1, 4)):
        instruments.append((b"i%d" % number, len(zones)))
        for _ in range(draw.randrange(1, 3)):
            options = [
                generator(43, draw.choice([127 << 8, 60 | 127 << 8, 70 << 8])),
                generator(8, draw.randrange(6000, 13500)),
                generator(34, draw.randrange(-12000, -3000)),
                generator(48, draw.randrange(0, 300)),
                generator(51, draw.randrange(-12, 13)),
                generator(54, draw.randrange(2)),
                generator(58, draw.randrange(48, 72)),
            ]
            kept = [option for option in options if draw.random() < 0.6]
            zones.append(([*kept, generator(53, draw.randrange(count))], b""))
    instrument_table = b"".join(
        struct.pack("<20sH", name, place) for name, place in [*instruments, (b"EOI", len(zones))]
    )
    outer = []
    for number in range(draw.randrange(1, 6)):
        presets.append((b"p%d" % number, draw.randrange(128), draw.choice([0, 0, 128]), len(outer)))
        for _ in range(draw.randrange(1, 3)):
            outer.append(([generator(41, draw.randrange(len(instruments)))], b""))
    headers_of_presets = b"".join(
        struct.pack("<20sHHHIII", name, program, bank, place, 0, 0, 0)
        for name, program, bank, place in [*presets, (b"EOP", 0, 0, len(outer))]
    )
    tables = (
        chunk(b"phdr", headers_of_presets)
        + bags(b"p", outer)
        + chunk(b"inst", instrument_table)
        + bags(b"i", zones)
        + chunk(b"shdr", headers)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.sf2")
        soundfont_file.write(path, "random", samples, tables)
        return path.read_bytes()


def change_names(data: bytes, draw: random.Random) -> bytes:
    """Change the names and the fields that are reserved."""
    changed = bytearray(data)
    at = data.index(b"INAM") + 8
    changed[at : at + 5] = draw.choice([b"other", b"\xe9\xe9\xe9\xe9\xe9"])
    at = data.index(b"phdr") + 8
    changed[at : at + 20] = b"Grand Piano".ljust(20, b"\0")
    changed[at + 26 : at + 38] = draw.randbytes(12)
    return bytes(changed)


def damage_tables(data: bytes, draw: random.Random) -> bytes:
    """Set some numbers in the tables to others, so that they refer to what is not there."""
    changed = bytearray(data)
    start = max(data.find(b"pdta"), 0)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(start, len(data) - 4)
        size = draw.choice([1, 2, 4])
        value = draw.choice([0, 1, 127, 255, 32767, 65535, 2**31, 2**32 - 1, draw.randrange(2**16)])
        changed[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(changed)


def fluidsynth_presets(path: Path) -> dict[tuple[int, int], float | None] | None:
    """Return FluidSynth's presets by bank and program, the first of them with the peak of a note.

    Returns:
        None if FluidSynth is not installed, or refuses the file.
    """
    if (name := ctypes.util.find_library("fluidsynth")) is None:
        return None
    library = ctypes.CDLL(name)
    for function in (
        "new_fluid_settings",
        "new_fluid_synth",
        "fluid_synth_get_sfont_by_id",
        "fluid_sfont_iteration_next",
    ):
        getattr(library, function).restype = ctypes.c_void_p
    library.fluid_set_log_function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    for level in range(5):
        library.fluid_set_log_function(level, None, None)
    settings = ctypes.c_void_p(library.new_fluid_settings())
    for setting in (b"synth.reverb.active", b"synth.chorus.active", b"synth.lock-memory"):
        library.fluid_settings_setint(settings, setting, 0)
    library.fluid_settings_setnum(settings, b"synth.gain", ctypes.c_double(1.0))
    presets: dict[tuple[int, int], float | None] = {}
    try:
        for place in [None, *range(PLAYED)]:
            synth = ctypes.c_void_p(library.new_fluid_synth(settings))  # each, as notes before would still sound
            try:
                number = library.fluid_synth_sfload(synth, str(path).encode(), 0)
                if number < 0:
                    return None
                if place is None:
                    font = ctypes.c_void_p(library.fluid_synth_get_sfont_by_id(synth, number))
                    library.fluid_sfont_iteration_start(font)
                    while preset := ctypes.c_void_p(library.fluid_sfont_iteration_next(font)):
                        presets[library.fluid_preset_get_banknum(preset), library.fluid_preset_get_num(preset)] = None
                elif place < len(presets):
                    bank, program = list(presets)[place]
                    presets[bank, program] = peak(library, synth, number, bank, program)
            finally:
                library.delete_fluid_synth(synth)
        return presets
    finally:
        library.delete_fluid_settings(settings)


def peak(library: ctypes.CDLL, synth: ctypes.c_void_p, number: int, bank: int, program: int) -> float | None:
    """Return the peak of a note of a preset; None if it cannot be chosen."""
    count = round(SECONDS * RATE)
    left, right = ((ctypes.c_float * count)() for _ in range(2))
    if library.fluid_synth_program_select(synth, 0, number, bank, program) != 0:
        return None
    library.fluid_synth_noteon(synth, 0, KEY, VELOCITY)
    library.fluid_synth_write_float(synth, count, left, 0, 1, right, 0, 1)
    return float(np.abs(np.frombuffer(left, np.float32)).max())
