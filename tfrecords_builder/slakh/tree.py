"""The layout of a Slakh2100 tree: its tracks and stems, and their faults.

A track is a folder ``TrackNNNNN`` with ``mix.flac``, ``stems/Sxx.flac``, ``MIDI/Sxx.mid``, ``all_src.mid``
and ``metadata.yaml`` (Manilow et al., "Cutting music source separation some Slakh", WASPAA 2019). Releases
redux and original have the folders train, validation, test (and omitted); babyslakh_16k has none of them, and wav
files. The paths and the flag ``audio_rendered`` in metadata.yaml are not reliable, so this module trusts the files.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from collections.abc import Mapping, Sequence
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
"""File in the root of a rendered tree. It lists the song, MIDI file and SoundFont of each track."""

_SPLIT_FOLDERS = (*SPLITS, OMITTED)

_AUDIO = (".flac", ".wav")
_FILES = (("", "[!.]*"), ("MIDI/", "[!.]*"), ("stems/", "[!.]*"))
"""Folders in a track, and the pattern of file names in each."""

_REQUESTS_AT_ONCE = 16
"""Parallel requests to a remote store."""

# libyaml reads the 2,100 metadata files in seconds, the loader in Python in minutes.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Stem:
    """A rendered stem: it has an audio file and sounds in the mix.

    Attributes:
        name: ``S00``, ``S01``, ...
        program: General MIDI program, or 128 for drums; None for a stem without a label, such as a rendered voice.
        midi: Its MIDI file.
        audio: Its audio file.
    """

    name: str
    program: int | None
    midi: Path
    audio: Path


@dataclasses.dataclass(frozen=True)
class Track:
    """A mix and the stems that sound in it.

    Attributes:
        id: Name of its folder.
        song: Name of the song that it is a rendering of.
        split: train, validation or test.
        mix: Audio file.
        stems: The rendered stems, by name.
    """

    id: str
    song: str
    split: str
    mix: Path
    stems: tuple[Stem, ...]


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A track that is not in the data set, or a stem that is not in the labels.

    Attributes:
        item: The track or stem, or the file that it would have come from.
        reason: The reason, with the name of the damaged file.
        is_bad: Whether something is wrong with it; False if it is excluded on purpose.
    """

    item: str
    reason: str
    is_bad: bool = True


@dataclasses.dataclass(frozen=True)
class Listing:
    """The contents of a track folder, before anything is checked.

    Attributes:
        folder: Folder of its files, now or after unpacking.
        split: Name of the parent folder if that is train, validation, test or omitted; otherwise empty.
        files: Names of its files, such as ``stems/S00.flac``.
        metadata: Content of metadata.yaml, or the reason why it cannot be read.
    """

    folder: Path
    split: str
    files: frozenset[str]
    metadata: bytes | str


@dataclasses.dataclass(frozen=True)
class Layout:
    """A Slakh tree, on disk or in an archive.

    Attributes:
        root: The tree or the archive, for messages.
        listings: Its track folders.
        songs: Content of songs.json, or None without that file.
    """

    root: Path
    listings: list[Listing]
    songs: bytes | None


def find_tracks(root: str | Path, seed: int = 0, scheme: str = "folder") -> tuple[list[Track], list[Skipped]]:
    """Return the tracks of a Slakh tree on disk, as :func:`choose_tracks` does."""
    return choose_tracks(read_layout(root), seed, scheme)


def read_layout(root: str | Path) -> Layout:
    """List a Slakh tree on disk: a folder with any of the folders train, validation and test, or with tracks.

    Tracks beside these folders and in other folders are listed too, without a split.

    Raises:
        DataError: It contains several releases of Slakh, or the folder of one, or songs.json cannot be read.
    """
    root = as_path(root)
    folders = [root, *(path for path in sorted(root.glob("*")) if not path.name.startswith((".", "Track")))]
    tracks_of = {folder: _track_folders(folder) for folder in folders}
    split_of = {
        track: folder.name if folder != root and folder.name in _SPLIT_FOLDERS else ""
        for folder, tracks in tracks_of.items()
        for track in tracks
    }
    _require_one_release(root, tracks_of)

    def listing(folder: Path) -> Listing:
        return Listing(folder, split_of[folder], _files(folder), _metadata(folder / METADATA_NAME))

    # Each track takes four requests to a remote store.
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE if is_remote(root) else 1) as threads:
        listings = list(threads.map(listing, split_of))
    return Layout(root, listings, _content(root / SONGS))


def choose_tracks(layout: Layout, seed: int = 0, scheme: str = "folder") -> tuple[list[Track], list[Skipped]]:
    """Find the tracks of a layout, with their stems, songs and splits.

    A song is the MIDI file that a track of Slakh was rendered from. A rendered tree names its songs itself.

    Args:
        layout: A tree or an archive.
        seed: Seed of the 80/10/10 split by song, which is made if the scheme is ``folder`` and there are no folders of
            splits. Songs are then identified by their notes.
        scheme: One of ``splits.SCHEMES``.

    Returns:
        The tracks that can be built, sorted by id, and the skipped ones, with the stems known to be bad.

    Raises:
        DataError: There is no track at all, two tracks have one name, or the scheme does not list a track.
    """
    if not layout.listings:
        expected = "expected folders TrackNNNNN in it, or in its folders train, validation and test"
        raise DataError(f"{layout.root}: no track found; {expected}")
    _require_unique_names([listing.folder for listing in layout.listings])
    if scheme != "folder" and layout.songs is not None:
        raise DataError(f"{layout.root}: this is a rendered tree; the split scheme {scheme} is for Slakh2100 only")
    skipped = []
    tracks = []
    has_splits = any(listing.split for listing in layout.listings)
    for listing in layout.listings:
        name = listing.folder.name
        split = listing.split if scheme == "folder" else splits.published_split(name, scheme)
        if split == OMITTED:
            where = f"set apart in the folder {OMITTED}" if scheme == "folder" else f"omitted by the scheme {scheme}"
            skipped.append(Skipped(name, where, is_bad=False))
            continue
        if scheme == "folder" and has_splits and not split:
            skipped.append(Skipped(name, f"is in none of the folders {', '.join(SPLITS)}"))
            continue
        if not is_utf8(name):  # the manifest records it
            skipped.append(Skipped(display_path(name), "its name is not UTF-8; rename it"))
            continue
        # Tracks of a rendered tree have the same names, but are not Slakh2100.
        bad_stem, fault = known_faults.KNOWN.get(name, ("", "")) if layout.songs is None else ("", "")
        try:
            tracks.append(_read_track(listing, split, bad_stem))
        except DataError as error:
            skipped.append(Skipped(name, str(error)))
        else:
            if bad_stem:
                skipped.append(
                    Skipped(f"{name}/{bad_stem}", f"excluded from the labels, known for {fault}", is_bad=False)
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
    """Remove the tracks from train whose song is also in validation or test.

    Returns:
        The remaining tracks and the removed ones.
    """
    held_out = {track.song: track for track in tracks if track.split != "train"}
    kept, dropped = [], []
    for track in tracks:
        if track.split == "train" and (twin := held_out.get(track.song)) is not None:
            dropped.append(Skipped(track.id, f"dropped from train: its song is in {twin.split} too", is_bad=False))
        else:
            kept.append(track)
    return kept, dropped


def _require_one_release(root: Path, tracks_of: Mapping[Path, Sequence[Path]]) -> None:
    """Refuse a folder of several releases of Slakh, and one whose only release lies deeper.

    Folders of tracks without splits may be parts of one release, unless some of their tracks have the same name.

    Args:
        root: The folder.
        tracks_of: The track folders in it and in each of its folders.

    Raises:
        DataError: The message lists the releases and their numbers of tracks.
    """
    own: list[str] = []
    releases: dict[Path, list[str]] = {}
    has_splits = False
    for folder, tracks in tracks_of.items():
        names = [track.name for track in tracks]
        if folder == root or folder.name in _SPLIT_FOLDERS:
            own += names
            continue
        in_splits = [track.name for split in _SPLIT_FOLDERS for track in _track_folders(folder / split)]
        has_splits = has_splits or bool(in_splits)
        if names or in_splits:
            releases[folder] = [*names, *in_splits]
    if not own and len(releases) == 1 and has_splits:
        (release,) = releases
        raise DataError(f"{root}: the tracks are in a folder of it; name that one: {release}")
    groups = [set(own), *map(set, releases.values())]
    if len(releases) + bool(own) > 1 and (has_splits or len(set().union(*groups)) < sum(map(len, groups))):
        listed = ", ".join(f"{folder} ({_count(names)})" for folder, names in releases.items())
        if own:
            raise DataError(
                f"{root}: has {_count(own)} of its own and contains another release of Slakh: "
                f"{listed}. Move that out of the folder, or name it instead"
            )
        raise DataError(f"{root}: contains several releases of Slakh: {listed}. Choose one and name its folder")


def _count(tracks: Sequence[str]) -> str:
    return f"{len(tracks)} track{'' if len(tracks) == 1 else 's'}"


def _track_folders(folder: Path) -> list[Path]:
    # Asking a remote store about each folder would take a request each.
    return [path for path in sorted(folder.glob("Track*")) if is_remote(path) or path.is_dir()]


def _files(folder: Path) -> frozenset[str]:
    """Return the files of a track, except hidden ones such as those of macOS."""
    found = ((parent, path) for parent, pattern in _FILES for path in (folder / parent).glob(pattern))
    return frozenset(f"{parent}{path.name}" for parent, path in found if is_remote(path) or path.is_file())


def _metadata(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:  # concerns this track alone
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
            raise DataError(f"{other} and {folder} have the same name: remove or rename one of them")


def _audio_file(listing: Listing, name: str) -> Path | None:
    """Return the audio file with a name that lacks its suffix."""
    names = (f"{name}{suffix}" for suffix in _AUDIO)
    return next((listing.folder / name for name in names if name in listing.files), None)


def _read_track(listing: Listing, split: str, bad_stem: str) -> Track:
    """Return the track in a folder, without a stem that is known to be bad.

    Its song is the MIDI file that it was rendered from, identified by Slakh's UUID, which is the MD5 of that file.

    Raises:
        DataError: The mix or a stem lacks a file, or metadata.yaml cannot be read, is wrong or lacks a stem.
    """
    folder = listing.folder
    mix = _audio_file(listing, "mix")
    if mix is None:
        raise DataError(f"{folder / 'mix.flac'}: missing, and so is mix.wav")
    path = folder / METADATA_NAME
    if isinstance(listing.metadata, str):
        raise DataError(f"{path}: cannot be read: {listing.metadata}")
    try:
        metadata = yaml.load(listing.metadata.decode("utf-8"), _YamlLoader)
    except Exception as error:  # PyYAML's constructors raise others too: for an empty !!int, a !!timestamp of words
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("stems"), dict):
        raise DataError(f"{path}: has no mapping 'stems'")
    entries = sorted((item for item in metadata["stems"].items() if item[0] != bad_stem), key=str)
    stems = tuple(stem for entry in entries if (stem := _read_stem(listing, *entry)))
    sounding = {
        PurePosixPath(name).stem for name in listing.files if name.startswith("stems/") and name.endswith(_AUDIO)
    }
    if unknown := sorted(sounding - set(metadata["stems"])):
        raise DataError(f"{path}: has no stem {', '.join(unknown)}, although its audio exists and sounds in the mix")
    if not stems:
        raise DataError(f"{folder}: no stem has both an audio and a MIDI file")
    return Track(folder.name, str(metadata.get("UUID") or folder.name), split, mix, stems)


def _read_stem(listing: Listing, name: str, entry: Any) -> Stem | None:
    """Return the stem that an entry of metadata.yaml describes, or None if it was not rendered."""
    folder = listing.folder
    path = folder / METADATA_NAME
    try:
        number, is_drum = entry["program_num"], entry["is_drum"]
        if number is not None and type(number) is not int:  # a bool is an int too
            raise TypeError(f"program_num is {number!r}; it must be a whole number, or null for no label")
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
        raise DataError(f"{midi}: missing stem: its audio exists")
    if names_plugin and (has_midi or says_rendered):
        raise DataError(f"{folder / 'stems' / name}.flac: missing stem: metadata.yaml lists it as rendered")
    return None


def _name_songs(tracks: list[Track], names: bytes, path: Path) -> list[Track]:
    """Return the tracks with the songs that the renderer recorded."""
    try:
        content = json.loads(names)
        return [dataclasses.replace(track, song=content[track.id]["song"]) for track in tracks]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged, or does not name all tracks: {error!r}") from error


def _group_songs(tracks: list[Track], skipped: list[Skipped]) -> list[Track]:
    """Return the tracks with songs identified by their notes; add those with unreadable notes to ``skipped``."""
    notes = {}
    for track in tracks:
        try:
            notes[track.id] = songs.song_notes(track.mix.parent / ALL_NOTES)
        except DataError as error:
            skipped.append(Skipped(track.id, str(error)))
    song_of = songs.group_songs(notes)
    return [dataclasses.replace(track, song=song_of[track.id]) for track in tracks if track.id in song_of]
