"""Rendering of MIDI files into tracks laid out as in Slakh2100-redux, so that one code path builds from both."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import math
import os
import random
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import soundfile
import yaml
from numpy.typing import NDArray

from mir_tf.errors import DataError
from mir_tf.io.files import scratch_folder
from mir_tf.io.write_errors import writing
from mir_tf.vocabulary import DRUMS, FAMILY_SIZE, PROGRAM_NAMES, VOCABULARIES
from tfrecords_builder.slakh.tree import Track, read_rendered
from tfrecords_builder.synthesis import midi_edits, synthesizers
from tfrecords_builder.synthesis.augmentation import Augmentation
from tfrecords_builder.synthesis.humanization import humanize
from tfrecords_builder.synthesis.loudness import integrated_loudness
from tfrecords_builder.synthesis.orchestration import reorchestrate
from tfrecords_builder.synthesis.plan import MAX_SECONDS, PlannedTrack, RenderJob, too_long
from tfrecords_builder.synthesis.soundfont import SoundFont

SAMPLE_RATE = 44100
"""Hz, as in Slakh2100."""

STEM_LOUDNESS = -13.0
"""LUFS of every stem before the common gain; ``normalization_factor`` in Slakh2100."""

TARGET_PEAK = -1.0
"""Peak of the mix in dBFS, as in Slakh2100."""

VOICE = "Voice"
"""Class, program and SoundFont of a voice in the metadata."""

_BLOCK = 30 * SAMPLE_RATE
"""Samples in memory at once."""


@contextlib.contextmanager
def rendered(item: PlannedTrack, scratch: Path) -> Iterator[Track]:
    """Yield a track, rendered unless its tree has it. Without a tree, its audio is deleted after the block.

    Args:
        item: The track.
        scratch: Folder for temporary audio, in which no other process renders this track.

    Raises:
        DataError: As :func:`render_track`, or what the tree has is damaged.
    """
    if item.tree is not None:
        folder = item.tree / item.split
        if not (folder / item.id).exists():
            render_track(item.job, folder)
        yield read_rendered(folder / item.id, item.song, item.split)
        return
    with scratch_folder(scratch / f".{item.id}") as folder:
        render_track(item.job, folder)
        yield read_rendered(folder / item.id, item.song, item.split)


def render_track(job: RenderJob, out: Path) -> None:
    """Render a MIDI file into the track folder ``out / job.name``, which appears only when it is complete.

    Each MIDI instrument with notes becomes a mono stem on the clock of the mix. As in Slakh2100, each stem is brought
    to :data:`STEM_LOUDNESS` (ITU-R BS.1770-4), the mix is their sum, and one gain for all of them brings the mix's
    peak to :data:`TARGET_PEAK`, or lower if a single stem would clip. If the SoundFont lacks the program or the keys,
    the stem is silent: it has an entry in the metadata but no audio and no MIDI, as in Slakh.

    Velocity is played. The built-in synthesiser ignores pitch bends, controllers and the pedal. With augmentation,
    stems also differ in level, and the mix is more than their sum.

    Args:
        job: The rendering.
        out: Parent folder of the track.

    Raises:
        DataError: The MIDI file or the SoundFont cannot be read, the synthesiser is missing or fails, or no note
            sounds.
    """
    soundfont = synthesizers.load_soundfont(job.soundfont)
    song = midi_edits.read_song(job.midi)
    song.instruments = [instrument for instrument in song.instruments if instrument.notes]
    if not song.instruments:
        raise DataError(f"{job.midi}: no notes")
    if job.excerpt is not None:
        drawn_by = job.name if job.augment is None else f"{job.augment}:{job.name}"
        midi_edits.cut(song, job.excerpt, random.Random(f"excerpt:{drawn_by}"))
    if job.humanize is not None:
        humanize(song, f"humanize:{job.humanize}:{job.name}")
    seconds = midi_edits.limit_notes(song)
    if seconds > MAX_SECONDS:
        raise DataError(too_long(job.midi, seconds))
    if job.shuffle_programs is not None:
        midi_edits.shuffle_programs(song, f"programs:{job.shuffle_programs}:{job.name}")
    if job.orchestrate is not None:
        reorchestrate(song, f"orchestrate:{job.orchestrate}:{job.name}")
    augmentation = job.augmentation
    if augmentation is not None:
        midi_edits.transpose(song, augmentation.semitones)
    out.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out / f".{job.name}.{uuid.uuid4().hex}.tmp") as folder, writing(out / job.name, folder):
        for name in ("MIDI", "stems", "raw"):
            folder.joinpath(name).mkdir(parents=True)
        midi_edits.song_of(song.instruments).write(str(folder / "all_src.mid"))
        count = math.ceil(seconds * SAMPLE_RATE)
        stems = _render_stems(song, job, soundfont, folder, count, augmentation)
        if not any(stem["audio_rendered"] and stem["program_num"] is not None for stem in stems.values()):
            raise DataError(f"{job.midi}: none of its notes sounds in {job.soundfont}")
        overall_gain = _write_audio(folder, augmentation)
        metadata = {
            "UUID": hashlib.md5(job.midi.read_bytes(), usedforsecurity=False).hexdigest(),
            "audio_dir": f"{job.name}/stems",
            "lmd_midi_dir": job.midi.name,
            "midi_dir": f"{job.name}/MIDI",
            "normalization_factor": STEM_LOUDNESS,
            "normalized": True,
            "overall_gain": overall_gain,
            "stems": stems,
            "target_peak": TARGET_PEAK,
        }
        folder.joinpath("metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
        shutil.rmtree(folder / "raw")
        try:
            os.replace(folder, out / job.name)
        except OSError:
            if not (out / job.name).is_dir():  # otherwise another machine was first, with the same bytes
                raise


def _render_stems(
    song: pretty_midi.PrettyMIDI,
    job: RenderJob,
    soundfont: SoundFont,
    folder: Path,
    count: int,
    augmentation: Augmentation | None,
) -> dict[str, dict[str, Any]]:
    """Write MIDI/Sxx.mid and, at equal loudness, raw/Sxx. Return the metadata of each stem.

    An augmentation may add a voice as the last stem. Its program is null because no class stands for singers.
    """
    entries = {}
    singer = None if augmentation is None else augmentation.singer()
    voice = pretty_midi.Instrument(0) if singer is None else singer.choose(song)
    for index, instrument in enumerate([*song.instruments, *([voice] if voice.notes else [])]):
        name = f"S{index:02d}"
        midi = folder / "MIDI" / f"{name}.mid"
        midi_edits.song_of([instrument]).write(str(midi))
        # Play the notes as they read back from the file, so that labels made from it fit.
        instrument.notes = [note for written in midi_edits.read_song(midi).instruments for note in written.notes]
        # FluidSynth would play the piano in place of a program that the SoundFont lacks.
        sounds = bool(instrument.notes) and soundfont.has(instrument.program, instrument.is_drum)
        if singer is not None and instrument is voice:
            audio = singer.sing(instrument.notes, count, SAMPLE_RATE)
        elif not sounds:
            audio = np.zeros(count, np.float32)
        elif job.synthesizer == "fluidsynth":
            audio = synthesizers.play_fluidsynth(midi, soundfont.path, count, SAMPLE_RATE)
        else:
            cents = 0.0 if augmentation is None or instrument.is_drum else augmentation.cents
            audio = synthesizers.play_builtin(instrument, soundfont, count, SAMPLE_RATE, cents)
        loudness = integrated_loudness(audio, SAMPLE_RATE)
        rendered = loudness > -math.inf
        program = None if instrument is voice else DRUMS if instrument.is_drum else int(instrument.program)
        entries[name] = {
            "audio_rendered": rendered,
            "inst_class": VOICE if program is None else _inst_class(program),
            "is_drum": bool(instrument.is_drum),
            "midi_program_name": VOICE if program is None else PROGRAM_NAMES[program],
            "midi_saved": rendered,
            "plugin_name": (VOICE if program is None else soundfont.path.name) if rendered else "None",
            "program_num": program,
        }
        if rendered:
            entries[name]["integrated_loudness"] = loudness
            audio *= np.float32(10 ** ((STEM_LOUDNESS - loudness) / 20))
            if augmentation is not None:
                audio = augmentation.stem(audio, name, SAMPLE_RATE, program)
            # ndarray.tofile would not say why it fails.
            (folder / "raw" / name).write_bytes(np.ascontiguousarray(audio).data)
        else:
            midi.unlink()
    return entries


def _inst_class(program: int) -> str:
    family = VOCABULARIES["family"].classes[program // FAMILY_SIZE]
    return "Strings (continued)" if family == "Ensemble" else family  # Slakh's name for the second eight


def _write_audio(folder: Path, augmentation: Augmentation | None) -> float:
    """Write stems/Sxx.flac and mix.flac, 16 bit, from raw/Sxx. Return the gain common to all of them.

    An augmentation gives the mix a level of its own.
    """
    raw = sorted(folder.joinpath("raw").iterdir())

    def mix() -> Iterator[NDArray[np.float32]]:
        for pieces in zip(*(_read_raw(path) for path in raw), strict=True):
            yield np.sum(pieces, axis=0)

    peak = max(float(np.abs(piece).max()) for piece in itertools.chain(mix(), *(_read_raw(path) for path in raw)))
    gain = 10 ** (TARGET_PEAK / 20) / peak
    for path in raw:
        _write_flac(folder / "stems" / f"{path.name}.flac", _read_raw(path), gain)
    if augmentation is None:
        _write_flac(folder / "mix.flac", mix(), gain)
    else:
        augmented = augmentation.mix(np.concatenate(list(mix())), SAMPLE_RATE)
        _write_flac(folder / "mix.flac", [augmented], 1.0)
    return gain


def _read_raw(path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield a signal stored as bare float32 in blocks of :data:`_BLOCK` samples."""
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, np.float32, _BLOCK)):
            yield piece


def _write_flac(path: Path, pieces: Iterable[NDArray[np.float32]], gain: float) -> None:
    encoded = io.BytesIO()  # because libsndfile reports success on a full disk
    with soundfile.SoundFile(encoded, "w", SAMPLE_RATE, channels=1, subtype="PCM_16", format="FLAC") as file:
        for piece in pieces:
            file.write(np.clip(np.rint(piece * np.float32(gain * 2**15)), -(2**15), 2**15 - 1).astype(np.int16))
    path.write_bytes(encoded.getbuffer())
