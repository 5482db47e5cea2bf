"""Write short tracks and MIDI files in Slakh's layout."""

import random
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
import yaml

Stems = dict[str, tuple[int, list[tuple[float, float]]]]
"""Maps a stem's name to its program (128 for drums) and its notes as (on, off) in seconds."""

DEFAULT_STEMS: Stems = {"S00": (30, [(0.3, 0.9), (1.5, 1.55)]), "S01": (128, [(0.0, 0.1), (1.0, 1.1)])}


def write_midi(path: Path, parts: list[tuple[int, list[tuple[float, float]]]], seed: int = 0) -> None:
    """Write a MIDI file with one instrument for each part; ``seed`` chooses the notes' pitches."""
    pitches = random.Random(seed)
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for program, notes in parts:
        instrument = pretty_midi.Instrument(program % 128, is_drum=program == 128)
        instrument.notes = [pretty_midi.Note(100, pitches.randrange(30, 90), *times) for times in notes]
        midi.instruments.append(instrument)
    midi.write(str(path))


def write_track(
    folder: Path, stems: Stems = DEFAULT_STEMS, seconds: float = 2.0, rate: int = 16000, seed: int = 0
) -> Path:
    """Write a track in Slakh's layout whose mix and stems are the same noise, and return its folder.

    Args:
        folder: Folder of the track; created.
        stems: Programs and notes of the stems.
        seconds: Length of the audio.
        rate: Sample rate in Hz.
        seed: Seed of the noise, and of the pitches in all_src.mid.
    """
    (folder / "MIDI").mkdir(parents=True)
    (folder / "stems").mkdir()
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(folder / "mix.flac", noise, rate)
    entries = {}
    for name, (program, notes) in stems.items():
        soundfile.write(folder / "stems" / f"{name}.flac", noise, rate)
        write_midi(folder / "MIDI" / f"{name}.mid", [(program, notes)])
        entries[name] = {
            "program_num": program,
            "is_drum": program == 128,
            "plugin_name": "some.nkm",
            "audio_rendered": False,
        }
    write_midi(folder / "all_src.mid", list(stems.values()), seed)
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": f"uuid-{folder.name}", "stems": entries}))
    return folder
