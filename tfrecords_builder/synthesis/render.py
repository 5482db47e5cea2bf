"""MIDI and SoundFonts into a tree laid out as Slakh2100-redux, so that one code path builds from both."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import math
import os
import random
import shutil
import subprocess
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pyloudnorm
import soundfile
import yaml
from numpy.typing import NDArray
from scipy.signal import lfilter

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import display_path, is_utf8, sha256, write_text
from mir_tf.vocabulary import DRUMS, PROGRAM_NAMES, VOCABULARIES
from tfrecords_builder import processes
from tfrecords_builder.processes import Failure, Pool, Progress
from tfrecords_builder.slakh import songs
from tfrecords_builder.slakh.tree import SONGS
from tfrecords_builder.synthesis.augmentation import Augmentation
from tfrecords_builder.synthesis.settings import SYNTHESIZERS, RenderConfig
from tfrecords_builder.synthesis.soundfont import SoundFont

SAMPLE_RATE = 44100
"""Hz of Slakh2100."""

STEM_LOUDNESS = -13.0
"""LUFS of every stem before the gain that all of them share; ``normalization_factor`` of Slakh2100."""

TARGET_PEAK = -1.0
"""dBFS of the mix's peak, as in Slakh2100."""

_PARAMETERS = frozenset({6, 38, 96, 97, 98, 99, 100, 101})
"""Controllers that name a registered parameter, such as the range of bends, and set it."""

TAIL = 2.0
"""Seconds after the last note-off in which sounds die away."""

MAX_SECONDS = 2400.0
"""Longest track: one stem at a time is held in memory, 423 MB of 40 minutes."""

MAX_NOTE_SECONDS = 60.0
"""Longer notes end here: most lack a note-off, and playing one takes 50 bytes a sample."""

CACHED_NOTES = 64
CACHED_SECONDS = 5.0
"""Longest note that is kept for its repetitions: 64 of them, with their releases, are 77 MB."""

VOICE = "Voice"
"""What the metadata calls a voice, where others have class, program and SoundFont."""

_FAMILY_SIZE = 8
_BLOCK_SECONDS = 30
_TEMPO, _RESOLUTION = 120.0, 960
"""Of the MIDI files of stems: FluidSynth's clock drifts with every change of tempo, 0.2 s after some hundreds."""

_FLUIDSYNTH_GAIN = "0.3"  # leaves room: samples are floating-point, and every stem gets its level afterwards


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """One track to render.

    Attributes:
        midi: the multi-track MIDI file.
        soundfont: an .sf2 file.
        name: of the track and its folder, as ``Track00001``; with the seeds it draws all that is random.
        synthesizer: of :data:`tfrecords_builder.synthesis.settings.SYNTHESIZERS`.
        shuffle_programs: see :class:`tfrecords_builder.synthesis.settings.RenderConfig`, as the others below.
        vary: seed.
        excerpt: seconds.
    """

    midi: Path
    soundfont: Path
    name: str
    synthesizer: str = SYNTHESIZERS[0]
    shuffle_programs: int | None = None
    vary: int | None = None
    excerpt: float | None = None

    @property
    def variation(self) -> Augmentation | None:
        """How the track differs from the plain one."""
        return None if self.vary is None else Augmentation.draw(f"{self.vary}:{self.name}")


@dataclasses.dataclass(frozen=True)
class RenderReport:
    """What became of a folder of MIDI.

    Attributes:
        tracks: tracks that stand in the tree, those of an earlier run included.
        seconds: audio rendered in this run.
        bad: MIDI files left out, and why.
    """

    tracks: int
    seconds: float
    bad: list[tuple[Path, str]]


def default_soundfont() -> Path:
    """TimGM6mb, the SoundFont that pretty_midi ships."""
    return Path(str(resources.files("pretty_midi"))) / "TimGM6mb.sf2"


def render_track(job: RenderJob, out: Path, sample_rate: int = SAMPLE_RATE) -> None:
    """Renders a MIDI file into the track folder ``out / job.name``; nothing stands there before it is whole.

    Each MIDI instrument with notes is a stem, mono, on the mix's clock. As in Slakh2100 each is measured by
    ITU-R BS.1770-4 and brought to :data:`STEM_LOUDNESS`, the mix is their sum, and one gain on all of them
    brings its peak to :data:`TARGET_PEAK`, or lower where a single stem would clip. A stem that is silent,
    because the SoundFont lacks the program or the key, keeps an entry in the metadata but no audio and no
    MIDI, as Slakh's do.

    Velocity is played; by the synthesiser of this package, pitch bends, controllers and the pedal are not. Where the
    job varies the rendering, stems differ in level too, and the mix is more than their sum.

    Args:
        job: what to render.
        out: parent folder of the track.
        sample_rate: Hz.

    Raises:
        DataError: the MIDI or the SoundFont cannot be read, the synthesiser is missing or fails, or nothing sounds.
    """
    soundfont = _soundfont(job.soundfont)
    song = _read_midi(job.midi)
    song.instruments = [instrument for instrument in song.instruments if instrument.notes]
    if not song.instruments:
        raise DataError(f"{job.midi}: no notes")
    if job.excerpt is not None:
        drawn_by = job.name if job.vary is None else f"{job.vary}:{job.name}"
        _cut(song, job.excerpt, random.Random(f"excerpt:{drawn_by}"))
    seconds = _seconds(song)
    if seconds > MAX_SECONDS:
        raise DataError(too_long(job.midi, seconds))
    if job.shuffle_programs is not None:
        _shuffle_programs(song, f"programs:{job.shuffle_programs}:{job.name}")
    variation = job.variation
    if variation is not None:
        _transpose(song, variation.semitones)
    out.mkdir(parents=True, exist_ok=True)
    with _new_folder(out / f".{job.name}.tmp") as folder:
        for name in ("MIDI", "stems", "raw"):
            folder.joinpath(name).mkdir(parents=True)
        song.write(str(folder / "all_src.mid"))
        count = math.ceil(seconds * sample_rate)
        stems = _render_stems(song, job, soundfont, folder, count, sample_rate, variation)
        if not any(stem["audio_rendered"] and stem["program_num"] is not None for stem in stems.values()):
            raise DataError(f"{job.midi}: none of its notes sounds in {job.soundfont}")
        overall_gain = _write_audio(folder, sample_rate, variation)
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
        os.replace(folder, out / job.name)


def _read_midi(path: Path) -> pretty_midi.PrettyMIDI:
    """Reads a MIDI file.

    Raises:
        DataError: it cannot be read; says why.
    """
    try:
        with warnings.catch_warnings():
            # Tempo changes outside the first track: against the standard, common, and not played.
            warnings.simplefilter("ignore", RuntimeWarning)
            return pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # damaged bytes make the parser fail in any way: KeyError, EOFError, ...
        raise DataError(f"{path}: unreadable MIDI: {type(error).__name__}: {error}") from error


def integrated_loudness(signal: NDArray[np.float32], sample_rate: int) -> float:
    """Loudness of a mono signal by ITU-R BS.1770-4, in LUFS; minus infinity where no block passes the gate.

    Equal to ``pyloudnorm.Meter(sample_rate).integrated_loudness(signal)``, whose memory is eight times the
    signal's; this filters block by block.
    """
    hop = round(sample_rate / 10)  # blocks of 400 ms overlap by 75 %
    stages = [
        pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, sample_rate, "high_shelf"),
        pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass"),
    ]
    states = [np.zeros(2) for _ in stages]
    energies = []
    size = 10 * hop * _BLOCK_SECONDS
    for start in range(0, len(signal), size):
        weighted = signal[start : start + size]
        for index, stage in enumerate(stages):
            weighted, states[index] = lfilter(stage.b, stage.a, weighted, zi=states[index])
        whole = len(weighted) // hop * hop
        energies.append(np.square(weighted[:whole]).reshape(-1, hop).sum(axis=1))
    hops = np.concatenate(energies)  # [hops of 100 ms]
    power = np.convolve(hops, np.ones(4), mode="valid") / (4 * hop) if len(hops) >= 4 else np.zeros(0)
    offset = -0.691
    power = power[power > 10 ** ((-70 - offset) / 10)]
    if not len(power):
        return -math.inf
    power = power[power > power.mean() / 10]  # the relative gate, 10 dB below
    return offset + 10 * math.log10(power.mean())


@dataclasses.dataclass(frozen=True)
class Extent:
    """How long a rendered track gets, and how many stems it has where the SoundFont plays all of them."""

    seconds: float
    stems: int


def track_extent(path: Path) -> Extent:
    """The extent of the track that a MIDI file with notes gives.

    Raises:
        DataError: it cannot be read.
    """
    song = _read_midi(path)
    return Extent(_seconds(song), sum(bool(instrument.notes) for instrument in song.instruments))


def too_long(midi: Path, seconds: float) -> str:
    """Why a track beyond :data:`MAX_SECONDS` is not rendered."""
    return f"{midi}: {seconds:.0f} s long; at most {MAX_SECONDS:.0f} s can be rendered: give --excerpt with so many"


def _seconds(song: pretty_midi.PrettyMIDI) -> float:
    """Length of the track of a song; shortens its notes to what is played."""
    for note in (notes := [note for instrument in song.instruments for note in instrument.notes]):
        note.end = min(note.end, note.start + MAX_NOTE_SECONDS)
    return float(max(note.end for note in notes) + TAIL)


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder for the block, empty even where a process that was killed left one of this name."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@functools.lru_cache(maxsize=4)
def _soundfont(path: Path) -> SoundFont:
    return SoundFont(path)


def _cut(song: pretty_midi.PrettyMIDI, seconds: float, generator: random.Random) -> None:
    """Leaves of a song only what sounds within so many seconds from a random place on, which becomes its beginning."""
    notes = [note for instrument in song.instruments for note in instrument.notes]
    end = max(note.end for note in notes)
    begin = generator.uniform(0, max(end - seconds, 0.0))
    if not any(note.end > begin and note.start < begin + seconds for note in notes):
        begin = min(note.start for note in notes)
    for instrument in song.instruments:
        instrument.notes = [note for note in instrument.notes if note.end > begin and note.start < begin + seconds]
        for note in instrument.notes:
            note.start, note.end = max(note.start - begin, 0.0), min(note.end - begin, seconds)
        for events in (instrument.control_changes, instrument.pitch_bends):
            before = [event for event in events if event.time <= begin]
            after = [event for event in events if event.time > begin]
            for event in after:
                event.time -= begin
            events[:] = [*_held(before), *after]
    song.instruments = [instrument for instrument in song.instruments if instrument.notes]


def _held(events: list[Any]) -> list[Any]:
    """What holds from the beginning of controllers or bends that were set before: of each controller the last value.

    As pretty_midi writes it, a tick has no order. Registered parameters need one: theirs are a tick of the stem's MIDI
    file apart.
    """
    last, parameters = {}, []
    for event in sorted(events, key=lambda event: event.time):
        if (number := getattr(event, "number", None)) in _PARAMETERS:
            parameters.append(event)
        else:
            last[number] = event
    for event in last.values():
        event.time = 0.0
    for tick, event in enumerate(parameters):
        event.time = tick * 60 / _TEMPO / _RESOLUTION
    return [*last.values(), *parameters]


def _transpose(song: pretty_midi.PrettyMIDI, semitones: int) -> None:
    """Transposes all parts but drums; a note that would leave MIDI's range stays."""
    for note in (note for instrument in song.instruments if not instrument.is_drum for note in instrument.notes):
        if 0 <= note.pitch + semitones <= 127:
            note.pitch += semitones


def _shuffle_programs(song: pretty_midi.PrettyMIDI, seed: str) -> None:
    """Gives each instrument a random program: the family first, then one of its eight."""
    generator = random.Random(seed)
    for instrument in song.instruments:
        family = generator.randrange(DRUMS // _FAMILY_SIZE)
        program = family * _FAMILY_SIZE + generator.randrange(_FAMILY_SIZE)
        if not instrument.is_drum:
            instrument.program = program


def _render_stems(
    song: pretty_midi.PrettyMIDI,
    job: RenderJob,
    soundfont: SoundFont,
    folder: Path,
    count: int,
    sample_rate: int,
    variation: Augmentation | None,
) -> dict[str, dict[str, Any]]:
    """Writes MIDI/Sxx.mid and, at equal loudness, raw/Sxx; returns the metadata of each stem.

    A variation may add a voice, the last stem: its program is null, for no class is a singer's.
    """
    entries = {}
    singer = None if variation is None else variation.singer()
    voice = pretty_midi.Instrument(0) if singer is None else singer.choose(song)
    for index, instrument in enumerate([*song.instruments, *([voice] if voice.notes else [])]):
        name = f"S{index:02d}"
        midi = folder / "MIDI" / f"{name}.mid"
        _alone(instrument).write(str(midi))
        # What is heard is read back from what is written, so that labels made from it fit.
        instrument.notes = [note for written in _read_midi(midi).instruments for note in written.notes]
        # FluidSynth would play the piano in place of a program that the SoundFont lacks.
        sounds = bool(instrument.notes) and soundfont.has(instrument.program, instrument.is_drum)
        if singer is not None and instrument is voice:
            audio = singer.sing(instrument.notes, count, sample_rate)
        elif not sounds:
            audio = np.zeros(count, np.float32)
        elif job.synthesizer == "fluidsynth":
            audio = _play_by_fluidsynth(midi, soundfont.path, count, sample_rate)
        else:
            cents = 0.0 if variation is None or instrument.is_drum else variation.cents
            audio = _synthesize(instrument, soundfont, count, sample_rate, cents)
        loudness = integrated_loudness(audio, sample_rate)
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
            if variation is not None:
                audio = variation.stem(audio, name, sample_rate, program)
            audio.tofile(folder / "raw" / name)
        else:
            midi.unlink()
    return entries


def _alone(instrument: pretty_midi.Instrument) -> pretty_midi.PrettyMIDI:
    """A song of an instrument alone, at one tempo; takes from the instrument what would begin and end at one tick.

    In a MIDI file the end of such a note stands before its beginning, and FluidSynth would hold it for ever.
    """
    song = pretty_midi.PrettyMIDI(resolution=_RESOLUTION, initial_tempo=_TEMPO)
    tick = song.time_to_tick
    instrument.notes = [note for note in instrument.notes if tick(note.end) > tick(note.start)]
    song.instruments = [instrument]
    return song


def _inst_class(program: int) -> str:
    family = VOCABULARIES["family"].classes[program // _FAMILY_SIZE]
    return "Strings (continued)" if family == "Ensemble" else family  # Slakh's name for the second eight


def _synthesize(
    instrument: pretty_midi.Instrument, soundfont: SoundFont, count: int, sample_rate: int, cents: float
) -> NDArray[np.float32]:
    """The instrument's notes, mono [count], tuned higher by ``cents``; what still sounds after that is cut."""

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


def _play_by_fluidsynth(midi: Path, soundfont: Path, count: int, sample_rate: int) -> NDArray[np.float32]:
    """What FluidSynth plays of a MIDI file with one instrument, mono [count]: with its reverb, chorus and controllers.

    It is read from a pipe and ended after ``count`` samples: of notes that never die away, FluidSynth knows no end.

    Args:
        midi: the file.
        soundfont: an .sf2 file.
        count: samples.
        sample_rate: Hz.

    Raises:
        DataError: FluidSynth is not there, or fails.
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
        raise DataError("FluidSynth is not installed: install it (apt install fluidsynth), or leave it out") from None
    if not played or (len(played) < size and process.returncode):
        raise DataError(f"{midi.name}: FluidSynth ended with status {process.returncode}")
    stereo = np.frombuffer(played[: len(played) // 8 * 8], np.float32).reshape(-1, 2)  # [samples, 2]
    return _fitted(stereo.mean(axis=1), count)


def _fitted(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The first samples, or all and silence after them: [count]."""
    return np.pad(samples[:count], (0, max(count - len(samples), 0)))


def _write_audio(folder: Path, sample_rate: int, variation: Augmentation | None) -> float:
    """Writes stems/Sxx.flac and mix.flac, 16 bit, from raw/Sxx; returns the gain common to all stems, and to the mix.

    A variation takes the mix to a level of its own.
    """
    raw = sorted(folder.joinpath("raw").iterdir())
    size = sample_rate * _BLOCK_SECONDS

    def mix() -> Iterator[NDArray[np.float32]]:
        for pieces in zip(*(_stored(path, size) for path in raw), strict=True):
            yield np.sum(pieces, axis=0)

    peak = max(float(np.abs(piece).max()) for piece in itertools.chain(mix(), *(_stored(path, size) for path in raw)))
    gain = 10 ** (TARGET_PEAK / 20) / peak
    for path in raw:
        _write_flac(folder / "stems" / f"{path.name}.flac", _stored(path, size), gain, sample_rate)
    if variation is None:
        _write_flac(folder / "mix.flac", mix(), gain, sample_rate)
    else:
        varied = variation.mix(np.concatenate(list(mix())), sample_rate)
        _write_flac(folder / "mix.flac", [varied], 1.0, sample_rate)
    return gain


def _stored(path: Path, size: int) -> Iterator[NDArray[np.float32]]:
    """A signal in a file of bare float32, in pieces of ``size`` samples."""
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, np.float32, size)):
            yield piece


def _write_flac(path: Path, pieces: Iterable[NDArray[np.float32]], gain: float, sample_rate: int) -> None:
    encoded = io.BytesIO()  # because libsndfile does not tell a full disk from success
    with soundfile.SoundFile(encoded, "w", sample_rate, channels=1, subtype="PCM_16", format="FLAC") as file:
        for piece in pieces:
            file.write(np.clip(np.rint(piece * np.float32(gain * 2**15)), -(2**15), 2**15 - 1).astype(np.int16))
    path.write_bytes(encoded.getbuffer())


@dataclasses.dataclass(frozen=True)
class Planned:
    """A track of a tree that is to be rendered.

    Attributes:
        job: what to render.
        song: that it is of.
        split: of that song.
    """

    job: RenderJob
    song: str
    split: str


def plan_tree(
    midi_dir: Path, soundfonts: Sequence[Path], settings: RenderConfig, pool: Pool
) -> tuple[list[Planned], list[tuple[Path, str]]]:
    """What :func:`render_tree` renders of a folder, and the files whose notes cannot be read, with the reasons.

    Raises:
        DataError: there is no MIDI file, or a SoundFont cannot be read.
    """
    for soundfont in (*soundfonts, *settings.validation_soundfonts):
        _soundfont(soundfont)
    files = sorted(path for path in midi_dir.rglob("*") if _is_song(path.relative_to(midi_dir)))
    if not files:
        raise DataError(f"{midi_dir}: no .mid or .midi file in it")
    # Song and track are named by the file, in JSON.
    bad = [(file, f"{display_path(file)}: its name is not UTF-8; rename it") for file in files if not is_utf8(file)]
    notes = {}
    for file, found in pool.results(_notes, filter(is_utf8, files)):
        if isinstance(found, Failure):
            bad.append((file, found.reason))
        else:
            notes[file.relative_to(midi_dir).as_posix()] = found
    song_of = songs.group_songs(notes)
    if settings.split is None:
        split_of = songs.split_songs(song_of.values(), settings.seed)
    else:
        split_of = dict.fromkeys(song_of.values(), settings.split)
    # Dealt out within each split, so that each hears all SoundFonts as evenly as can be.
    order = sorted(split_of)
    random.Random(settings.seed).shuffle(order)
    order.sort(key=split_of.__getitem__)
    soundfonts_of = {"validation": settings.validation_soundfonts or soundfonts}
    sounds_of = {
        split: list(itertools.product(soundfonts_of.get(split, soundfonts), settings.synthesizers)) for split in SPLITS
    }
    place_of = {song: place for place, song in enumerate(order)}
    plan = []
    count = len(settings.synthesizers)
    for rendition in range(settings.renditions):
        # Of an even number of synthesisers each would else play a song with its own programs only, or never with them.
        turn = rendition + (rendition // count if count % 2 == 0 else 0)
        keeps_programs = settings.renditions > 1 and turn % 2 == 0
        for number, file in enumerate(files, 1 + rendition * len(files)):
            if (song := song_of.get(file.relative_to(midi_dir).as_posix())) is None:
                continue
            sounds = sounds_of[split_of[song]]
            soundfont, synthesizer = sounds[(place_of[song] + rendition) % len(sounds)]
            job = RenderJob(
                file,
                soundfont,
                f"Track{number:05d}",
                synthesizer,
                None if keeps_programs else settings.shuffle_programs,
                settings.vary,
                settings.excerpt,
            )
            plan.append(Planned(job, song, split_of[song]))
    return plan, bad


def _is_song(path: Path) -> bool:
    """Whether a path within a folder is a MIDI file and neither it nor a folder around it is hidden."""
    return path.suffix.lower() in (".mid", ".midi") and not any(part.startswith(".") for part in path.parts)


def render_tree(
    midi_dir: Path,
    soundfonts: Sequence[Path],
    out: Path,
    settings: RenderConfig,
    workers: int,
    progress: Progress | None = None,
) -> RenderReport:
    """Renders all .mid and .midi files under ``midi_dir`` into ``out/{train,validation,test}/TrackNNNNN``.

    Hidden files are left. Files that share most of their notes are one song
    (:func:`tfrecords_builder.slakh.songs.group_songs`); splits and SoundFonts are dealt out by song. ``out/songs.json``
    tells of each track its song, MIDI file, SoundFont, synthesiser, split and seeds. The same arguments give the
    same bytes, whatever ``workers``. Run again after an interruption, it leaves the tracks that
    stand and renders the others.

    Args:
        midi_dir: searched recursively.
        soundfonts: .sf2 files, one at least.
        out: root of the tree.
        settings: of the rendering.
        workers: processes.
        progress: called after each track.

    Returns:
        The report. Files that cannot be rendered are named there and stop nothing.

    Raises:
        DataError: there is no MIDI file, a SoundFont cannot be read, ``out`` holds a tree of other files or
            settings, or a worker process died.
    """
    seconds = []
    with processes.pool(workers) as pool:
        plan, bad = plan_tree(midi_dir, soundfonts, settings, pool)
        _write_plan(out, midi_dir, plan)
        missing = [item for item in plan if not (out / item.split / item.job.name).exists()]
        render = functools.partial(_render_and_measure, out=out)
        for item, length in pool.results(render, missing):
            if isinstance(length, Failure):
                bad.append((item.job.midi, length.reason))
            else:
                seconds.append(length)
            if progress is not None:
                progress(len(missing), 0.0 if isinstance(length, Failure) else length)
    tracks = sum((out / item.split / item.job.name).exists() for item in plan)
    return RenderReport(tracks, math.fsum(seconds), sorted(bad))


def _write_plan(out: Path, midi_dir: Path, plan: Sequence[Planned]) -> None:
    """Writes songs.json, or makes sure that the one that stands is the same."""
    files = {path for item in plan for path in (item.job.midi, item.job.soundfont)}  # each is read once
    digests = {path: sha256(path) for path in files}
    content = {
        item.job.name: {
            "song": item.song,
            "source": item.job.midi.relative_to(midi_dir).as_posix(),
            "source_sha256": digests[item.job.midi],
            "soundfont": item.job.soundfont.name,
            "soundfont_sha256": digests[item.job.soundfont],
            "synthesizer": item.job.synthesizer,
            "split": item.split,
            "shuffle_programs": item.job.shuffle_programs,
            "vary": item.job.vary,
            "excerpt": item.job.excerpt,
        }
        for item in plan
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path = out / SONGS
    if path.exists() or any((out / split).exists() for split in SPLITS):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            raise DataError(f"{out}: holds a tree of other files or settings; remove it or name a new folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _notes(path: Path) -> frozenset[int]:
    if notes := songs.song_notes(path):
        return notes
    raise DataError(f"{path}: no notes")


def _render_and_measure(item: Planned, out: Path) -> float:
    """Renders a track of the tree ``out`` and returns its seconds."""
    folder = out / item.split
    render_track(item.job, folder)
    return float(soundfile.info(folder / item.job.name / "mix.flac").duration)
