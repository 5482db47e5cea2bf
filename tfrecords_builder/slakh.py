"""The layout of a Slakh2100 tree: what its tracks and stems are, and what is wrong with them.

A track is a folder ``TrackNNNNN`` with ``mix.flac``, ``stems/Sxx.flac``, ``MIDI/Sxx.mid``, ``all_src.mid``
and ``metadata.yaml`` (Manilow et al., "Cutting music source separation some Slakh", WASPAA 2019). Releases
redux and original have folders train, validation, test (and omitted), babyslakh_16k has none, and wav files.
The paths and the flag ``audio_rendered`` in metadata.yaml vary and err: the files are believed, not they.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.vocabulary import program_index
from tfrecords_builder import songs

OMITTED = "omitted"
"""Folder of the tracks that the redux release sets apart as twins of others."""
SONGS = "songs.json"
"""File in the root of a rendered tree: of each track the song, its MIDI file and its SoundFont."""

_AUDIO = (".flac", ".wav")

# libyaml reads the 2,100 metadata files in seconds, the loader in Python in minutes.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Stem:
    """A stem that was rendered: it has an audio file, and sounds in the mix.

    Attributes:
        name: ``S00``, ``S01``, ...
        program: its General MIDI program, or 128 for drums.
        midi: its MIDI file.
    """

    name: str
    program: int
    midi: Path


@dataclasses.dataclass(frozen=True)
class Track:
    """A mix and the stems that sound in it.

    Attributes:
        id: name of its folder.
        song: the song that it is a rendering of.
        split: train, validation or test.
        mix: audio file.
        stems: the rendered ones, by name.
    """

    id: str
    song: str
    split: str
    mix: Path
    stems: tuple[Stem, ...]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A track that does not come into the data set.

    Attributes:
        item: the track, or the file it would have come from.
        reason: why not, naming the file at fault.
        is_bad: something is wrong with it; False where it is meant to stay out.
    """

    item: str
    reason: str
    is_bad: bool = True


def find_tracks(root: str | Path, seed: int = 0) -> tuple[list[Track], list[LeftOut]]:
    """Finds the tracks of a Slakh tree.

    Args:
        root: a folder that holds folders train, validation and test (any of them), or tracks itself; those
            are split 80/10/10 by song.
        seed: of that split.

    Returns:
        The tracks that can be built, by id, and those left out.

    Raises:
        DataError: there is no track at all, or two have one name.
    """
    root = Path(root)
    split_of = {folder: split for split in (*SPLITS, OMITTED) for folder in _track_folders(root / split)}
    folders = list(split_of) or _track_folders(root)
    if not folders:
        expected = "expected folders TrackNNNNN in it, or in its folders train, validation and test"
        raise DataError(f"{root}: no track found; {expected}")
    _require_unique_names(folders)

    left_out = [
        LeftOut(folder.name, f"set apart in the folder {OMITTED}", is_bad=False)
        for folder in folders
        if split_of.get(folder) == OMITTED
    ]
    tracks = []
    for folder in folders:
        if split_of.get(folder) != OMITTED:
            try:
                tracks.append(_read_track(folder, split_of.get(folder, "")))
            except DataError as error:
                left_out.append(LeftOut(folder.name, str(error)))

    if (root / SONGS).is_file():
        tracks = _name_songs(tracks, root / SONGS)
    elif not split_of:
        tracks = _group_songs(tracks, left_out)
    if not split_of:
        split_of_song = songs.split_songs({track.song for track in tracks}, seed)
        tracks = [dataclasses.replace(track, split=split_of_song[track.song]) for track in tracks]
    return sorted(tracks, key=lambda track: track.id), left_out


def _track_folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("Track*")) if path.is_dir()]


def _require_unique_names(folders: list[Path]) -> None:
    by_name: dict[str, Path] = {}
    for folder in folders:
        if (other := by_name.setdefault(folder.name, folder)) is not folder:
            raise DataError(f"{other} and {folder} have one name: remove or rename one of them")


def _audio_file(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}{suffix}" for suffix in _AUDIO)
    return next((path for path in candidates if path.is_file()), None)


def _audio_files(folder: Path) -> set[str]:
    """The names for which :func:`_audio_file` finds a file, but for hidden ones, as macOS leaves."""
    return {path.stem for path in folder.glob("[!.]*") if path.suffix in _AUDIO}


def _read_track(folder: Path, split: str) -> Track:
    """The track in a folder; its song is the MIDI file that it was rendered from, by Slakh's UUID.

    Raises:
        DataError: the mix or a stem lacks a file, metadata.yaml cannot be read, is wrong or lacks a stem.
    """
    mix = _audio_file(folder, "mix")
    if mix is None:
        raise DataError(f"{folder / 'mix.flac'}: missing, and mix.wav too")
    path = folder / "metadata.yaml"
    try:
        metadata = yaml.load(path.read_text(encoding="utf-8"), _YamlLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("stems"), dict):
        raise DataError(f"{path}: holds no mapping 'stems'")
    stems = tuple(stem for item in sorted(metadata["stems"].items(), key=str) if (stem := _read_stem(folder, *item)))
    if unknown := sorted(_audio_files(folder / "stems") - set(metadata["stems"])):
        raise DataError(f"{path}: holds no stem {', '.join(unknown)}, whose audio is there and sounds in the mix")
    if not stems:
        raise DataError(f"{folder}: no stem has both an audio and a MIDI file")
    return Track(folder.name, str(metadata.get("UUID") or folder.name), split, mix, stems)


def _read_stem(folder: Path, name: str, entry: Any) -> Stem | None:
    """The stem that an entry of metadata.yaml tells of, or None where it was not rendered."""
    path = folder / "metadata.yaml"
    try:
        number, is_drum = entry["program_num"], entry["is_drum"]
        if type(number) is not int:  # a bool is an int too
            raise TypeError(f"program_num is {number!r}; it must be a whole number")
        if not isinstance(is_drum, bool):
            raise TypeError(f"is_drum is {is_drum!r}; it must be true or false")
        program = program_index(number, is_drum)
        # Stems that were not rendered have the plugin "None", as a word.
        names_plugin = entry.get("plugin_name") not in (None, "None")
        says_rendered = entry.get("audio_rendered") is True
    except KeyError as error:
        raise DataError(f"{path}: stem {name} has no {error}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: stem {name}: {error}") from error
    midi = folder / "MIDI" / f"{name}.mid"
    has_audio, has_midi = _audio_file(folder / "stems", name) is not None, midi.is_file()
    if has_audio and has_midi:
        return Stem(name, program, midi)
    if has_audio:
        raise DataError(f"{midi}: missing stem: its audio is there")
    if names_plugin and (has_midi or says_rendered):
        raise DataError(f"{folder / 'stems' / name}.flac: missing stem: metadata.yaml says it was rendered")
    return None


def _name_songs(tracks: list[Track], path: Path) -> list[Track]:
    """The tracks with the songs that the renderer wrote down."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [dataclasses.replace(track, song=content[track.id]["song"]) for track in tracks]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged, or does not name all tracks: {error!r}") from error


def _group_songs(tracks: list[Track], left_out: list[LeftOut]) -> list[Track]:
    """The tracks with the songs that their notes tell; those whose notes cannot be read join ``left_out``."""
    notes = {}
    for track in tracks:
        try:
            notes[track.id] = songs.song_notes(track.mix.parent / "all_src.mid")
        except DataError as error:
            left_out.append(LeftOut(track.id, str(error)))
    song_of = songs.group_songs(notes)
    return [dataclasses.replace(track, song=song_of[track.id]) for track in tracks if track.id in song_of]
