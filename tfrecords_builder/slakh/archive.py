"""A Slakh tree in a .tar or .tar.gz, read as a stream: only the tracks that are being built are on disk.

Reading takes two passes. The first lists the contents, the second unpacks one track after the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mir_tf.errors import DataError
from mir_tf.io.yaml_text import MAX_BYTES
from tfrecords_builder.slakh import places
from tfrecords_builder.slakh.places import Place
from tfrecords_builder.slakh.tree import (
    ALL_NOTES,
    METADATA_NAME,
    SONGS,
    Contents,
    Layout,
    Listing,
    Skipped,
    Track,
    make_layout,
)

_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"PK\3\4": "a .zip",
    b"BZh": "a .tar.bz2",
    b"\xfd7zXZ\0": "a .tar.xz",
    b"(\xb5/\xfd": "a .tar.zst",
    b"7z\xbc\xaf": "a .7z",
    b"Rar!": "a .rar",
}
"""First bytes of archives that are not read."""

_PART = re.compile(r"(.+\.(?:tar\.gz|tgz|tar)[.-]?)(?:part[.-]?)?(?!gz$|xz$|bz2?$|zst$)(?:[a-z]{1,3}|\d{1,4})", re.I)
"""Name of a part of an archive that was split."""

_TRAILING = "its end mark is followed by something that is not a .tar; tracks in that are unknown"

_BLOCK = 1 << 16

_END = 2 * tarfile.BLOCKSIZE
"""Zeros at the end of an archive, which most programs pad to a multiple of tarfile.RECORDSIZE."""

_MOST_PADDING = 1 << 20
"""Most zeros at the end of an archive: the largest records in use."""

_MOST_HEADER = 1 << 20
"""Most bytes of a long name or of extended attributes, which are read into memory."""

_MOST_SONGS = 1 << 26
"""Most bytes of songs.json."""

_LONGEST_NAME = 255
"""Most bytes of a file name on disk."""

_DAMAGE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""Errors of a truncated or altered archive. BadGzipFile reports a wrong checksum, which is read after the data; the
last four come from tarfile, for impossible headers."""

ReadProgress = Callable[[int, int], None]
"""Function that is called while an archive is read, with the bytes read and the bytes in all."""


class _TrailingError(Exception):
    """Something that is not a tar archive follows the end mark of one."""


@dataclasses.dataclass
class _Found:
    """A track folder during listing."""

    files: set[str] = dataclasses.field(default_factory=set)
    metadata: bytes | str | None = None
    fault: str = ""
    """Reason not to build it: the way in which it was packed. Otherwise empty."""


@dataclasses.dataclass(frozen=True)
class _Member:
    """A file of a track in the archive: ``place`` is the track folder, ``name`` the file within it."""

    place: Place
    name: str


class Archive:
    """A Slakh tree in an archive, and the source of its tracks' files.

    The layouts redux, original and baby are supported, with or without an outer folder.
    """

    def __init__(self, path: Path, scratch: Path, with_stems: bool) -> None:
        """Store the arguments.

        Args:
            path: A .tar or .tar.gz.
            scratch: Folder to unpack into. It contains a track from :meth:`open` to :meth:`close`.
            with_stems: Whether the audio of the stems is needed too.
        """
        self._path = path
        self._scratch = scratch
        self._with_stems = with_stems

    def layout(self, progress: ReadProgress | None = None) -> Layout:
        """List the archive, which is the first pass.

        Args:
            progress: Called from time to time.

        Returns:
            The layout. If the archive is truncated or damaged, the track with the damage is among its problems, and an
            entry for the archive says that the rest is unknown.

        Raises:
            DataError: It cannot be opened, is not an archive, contains several releases of Slakh, or has a wrong
                checksum, so that any track may be wrong.
        """
        found: dict[Place, _Found] = {}
        contents = Contents()
        strangers: dict[Place, set[str]] = {}
        songs: dict[Place, bytes] = {}
        last: Place | None = None
        has_begun = is_damaged = False
        try:
            for info, file in _members(self._path, progress):
                has_begun = True
                parts = _parts(info.name)
                if ".." in parts:
                    reason = (
                        f"{self._path}: {info.name}: ignored, because its name contains '..'; pack the archive again"
                    )
                    contents.problems.append(Skipped(info.name, reason))
                    continue
                if not parts or any(map(places.is_leftover, parts)):
                    continue
                if info.isdir():
                    contents.folders.append(parts)
                    continue
                if file is not None and parts[-1] == SONGS:
                    songs[parts[:-1]] = file.read(_MOST_SONGS)
                # A link to a folder stands for everything in it.
                member = _member(parts) or (_member((*parts, METADATA_NAME)) if file is None else None)
                if member is None:
                    if file is not None and places.packed_name(parts[-1]):
                        contents.packed.append(parts)
                    elif file is not None and (places.is_numbered(parts[-1]) or places.split_named(parts[-1])):
                        contents.problems.append(Skipped("/".join(parts), f"{self._path}: {info.name}: not a folder"))
                    elif file is None and places.split_named(parts[-1]):
                        reason = f"{self._path}: {info.name}: is a link; pack the archive with tar --dereference"
                        contents.problems.append(Skipped("/".join(parts), reason))
                    elif parts[-1] in (METADATA_NAME, "mix.flac", "mix.wav"):
                        strangers.setdefault(parts[:-1], set()).add(parts[-1])
                    continue
                last = member.place
                track = found.setdefault(member.place, _Found())
                if file is None:
                    track.fault = f"{info.name}: is a link; pack the archive with tar --dereference --hard-dereference"
                elif member.name in track.files or (member.name == METADATA_NAME and track.metadata is not None):
                    track.fault = f"{info.name}: is in the archive twice, as after tar -r or -u; pack the archive again"
                elif max(len(part.encode("utf-8", "surrogateescape")) for part in parts) > _LONGEST_NAME:
                    track.fault = f"{info.name}: its name is too long; rename it"
                elif member.name == METADATA_NAME:
                    track.metadata = file.read(MAX_BYTES + 1)
                else:
                    track.files.add(member.name)
                    # Without a folder of a split, songs are identified by their notes.
                    if member.name == ALL_NOTES and not any(map(places.split_named, member.place)):
                        self._unpack(member, file)
        except _TrailingError as error:
            contents.problems.append(Skipped(self._path.name, f"{self._path}: {error}"))
        except _DAMAGE as error:
            if isinstance(error, gzip.BadGzipFile) and last is not None:
                raise DataError(
                    f"{self._path}: altered: {_cause(error)}; the place of the damage is unknown, so any track may be "
                    "wrong. Download it again"
                ) from error
            if last is None:
                what = "damaged or truncated before its first track" if has_begun else _kind(self._path)
                raise DataError(f"{self._path}: {what}: {_cause(error)}{_remedy(self._path)}") from error
            is_damaged = True
            del found[last]
            name = last[-1]
            reason = f"{self._path}: damaged or truncated: {_cause(error)}{_remedy(self._path)}"
            if not found:
                raise DataError(f"{reason}; the damage is in or after {name}, the first track") from error
            contents.problems.append(Skipped(name, f"{reason}; the damage is in or after this track"))
            contents.problems.append(Skipped(self._path.name, f"{reason}; the tracks after {name} are unknown"))
        for place in contents.folders:
            if (
                not is_damaged
                and places.is_track(place[-1])
                and not any(other[: len(place)] == place for other in found)
            ):
                found[place] = _Found()  # without files
        for place, track in found.items():
            if outer := next((place[:at] for at in range(1, len(place)) if place[:at] in found), None):
                track.fault = track.fault or f"{'/'.join(place)}: is within another track, {outer[-1]}; move it"
        contents.tracks = list(found)
        contents.strangers = [place for place, names in strangers.items() if len(names) > 1]
        listings = {
            place: Listing(
                self._scratch.joinpath(*place),
                "",
                frozenset(track.files),
                track.metadata or "it is missing",
                fault=track.fault,
            )
            for place, track in found.items()
        }
        above = places.common(contents.tracks)
        return make_layout(
            self._path, listings, contents, next((songs[place] for place in above if place in songs), None)
        )

    def open(self, wanted: Sequence[Track]) -> Iterator[Track]:
        """Unpack tracks in the order of the archive, which is the second pass.

        Args:
            wanted: Tracks chosen from :meth:`layout`.

        Yields:
            Each track, once its files are on disk.

        Raises:
            DataError: The archive has changed since it was listed, or cannot be read any more.
        """
        tracks = {track.mix.parent: track for track in wanted}
        missing = {folder: self._files_of(track) for folder, track in tracks.items()}
        try:
            if missing:
                for info, file in _members(self._path):
                    member = _member(_parts(info.name))
                    if member is None or file is None:
                        continue
                    folder = self._scratch.joinpath(*member.place)
                    expected = missing.get(folder, set())
                    if folder / member.name not in expected:
                        continue
                    self._unpack(member, file)
                    expected.remove(folder / member.name)
                    if not expected:
                        del missing[folder]
                        yield tracks[folder]
                    if not missing:
                        return
        except _TrailingError:
            pass  # as it was listed
        except _DAMAGE as error:
            raise DataError(f"{self._path}: damaged since it was listed: {_cause(error)}") from error
        if missing:
            names = ", ".join(sorted(folder.name for folder in missing)[:5])
            raise DataError(f"{self._path}: has changed since it was listed: files of {names} are gone")

    def close(self, track: Track) -> None:
        """Remove the files of a track."""
        shutil.rmtree(track.mix.parent, ignore_errors=True)

    def shown(self, message: str) -> str:
        """Return the message with the path of the archive in place of that of the unpacked files."""
        return message.replace(str(self._scratch), str(self._path))

    def _files_of(self, track: Track) -> set[Path]:
        stems = {stem.audio for stem in track.stems} if self._with_stems else set()
        return {track.mix, *(stem.midi for stem in track.stems), *stems}

    def _unpack(self, member: _Member, file: IO[bytes]) -> None:
        path = self._scratch.joinpath(*member.place, member.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked, _BLOCK)


def _parts(name: str) -> Place:
    """Return the folders and the name in a member's name, which may be absolute or have the separators of Windows."""
    path = name if "/" in name else name.replace("\\", "/")
    return tuple(part for part in PurePosixPath(path).parts if part.strip("/") not in ("", "."))


def _member(parts: Place) -> _Member | None:
    """Return the file of a track with a member's name; None for other files and hidden ones such as those of macOS."""
    within: tuple[Place, ...] = ((), ("MIDI",), ("stems",))
    tracks = [at for at, part in enumerate(parts[:-1]) if places.is_track(part) and parts[at + 1 : -1] in within]
    if not tracks or ".." in parts or any(map(places.is_leftover, parts)):
        return None
    at = tracks[-1]  # the innermost: an outer folder may have such a name too
    return _Member(parts[: at + 1], "/".join(parts[at + 1 :]))


def _members(path: Path, progress: ReadProgress | None = None) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield the files, folders and links of an archive in order, with a file that can be read until the next request.

    There is none for folders and links. Of archives that are joined, all are read.

    Raises:
        DataError: It cannot be opened, or its disk cannot be read.
        _TrailingError: Something follows that is not an archive.
        TarError, zlib.error, EOFError, BadGzipFile, ...: It is damaged or truncated.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            size = path.stat().st_size
            is_gzip = raw.read(2) == _GZIP
            raw.seek(0)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened: {error.strerror}") from error
        # tarfile's own reader of gzip checks neither the end nor the checksum.
        source = _Source(path, stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_gzip else raw)
        header = _header_class(source)
        options: dict[str, Any] = {"tarinfo": header, "ignore_zeros": True, "bufsize": _BLOCK}
        try:
            archive = stack.enter_context(tarfile.open(fileobj=source, mode="r|", **options))  # type: ignore[call-overload]
            for info in archive:
                if progress is not None:
                    progress(raw.tell(), size)
                if info.isfile():
                    yield info, archive.extractfile(info)
                elif info.issym() or info.islnk() or info.isdir():
                    yield info, None
            while source.read(_BLOCK):
                pass  # to the checksum of a .gz
        except EOFError as error:
            if source.has_ended:
                raise _TrailingError("cut off in its last bytes, which contain a checksum") from error
            raise
        except gzip.BadGzipFile as error:
            if source.has_ended and str(error).startswith("Not a gzipped file"):
                raise _TrailingError(_TRAILING) from error
            raise
        source.check_end(archive.offset)
        if source.gaps:
            raise _TrailingError(
                f"has zeros before byte {source.gaps[0]}: if they are not from joining archives, tracks may be missing"
            )


class _Source:
    """The file that tarfile reads, and where its archives end.

    Attributes:
        has_ended: Whether an end mark was read, and no file after it.
        gaps: Places in bytes at which an archive begins after zeros that no program writes at the end of one.
    """

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile) -> None:
        self._path = path
        self._file = file
        self._start = self._zeros = 0
        self.has_ended = False
        self.gaps: list[int] = []

    def read(self, size: int) -> bytes:
        try:
            # Not all that is asked for, so that damage counts only where it is.
            return self._file.read1(size) if isinstance(self._file, gzip.GzipFile) else self._file.read(size)
        except gzip.BadGzipFile:
            raise
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error

    def note_zeros(self, place: int) -> None:
        """Note a block of zeros."""
        if not self.has_ended:
            self._zeros = place
        self.has_ended = True

    def note_header(self, place: int) -> None:
        """Note the header of a file."""
        if self.has_ended:
            is_join = place - self._zeros == _END or (place - self._start) % tarfile.RECORDSIZE == 0
            if not is_join or self._zeros == 0:
                self.gaps.append(place)
            self._start = place
        self.has_ended = False

    def check_end(self, place: int) -> None:
        """Note where the last archive ends.

        Raises:
            EOFError: There is no end mark.
            _TrailingError: The zeros after it are those of a file that was not written to its end.
        """
        if not self.has_ended:
            raise EOFError("its end mark is missing")
        if place - self._zeros > _MOST_PADDING:
            raise _TrailingError(
                f"ends with {place - self._zeros} bytes of zeros, as an incomplete download does; tracks may be missing"
            )


def _header_class(source: _Source) -> type[tarfile.TarInfo]:
    """Return a reader of headers that raises for damaged ones: tarfile takes them for the end of the archive."""
    place = 0

    class Header(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, tarfile: tarfile.TarFile) -> Header:
            nonlocal place
            place = tarfile.fileobj.tell()
            return super().fromtarfile(tarfile)

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
            try:
                info = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                    source.note_zeros(place)
                elif len(buf) and source.has_ended:
                    raise _TrailingError(_TRAILING) from error
                elif len(buf):
                    raise tarfile.ReadError(f"damaged header: {error}") from error
                raise
            source.note_header(place)
            if info.size < 0 or (info.type in b"LKxgX" and info.size > _MOST_HEADER):
                raise tarfile.ReadError("damaged header: impossible size")
            return info

    return Header


def _kind(path: Path) -> str:
    """Return what is wrong with an archive whose first track cannot be read."""
    with path.open("rb") as file:
        beginning = file.read(8)
    other = next((name for start, name in _OTHERS.items() if beginning.startswith(start)), None)
    return f"{other}, not a readable .tar or .tar.gz; unpack it" if other else "not a readable .tar or .tar.gz"


def _remedy(path: Path) -> str:
    """Return how to join an archive that was split, if the name is that of a part."""
    match = _PART.fullmatch(path.name)
    return (
        f" (a part of a split archive: join all parts in order, cat {match[1]}* > {match[1].rstrip('.-')})"
        if match
        else ""
    )


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
