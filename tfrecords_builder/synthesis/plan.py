"""The plan of a rendered tree: which song becomes which track, in which split, with which sounds."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import display_path, is_utf8, sha256, write_text
from tfrecords_builder.processes import Failure, Pool
from tfrecords_builder.slakh import songs
from tfrecords_builder.slakh.tree import SONGS, Skipped
from tfrecords_builder.synthesis.augmentation import Augmentation
from tfrecords_builder.synthesis.midi_edits import limit_notes, read_song
from tfrecords_builder.synthesis.settings import SYNTHESIZERS, RenderConfig
from tfrecords_builder.synthesis.synthesizers import load_soundfont

MAX_SECONDS = 2400.0
"""Longest track. One stem at a time is kept in memory, which takes 423 MB for 40 minutes."""


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """One track to render.

    Attributes:
        midi: The multi-track MIDI file.
        soundfont: An .sf2 file.
        name: Name of the track and its folder, such as ``Track00001``. With the seeds it determines all random draws.
        synthesizer: One of :data:`tfrecords_builder.synthesis.settings.SYNTHESIZERS`.
        shuffle_programs: Seed; see :class:`tfrecords_builder.synthesis.settings.RenderConfig`, as for the next four.
        orchestrate: Seed.
        humanize: Seed.
        augment: Seed.
        excerpt: Seconds.
    """

    midi: Path
    soundfont: Path
    name: str
    synthesizer: str = SYNTHESIZERS[0]
    shuffle_programs: int | None = None
    orchestrate: int | None = None
    humanize: int | None = None
    augment: int | None = None
    excerpt: float | None = None

    @property
    def augmentation(self) -> Augmentation | None:
        """The augmentation of the track, or None for a plain one."""
        return None if self.augment is None else Augmentation.draw(f"{self.augment}:{self.name}")


@dataclasses.dataclass(frozen=True)
class PlannedTrack:
    """A track of a tree that is to be rendered.

    Attributes:
        job: The rendering.
        song: Name of its song.
        split: Split of that song.
        item: Name of the MIDI file in reports.
        tree: Root of the tree that keeps the audio; None for audio that is deleted once the records are made.
    """

    job: RenderJob
    song: str
    split: str
    item: str
    tree: Path | None = None

    @property
    def id(self) -> str:
        """Its name."""
        return self.job.name


@dataclasses.dataclass(frozen=True)
class Extent:
    """Size of a rendered track.

    Attributes:
        seconds: Its length.
        stems: Its number of stems if the SoundFont can play all of them.
    """

    seconds: float
    stems: int


def track_extent(path: Path) -> Extent:
    """Return the extent of the track that a MIDI file with notes becomes.

    Raises:
        DataError: The file cannot be read.
    """
    song = read_song(path)
    return Extent(limit_notes(song), sum(bool(instrument.notes) for instrument in song.instruments))


def too_long(midi: Path, seconds: float) -> str:
    """Return the message about a track longer than :data:`MAX_SECONDS`."""
    return f"{midi}: {seconds:.0f} s long; at most {MAX_SECONDS:.0f} s can be rendered. Shorten it with --excerpt"


def plan_tree(
    midi_dir: Path, soundfonts: Sequence[Path], rendering: RenderConfig, pool: Pool
) -> tuple[list[PlannedTrack], list[tuple[Path, str]]]:
    """Plan the tracks of a folder of MIDI files.

    Args:
        midi_dir: The folder, searched recursively.
        soundfonts: At least one .sf2 file.
        rendering: How to render.
        pool: Worker processes that read the files.

    Returns:
        The planned tracks, and each unreadable file with the reason.

    Raises:
        DataError: There is no MIDI file, or a SoundFont cannot be read.
    """
    for soundfont in (*soundfonts, *rendering.validation_soundfonts):
        load_soundfont(soundfont)
    files = sorted(path for path in midi_dir.rglob("*") if _is_song(path.relative_to(midi_dir)))
    if not files:
        raise DataError(f"{midi_dir}: no .mid, .midi, .kar or .rmi file in it")
    # File names become song names and are written as JSON.
    bad = [(file, f"{display_path(file)}: its name is not UTF-8; rename it") for file in files if not is_utf8(file)]
    notes = {}
    for file, found in pool.results(_notes, filter(is_utf8, files)):
        if isinstance(found, Failure):
            bad.append((file, found.reason))
        else:
            notes[file.relative_to(midi_dir).as_posix()] = found
    song_of = songs.group_songs(notes)
    if rendering.split is None:
        split_of = songs.split_songs(song_of.values(), rendering.seed)
    else:
        split_of = dict.fromkeys(song_of.values(), rendering.split)
    # Sounds are dealt out within each split, so that each split has all of them as evenly as possible.
    order = sorted(split_of)
    random.Random(rendering.seed).shuffle(order)
    order.sort(key=split_of.__getitem__)
    soundfonts_of = {"validation": rendering.validation_soundfonts or soundfonts}
    sounds_of = {
        split: list(itertools.product(soundfonts_of.get(split, soundfonts), rendering.synthesizers)) for split in SPLITS
    }
    place_of = {song: place for place, song in enumerate(order)}
    plan = []
    count = len(rendering.synthesizers)
    for rendition in range(rendering.renditions):
        # With an even number of synthesisers, each would otherwise play a song with its own programs only, or never.
        turn = rendition + (rendition // count if count % 2 == 0 else 0)
        keeps_programs = rendering.renditions > 1 and turn % 2 == 0
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
                shuffle_programs=None if keeps_programs else rendering.shuffle_programs,
                orchestrate=None if keeps_programs else rendering.orchestrate,
                humanize=rendering.humanize,
                augment=rendering.augment,
                excerpt=rendering.excerpt,
            )
            plan.append(PlannedTrack(job, song, split_of[song], file.relative_to(midi_dir).as_posix()))
    return plan, bad


def skipped_files(midi_dir: Path, bad: Sequence[tuple[Path, str]], tracks: int) -> list[Skipped]:
    """Return the MIDI files that could not be rendered, in the form of the build's report.

    Raises:
        DataError: There are no ``tracks`` at all.
    """
    if not tracks:
        causes = "".join(f"\n  {reason}" for _, reason in bad[:10])
        raise DataError(f"{midi_dir}: not one file could be rendered:{causes}")
    return [Skipped(display_path(path.relative_to(midi_dir)), reason) for path, reason in bad]


def _is_song(path: Path) -> bool:
    """Return whether a relative path is a MIDI file, with no hidden file or folder on the way."""
    return path.suffix.lower() in (".mid", ".midi", ".kar", ".rmi") and not any(
        part.startswith(".") for part in path.parts
    )


def _notes(path: Path) -> frozenset[int]:
    if notes := songs.song_notes(path):
        return notes
    raise DataError(f"{path}: no notes")


def _later_settings(job: RenderJob) -> dict[str, int]:
    """Return the settings that earlier versions did not have; without them, a tree of such a version stays valid."""
    settings = {"orchestrate": job.orchestrate, "humanize": job.humanize}
    return {name: value for name, value in settings.items() if value is not None}


def write_plan(out: Path, midi_dir: Path, plan: Sequence[PlannedTrack]) -> None:
    """Write songs.json into a tree, or check that the existing one is the same.

    Raises:
        DataError: The tree was rendered from other files or with other settings.
    """
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
            "augment": item.job.augment,
            "excerpt": item.job.excerpt,
        }
        | _later_settings(item.job)
        for item in plan
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path = out / SONGS
    if path.exists() or any((out / split).exists() for split in SPLITS):
        # Earlier versions wrote "vary" for "augment".
        if not path.exists() or path.read_text(encoding="utf-8").replace('  "vary":', '  "augment":') != text:
            raise DataError(f"{out}: contains a tree of other files or settings; remove it or choose another folder")
        for stale in out.glob("*/.Track*.tmp"):  # of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        return
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
