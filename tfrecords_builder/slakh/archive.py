"""A Slakh tree in a .tar or .tar.gz, read as a stream: only the tracks that are being built are on disk.

Reading takes two passes. The first lists the contents, the second unpacks one track after the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from tfrecords_builder.slakh.splits import OMITTED
from tfrecords_builder.slakh.tree import ALL_NOTES, METADATA_NAME, SONGS, Layout, Listing, Skipped, Track

_GZIP = b"\x1f\x8b"

_BLOCK = 1 << 16

_DAMAGE = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)
"""Errors of a truncated or altered archive. The last one reports a wrong checksum, which is read after the data."""

ReadProgress = Callable[[int, int], None]
"""Function that is called while an archive is read, with the bytes read and the bytes in all."""


@dataclasses.dataclass
class _Found:
    """A track folder during listing."""

    split: str
    files: set[str] = dataclasses.field(default_factory=set)
    metadata: bytes | str | None = None
    fault: str = ""
    """Reason not to build it: the way in which it was packed. Otherwise empty."""


@dataclasses.dataclass(frozen=True)
class _Member:
    """A file of a track in the archive: ``key`` is the track folder, ``name`` the file within it."""

    key: str
    split: str
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

    def layout(self, progress: ReadProgress | None = None) -> tuple[Layout, list[Skipped]]:
        """List the archive, which is the first pass.

        Args:
            progress: Called from time to time.

        Returns:
            The layout, and the skipped tracks: those with links or duplicate files. If the archive is truncated or
            damaged, the track with the damage is skipped, and an entry for the archive lists the rest as unknown.

        Raises:
            DataError: It cannot be opened, is not an archive, or has a wrong checksum, so that any track may be wrong.
        """
        found: dict[str, _Found] = {}
        songs = None
        skipped = []
        last = ""
        try:
            for info, file in _members(self._path, progress):
                if file is not None and PurePosixPath(info.name).name == SONGS:
                    songs = file.read()
                # A link to a folder stands for everything in it.
                member = _member(info.name) or (_member(f"{info.name}/{METADATA_NAME}") if file is None else None)
                if member is None:
                    continue
                last = member.key
                track = found.setdefault(member.key, _Found(member.split))
                if file is None:
                    track.fault = f"{info.name}: is a link; pack the archive with tar --dereference --hard-dereference"
                elif member.name in track.files or (member.name == METADATA_NAME and track.metadata is not None):
                    track.fault = f"{info.name}: is in the archive twice, as after tar -r or -u; pack the archive again"
                elif member.name == METADATA_NAME:
                    track.metadata = file.read()
                else:
                    track.files.add(member.name)
                    # Without a folder of a split, songs are identified by their notes.
                    if member.name == ALL_NOTES and not member.split:
                        self._unpack(member, file)
        except _DAMAGE as error:
            if not found:
                raise DataError(f"{self._path}: not a readable .tar or .tar.gz: {_cause(error)}") from error
            if isinstance(error, gzip.BadGzipFile):
                raise DataError(
                    f"{self._path}: altered: {_cause(error)}; the place of the damage is unknown, so any track may be "
                    "wrong. Download it again"
                ) from error
            del found[last]
            name = PurePosixPath(last).name
            reason = f"{self._path}: damaged or truncated: {_cause(error)}"
            skipped = [Skipped(name, f"{reason}; the damage is in or after this track")]
            skipped.append(Skipped(self._path.name, f"{reason}; the tracks after {name} are unknown"))
        skipped += (Skipped(PurePosixPath(key).name, track.fault) for key, track in found.items() if track.fault)
        listings = [
            Listing(self._scratch / key, track.split, frozenset(track.files), track.metadata or "it is missing")
            for key, track in found.items()
            if not track.fault
        ]
        return Layout(self._path, listings, songs), skipped

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
                    member = _member(info.name)
                    if member is None or file is None:
                        continue
                    folder = self._scratch / member.key
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
        except _DAMAGE as error:
            raise DataError(f"{self._path}: damaged since it was listed: {_cause(error)}") from error
        if missing:
            names = ", ".join(sorted(folder.name for folder in missing)[:5])
            raise DataError(f"{self._path}: has changed since it was listed: files of {names} are gone")

    def close(self, track: Track) -> None:
        """Remove the files of a track."""
        shutil.rmtree(track.mix.parent, ignore_errors=True)

    def _files_of(self, track: Track) -> set[Path]:
        stems = {stem.audio for stem in track.stems} if self._with_stems else set()
        return {track.mix, *(stem.midi for stem in track.stems), *stems}

    def _unpack(self, member: _Member, file: IO[bytes]) -> None:
        path = self._scratch / member.key / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked, _BLOCK)


def _member(name: str) -> _Member | None:
    """Return the file of a track with a member's name; None for other files and hidden ones such as those of macOS."""
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "/")]
    within: tuple[list[str], ...] = ([], ["MIDI"], ["stems"])
    tracks = [at for at, part in enumerate(parts[:-1]) if part.startswith("Track") and parts[at + 1 : -1] in within]
    if not tracks or parts[-1].startswith(".") or ".." in parts:
        return None
    at = tracks[-1]  # the innermost: an outer folder may have such a name too
    outer, rest = parts[:at], parts[at + 1 :]
    split = outer[-1] if outer and outer[-1] in (*SPLITS, OMITTED) else ""
    return _Member("/".join(parts[: at + 1]), split, "/".join(rest))


def _members(path: Path, progress: ReadProgress | None = None) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield the files of an archive in order, and None in place of the file for a link.

    Each file can be read until the next one is requested.

    Raises:
        DataError: It cannot be opened.
        TarError, zlib.error, EOFError, BadGzipFile: It is damaged or truncated.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise DataError(f"{path}: cannot be opened: {error.strerror}") from error
        size = path.stat().st_size
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        # tarfile's own reader of gzip checks neither the end nor the checksum.
        source = _Source(stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_gzip else raw)
        archive = stack.enter_context(tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK))  # type: ignore[call-overload]
        for info in archive:
            if progress is not None:
                progress(raw.tell(), size)
            if info.isfile():
                yield info, archive.extractfile(info)
            elif info.issym() or info.islnk():
                yield info, None
        if source.is_exhausted:
            raise EOFError("its end mark is missing")
        while source.read(_BLOCK):
            pass  # to the checksum of a .gz


class _Source:
    """The file that tarfile reads. It records whether it was read to its end, which comes after the end mark."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self.is_exhausted = False

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.is_exhausted = not data
        return data


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
