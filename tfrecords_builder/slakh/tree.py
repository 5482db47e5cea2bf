"""The layout of a Slakh2100 tree: its tracks and stems, and their faults.

A track is a folder ``TrackNNNNN`` with ``mix.flac``, ``stems/Sxx.flac``, ``MIDI/Sxx.mid``, ``all_src.mid``
and ``metadata.yaml`` (Manilow et al., "Cutting music source separation some Slakh", WASPAA 2019). Releases
redux and original have the folders train, validation, test (and omitted); babyslakh_16k has none of them, and wav
files. The paths and the flag ``audio_rendered`` in metadata.yaml are not reliable, so this module trusts the files.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import json
import os
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import as_path, display_path, is_remote, is_utf8
from mir_tf.io.yaml_text import parse_yaml, read_yaml_bytes
from mir_tf.vocabulary import program_index
from tfrecords_builder.slakh import known_faults, places, songs, splits
from tfrecords_builder.slakh.places import Place
from tfrecords_builder.slakh.splits import OMITTED

METADATA_NAME = "metadata.yaml"
ALL_NOTES = "all_src.mid"
SONGS = "songs.json"
"""File in the root of a rendered tree. It lists the song, MIDI file and SoundFont of each track."""

_AUDIO = (".flac", ".wav")
_FOLDERS = ("", "MIDI/", "stems/")
"""Folders in a track."""
_PARTS = frozenset({"mix.flac", "mix.wav", METADATA_NAME, ALL_NOTES, "MIDI", "stems"})
"""Files and folders, one of which tells a track from a folder of tracks."""

_MOST_FOLDERS = 20_000
"""Most folders that are searched for tracks."""

_REQUESTS_AT_ONCE = 16
"""Parallel requests to a remote store."""


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

    @property
    def item(self) -> str:
        """Its name in reports."""
        return self.id


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
        split: train, validation, test or omitted, as the folders above it are named; otherwise empty.
        files: Names of its files, such as ``stems/S00.flac``.
        metadata: Content of metadata.yaml, or the reason why it cannot be read.
        split_fault: Reason why the split is unknown although folders name it. Otherwise empty.
        fault: Reason not to build it: the way in which it was packed, copied or linked. Otherwise empty.
    """

    folder: Path
    split: str
    files: frozenset[str]
    metadata: bytes | str
    split_fault: str = ""
    fault: str = ""

    @property
    def id(self) -> str:
        """The id of the track."""
        return places.track_id(self.folder.name)


@dataclasses.dataclass
class Contents:
    """What a search of a tree or an archive finds.

    Attributes:
        tracks: Places of the track folders.
        folders: Places of all other folders.
        packed: Places of archives that are not unpacked.
        problems: Files and links where a track or a split should be, and folders that cannot be read.
        strangers: Places of folders with the files of a track that are not named like one.
    """

    tracks: list[Place] = dataclasses.field(default_factory=list)
    folders: list[Place] = dataclasses.field(default_factory=list)
    packed: list[Place] = dataclasses.field(default_factory=list)
    problems: list[Skipped] = dataclasses.field(default_factory=list)
    strangers: list[Place] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Layout:
    """A Slakh tree, on disk or in an archive.

    Attributes:
        root: The tree or the archive, for messages.
        listings: Its track folders.
        songs: Content of songs.json, or None without that file.
        problems: Splits and archives without usable tracks, and all problems of the search.
    """

    root: Path
    listings: list[Listing]
    songs: bytes | None
    problems: list[Skipped] = dataclasses.field(default_factory=list)


def find_tracks(root: str | Path, seed: int = 0, scheme: str = "folder") -> tuple[list[Track], list[Skipped]]:
    """Return the tracks of a Slakh tree on disk, as :func:`choose_tracks` does."""
    return choose_tracks(read_layout(root), seed, scheme)


def read_layout(root: str | Path) -> Layout:
    """List a Slakh tree on disk: all folders of tracks in it, however deep they are.

    Raises:
        DataError: It contains several releases of Slakh, it or songs.json cannot be read, or it is far too large.
    """
    root = as_path(root)
    contents = _search_store(root) if is_remote(root) else _search_disk(root)

    def listing(place: Place) -> Listing:
        return _list_track(root.joinpath(*place))

    # Each track takes four requests to a remote store.
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE if is_remote(root) else 1) as threads:
        listings = dict(zip(contents.tracks, threads.map(listing, contents.tracks), strict=True))
    found = (_content(root.joinpath(*place, SONGS)) for place in places.common(contents.tracks))
    return make_layout(root, listings, contents, next((each for each in found if each is not None), None))


def _list_track(folder: Path) -> Listing:
    try:
        files = _files(folder)
    except OSError as error:  # concerns this track alone
        return Listing(folder, "", frozenset(), "", fault=f"{error.filename or folder}: {error.strerror}")
    return Listing(folder, "", files, _metadata(folder / METADATA_NAME, files))


def read_rendered(folder: Path, song: str, split: str) -> Track:
    """Return the track in a rendered folder, whose song and split are known.

    Raises:
        DataError: The folder lacks a file, or its metadata.yaml is damaged.
    """
    listing = _list_track(folder)
    if listing.fault:
        raise DataError(listing.fault)
    return dataclasses.replace(_read_track(listing, split, ""), song=song)


def make_layout(root: Path, listings: dict[Place, Listing], contents: Contents, songs_content: bytes | None) -> Layout:
    """Return the layout of what was found, with the splits of the tracks.

    Args:
        root: The tree or archive.
        listings: Place → listing, without its split, of the tracks that can be used.
        contents: All that was found.
        songs_content: Content of songs.json.

    Raises:
        DataError: It contains several releases of Slakh.
    """
    tracks: dict[Place, list[str]] = {}
    for place in listings:
        tracks.setdefault(place[:-1], []).append(places.track_id(place[-1]))
    assigned = places.assign_splits(root, tracks)
    places.require_one_release(root, tracks, assigned)
    problems = list(contents.problems)
    found = []
    for place, listing in listings.items():
        item = assigned[place[:-1]]
        fault = listing.fault
        if songs_content is None and (original := places.copied_track(place[-1])):
            fault = fault or f"{listing.folder}: named as a copy of {original}; remove it, or rename it to {original}"
        found.append(dataclasses.replace(listing, split=item.split, split_fault=item.fault, fault=fault))
    for place in contents.strangers:
        where = places.shown(root, place)
        if not place:
            raise DataError(
                f"{root}: is itself a track; give a folder or an archive that contains the folder TrackNNNNN"
            )
        problems.append(Skipped(places.shown(Path(), place), f"{where}: contains a track; rename it to TrackNNNNN"))
    if songs_content is None:
        problems += _missing(root, contents, found)
    return Layout(root, found, songs_content, problems)


def _missing(root: Path, contents: Contents, listings: Sequence[Listing]) -> Iterable[Skipped]:
    """Yield folders of splits without a track, and archives of splits and tracks that are not unpacked."""
    found = {listing.split for listing in listings}
    ids = {listing.id for listing in listings}
    parents = {place[:at] for place in contents.tracks + contents.strangers for at in range(len(place))}
    for place in contents.folders:
        split = places.split_named(place[-1])
        if split in SPLITS and split not in found and place not in parents:
            where = places.shown(root, place)
            yield Skipped(places.shown(Path(), place), f"{where}: no track in it; unpack {split} again, or remove it")
    for place in contents.packed:
        name = places.packed_name(place[-1])
        split = places.split_named(name)
        is_lacking = not listings or (split in SPLITS and split not in found)
        if is_lacking or (places.is_track(name) and places.track_id(name) not in ids):
            yield Skipped(places.shown(Path(), place), f"{places.shown(root, place)}: an archive; unpack it")


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
        causes = "".join(f"\n  {item.item}: {item.reason}" for item in layout.problems[:10])
        raise DataError(f"{layout.root}: no track found; {expected}{causes}")
    _require_unique_names(layout.listings)
    if scheme != "folder" and layout.songs is not None:
        raise DataError(f"{layout.root}: this is a rendered tree; the split scheme {scheme} is for Slakh2100 only")
    skipped = list(layout.problems)
    tracks = []
    has_splits = layout_has_splits(layout)
    for listing in layout.listings:
        name = listing.id
        if not is_utf8(name):  # the manifest records it
            skipped.append(Skipped(display_path(name), "its name is not UTF-8; rename it"))
            continue
        if listing.fault:
            skipped.append(Skipped(listing.folder.name, listing.fault))
            continue
        split = listing.split if scheme == "folder" else splits.published_split(name, scheme)
        if split == OMITTED:
            where = f"set apart in the folder {OMITTED}" if scheme == "folder" else f"omitted by the scheme {scheme}"
            skipped.append(Skipped(name, where, is_bad=False))
            continue
        if scheme == "folder" and has_splits and not split:
            reason = listing.split_fault or f"is in none of the folders {', '.join(SPLITS)}"
            skipped.append(Skipped(name, f"{listing.folder}: {reason}; move it, or choose a --split-scheme"))
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


def layout_has_splits(layout: Layout) -> bool:
    """Return whether folders name splits, so that the scheme ``folder`` does not split by song."""
    return any(listing.split or listing.split_fault for listing in layout.listings)


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


def _search_store(root: Path) -> Contents:
    """Search a remote tree. Asking whether an entry is a folder takes a request; listing a file gives nothing."""
    contents = Contents()
    waiting: list[Place] = [()]
    while waiting:
        place = waiting.pop()
        for path in sorted(root.joinpath(*place).glob("[!.]*")):
            entry = (*place, path.name)
            if places.is_leftover(path.name):
                continue
            if places.packed_name(path.name):
                contents.packed.append(entry)
            elif places.is_track(path.name):
                contents.tracks.append(entry)
            elif path.suffix not in (".json", ".yaml", ".flac", ".wav", ".mid"):
                contents.folders.append(entry)
                waiting.append(entry)
        _require_few(root, contents)
    return _sorted(contents)


def _search_disk(root: Path) -> Contents:
    """Search a tree on disk. It follows links, and reads each folder once."""
    contents = Contents()
    seen: dict[tuple[int, int], Place] = {}
    waiting: list[Place] = [()]
    while waiting:
        place = waiting.pop()
        folder = root.joinpath(*place)
        name = place[-1] if place else ""
        is_expected = bool(place) and (places.is_track(name) or bool(places.split_named(name)))

        def report(reason: str, place: Place = place) -> None:
            contents.problems.append(Skipped(places.shown(Path(), place), f"{places.shown(root, place)}: {reason}"))

        try:
            status = folder.stat()
            other = seen.setdefault((status.st_dev, status.st_ino), place)
            if other != place:
                if is_expected:
                    report(f"the same folder as {places.shown(root, other)}, by a link; remove the link")
                continue
            with os.scandir(folder) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not place:
                raise DataError(f"{root}: cannot be read: {error.strerror}") from error
            report(f"cannot be read: {error.strerror}")
            continue
        names = {entry.name for entry in children}
        nested = [entry.name for entry in children if places.is_track(entry.name) and _is_folder(entry)]
        if place and places.is_track(name) and (names & _PARTS or not nested):
            contents.tracks.append(place)
            for inner in nested:
                report(f"contains another track, {inner}; move that out of it")
            continue
        if METADATA_NAME in names and names & _PARTS - {METADATA_NAME}:
            contents.strangers.append(place)
            continue
        if place:
            contents.folders.append(place)
        folders = []
        for entry in children:
            if places.is_leftover(entry.name):
                continue
            inner_place = (*place, entry.name)
            if _is_folder(entry):
                folders.append((not places.split_named(entry.name), entry.is_symlink(), inner_place))
            elif places.packed_name(entry.name):
                contents.packed.append(inner_place)
            elif places.split_named(entry.name) in SPLITS or places.is_numbered(entry.name):
                is_broken = entry.is_symlink() and not os.path.exists(entry.path)
                report("a link to nothing; restore what it names" if is_broken else "not a folder", inner_place)
        # The first to be searched, which come last, give their names to what links lead to twice.
        waiting += (inner_place for _, _, inner_place in sorted(folders, reverse=True))
        _require_few(root, contents)
    return _sorted(contents)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _require_few(root: Path, contents: Contents) -> None:
    if len(contents.folders) > _MOST_FOLDERS:
        raise DataError(f"{root}: has more than {_MOST_FOLDERS} folders without a track; name the folder of Slakh")


def _sorted(contents: Contents) -> Contents:
    """Sort the tracks, those of the outermost folder first."""
    contents.tracks.sort(key=lambda place: (len(place) > 1, place))
    return contents


def _files(folder: Path) -> frozenset[str]:
    """Return the files of a track, except hidden ones such as those of macOS.

    Raises:
        OSError: A folder cannot be read.
    """
    if is_remote(folder):
        return frozenset(f"{name}{path.name}" for name in _FOLDERS for path in (folder / name).glob("[!.]*"))
    found = set()
    for name in _FOLDERS:
        try:
            with os.scandir(folder / name) as entries:
                found |= {
                    f"{name}{entry.name}" for entry in entries if not entry.name.startswith(".") and entry.is_file()
                }
        except (FileNotFoundError, NotADirectoryError):
            if not name:
                raise
    return frozenset(found)


def _metadata(path: Path, files: frozenset[str]) -> bytes | str:
    try:
        if METADATA_NAME in files:  # not a folder, nor a pipe, which would wait for ever
            return read_yaml_bytes(path)
        return os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)
    except OSError as error:  # concerns this track alone
        return str(error.strerror)


def _content(path: Path) -> bytes | None:
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise DataError(f"{path}: cannot be read: it is not a file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _require_unique_names(listings: Sequence[Listing]) -> None:
    by_name: dict[str, Path] = {}
    for listing in listings:
        is_empty = not listing.files and isinstance(listing.metadata, str)  # named later
        if is_empty or listing.fault:
            continue
        if (other := by_name.setdefault(listing.id, listing.folder)) is not listing.folder:
            raise DataError(
                f"{other} and {listing.folder} have the same name: remove or rename the one that does not belong there"
            )


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
        metadata = parse_yaml(listing.metadata)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("stems"), dict):
        raise DataError(f"{path}: has no mapping 'stems'")
    if bad := [name for name in metadata["stems"] if not isinstance(name, str)]:
        raise DataError(f"{path}: has a stem named {_short(bad[0])}; expected a name such as S00")
    entries = sorted((item for item in metadata["stems"].items() if item[0] != bad_stem), key=lambda item: item[0])
    stems = tuple(stem for entry in entries if (stem := _read_stem(listing, *entry)))
    sounding = {
        PurePosixPath(name).stem for name in listing.files if name.startswith("stems/") and name.endswith(_AUDIO)
    }
    if unknown := sorted(sounding - set(metadata["stems"])):
        raise DataError(f"{path}: has no stem {', '.join(unknown)}, although its audio exists and sounds in the mix")
    if not stems:
        raise DataError(f"{folder}: no stem has both an audio and a MIDI file")
    song = metadata.get("UUID") or listing.id
    if not isinstance(song, (str, int)) or not is_utf8(str(song)):
        raise DataError(f"{path}: UUID is {_short(song)}; it must be text")
    return Track(listing.id, str(song), split, mix, stems)


def _read_stem(listing: Listing, name: str, entry: Any) -> Stem | None:
    """Return the stem that an entry of metadata.yaml describes, or None if it was not rendered."""
    folder = listing.folder
    path = folder / METADATA_NAME
    try:
        number, is_drum = entry["program_num"], entry["is_drum"]
        if number is not None and type(number) is not int:  # a bool is an int too
            raise TypeError(f"program_num is {_short(number)}; it must be a whole number, or null for no label")
        if not isinstance(is_drum, bool):
            raise TypeError(f"is_drum is {_short(is_drum)}; it must be true or false")
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
        names_of = {track.id: content[track.id]["song"] for track in tracks}
        if wrong := [track for track, song in names_of.items() if not isinstance(song, str) or not is_utf8(song)]:
            raise TypeError(f"the song of {wrong[0]} is no text")
        return [dataclasses.replace(track, song=names_of[track.id]) for track in tracks]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: damaged, or does not name all tracks: {_short(error)}") from error


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


def _short(value: object) -> str:
    """Return a value for a message: what comes from a file may be long or deep."""
    return reprlib.repr(value)
