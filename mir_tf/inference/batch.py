"""Prediction for one recording or ten thousand: find them, plan the output files, skip finished ones, write the rest.

No TensorFlow. A :mod:`ledger <mir_tf.inference.ledger>` in the user's cache folder records what was written, from which
audio and by which model. Without it, existing files are assumed to be somebody else's, and are kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from mir_tf.errors import ConfigError, InUseError
from mir_tf.inference.formats import FILE_FORMATS, TABLE_FORMATS, require
from mir_tf.inference.ledger import OLD_LEDGER, Ledger
from mir_tf.inference.prediction import Prediction
from mir_tf.io import locks
from mir_tf.io.audio import AUDIO_SUFFIXES
from mir_tf.io.files import as_path, atomic_write, is_remote, make_folder, sha256
from mir_tf.io.write_errors import writing

_OUTPUT_SUFFIXES = frozenset(form.suffix for form in FILE_FORMATS.values())


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """A recording to predict.

    Attributes:
        path: Path, as it appears in output files.
        place: Relative path under an output folder.
        size: Size in bytes; 0 if the file is missing.
        modified: Time of the last change in seconds; whole seconds for a remote file.
    """

    path: Path
    place: Path
    size: int
    modified: float

    @classmethod
    def of(cls, path: Path, place: Path) -> AudioFile:
        """Return the file at ``path``; if it is missing, the error comes when it is read."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, place, 0, 0)
        return cls(path, place, status.st_size, status.st_mtime)


@dataclasses.dataclass
class ScanResult:
    """The recordings found at the paths that a user gave, and the number of skipped files.

    Attributes:
        songs: The recordings in order, each once.
        hidden: Number of skipped files and folders whose names begin with a dot, without those of earlier versions.
        others: Number of skipped files without an audio suffix; outputs such as ``song.mp3.json`` do not count.
        faults: Messages about folders that cannot be read or contain no audio.
    """

    songs: list[AudioFile] = dataclasses.field(default_factory=list)
    hidden: int = 0
    others: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)


def find(paths: Sequence[Path]) -> ScanResult:
    """Find recordings: files with any name, and in folders, at any depth, files with an audio suffix."""
    found, seen = ScanResult(), set()
    for path in map(as_path, paths):
        if not _is_folder(path):
            songs = [AudioFile.of(path, Path(path.name))]
        else:
            name = path.resolve().name if path.name in ("", "..") else path.name
            songs = list(_search(path, Path(name), found, set()))
            if not songs:
                found.faults.append(
                    f"{path}: no audio in this folder: no file that ends in .mp3, .m4a, .wav, .mp4 or the like; name "
                    "files with other suffixes one by one"
                )
        for song in songs:
            if (absolute := song.path.absolute()) not in seen:
                seen.add(absolute)
                found.songs.append(song)
    return found


def _search(folder: Path, place: Path, found: ScanResult, above: set[Path]) -> Iterator[AudioFile]:
    """Yield the recordings in ``folder``, ordered by name; skip links that lead back to a folder ``above``."""
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
            found.hidden += not (path.name.endswith(OLD_LEDGER) or locks.is_lock(path))
        elif path.suffix.lower() in AUDIO_SUFFIXES and _may_be_recording(path):
            yield AudioFile.of(path, place / path.name)
        elif _is_folder(path):
            yield from _search(path, place / path.name, found, above | {real})
        elif not (path.suffix.lower() in _OUTPUT_SUFFIXES and Path(path.stem).suffix.lower() in AUDIO_SUFFIXES):
            found.others += 1


def _may_be_recording(path: Path) -> bool:
    """Return whether the path is a file, or nobody can tell: then the error comes when it is read.

    git-annex has links to missing files for recordings that were not fetched.
    """
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:  # a folder whose files you may list, but not open
        return True


def _is_folder(path: Path) -> bool:
    """Return whether the path is a folder; False too if you have no right to know."""
    try:
        return path.is_dir()
    except OSError:
        return False


@dataclasses.dataclass(frozen=True)
class PlannedOutput:
    """A recording to predict, with its output.

    Attributes:
        song: The recording.
        formats: Name of each format in :data:`mir_tf.inference.formats.FILE_FORMATS` → file to write.
        finished: Files that were written before, and are not written again.
        in_table: Whether to add the recording to the table of all recordings.
    """

    song: AudioFile
    formats: dict[str, Path]
    finished: list[Path]
    in_table: bool


class PredictionJob:
    """The work of one ``mir-tf predict`` command.

    Attributes:
        planned: The recordings to predict, with their output.
        skipped: The recordings that are not predicted because their output is complete.
        kept: Path of a recording → message about outputs that are not written because a different file has that name.
    """

    def __init__(
        self,
        songs: Sequence[AudioFile],
        model: str,
        formats: Sequence[str],
        out: Path | None = None,
        table: Path | None = None,
        overwrite: bool = False,
        predict_all: bool = False,
    ) -> None:
        """Plan the work; nothing is written yet.

        Args:
            songs: The recordings.
            model: Identifies the model: see :func:`mir_tf.loading.digest`.
            formats: Names in :data:`mir_tf.inference.formats.FILE_FORMATS`: one file each for every recording.
            out: Folder for these files, in the tree of the folders that were searched; None writes them beside the
                recordings.
            table: Local file for all recordings, with a suffix in :data:`mir_tf.inference.formats.TABLE_FORMATS`.
            overwrite: Whether to write finished output again, and to replace files that this package did not write.
            predict_all: Whether to predict recordings of which nothing is to be written, too.

        Raises:
            ConfigError: A format or suffix is unknown or needs a package that is not installed, several recordings
                would be written to one file, or a different file has the name of the table.
            InUseError: Another command is writing the table.
        """
        _check_formats(formats, table)
        self._songs, self._model, self._table = songs, model, table
        targets = [{name: _target(song, out, FILE_FORMATS[name].suffix) for name in formats} for song in songs]
        counts = Counter(path for files in targets for path in files.values())
        if twice := sorted({path.name for path, count in counts.items() if count > 1}):
            raise ConfigError(
                f"several recordings would be written to {', '.join(twice)}: omit --out, or predict them separately"
            )
        self.planned: list[PlannedOutput] = []
        self.skipped: list[AudioFile] = []
        self.kept: dict[Path, str] = {}
        self._ledger = Ledger()
        self._held = contextlib.ExitStack()
        if table is not None:
            with writing(table):
                table.exists()  # a name that is too long fails now rather than after the work
            self._held.enter_context(locks.exclusive(table.parent, table.name))
        self._states = {path: _state(path) for files in targets for path in files.values()}
        if table is not None and not overwrite and self._is_foreign(table):
            self.close()
            raise ConfigError(
                f"{table}: exists and was not written by mir-tf, or was edited; name another file, or replace it with "
                "--overwrite"
            )
        for song, files in zip(songs, targets, strict=True):
            missing = {name: path for name, path in files.items() if overwrite or not self._is_written(song, path)}
            finished = [path for name, path in files.items() if name not in missing]
            foreign = [] if overwrite else [name for name, path in missing.items() if self._is_foreign(path)]
            if foreign:
                paths = ", ".join(str(missing.pop(name)) for name in foreign)
                self.kept[song.path] = (
                    f"{paths}: exists and was not written by mir-tf, or was edited; --overwrite replaces it"
                )
            in_table = table is not None and (overwrite or not self._is_in_table(table, song))
            if missing or in_table or predict_all:
                self.planned.append(PlannedOutput(song, missing, finished, in_table))
            elif not foreign:
                self.skipped.append(song)

    def __enter__(self) -> PredictionJob:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger, and let other commands write the table."""
        self._ledger.close()
        self._held.close()

    @property
    def ledger_problem(self) -> str | None:
        """Why the ledger cannot record the written files for later commands; None if it can."""
        return self._ledger.problem

    def write(self, planned: PlannedOutput, prediction: Prediction) -> list[Path]:
        """Write the planned output of a recording, each file atomically, and return the files.

        Raises:
            InUseError: Another process has written one of the files since the work was planned, with other content.
            OSError: A file cannot be written.
        """
        stamp = self._stamp(planned.song)
        for name, path in planned.formats.items():
            make_folder(path.parent)
            content = FILE_FORMATS[name].encode(prediction)
            digest = hashlib.sha256(content).hexdigest()
            with atomic_write(path) as temporary:
                if _state(path) not in (None, self._states[path]) and sha256(path) != digest:
                    raise InUseError(
                        f"{path}: another process has written this file in the meantime; run this command again with "
                        "--overwrite to replace it"
                    )
                temporary.write_bytes(content)
                self._ledger.begin(path, digest)
            self._ledger.finish(path, stamp)
        if planned.in_table and self._table is not None:
            make_folder(self._table.parent)
            content_in_table = {"model": prediction.model, "summary": prediction.summary()}
            self._ledger.finish(self._table, stamp, str(planned.song.path), content_in_table)
        return list(planned.formats.values())

    def write_table(self) -> int:
        """Write the table of all recordings, including those that were done before, without those that failed.

        Returns:
            The number of recordings in it. If there are none, it is not written.

        Raises:
            FileSystemError: Another command writes the same table.
        """
        if (table := self._table) is None:
            return 0
        listed = [song for song in self._songs if self._is_in_table(table, song)]
        if not listed:
            return 0
        contents = (self._ledger.content(table, self._stamp(song), str(song.path)) for song in listed)
        first = next(contents)
        summaries = (content["summary"] for content in itertools.chain([first], contents))
        with atomic_write(table) as temporary:
            TABLE_FORMATS[table.suffix.lower()].write(temporary, summaries, first["model"])
            self._ledger.begin(table, sha256(temporary))
        return len(listed)

    def _is_in_table(self, table: Path, song: AudioFile) -> bool:
        return self._ledger.is_finished(table, self._stamp(song), str(song.path))

    def _is_written(self, song: AudioFile, path: Path) -> bool:
        return self._ledger.is_finished(path, self._stamp(song)) and _is_file(path)

    def _is_foreign(self, path: Path) -> bool:
        """Return whether a file exists that mir-tf did not write, or that was edited since."""
        return _is_file(path) and not self._ledger.has_written(path, sha256(path))

    def _stamp(self, song: AudioFile) -> list[object]:
        return [self._model, str(song.path.absolute()), song.size, song.modified]


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what tells whether a file is still the one that it was; None if there is none."""
    if is_remote(path):  # nothing tells, and a request would be sent
        return None
    try:
        status = path.stat()
    except OSError:  # its name may be too long, which shows when it is written
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_file(path: Path) -> bool:
    """Return whether the path is a file; False too if its name is too long or you have no right to know."""
    try:
        return path.is_file()
    except OSError:
        return False


def _check_formats(formats: Sequence[str], table: Path | None) -> None:
    """Raise ConfigError if a format or the table's suffix is unknown, or needs a package that is not installed."""
    for name in formats:
        if name not in FILE_FORMATS:
            hint = f"; it is for all songs together: --table songs.{name}" if f".{name}" in TABLE_FORMATS else ""
            raise ConfigError(f"format {name!r} is not one of {', '.join(FILE_FORMATS)}{hint}")
        require(f"format {name}", FILE_FORMATS[name].needs)
    if table is not None:
        if table.suffix.lower() not in TABLE_FORMATS:
            raise ConfigError(f"{table}: its suffix is {table.suffix!r}; it must be one of {', '.join(TABLE_FORMATS)}")
        require(str(table), TABLE_FORMATS[table.suffix.lower()].needs)


def _target(song: AudioFile, out: Path | None, suffix: str) -> Path:
    folder = song.path.parent if out is None else out / song.place.parent
    return folder / f"{song.path.name}{suffix}"


class DurationEstimate:
    """An estimate of the total duration of recordings, for the progress bar.

    Durations of opened recordings are known; the others are estimated from their sizes, separately for each suffix.
    """

    def __init__(self, songs: Sequence[AudioFile]) -> None:
        """Expect ``songs``."""
        self._waiting: Counter[str] = Counter()  # bytes
        for song in songs:
            self._waiting[song.path.suffix.lower()] += song.size
        self._opened: dict[str, tuple[float, int]] = {}  # seconds and bytes
        self.processed = 0.0

    def begin(self, song: AudioFile, seconds: float) -> None:
        """Record the duration of a recording that was opened."""
        suffix = song.path.suffix.lower()
        known, size = self._opened.get(suffix, (0.0, 0))
        self._opened[suffix] = known + seconds, size + song.size

    def end(self, song: AudioFile, seconds: float) -> None:
        """Record that a recording is finished after ``seconds`` of audio."""
        self._waiting[song.path.suffix.lower()] -= song.size
        self.processed += seconds

    @property
    def total(self) -> float | None:
        """Seconds of audio in all recordings; None until one was opened."""
        if not self._opened:
            return None
        seconds = sum(known for known, _ in self._opened.values())
        size = sum(opened for _, opened in self._opened.values())
        total = self.processed
        for suffix, waiting in self._waiting.items():
            known, opened = self._opened.get(suffix, (seconds, size))
            total += waiting * known / max(opened, 1)
        return total
