"""Players of one instrument's notes through a SoundFont: the built-in one and FluidSynth."""

from __future__ import annotations

import functools
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pretty_midi
from numpy.typing import NDArray

from mir_tf.errors import DataError
from tfrecords_builder.synthesis.soundfont import SoundFont

CACHED_NOTES = 64
CACHED_SECONDS = 5.0
"""Number and longest duration of the notes kept for repetition. With their releases, 64 of them take 77 MB."""

_FLUIDSYNTH_GAIN = "0.3"  # leaves headroom: samples are floating-point, and every stem gets its level afterwards


def default_soundfont() -> Path:
    """Return the path of TimGM6mb, the SoundFont that pretty_midi ships."""
    return Path(str(resources.files("pretty_midi"))) / "TimGM6mb.sf2"


@functools.lru_cache(maxsize=4)
def load_soundfont(path: Path) -> SoundFont:
    """Return a SoundFont, one of the last four from memory.

    Raises:
        DataError: The file cannot be read as a SoundFont.
    """
    return SoundFont(path)


def play_builtin(
    instrument: pretty_midi.Instrument, soundfont: SoundFont, count: int, sample_rate: int, cents: float
) -> NDArray[np.float32]:
    """Play the notes of an instrument with :mod:`tfrecords_builder.synthesis.soundfont`.

    Args:
        instrument: Its notes, program and kind. Bends, controllers and the pedal are ignored.
        soundfont: The sounds.
        count: Samples wanted; later sound is cut off.
        sample_rate: Hz.
        cents: Tuning above 440 Hz.

    Returns:
        float32 [count], mono.
    """

    def sound(pitch: int, velocity: int, samples: int) -> NDArray[np.float32]:
        seconds = samples / sample_rate
        return soundfont.note(instrument.program, instrument.is_drum, pitch, velocity, seconds, sample_rate, cents)

    cached = functools.lru_cache(CACHED_NOTES)(sound)
    audio = np.zeros(count, np.float32)
    for note in instrument.notes:
        start = round(note.start * sample_rate)
        samples = round(note.end * sample_rate) - start
        play = cached if samples <= CACHED_SECONDS * sample_rate else sound
        piece = play(note.pitch, note.velocity, samples)[: count - start]
        audio[start : start + len(piece)] += piece
    return audio


def play_fluidsynth(midi: Path, soundfont: Path, count: int, sample_rate: int) -> NDArray[np.float32]:
    """Play a MIDI file with FluidSynth, including its reverb, chorus and controllers.

    The audio is read from a pipe, and FluidSynth is stopped after ``count`` samples: it would never stop by itself if
    a note never dies away.

    Args:
        midi: A MIDI file with one instrument.
        soundfont: An .sf2 file.
        count: Samples wanted.
        sample_rate: Hz.

    Returns:
        float32 [count], mono.

    Raises:
        DataError: FluidSynth is not installed, or fails.
    """
    command = ["fluidsynth", "-n", "-i", "-q", "-g", _FLUIDSYNTH_GAIN, "-r", str(sample_rate), "-T", "raw"]
    command += ["-O", "float", "-o", "synth.dynamic-sample-loading=1", "-F", "/dev/stdout", str(soundfont), str(midi)]
    size = 2 * 4 * count
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            played = process.stdout.read(size)
            if len(played) == size:
                process.kill()
    except FileNotFoundError:
        raise DataError(
            "FluidSynth is not installed. Install it (apt install fluidsynth), or use --synthesizer builtin"
        ) from None
    if not played or (len(played) < size and process.returncode):
        raise DataError(f"{midi.name}: FluidSynth failed with status {process.returncode}")
    stereo = np.frombuffer(played[: len(played) // 8 * 8], np.float32).reshape(-1, 2)  # [samples, 2]
    mono = stereo.mean(axis=1)[:count]
    return np.pad(mono, (0, count - len(mono)))
