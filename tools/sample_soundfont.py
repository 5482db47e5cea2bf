"""Put recordings of real instruments into a SoundFont, in place of its own instruments.

    python tools/sample_soundfont.py --samples SAMPLES --base FluidR3_GM.sf2 --seed 1 \
        --pitches pitches.csv --out samples-1.sf2

SAMPLES contains recordings of single notes, and index.csv with the columns set, instrument, midi_note and file. Labels
of pitch are often wrong, by an octave or by more, so the tool measures each pitch. It keeps a recording that confirms
its label or, if the measurement is certain, corrects or replaces the label. It drops phrases, noises and slides. It
writes what it found to the file of --pitches, which later runs read. The seed chooses among several recordings of one
instrument, and now and then the instrument of the base.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
import math
import random
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import librosa
import numpy as np
import soundfont_file
from numpy.typing import NDArray
from soundfont_file import Zone, chunk, read_zones, written_zones

from mir_tf.errors import AudioError
from mir_tf.io.audio import read_blocks
from mir_tf.io.files import write_text
from tfrecords_builder.synthesis.soundfont import RECORDS, read_chunks, require_plain

PROGRAMS = {
    "spectmorph/alto-flute": (73,),
    "spectmorph/bass-flute": (73,),
    "spectmorph/alto-saxophone": (65, 66),
    "spectmorph/soprano-saxophone": (64,),
    "spectmorph/clarinet": (71,),
    "spectmorph/bass-clarinet": (71,),
    "spectmorph/oboe": (68, 69),
    "spectmorph/bassoon": (70,),
    "spectmorph/trumpet": (56,),
    "spectmorph/tenor-trombone": (57,),
    "spectmorph/bass-trombone": (57,),
    "spectmorph/french-horn": (60,),
    "spectmorph/violin": (40,),
    "spectmorph/viola": (41,),
    "spectmorph/cello": (42,),
    "spectmorph/double-bass": (43,),
    "spectmorph/claudia-ah": (52,),
    "spectmorph/claudia-oh": (53,),
    "spectmorph/mirko-ah": (52,),
    "spectmorph/mirko-oh": (53,),
    "berklee_voices/femalevoice": (53,),
    "berklee_voices/femalevoices": (52,),
    "berklee_voices/malevoice": (53,),
    "berklee_voices/malevoices": (52,),
    "dsmolken_bass/arco": (43,),
    "dsmolken_bass/pizz": (32,),
    "discord_gm/Acoustic_Guitar_(steel)": (25,),
    "discord_gm/Electric_Bass_(finger)": (33, 34),
    "discord_gm/Shanai": (111,),
    "discord_gm/Sitar": (104,),
    "freepats_guitar/nylon-guitar": (24,),
    "gs_epianos/samples": (4, 5),
    "tonejs/bass-electric": (33,),
    "tonejs/guitar-acoustic": (25,),
    "tonejs/guitar-electric": (26, 27),
    "tonejs/harmonium": (20, 21),
    "tonejs/harp": (46,),
    "tonejs/violin": (40,),
}
"""Maps set/instrument to the General MIDI programs that it plays. Other instruments of the index are ignored."""

VERDICTS = ("right", "corrected", "measured", "dropped", "unreadable")
"""See :class:`Pitch`."""

DECAYING = frozenset({4, 5, 24, 25, 26, 27, 32, 33, 34, 46, 104})
"""Programs whose notes die away; the recordings of all others get a loop."""

RATE = 44100
"""Hz of the samples in the SoundFont."""

SECONDS = 3.0
"""Longest sample."""

LEAST_KEYS = 4
"""Fewest keys with a recording that an instrument needs."""

_KEPT_BASE = 0.2
"""Share of programs that keep the instrument of the base."""

_MEASURED_RATE = 22050
_MEASURED_SECONDS = 1.5
_LOWEST, _HIGHEST = 24, 98
"""Lowest and highest key that is measured."""

_CERTAIN = 0.6
"""Share of frames with a pitch, and of energy in its harmonics, from which a measurement is certain."""

_UNSTEADY = 0.6
"""Range in semitones of the middle half of the pitches above which a recording is not one note."""

_RIGHT = 0.6
"""Most semitones between a label and the measurement that confirms it."""

_HARMONICS = 20
_APART = 2
"""Fewest semitones between the keys of two recordings."""

_LAYERS = 2
"""Most recordings of a key; each plays its share of the velocities."""

_FADE = round(0.04 * RATE)
_SILENCE = 46
"""Samples of silence that the format requires after each sample."""

_KEYS, _VELOCITIES, _RELEASE, _INSTRUMENT, _SAMPLE, _MODES = 43, 44, 38, 41, 53, 54


@dataclasses.dataclass(frozen=True)
class Pitch:
    """What is known about a recording.

    Attributes:
        file: Its path within the folder of samples.
        instrument: Its set and instrument, a key of :data:`PROGRAMS`.
        label: Key according to the index; None where it says nothing.
        key: Fractional key that is used; None for a recording that is not.
        verdict: ``right``, ``corrected``, ``measured`` (there was no label), ``dropped`` or
            ``unreadable`` (missing, damaged or cut off).
    """

    file: str
    instrument: str
    label: int | None
    key: float | None
    verdict: str


def measure(audio: NDArray[np.float32], label: int | None) -> tuple[float | None, str]:
    """Return the fractional key of a recording at 22.05 kHz, and the verdict on its label, as :class:`Pitch` has them.

    Args:
        audio: float32 [samples].
        label: Key according to the index, or None.
    """
    audio = _sounding(audio, _MEASURED_RATE)[: round(_MEASURED_SECONDS * _MEASURED_RATE)]
    if len(audio) < 4096:
        return None, "dropped"
    found, is_voiced, _ = librosa.pyin(
        audio,
        fmin=float(librosa.midi_to_hz(_LOWEST)),
        fmax=float(librosa.midi_to_hz(_HIGHEST)),
        sr=_MEASURED_RATE,
        frame_length=4096,
    )
    if not is_voiced.any():
        return None, "dropped"
    keys = librosa.hz_to_midi(found[is_voiced])
    if np.subtract(*np.percentile(keys, [75, 25])) > _UNSTEADY:
        return None, "dropped"
    middle = float(np.median(keys))
    spectrum = np.square(np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 2 * len(audio))))
    # An autocorrelation may be an octave off. The right octave is the highest whose harmonics have nearly all energy.
    octaves = [middle + 12 * octave for octave in (-2, -1, 0, 1, 2)]
    if label is not None:
        octaves.append(label + (middle - label + 6) % 12 - 6)
    octaves = [key for key in octaves if _LOWEST - 1 <= key <= 120]
    shares = {key: _harmonic_share(spectrum, key) for key in octaves}
    best = max(shares.values())
    key = max(key for key, share in shares.items() if share >= 0.93 * best)
    if label is not None and abs(key - label) <= _RIGHT:
        return key, "right"
    if is_voiced.mean() < _CERTAIN or best < _CERTAIN:
        return None, "dropped"
    return key, "measured" if label is None else "corrected"


def _harmonic_share(spectrum: NDArray[np.float64], key: float) -> float:
    """Return the share of a power spectrum's energy that lies within a quarter tone of the harmonics of a key.

    Only frequencies from half the fundamental up to the last harmonic count, or up to the end of the spectrum.
    """
    fundamental = float(librosa.midi_to_hz(key)) / (_MEASURED_RATE / 2) * (len(spectrum) - 1)
    begin, end = round(fundamental / 2), min(round((_HARMONICS + 0.5) * fundamental), len(spectrum))
    total = float(spectrum[: max(end, begin + 1)].sum())
    harmonics = 0.0
    for number in range(1, _HARMONICS + 1):
        low, high = (round(number * fundamental * 2 ** (side / 24)) for side in (-1, 1))
        # Bands of high harmonics would touch and contain everything.
        high = min(high, round((number + 0.25) * fundamental), end - 1)
        low = max(low, round((number - 0.25) * fundamental), 0)
        harmonics += float(spectrum[low : high + 1].sum())
    return harmonics / max(total, 1e-20)


def _read(path: Path, rate: int) -> NDArray[np.float32]:
    return np.concatenate(list(read_blocks(path, rate)))


def _sounding(audio: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return a recording from just before its sound begins."""
    loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max(initial=0))
    return audio[max(int(loud[0]) - rate // 200, 0) :] if len(loud) else audio[:0]


def measure_all(samples: Path) -> list[Pitch]:
    """Measure the recordings of the instruments in :data:`PROGRAMS`.

    Raises:
        ValueError: The index lacks a column, or a label is not a number.
    """
    with (samples / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pitches = []
    try:
        wanted = [row for row in rows if f"{row['set']}/{row['instrument']}" in PROGRAMS]
        with click.progressbar(wanted, label="Measuring") as each:
            for row in each:
                label = int(row["midi_note"]) if row["midi_note"] else None
                try:
                    key, verdict = measure(_read(samples / row["file"], _MEASURED_RATE), label)
                except AudioError:
                    key, verdict = None, "unreadable"
                pitches.append(Pitch(row["file"], f"{row['set']}/{row['instrument']}", label, key, verdict))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{samples / 'index.csv'}: {error}") from error
    return pitches


def write_pitches(path: Path, pitches: Iterable[Pitch]) -> None:
    """Write the measurements as a table."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(Pitch)])
    for pitch in pitches:
        key = None if pitch.key is None else f"{pitch.key:.2f}"
        table.writerow([pitch.file, pitch.instrument, pitch.label, key, pitch.verdict])
    write_text(path, text.getvalue())


def read_pitches(path: Path) -> list[Pitch]:
    """Read the table of :func:`write_pitches`.

    Raises:
        ValueError: It is another table.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [
            Pitch(
                row["file"],
                row["instrument"],
                int(row["label"]) if row["label"] else None,
                float(row["key"]) if row["key"] else None,
                row["verdict"],
            )
            for row in rows
        ]
    except KeyError as error:
        raise ValueError(f"{path}: has no column {error}; remove it to measure again") from error


def choose_instruments(pitches: Iterable[Pitch], seed: int) -> dict[int, list[Pitch]]:
    """Return a map from each program that is replaced to the recordings of the instrument that plays it."""
    recorded: dict[str, list[Pitch]] = collections.defaultdict(list)
    for pitch in pitches:
        if pitch.key is not None:
            recorded[pitch.instrument].append(pitch)
    players: dict[int, list[str]] = collections.defaultdict(list)
    for instrument, programs in PROGRAMS.items():
        if len({round(pitch.key or 0) for pitch in recorded[instrument]}) >= LEAST_KEYS:
            for program in programs:
                players[program].append(instrument)
    chosen = {}
    for program, instruments in sorted(players.items()):
        drawn = random.Random(f"{seed}:{program}")
        if drawn.random() >= _KEPT_BASE:
            chosen[program] = recorded[drawn.choice(instruments)]
    return chosen


def layers_of(pitches: Sequence[Pitch]) -> list[tuple[tuple[int, int], list[Pitch]]]:
    """Return the recordings of an instrument by range of keys; within a range, the soft ones stand first.

    The order of a key's recordings is that of their names where loudness is unknown, so that it is always the same.
    """
    by_key: dict[int, list[Pitch]] = collections.defaultdict(list)
    for pitch in sorted(pitches, key=lambda pitch: pitch.file):
        by_key[round(pitch.key or 0)].append(pitch)
    keys: list[int] = []
    for key in sorted(by_key):
        if not keys or key - keys[-1] >= _APART:
            keys.append(key)
    bounds = [0, *((low + high) // 2 + 1 for low, high in itertools.pairwise(keys)), 128]
    return [((low, high - 1), by_key[key]) for key, (low, high) in zip(keys, itertools.pairwise(bounds), strict=True)]


def sample_of(
    audio: NDArray[np.float32], key: float, is_looped: bool
) -> tuple[NDArray[np.int16], tuple[int, int] | None]:
    """Return the sample of a recording at :data:`RATE`, with its loop: whole periods, faded over at the end.

    Args:
        audio: float32 [samples].
        key: Its fractional key.
        is_looped: Whether its notes can be held.
    """
    audio = _sounding(audio, RATE)[: round(SECONDS * RATE)].copy()
    audio *= np.float32(0.7 / max(float(np.abs(audio).max()), 1e-9))
    loop = None
    period = RATE / float(librosa.midi_to_hz(key))
    # The end of a note dies away, so the loop ends where the level is still that of its middle.
    level = np.sqrt(np.convolve(np.square(audio), np.ones(2048) / 2048, "same"))
    held = np.flatnonzero(level > 0.5 * float(np.median(level[: max(len(level) // 2, 1)])))
    end = int(held[-1]) if len(held) else len(audio)
    if is_looped and end > 8 * _FADE:
        begin = end - max(round((end - 4 * _FADE) * 0.6 / period), 1) * period
        # The best place of the beginning, within a period, is where the waves agree.
        template = audio[end - _FADE : end]
        places = np.arange(round(begin - period / 2), round(begin + period / 2) + 1)
        places = places[places >= _FADE]
        scores = [float(np.dot(audio[place - _FADE : place], template)) for place in places]
        start = int(places[int(np.argmax(scores))])
        ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
        audio[end - _FADE : end] = template * (1 - ramp) + audio[start - _FADE : start] * ramp
        audio, loop = audio[: end + 8], (start, end)
        audio[end:] = audio[start : start + len(audio) - end]
    else:
        fade = min(_FADE, len(audio))
        audio[len(audio) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.rint(audio * 32767).astype(np.int16), loop


def replace(base: Path, samples: Path, chosen: dict[int, list[Pitch]], out: Path) -> None:
    """Write the base with the chosen recordings.

    Args:
        base: An .sf2 file that has the chosen programs.
        samples: Folder of the recordings.
        chosen: Recordings of each program.
        out: The .sf2 file to write.

    Raises:
        ValueError: ``base`` is not a SoundFont, is compressed, lacks a program or has too many zones.
        IndexError, KeyError, struct.error: Its tables are damaged or missing.
        AudioError: A recording cannot be read.
    """
    data = np.memmap(base, np.uint8, mode="r").view(np.ndarray)
    chunks = read_chunks(data)
    tables = {name: chunks[name].view(fields) for name, fields in RECORDS.items()}
    require_plain(tables["shdr"])
    presets, instruments = (read_zones(tables, chunks, kind, owners) for kind, owners in (("p", "phdr"), ("i", "inst")))
    place_of = {
        int(header["program"]): place for place, header in enumerate(tables["phdr"][:-1]) if header["bank"] == 0
    }
    if lacking := sorted(set(chosen) - set(place_of)):
        raise ValueError(f"it has no sound for {', '.join(f'program {program}' for program in lacking)}")
    recordings = [chunks["smpl"].tobytes()]
    position = len(recordings[0]) // 2
    names, headers = [tables["inst"][:-1].tobytes()], [tables["shdr"][:-1].tobytes()]
    number = len(tables["shdr"]) - 1
    for program, pitches in chosen.items():
        zones = []
        for (low, high), layers in layers_of(pitches):
            audios = sorted(
                ((_read(samples / pitch.file, RATE), pitch) for pitch in layers),
                key=lambda loaded: float(np.square(loaded[0]).mean()),
            )
            picked = audios[:: -max(len(audios) // _LAYERS, 1)][:_LAYERS][::-1]  # the loudest is among them
            for layer, (audio, pitch) in enumerate(picked):
                assert pitch.key is not None
                sample, loop = sample_of(audio, pitch.key, program not in DECAYING)
                headers.append(_header(number, position, len(sample), loop, pitch.key))
                softest, loudest = (128 * edge // len(picked) for edge in (layer, layer + 1))
                amounts = {
                    _KEYS: low | high << 8,
                    _VELOCITIES: softest | (loudest - 1) << 8,
                    _RELEASE: round(1200 * math.log2(0.6 if loop is None else 0.3)),
                    _MODES: 0 if loop is None else 1,
                    _SAMPLE: number,
                }
                zones.append(Zone(amounts, b""))
                recordings += [sample.astype("<i2").tobytes(), bytes(2 * _SILENCE)]
                position += len(sample) + _SILENCE
                number += 1
        presets[place_of[program]] = [Zone({_INSTRUMENT: len(instruments)}, b"")]
        names.append(struct.pack("<20sH", f"recorded{program}".encode(), 0))
        instruments.append(zones)
    tables["inst"] = np.frombuffer(b"".join([*names, tables["inst"][-1:].tobytes()]), RECORDS["inst"])
    headers.append(tables["shdr"][-1:].tobytes())
    written = (
        written_zones("p", "phdr", tables, presets)
        + written_zones("i", "inst", tables, instruments)
        + chunk(b"shdr", b"".join(headers))
    )
    soundfont_file.write(out, "recordings", b"".join(recordings), written)


def _header(number: int, position: int, count: int, loop: tuple[int, int] | None, key: float) -> bytes:
    root = round(key)
    begin, end = loop or (0, count)
    return struct.pack(
        "<20sIIIIIBbHH",
        f"recorded{number}".encode(),
        position,
        position + count,
        position + begin,
        position + end,
        RATE,
        root,
        round(100 * (root - key)),
        0,
        1,
    )


@click.command(help=__doc__)
@click.option(
    "--samples",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Read the recordings in this folder, and its index.csv.",
)
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Take all other instruments and the drums from this .sf2 file.",
)
@click.option("--seed", type=int, required=True, help="Seed the choice of instruments.")
@click.option(
    "--pitches",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Read the measurements from this table or, if there is none, measure and write it.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Write this .sf2 file.")
def main(samples: Path, base: Path, seed: int, pitches: Path, out: Path) -> None:
    """See the module's docstring."""
    try:
        if pitches.exists():
            measured = read_pitches(pitches)
        else:
            measured = measure_all(samples)
            write_pitches(pitches, measured)
        chosen = choose_instruments(measured, seed)
        replace(base, samples, chosen, out)
    except (OSError, AudioError) as error:
        raise click.ClickException(str(error)) from error
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise click.ClickException(f"{base} cannot be changed: {error}") from error
    counts = collections.Counter(pitch.verdict for pitch in measured)
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    click.echo(f"{out}: {len(chosen)} programs are recordings; labels: {verdicts}")


if __name__ == "__main__":
    main()
