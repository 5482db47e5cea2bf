"""One recording or ten thousand: found in folders, heard once, written beside each or all in one. No TensorFlow.

What has been written, of which audio and by which model, stands in a small hidden file beside it, :data:`LEDGER`, by
which a second run knows what is done. Without that file, answers are files of other origin, and kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mir_tf.errors import ConfigError
from mir_tf.inference.formats import FORMATS, TABLES, require
from mir_tf.inference.prediction import Prediction
from mir_tf.io.audio import OTHER_SUFFIXES, SUFFIXES
from mir_tf.io.files import as_path, atomic_write, is_remote, sha256, write_bytes, write_text

LEDGER = ".mir-tf.jsonl"
"""Name of the hidden file beside what is written; that of ``songs.csv`` is ``.songs.csv`` and this."""

_ANSWERS = frozenset(form.suffix for form in FORMATS.values())
"""Suffixes of what is written beside recordings."""

_UNSAVED = 100
"""Lines after which a remote ledger, which must be written as a whole, is written."""


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """A recording to be heard.

    Attributes:
        path: as it is named in what is written.
        place: relative path that it has under a folder for what is written.
        size: bytes; 0 where it is missing.
        modified: time of its last change, in seconds; of a remote file whole ones.
    """

    path: Path
    place: Path
    size: int
    modified: float

    @classmethod
    def of(cls, path: Path, place: Path) -> AudioFile:
        """The file at ``path``; one that is missing is named when it is to be heard."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, place, 0, 0)
        return cls(path, place, status.st_size, status.st_mtime)


@dataclasses.dataclass
class ScanResult:
    """What lies where a user pointed.

    Attributes:
        songs: in order, each once.
        hidden: files and folders whose names begin with a dot: left out.
        others: files without a suffix of audio, but for answers as ``song.mp3.json``: left out.
        faults: sentences that name folders which cannot be read or hold no audio.
    """

    songs: list[AudioFile] = dataclasses.field(default_factory=list)
    hidden: int = 0
    others: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)


def find(paths: Sequence[Path]) -> ScanResult:
    """The recordings at ``paths``: files, whatever their names, and those with a suffix of audio in folders below.

    Those are among them that cannot be read, as m4a.
    """
    found, seen = ScanResult(), set()
    for path in map(as_path, paths):
        if not path.is_dir():
            songs = [AudioFile.of(path, Path(path.name))]
        else:
            name = path.resolve().name if path.name in ("", "..") else path.name
            songs = list(_below(path, Path(name), found, set()))
            if not songs:
                known = ", ".join(sorted(SUFFIXES))
                found.faults.append(f"{path}: no audio in this folder: no file that ends in {known}")
        for song in songs:
            if (place := song.path.absolute()) not in seen:
                seen.add(place)
                found.songs.append(song)
    return found


def _below(folder: Path, place: Path, found: ScanResult, above: set[Path]) -> Iterator[AudioFile]:
    """The recordings in ``folder``, in order of their names; folders that lead back to one ``above`` are left."""
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.faults.append(f"{folder}: this folder cannot be read: {error.strerror or error}")
        return
    for path in entries:
        if path.name.startswith("."):
            found.hidden += not path.name.endswith(LEDGER)
        elif path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES and (path.is_file() or _leads_nowhere(path)):
            yield AudioFile.of(path, place / path.name)
        elif path.is_dir():
            yield from _below(path, place / path.name, found, above | {real})
        elif not (path.suffix.lower() in _ANSWERS and Path(path.stem).suffix.lower() in SUFFIXES):
            found.others += 1


def _leads_nowhere(path: Path) -> bool:
    """Whether it is a link to what is not there, as git-annex leaves for recordings that were not fetched."""
    return path.is_symlink() and not path.exists()


class _Ledger:
    """Of each name the stamp of what it was written from, and SHA-256 of what was written: lines of JSON.

    Of several stamps of a name the last one counts; a line that is cut off does not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps: dict[str, Any] = {}
        self._digests: defaultdict[str, set[str]] = defaultdict(set)
        self._offsets: dict[str, int] = {}
        self._ended, self._unsaved = True, 0
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            offset = 0
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    name = entry["name"]
                    if "sha256" in entry:
                        self._digests[name].add(entry["sha256"])
                    if "stamp" in entry:
                        self._stamps[name], self._offsets[name] = entry["stamp"], offset
                offset += len(line)
                self._ended = line.endswith(b"\n")

    def holds(self, name: str, stamp: object) -> bool:
        """Whether ``name`` was written with this stamp."""
        return self._stamps.get(name) == stamp

    def wrote(self, name: str, digest: str) -> bool:
        """Whether ``name`` was, or was about to be, written with this SHA-256."""
        return digest in self._digests.get(name, ())

    def begin(self, name: str, digest: str) -> None:
        """Notes what is about to be written: should this process be killed, the file is known to be ours."""
        if digest not in self._digests[name]:
            self._digests[name].add(digest)
            self._append({"name": name, "sha256": digest})

    def end(self, name: str, stamp: object, content: object = None) -> None:
        """Notes that ``name`` is written."""
        self._stamps[name] = stamp
        entry = {"name": name, "stamp": stamp}
        self._offsets[name] = self._append(entry if content is None else {**entry, "content": content})

    def content(self, name: str) -> Any:
        """What :meth:`end` was given; of a local ledger."""
        with self._path.open("rb") as file:
            file.seek(self._offsets[name])
            return json.loads(file.readline())["content"]

    def close(self) -> None:
        """Writes a remote ledger."""
        if not self._unsaved:
            return
        entries: list[dict[str, object]] = [
            {"name": name, "sha256": digest} for name, digests in self._digests.items() for digest in sorted(digests)
        ]
        entries += [{"name": name, "stamp": stamp} for name, stamp in self._stamps.items()]
        write_text(self._path, "".join(map(_line, entries)))
        self._unsaved = 0

    def _append(self, entry: dict[str, object]) -> int:
        """Adds a line at once, but to a remote ledger with many others; returns its offset in a local one."""
        if is_remote(self._path):
            self._unsaved += 1
            if self._unsaved == _UNSAVED:
                self.close()
            return 0
        with self._path.open("ab") as file:
            if not self._ended:  # a run was killed while it wrote
                file.write(b"\n")
                self._ended = True
            offset = file.tell()
            file.write(_line(entry).encode())
            return offset


def _line(entry: dict[str, object]) -> str:
    return json.dumps(entry) + "\n"  # in ASCII: of a name that is not UTF-8 the bytes come back


@dataclasses.dataclass(frozen=True)
class PlannedOutput:
    """A recording with what is not done of it.

    Attributes:
        song: the recording.
        formats: names in :data:`mir_tf.inference.formats.FORMATS`, and the files to write.
        unlisted: whether the file of all recordings is to have it and does not.
    """

    song: AudioFile
    formats: dict[str, Path]
    unlisted: bool


class PredictionJob:
    """The work of one command.

    Attributes:
        jobs: what is to be heard.
        num_done: recordings that are left out, for all of theirs is written.
        kept: of a recording's path what of its is not to be written, in words: there are other files of these names.
    """

    def __init__(
        self,
        songs: Sequence[AudioFile],
        model: str,
        formats: Sequence[str],
        out: Path | None = None,
        into: Path | None = None,
        again: bool = False,
    ) -> None:
        """Plans it, and touches nothing.

        Args:
            songs: recordings.
            model: what tells the model apart: see :func:`digest`.
            formats: names in :data:`mir_tf.inference.formats.FORMATS`: a file of each for every recording.
            out: folder for these files, in the order of folders in which the recordings were found; None writes them
                beside the recordings.
            into: file of all recordings, whose suffix is one of :data:`mir_tf.inference.formats.TABLES`; local.
            again: whether to hear what is done as well, and to replace files that this did not write.

        Raises:
            ConfigError: a format or suffix is unknown or needs a package, or several recordings would be written to
                one file.
        """
        for name in formats:
            if name not in FORMATS:
                hint = f"; it is of all songs together: --into songs.{name}" if f".{name}" in TABLES else ""
                raise ConfigError(f"format {name!r} is not one of {', '.join(FORMATS)}{hint}")
            require(f"format {name}", FORMATS[name].needs)
        if into is not None:
            if into.suffix.lower() not in TABLES:
                raise ConfigError(f"{into}: its suffix is {into.suffix!r}; it must be one of {', '.join(TABLES)}")
            require(str(into), TABLES[into.suffix.lower()].needs)
        self._songs, self._model = songs, model
        self._ledgers: dict[Path, _Ledger] = {}
        self._into = None if into is None else (into, self._ledger(into.with_name(f".{into.name}{LEDGER}")))
        targets = [
            {name: _target(song, out, FORMATS[name].suffix) for name in formats} for song in songs
        ]  # of each song
        counts = Counter(path for files in targets for path in files.values())
        if twice := sorted({path.name for path, count in counts.items() if count > 1}):
            raise ConfigError(
                f"several recordings would be written to {', '.join(twice)}: leave out --out, or run them apart"
            )
        self.jobs: list[PlannedOutput] = []
        self.kept: dict[Path, str] = {}
        for song, files in zip(songs, targets, strict=True):
            missing = {name: path for name, path in files.items() if again or not self._is_written(song, path)}
            foreign = [] if again else [name for name, path in missing.items() if self._is_foreign(path)]
            if foreign:
                paths = ", ".join(str(missing.pop(name)) for name in foreign)
                self.kept[song.path] = f"{paths}: was there before or was edited, and is not replaced: --again does"
            unlisted = self._into is not None and (again or not self._is_listed(song, self._into[1]))
            if missing or unlisted:
                self.jobs.append(PlannedOutput(song, missing, unlisted))
        self.num_done = len({song.path for song in songs} - {job.song.path for job in self.jobs} - {*self.kept})

    def __enter__(self) -> PredictionJob:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Notes what is done, however it ended."""
        for ledger in self._ledgers.values():
            ledger.close()

    def write(self, job: PlannedOutput, prediction: Prediction) -> list[Path]:
        """Writes what is not done of a recording, each file whole or not at all.

        Returns:
            the files.
        """
        stamp = self._stamp(job.song)
        for name, path in job.formats.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            content, ledger = FORMATS[name].encode(prediction), self._ledger(path.with_name(LEDGER))
            ledger.begin(path.name, hashlib.sha256(content).hexdigest())
            write_bytes(path, content)
            ledger.end(path.name, stamp)
        if job.unlisted and self._into is not None:
            path, ledger = self._into
            path.parent.mkdir(parents=True, exist_ok=True)
            ledger.end(str(job.song.path), stamp, {"model": prediction.model, "summary": prediction.summary()})
        return list(job.formats.values())

    def write_all(self) -> int:
        """Writes the file of all recordings of this command, those done before included, those that failed left out.

        Returns:
            how many it holds; of none it is not written.
        """
        if self._into is None:
            return 0
        path, ledger = self._into
        listed = [str(song.path) for song in self._songs if self._is_listed(song, ledger)]
        if not listed:
            return 0
        model = ledger.content(listed[0])["model"]
        with atomic_write(path) as temporary:
            TABLES[path.suffix.lower()].write(temporary, (ledger.content(name)["summary"] for name in listed), model)
        return len(listed)

    def _is_listed(self, song: AudioFile, ledger: _Ledger) -> bool:
        return ledger.holds(str(song.path), self._stamp(song))

    def _is_written(self, song: AudioFile, path: Path) -> bool:
        return self._ledger(path.with_name(LEDGER)).holds(path.name, self._stamp(song)) and path.is_file()

    def _is_foreign(self, path: Path) -> bool:
        """Whether a file is there that was not written by a command like this, or was changed since."""
        return path.is_file() and not self._ledger(path.with_name(LEDGER)).wrote(path.name, sha256(path))

    def _stamp(self, song: AudioFile) -> list[object]:
        return [self._model, song.size, song.modified]

    def _ledger(self, path: Path) -> _Ledger:
        if path not in self._ledgers:
            self._ledgers[path] = _Ledger(path)
        return self._ledgers[path]


def _target(song: AudioFile, out: Path | None, suffix: str) -> Path:
    folder = song.path.parent if out is None else out / song.place.parent
    return folder / f"{song.path.name}{suffix}"


class DurationEstimate:
    """Seconds of audio in all: what has been opened states them; the rest is judged by size, each suffix by itself."""

    def __init__(self, songs: Sequence[AudioFile]) -> None:
        """Expects ``songs``."""
        self._waiting: Counter[str] = Counter()
        for song in songs:
            self._waiting[song.path.suffix.lower()] += song.size
        self._opened: dict[str, tuple[float, int]] = {}  # seconds and bytes
        self.heard = 0.0

    def begin(self, song: AudioFile, seconds: float) -> None:
        """A recording turns out to last so long."""
        suffix = song.path.suffix.lower()
        known, size = self._opened.get(suffix, (0.0, 0))
        self._opened[suffix] = known + seconds, size + song.size

    def end(self, song: AudioFile, seconds: float) -> None:
        """A recording is through, ``seconds`` of it heard."""
        self._waiting[song.path.suffix.lower()] -= song.size
        self.heard += seconds

    @property
    def total(self) -> float | None:
        """Seconds, heard and to come; None as long as nothing has been opened."""
        if not self._opened:
            return None
        seconds = sum(known for known, _ in self._opened.values())
        size = sum(opened for _, opened in self._opened.values())
        total = self.heard
        for suffix, waiting in self._waiting.items():
            known, opened = self._opened.get(suffix, (seconds, size))
            total += waiting * known / max(opened, 1)
        return total
