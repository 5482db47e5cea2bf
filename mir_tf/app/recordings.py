"""The recordings that people upload: each is processed in a worker thread and kept while its page uses it.

Nothing here trusts the browser: files are named by random ids, decoded in processes of their own, and rejected as soon
as they exceed the maximum length, whatever their headers state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import json
import logging
import math
import os
import queue
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.app.decoding import PEAK_RATE, Decoders, TooLongError, Upload
from mir_tf.errors import MirTfError
from mir_tf.inference.model import Model
from mir_tf.inference.prediction import Prediction
from mir_tf.loading import digest, load

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MIN_WORKERS = 4
"""Minimum number of recordings processed at once, even with fewer cores, so that short ones overtake long ones."""

SHORT_SECONDS = 60.0
"""Length up to which a recording is processed by any worker. One worker is kept free of longer ones."""

_ASK_SECONDS, _READ_SECONDS, _OPEN_SECONDS = 0.1, 0.5, 150.0
"""Time in which a page asks for its recording after the upload, reads the whole result, and says that it is open."""

_MAX_NAME = 120
"""Maximum length of a name; a longer one loses its middle."""

_FOLDER_PREFIX = "mir-tf-app-"

_NEW_SECONDS = 10.0
"""Age at which the folder of a running app is certainly locked."""

_DECODING_SECONDS = 60.0
"""Maximum time to decode an upload, besides a tenth of the maximum length."""


class RecordingState(enum.Enum):
    """The progress of a recording."""

    ARRIVING = "arriving"
    WAITING = "waiting"
    READING = "reading"
    PREDICTING = "predicting"
    DONE = "done"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class UploadLimits:
    """Limits for each recording and for all of them together.

    Attributes:
        max_bytes: Maximum size of a file.
        max_seconds: Maximum length of the audio.
        max_recordings: Maximum number of recordings to keep, besides those that arrive. Those of closed pages are
            discarded first, then those for which nobody asked.
        max_files: Maximum size of all uploads together, as a multiple of ``max_bytes``.
        idle_seconds: Time without a request after which a recording is discarded.
    """

    max_bytes: int
    max_seconds: float
    max_recordings: int = 64
    max_files: int = 16
    idle_seconds: float = 3600.0


class TooManyRecordings(MirTfError):
    """The maximum number of recordings is waiting or in progress, or their files are too large together."""


class _Discarded(Exception):  # not an error: ends the work on a recording that nobody waits for
    """The recording was discarded while it was being processed."""


@dataclasses.dataclass(eq=False)
class Recording:
    """A recording and its prediction. Written by one thread at a time, read by any.

    Attributes:
        id: Random id with which its owner requests it; it cannot be guessed.
        name: Name stated by the browser, to show to people; not a path.
        file: The uploaded file, until it has been decoded.
        decoded: Its audio, until it has been processed.
        copy: Path for a FLAC copy that every browser plays; None if none was requested.
        state: Progress.
        message: Reason of a failure, to show to people.
        seconds: Length of the audio, once it has been read.
        seconds_done: Length of the part that the model has processed.
        peaks: Greatest magnitude in each 1 / PEAK_RATE s, float32 [peaks].
        prediction: The prediction, once the recording has been processed.
        answer: The state, peaks and confidences as JSON, once the recording has been processed.
        size: Size of the uploaded file in bytes, until it has been decoded.
        place: Place in the queue of those that wait.
        is_long: Whether it is longer than SHORT_SECONDS.
        asked: Whether somebody has asked for it since its upload.
        used: Time of the last request, by the monotonic clock.
        discarded: Whether nobody waits for it any more.
    """

    id: str
    name: str
    file: Path
    decoded: Path
    copy: Path | None
    state: RecordingState = RecordingState.ARRIVING
    message: str = ""
    seconds: float = 0.0
    seconds_done: float = 0.0
    peaks: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros(0, np.float32))
    prediction: Prediction | None = None
    answer: bytes = b""
    size: int = 0
    place: int = 0
    is_long: bool = False
    asked: bool = False
    used: float = dataclasses.field(default_factory=time.monotonic)
    discarded: bool = False

    @property
    def finished(self) -> bool:
        """Whether processing has ended."""
        return self.state in (RecordingState.DONE, RecordingState.FAILED)

    def touch(self) -> None:
        """Record that the recording was used now."""
        self.used = time.monotonic()

    def remove_files(self) -> None:
        """Remove its files from the disk."""
        self.size = 0
        for path in (self.file, self.decoded, self.copy):
            if path is not None:
                path.unlink(missing_ok=True)


class _Lane:
    """Threads that process recordings: those for which somebody asks first, and then in the order of their uploads."""

    def __init__(self, count: int, name: str) -> None:
        self._workers = ThreadPoolExecutor(count, name)
        self._waiting: list[Recording] = []
        self._lock = threading.Lock()
        self._places = itertools.count()

    def submit(self, work: Callable[[Recording], None], recording: Recording) -> None:
        """Call ``work`` with a recording as soon as a thread is free."""
        recording.place, recording.state = next(self._places), RecordingState.WAITING
        with self._lock:
            if not recording.discarded:
                self._waiting.append(recording)
        self._workers.submit(self._work_on_next, work)

    def waiting(self) -> list[Recording]:
        """Return the recordings that wait, the next one first."""
        with self._lock:
            return sorted(self._waiting, key=_turn)

    def shutdown(self) -> None:
        """Wait for the threads; call this when all recordings are discarded."""
        self._workers.shutdown(cancel_futures=True)

    def remove(self, recording: Recording) -> None:
        """Remove a recording, if it waits."""
        with self._lock, contextlib.suppress(ValueError):
            self._waiting.remove(recording)

    def _work_on_next(self, work: Callable[[Recording], None]) -> None:
        with self._lock:
            recording = min(self._waiting, key=_turn, default=None)
            if recording is None:  # it was removed
                return
            self._waiting.remove(recording)
        work(recording)


def _worth(recording: Recording) -> tuple[int, float]:
    """Sort key of recordings that may be discarded, the least useful one first."""
    age = time.monotonic() - recording.used
    if age > _OPEN_SECONDS:
        tier = 0  # its page is closed
    elif not recording.asked and age > _ASK_SECONDS:
        tier = 1  # nobody asked for it
    elif recording.finished and age > _READ_SECONDS:
        tier = 2
    else:
        tier = 3
    return tier, recording.used


def _turn(recording: Recording) -> tuple[bool, int]:
    """Sort key of recordings that wait, the next one first."""
    return not recording.asked, recording.place


class Recordings:
    """All recordings of a server. Only the server's thread may call its methods; worker threads do the work."""

    def __init__(self, model_path: Path, limits: UploadLimits) -> None:
        """Load the model and warm it up with silence.

        Args:
            model_path: Folder of a run, or a ``.tflite`` file.
            limits: The limits.

        Raises:
            BundleError: The model is missing, damaged, or gives no timeline.
        """
        self.limits = limits
        self._recordings: dict[str, Recording] = {}
        num_workers = max(MIN_WORKERS, os.cpu_count() or 1)
        self._models: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for model in _load_models(model_path, num_workers):
            self._models.put(model)
        self.model_id = digest(model_path)
        num_long = min(num_workers - 1, os.cpu_count() or 1)  # so that a model is free for short recordings
        self._workers, self._long_workers = _Lane(num_workers, "predict"), _Lane(num_long, "predict-long")
        with self._model() as model:
            self.silence = model.predict(np.zeros(8000, np.float32), 8000)
            self._sample_rate = model.sample_rate
        max_seconds = _DECODING_SECONDS + limits.max_seconds / 10
        self._decoders = Decoders(num_workers, max_seconds)
        self._long_decoders = Decoders(num_long, max_seconds, is_long=True)
        _remove_left_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))  # readable only by this user
        self._lock = _lock(self._folder)

    def new(self, name: str, wants_copy: bool) -> Recording:
        """Create a recording whose upload begins.

        Args:
            name: Name of the file, as the browser states it.
            wants_copy: Whether to make a FLAC copy for the browser to play.

        Raises:
            TooManyRecordings: The maximum number of recordings is waiting or in progress.
        """
        self.discard_idle()
        self._make_room()
        key = secrets.token_urlsafe(16)
        path = self._folder / key
        copy = path.with_suffix(".flac") if wants_copy else None
        recording = Recording(key, _plain(name), path, path.with_suffix(".wav"), copy)
        self._recordings[key] = recording
        return recording

    def has_room(self) -> bool:
        """Return whether the files of all uploads together are small enough for more."""
        return sum(each.size for each in self._recordings.values()) < self.limits.max_files * self.limits.max_bytes

    def predict(self, recording: Recording) -> None:
        """Process an uploaded recording as soon as a worker is free."""
        self._workers.submit(self._work, recording)

    def find(self, key: str) -> Recording | None:
        """Return the recording with an id and record its use; None if there is none, or it was discarded."""
        self.discard_idle()
        recording = self._recordings.get(key)
        if recording is not None:
            recording.touch()
            recording.asked = True
        return recording

    def ahead_of(self, recording: Recording) -> int:
        """Return the number of recordings that wait before this one."""
        waiting = (self._long_workers if recording.is_long else self._workers).waiting()
        return waiting.index(recording) if recording in waiting else 0

    def _make_room(self) -> None:
        """Discard a recording if there are too many: a finished one, or one for which nobody asks.

        Raises:
            TooManyRecordings: Somebody waits for each of them, or the files of those that wait are too large.
        """
        kept = [each for each in self._recordings.values() if each.state is not RecordingState.ARRIVING]
        if len(kept) >= self.limits.max_recordings:
            finished = [each for each in kept if each.finished]
            ignored = [each for each in kept if each.state is RecordingState.WAITING and _worth(each)[0] < 2]
            if not finished + ignored:
                raise TooManyRecordings("Too many recordings are being processed. Try again in a minute.")
            self.discard(min(finished + ignored, key=_worth))
        if not self.has_room():
            raise TooManyRecordings("Too many large recordings are being processed. Try again in a minute.")

    def discard(self, recording: Recording) -> None:
        """Discard a recording with its files, and end the work on it."""
        recording.discarded = True
        self._recordings.pop(recording.id, None)
        self._workers.remove(recording)
        self._long_workers.remove(recording)
        if recording.state is RecordingState.WAITING:
            recording.state = RecordingState.FAILED
        recording.remove_files()

    def discard_idle(self) -> None:
        """Discard the recordings that have not been used for a long time."""
        oldest = time.monotonic() - self.limits.idle_seconds
        for recording in [each for each in self._recordings.values() if each.used < oldest]:
            self.discard(recording)

    def close(self) -> None:
        """Discard everything, wait for the workers, and leave nothing on disk."""
        for recording in list(self._recordings.values()):
            self.discard(recording)
        self._workers.shutdown()
        self._long_workers.shutdown()
        self._decoders.close()
        self._long_decoders.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def _model(self) -> Iterator[Model]:
        model = self._models.get()
        try:
            yield model
        finally:
            self._models.put(model)

    def _work(self, recording: Recording) -> None:
        """Process a recording in a worker thread. Every error becomes a message for the page."""
        outcome = RecordingState.FAILED
        try:
            self._read(recording)
            recording.state = RecordingState.PREDICTING
            with self._model() as model:
                prediction = model.predict(recording.decoded, progress=_progress_of(recording))
            recording.prediction = dataclasses.replace(prediction, path=recording.name, title=recording.name)
            recording.answer = _describe(recording.prediction, recording.peaks)
            outcome = RecordingState.DONE
        except TooLongError as error:
            if recording.is_long or self.limits.max_seconds <= SHORT_SECONDS:
                recording.message = f"“{recording.name}” cannot be processed: {error}."
            else:
                outcome, recording.is_long = RecordingState.WAITING, True
        except _Discarded:
            pass
        except MirTfError as error:
            cause = str(error).removeprefix(f"{recording.file}: ")
            recording.message = f"“{recording.name}” cannot be processed: {cause}."
            if "not audio" in cause:
                recording.message = (
                    f"“{recording.name}” is not a recording, or is damaged, or has a format that is not supported. "
                    "Try mp3, m4a, wav or flac."
                )
        except Exception:
            recording.message = f"“{recording.name}” could not be processed: something went wrong on this machine."
            logging.getLogger(__name__).exception("A recording could not be processed")
        finally:
            if outcome is RecordingState.WAITING and not recording.discarded:
                self._long_workers.submit(self._work, recording)
            else:
                self._finish(recording, outcome)

    def _finish(self, recording: Recording, outcome: RecordingState) -> None:
        recording.file.unlink(missing_ok=True)
        recording.decoded.unlink(missing_ok=True)
        recording.size = 0
        if recording.discarded or outcome is RecordingState.FAILED:
            recording.remove_files()
        recording.state = outcome  # last: who sees it finds no file of a failed recording

    def _read(self, recording: Recording) -> None:
        """Decode a recording, measure its length and, if requested, write a copy to play.

        Raises:
            TooLongError: It is too long, perhaps only for the threads of short recordings.
            AudioError: It cannot be decoded, or a file cannot be written.
        """
        recording.state = RecordingState.READING
        seconds = self.limits.max_seconds if recording.is_long else min(SHORT_SECONDS, self.limits.max_seconds)
        upload = Upload(recording.file, recording.decoded, self._sample_rate, recording.copy, seconds)
        decoders = self._long_decoders if recording.is_long else self._decoders
        peaks = decoders.decode(upload, lambda: recording.discarded)
        if peaks is None:
            raise _Discarded
        recording.file.unlink(missing_ok=True)
        recording.size = 0
        recording.peaks = peaks
        recording.seconds = len(peaks) / PEAK_RATE


def _describe(prediction: Prediction, peaks: NDArray[np.float32]) -> bytes:
    """Return the length, waveform and confidences for the page, as JSON."""
    confidences = [None if math.isnan(value) else value for value in prediction.confidence.tolist()]
    content = {
        "seconds": prediction.seconds,
        "peaks": peaks.round(3).astype(float).round(3).tolist(),
        "confidences": confidences,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _remove_left_folders() -> None:
    """Remove the folders of apps that were killed: those of this user that no process has locked."""
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if not is_own or time.time() - status.st_mtime < _NEW_SECONDS:  # a new one may not be locked yet
                continue
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until this process ends, however it ends; return the lock, or None if another process has it."""
    if fcntl is None:  # Windows
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also on file systems without locks
        os.close(descriptor)
        return None
    return descriptor


def _load_models(path: Path, count: int) -> Sequence[Model]:
    """Return a model for each of ``count`` threads.

    A LiteRT interpreter serves one thread at a time, so each thread gets its own. All threads share a Keras model,
    which is a traced function that only reads its variables.
    """
    if path.is_file():
        return [load(path, threads=1) for _ in range(count)]
    return [load(path)] * count


def _progress_of(recording: Recording) -> Callable[[float], None]:
    """Return a progress callback for a recording, which also ends the work on a discarded one."""

    def progress(seconds: float) -> None:
        if recording.discarded:
            raise _Discarded
        recording.seconds_done = seconds

    return progress


def _plain(name: str) -> str:
    """Return a file name from a browser without folders and control characters, and of limited length."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(character for character in last if character.isprintable()).strip()
    if len(plain) > _MAX_NAME:
        suffix = Path(plain).suffix[:12]
        plain = f"{plain[: _MAX_NAME - 1 - len(suffix)]}…{suffix}"
    return plain or "recording"
