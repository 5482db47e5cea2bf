"""The layout of a Slakh2100 tree: what its tracks and stems are, and what is wrong with them.

A track is a folder ``TrackNNNNN`` with ``mix.flac``, ``stems/Sxx.flac``, ``MIDI/Sxx.mid``, ``all_src.mid``
and ``metadata.yaml`` (Manilow et al., "Cutting music source separation some Slakh", WASPAA 2019). Releases
redux and original have folders train, validation, test (and omitted), babyslakh_16k has none, and wav files.
The paths and the flag ``audio_rendered`` in metadata.yaml vary and err: the files are believed, not they.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import as_path, display_path, is_remote, is_utf8
from mir_tf.vocabulary import program_index
from tfrecords_builder.slakh import known_faults, songs, splits
from tfrecords_builder.slakh.splits import OMITTED

METADATA_NAME = "metadata.yaml"
ALL_NOTES = "all_src.mid"
SONGS = "songs.json"
"""File in the root of a rendered tree: of each track the song, its MIDI file and its SoundFont."""

_AUDIO = (".flac", ".wav")
_FILES = (("", "[!.]*"), ("MIDI/", "[!.]*"), ("stems/", "[!.]*"))
"""Folders in a track, and the pattern of the names in there."""

_REQUESTS_AT_ONCE = 16
"""To a remote store."""

# libyaml reads the 2,100 metadata files in seconds, the loader in Python in minutes.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Stem:
    """A stem that was rendered: it has an audio file, and sounds in the mix.

    Attributes:
        name: ``S00``, ``S01``, ...
        program: its General MIDI program, or 128 for drums; None where no label names it, as a rendered voice.
        midi: its MIDI file.
        audio: its audio file.
    """

    name: str
    program: int | None
    midi: Path
    audio: Path


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
class Skipped:
    """A track that does not come into the data set, or a stem that does not come into the labels.

    Attributes:
        item: the track or stem, or the file it would have come from.
        reason: why not, naming the file at fault.
        is_bad: something is wrong with it; False where it is meant to stay out.
    """

    item: str
    reason: str
    is_bad: bool = True


@dataclasses.dataclass(frozen=True)
class Listing:
    """A track folder: what it holds, before anything is believed.

    Attributes:
        folder: where its files lie, or will lie once they are unpacked.
        split: the folder around it where that is train, validation, test or omitted, otherwise empty.
        files: names of its files, as ``stems/S00.flac``.
        metadata: content of metadata.yaml, or why it cannot be read.
    """

    folder: Path
    split: str
    files: frozenset[str]
    metadata: bytes | str


@dataclasses.dataclass(frozen=True)
class Layout:
    """A Slakh tree, on disk or in an archive.

    Attributes:
        root: the tree or the archive, for messages.
        listings: its track folders.
        songs: content of songs.json, None where there is none.
    """

    root: Path
    listings: list[Listing]
    songs: bytes | None


def find_tracks(root: str | Path, seed: int = 0, scheme: str = "folder") -> tuple[list[Track], list[Skipped]]:
    """Finds the tracks of a Slakh tree on disk, as :func:`choose_tracks`."""
    return choose_tracks(read_layout(root), seed, scheme)


def read_layout(root: str | Path) -> Layout:
    """Lists a Slakh tree on disk: a folder with folders train, validation and test (any of them), or with tracks.

    Tracks beside these folders, and in others, are listed too, of no split.

    Raises:
        DataError: it holds no track.
    """
    root = as_path(root)
    folders = [root, *(path for path in sorted(root.glob("*")) if not path.name.startswith((".", "Track")))]
    split_of = {
        track: folder.name if folder != root and folder.name in (*SPLITS, OMITTED) else ""
        for folder in folders
        for track in _track_folders(folder)
    }

    def listing(folder: Path) -> Listing:
        return Listing(folder, split_of[folder], _files(folder), _metadata(folder / METADATA_NAME))

    # A remote store is asked four times for every track.
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE if is_remote(root) else 1) as threads:
        listings = list(threads.map(listing, split_of))
    return Layout(root, listings, _content(root / SONGS))


def choose_tracks(layout: Layout, seed: int = 0, scheme: str = "folder") -> tuple[list[Track], list[Skipped]]:
    """Tells the tracks of a layout, their stems, songs and splits.

    A song is, of Slakh, the MIDI file that a track was rendered from, and of a rendered tree what that one names.

    Args:
        layout: of a tree or an archive.
        seed: of the split 80/10/10 by song, made where the scheme is ``folder`` and tracks lie in no folder of a split;
            songs are told apart by their notes then.
        scheme: one of ``splits.SCHEMES``.

    Returns:
        The tracks that can be built, by id, and those left out, with the stems known to be bad.

    Raises:
        DataError: there is no track at all, two have one name, or the scheme does not know one.
    """
    if not layout.listings:
        expected = "expected folders TrackNNNNN in it, or in its folders train, validation and test"
        raise DataError(f"{layout.root}: no track found; {expected}")
    _require_unique_names([listing.folder for listing in layout.listings])
    if scheme != "folder" and layout.songs is not None:
        raise DataError(f"{layout.root}: was rendered and is not Slakh2100, of which {scheme} is a split")
    skipped = []
    tracks = []
    has_splits = any(listing.split for listing in layout.listings)
    for listing in layout.listings:
        name = listing.folder.name
        split = listing.split if scheme == "folder" else splits.published_split(name, scheme)
        if split == OMITTED:
            where = f"set apart in the folder {OMITTED}" if scheme == "folder" else f"left out by the scheme {scheme}"
            skipped.append(Skipped(name, where, is_bad=False))
            continue
        if scheme == "folder" and has_splits and not split:
            skipped.append(Skipped(name, f"lies in none of the folders {', '.join(SPLITS)}"))
            continue
        if not is_utf8(name):  # it stands in the manifest
            skipped.append(Skipped(display_path(name), "its name is not UTF-8; rename it"))
            continue
        # In a rendered tree the name of a track says nothing.
        bad_stem, fault = known_faults.KNOWN.get(name, ("", "")) if layout.songs is None else ("", "")
        try:
            tracks.append(_read_track(listing, split, bad_stem))
        except DataError as error:
            skipped.append(Skipped(name, str(error)))
        else:
            if bad_stem:
                skipped.append(
                    Skipped(f"{name}/{bad_stem}", f"left out of the labels, known for {fault}", is_bad=False)
                )

    if layout.songs is not None:
        tracks = _name_songs(tracks, layout.songs, layout.root / SONGS)
    elif not all(track.split for track in tracks):
        tracks = _group_songs(tracks, skipped)
    if not all(track.split for track in tracks):
        split_of_song = songs.split_songs({track.song for track in tracks}, seed)
        tracks = [dataclasses.replace(track, split=split_of_song[track.song]) for track in tracks]
    return sorted(tracks, key=lambda track: track.id), skipped


def drop_leaks(tracks: list[Track]) -> tuple[list[Track], list[Skipped]]:
    """Takes those tracks out of train whose song is in validation or test too.

    Returns:
        The tracks that stay, and those that do not.
    """
    held_out = {track.song: track for track in tracks if track.split != "train"}
    kept, dropped = [], []
    for track in tracks:
        if track.split == "train" and (twin := held_out.get(track.song)) is not None:
            dropped.append(Skipped(track.id, f"dropped from train: its song is in {twin.split} too", is_bad=False))
        else:
            kept.append(track)
    return kept, dropped


def _track_folders(folder: Path) -> list[Path]:
    # A remote store would be asked for each of them.
    return [path for path in sorted(folder.glob("Track*")) if is_remote(path) or path.is_dir()]


def _files(folder: Path) -> frozenset[str]:
    """The files of a track, but for hidden ones, as macOS leaves."""
    found = ((parent, path) for parent, pattern in _FILES for path in (folder / parent).glob(pattern))
    return frozenset(f"{parent}{path.name}" for parent, path in found if is_remote(path) or path.is_file())


def _metadata(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:  # of this track alone
        return str(error.strerror)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _require_unique_names(folders: list[Path]) -> None:
    by_name: dict[str, Path] = {}
    for folder in folders:
        if (other := by_name.setdefault(folder.name, folder)) is not folder:
            raise DataError(f"{other} and {folder} have one name: remove or rename one of them")


def _audio_file(listing: Listing, name: str) -> Path | None:
    """The audio file of that name without its suffix."""
    names = (f"{name}{suffix}" for suffix in _AUDIO)
    return next((listing.folder / name for name in names if name in listing.files), None)


def _read_track(listing: Listing, split: str, bad_stem: str) -> Track:
    """The track in a folder, without a stem that is known to be bad.

    Its song is the MIDI file that it was rendered from, by Slakh's UUID, which is the MD5 of that file.

    Raises:
        DataError: the mix or a stem lacks a file, metadata.yaml cannot be read, is wrong or lacks a stem.
    """
    folder = listing.folder
    mix = _audio_file(listing, "mix")
    if mix is None:
        raise DataError(f"{folder / 'mix.flac'}: missing, and mix.wav too")
    path = folder / METADATA_NAME
    if isinstance(listing.metadata, str):
        raise DataError(f"{path}: cannot be read: {listing.metadata}")
    try:
        metadata = yaml.load(listing.metadata.decode("utf-8"), _YamlLoader)
    except Exception as error:  # also what PyYAML's constructors stumble over: an empty !!int, a !!timestamp of words
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("stems"), dict):
        raise DataError(f"{path}: holds no mapping 'stems'")
    entries = sorted((item for item in metadata["stems"].items() if item[0] != bad_stem), key=str)
    stems = tuple(stem for entry in entries if (stem := _read_stem(listing, *entry)))
    heard = {PurePosixPath(name).stem for name in listing.files if name.startswith("stems/") and name.endswith(_AUDIO)}
    if unknown := sorted(heard - set(metadata["stems"])):
        raise DataError(f"{path}: holds no stem {', '.join(unknown)}, whose audio is there and sounds in the mix")
    if not stems:
        raise DataError(f"{folder}: no stem has both an audio and a MIDI file")
    return Track(folder.name, str(metadata.get("UUID") or folder.name), split, mix, stems)


def _read_stem(listing: Listing, name: str, entry: Any) -> Stem | None:
    """The stem that an entry of metadata.yaml tells of, or None where it was not rendered."""
    folder = listing.folder
    path = folder / METADATA_NAME
    try:
        number, is_drum = entry["program_num"], entry["is_drum"]
        if number is not None and type(number) is not int:  # a bool is an int too
            raise TypeError(f"program_num is {number!r}; it must be a whole number, or null where no label names it")
        if not isinstance(is_drum, bool):
            raise TypeError(f"is_drum is {is_drum!r}; it must be true or false")
        program = None if number is None else program_index(number, is_drum)
        # Stems that were not rendered have the plugin "None", as a word.
        names_plugin = entry.get("plugin_name") not in (None, "None")
        says_rendered = entry.get("audio_rendered") is True
    except KeyError as error:
        raise DataError(f"{path}: stem {name} has no {error}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: stem {name}: {error}") from error
    midi = folder / "MIDI" / f"{name}.mid"
    audio, has_midi = _audio_file(listing, f"stems/{name}"), f"MIDI/{name}.mid" in listing.files
    if audio is not None and has_midi:
        return Stem(name, program, midi, audio)
    if audio is not None:
        raise DataError(f"{midi}: missing stem: its audio is there")
    if names_plugin and (has_midi or says_rendered):
        raise DataError(f"{folder / 'stems' / name}.flac: missing stem: metadata.yaml says it was rendered")
    return None


def _name_songs(tracks: list[Track], names: bytes, path: Path) -> list[Track]:
    """The tracks with the songs that the renderer wrote down."""
    try:
        content = json.loads(names)
        return [dataclasses.replace(track, song=content[track.id]["song"]) for track in tracks]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged, or does not name all tracks: {error!r}") from error


def _group_songs(tracks: list[Track], skipped: list[Skipped]) -> list[Track]:
    """The tracks with the songs that their notes tell; those whose notes cannot be read join ``skipped``."""
    notes = {}
    for track in tracks:
        try:
            notes[track.id] = songs.song_notes(track.mix.parent / ALL_NOTES)
        except DataError as error:
            skipped.append(Skipped(track.id, str(error)))
    song_of = songs.group_songs(notes)
    return [dataclasses.replace(track, song=song_of[track.id]) for track in tracks if track.id in song_of]
