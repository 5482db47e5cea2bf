"""The recordings that people upload: each is processed in a worker thread and kept while its page uses it.

Nothing here trusts the browser: files are named by random ids, decoded in processes of their own, and rejected as soon
as they exceed the maximum length, whatever their headers state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import logging
import os
import queue
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.app.decoding import PEAK_RATE, Decoders, Upload
from mir_tf.errors import MirTfError
from mir_tf.inference.model import Model
from mir_tf.inference.prediction import Prediction
from mir_tf.loading import digest, load

MIN_WORKERS = 4
"""Minimum number of recordings processed at once, even with fewer cores, so that short ones overtake long ones."""

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
        max_recordings: Maximum number of recordings to keep; the least recently used one is discarded first.
        idle_seconds: Time without a request after which a recording is discarded.
    """

    max_bytes: int
    max_seconds: float
    max_recordings: int = 64
    idle_seconds: float = 3600.0


class TooManyRecordings(MirTfError):
    """The maximum number of recordings is waiting or in progress."""


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
        for path in (self.file, self.decoded, self.copy):
            if path is not None:
                path.unlink(missing_ok=True)


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
        self._workers = ThreadPoolExecutor(num_workers, "predict")
        with self._model() as model:
            self.silence = model.predict(np.zeros(8000, np.float32), 8000)
            self._sample_rate = model.sample_rate
        self._decoders = Decoders(num_workers, _DECODING_SECONDS + limits.max_seconds / 10)  # after the model's errors
        self._folder = Path(tempfile.mkdtemp(prefix="mir-tf-app-"))  # readable only by this user

    def new(self, name: str, wants_copy: bool) -> Recording:
        """Create a recording whose upload begins.

        Args:
            name: Name of the file, as the browser states it.
            wants_copy: Whether to make a FLAC copy for the browser to play.

        Raises:
            TooManyRecordings: The maximum number of recordings is waiting or in progress.
        """
        self.discard_idle()
        if len(self._recordings) >= self.limits.max_recordings:
            finished = [each for each in self._recordings.values() if each.finished]
            if not finished:
                raise TooManyRecordings("Too many recordings are being processed. Try again in a minute.")
            self.discard(min(finished, key=lambda each: each.used))
        key = secrets.token_urlsafe(16)
        path = self._folder / key
        copy = path.with_suffix(".flac") if wants_copy else None
        recording = Recording(key, _plain(name), path, path.with_suffix(".wav"), copy)
        self._recordings[key] = recording
        return recording

    def predict(self, recording: Recording) -> None:
        """Process an uploaded recording as soon as a worker is free."""
        recording.state = RecordingState.WAITING
        if recording.id in self._recordings:  # to the end of the queue, whenever its upload began
            self._recordings[recording.id] = self._recordings.pop(recording.id)
        self._workers.submit(self._work, recording)

    def find(self, key: str) -> Recording | None:
        """Return the recording with an id and record its use; None if there is none, or it was discarded."""
        self.discard_idle()
        recording = self._recordings.get(key)
        if recording is not None:
            recording.touch()
        return recording

    def ahead_of(self, recording: Recording) -> int:
        """Return the number of recordings that wait before this one."""
        waiting = [each for each in self._recordings.values() if each.state is RecordingState.WAITING]
        return waiting.index(recording) if recording in waiting else 0

    def discard(self, recording: Recording) -> None:
        """Discard a recording with its files, and end the work on it."""
        recording.discarded = True
        self._recordings.pop(recording.id, None)
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
        self._workers.shutdown(cancel_futures=True)
        self._decoders.close()
        shutil.rmtree(self._folder, ignore_errors=True)

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
            recording.prediction = dataclasses.replace(prediction, path=recording.name)
            outcome = RecordingState.DONE
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
            recording.file.unlink(missing_ok=True)
            recording.decoded.unlink(missing_ok=True)
            if recording.discarded or outcome is RecordingState.FAILED:
                recording.remove_files()
            recording.state = outcome  # last: who sees it finds no file of a failed recording

    def _read(self, recording: Recording) -> None:
        """Decode a recording, measure its length and, if requested, write a copy to play.

        Raises:
            AudioError: It cannot be decoded, or is too long, or a file cannot be written.
        """
        recording.state = RecordingState.READING
        upload = Upload(recording.file, recording.decoded, self._sample_rate, recording.copy, self.limits.max_seconds)
        peaks = self._decoders.decode(upload, lambda: recording.discarded)
        if peaks is None:
            raise _Discarded
        recording.file.unlink(missing_ok=True)
        recording.peaks = peaks
        recording.seconds = len(peaks) / PEAK_RATE


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
    return "".join(character for character in last if character.isprintable()).strip()[-120:] or "recording"
