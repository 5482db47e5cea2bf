"""Make the example songs of the app: excerpts of songs by the composer, played by FluidSynth.

    python tools/make_app_examples.py --soundfont FluidR3_GM.sf2

Needs FluidSynth and the SoundFont FluidR3_GM, whose licence (MIT) lets you distribute music made with it; see
``mir_tf/app/static/examples/LICENSE.md``. Prints for each song which classes play in it, and which the pretrained model
detects.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pretty_midi
import soundfile

import mir_tf
from mir_tf.app.server import STATIC
from mir_tf.vocabulary import DRUMS, VOCABULARIES
from tfrecords_builder.ensembles.composer import compose_song

_RATE = 44100  # Hz
_SECONDS = 24
_LAST_NOTE = _SECONDS - 2  # seconds; later notes are left out, so that the end can ring
_FADE = 1  # seconds
_PEAK = 0.9


class Example(NamedTuple):
    """An excerpt of a composed song.

    Attributes:
        index: Index of the song, with seed 0.
        start: Its first second.
    """

    index: int
    start: float


EXAMPLES = {"rock": Example(182, 25), "jazz": Example(121, 0), "game": Example(1391, 25)}
"""Songs in which the pretrained model detects what plays, and nothing else."""


def excerpt(song: pretty_midi.PrettyMIDI, start: float) -> pretty_midi.PrettyMIDI:
    """Return a song with only the notes that begin in the excerpt, moved to its start."""
    for part in song.instruments:
        part.notes = [
            pretty_midi.Note(note.velocity, note.pitch, note.start - start, min(note.end - start, _LAST_NOTE))
            for note in part.notes
            if 0 <= note.start - start < _LAST_NOTE - 0.1
        ]
        for event in (*part.pitch_bends, *part.control_changes):
            event.time = max(event.time - start, 0)
    song.instruments = [part for part in song.instruments if part.notes]
    return song


def render(song: pretty_midi.PrettyMIDI, soundfont: Path) -> np.ndarray:
    """Return float32 [samples, 2]."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "song.mid"), Path(folder, "song.wav")
        song.write(str(midi))
        command = ["fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(_RATE), "-T", "wav", "-F", wav, soundfont, midi]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        signal, _ = soundfile.read(wav, dtype="float32")
    signal = signal[: _SECONDS * _RATE]
    fade = min(_FADE * _RATE, len(signal))
    signal[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, np.newaxis]
    scaled: np.ndarray = signal * (_PEAK / np.abs(signal).max())
    return scaled


@click.command(help=__doc__.partition("\n")[0])
@click.option("--soundfont", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=STATIC / "examples", show_default=True)
def main(soundfont: Path, out: Path) -> None:
    """Render and write every example."""
    families = VOCABULARIES["family"]
    model = mir_tf.load()
    out.mkdir(parents=True, exist_ok=True)
    for name, example in EXAMPLES.items():
        song = excerpt(compose_song(0, example.index), example.start)
        programs = [DRUMS if part.is_drum else part.program for part in song.instruments]
        path = out / f"{name}.mp3"
        soundfile.write(path, render(song, soundfont), _RATE, format="MP3", compression_level=0.6)
        plays = sorted({families.classes[families.class_of[program]] for program in programs})
        parts = ", ".join(families_of_program(program) for program in programs)
        click.echo(f"{path}, {path.stat().st_size / 1e3:.0f} kB: {', '.join(plays)} ({parts})")
        click.echo(f"  {model.predict(path).headline}")


def families_of_program(program: int) -> str:
    """Return the General MIDI name of a program, or ``drums``."""
    return "drums" if program == DRUMS else pretty_midi.program_to_instrument_name(program)


if __name__ == "__main__":
    main()
