"""What people give the app: every recording is heard in a worker thread, kept while its page uses it, and then gone.

Nothing here trusts what comes from a browser: files are named by random ids, decoded in blocks, and given up as soon as
they turn out longer than they may be, whatever their headers say.
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
import soundfile
from numpy.typing import NDArray

from mir_tf.errors import AudioError, MirTfError
from mir_tf.inference.prediction import Prediction
from mir_tf.io.audio import read_blocks
from mir_tf.loading import Model, digest, load

LEAST_AT_ONCE = 4
"""Recordings that are heard at the same time, also where cores are fewer: a short one need not wait for a long one."""

PEAK_RATE = 50
"""Peaks of the waveform a second."""

_WAVEFORM_RATE = 44100
"""Hz of the copy that is played and of the waveform that is drawn."""


class State(enum.Enum):
    """How far a recording is."""

    ARRIVING = "arriving"
    WAITING = "waiting"
    READING = "reading"
    HEARING = "hearing"
    HEARD = "heard"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one recording, and all of them, may take.

    Attributes:
        max_bytes: of a file.
        max_seconds: of audio.
        max_recordings: that are kept at once; the one unused for longest goes first.
        idle_seconds: without a request after which a recording is forgotten.
    """

    max_bytes: int
    max_seconds: float
    max_recordings: int = 64
    idle_seconds: float = 3600.0


class TooManyRecordings(MirTfError):
    """As many recordings wait or are being heard as may be kept."""


class _Discarded(Exception):  # no error: ends the work for a recording that nobody waits for
    """The recording was discarded while it was being heard."""


@dataclasses.dataclass(eq=False)
class Recording:
    """One recording and what has been found in it. Written by one thread at a time, read by any.

    Attributes:
        id: by which its owner asks for it; nobody can guess it.
        name: that the browser stated, for people: no path.
        file: where its bytes lie until it has been heard.
        copy: where a FLAC that every browser plays is to lie; None where none was asked for.
        state: how far it is.
        message: what is wrong, for people, where it has failed.
        seconds: of audio, as soon as it has been read.
        heard_seconds: of them, those that the model has been given.
        peaks: float32 [peaks], the greatest magnitude in each 1 / PEAK_RATE s.
        prediction: once it has been heard.
    """

    id: str
    name: str
    file: Path
    copy: Path | None
    state: State = State.ARRIVING
    message: str = ""
    seconds: float = 0.0
    heard_seconds: float = 0.0
    peaks: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros(0, np.float32))
    prediction: Prediction | None = None
    used: float = dataclasses.field(default_factory=time.monotonic)
    discarded: bool = False

    @property
    def finished(self) -> bool:
        """Whether no worker has it or will have it."""
        return self.state in (State.HEARD, State.FAILED)

    def touch(self) -> None:
        """Begins the time of use anew."""
        self.used = time.monotonic()

    def remove_files(self) -> None:
        """Removes what lies on disk."""
        for path in (self.file, self.copy):
            if path is not None:
                path.unlink(missing_ok=True)


class Recordings:
    """All recordings of a server. Its methods are called by one thread, the server's; the work is done by others."""

    def __init__(self, model_path: Path, limits: Limits) -> None:
        """Loads the model and hears silence with it, so that the first recording need not wait for it.

        Args:
            model_path: a run's folder or a ``.tflite`` file.
            limits: see :class:`Limits`.

        Raises:
            BundleError: the model is missing, damaged, or gives no timeline.
        """
        self.limits = limits
        self._recordings: dict[str, Recording] = {}
        at_once = max(LEAST_AT_ONCE, os.cpu_count() or 1)
        self._models: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for model in _models(model_path, at_once):
            self._models.put(model)
        self.model_id = digest(model_path)
        self._workers = ThreadPoolExecutor(at_once, "hearing")
        with self._model() as model:
            self.silence = model.predict(np.zeros(8000, np.float32), 8000)
        self._folder = Path(tempfile.mkdtemp(prefix="mir-tf-app-"))  # readable by this user only

    def new(self, name: str, wants_copy: bool) -> Recording:
        """A place for a recording whose bytes arrive.

        Args:
            name: of the file, as the browser states it.
            wants_copy: whether a FLAC is to be made for the browser to play.

        Raises:
            TooManyRecordings: all that are kept are still to be heard.
        """
        self.forget_idle()
        if len(self._recordings) >= self.limits.max_recordings:
            finished = [each for each in self._recordings.values() if each.finished]
            if not finished:
                raise TooManyRecordings("Too many recordings are being heard. Try again in a minute.")
            self.discard(min(finished, key=lambda each: each.used))
        key = secrets.token_urlsafe(16)
        recording = Recording(
            key, _plain(name), self._folder / key, self._folder / f"{key}.flac" if wants_copy else None
        )
        self._recordings[key] = recording
        return recording

    def hear(self, recording: Recording) -> None:
        """Has a recording heard whose bytes have arrived, as soon as a worker is free."""
        recording.state = State.WAITING
        if recording.id in self._recordings:  # last in the queue, whenever its upload began
            self._recordings[recording.id] = self._recordings.pop(recording.id)
        self._workers.submit(self._work, recording)

    def find(self, key: str) -> Recording | None:
        """The recording of an id, whose time of use begins anew; None where there is none, or none any more."""
        self.forget_idle()
        recording = self._recordings.get(key)
        if recording is not None:
            recording.touch()
        return recording

    def ahead_of(self, recording: Recording) -> int:
        """How many recordings wait before this one."""
        waiting = [each for each in self._recordings.values() if each.state is State.WAITING]
        return waiting.index(recording) if recording in waiting else 0

    def discard(self, recording: Recording) -> None:
        """Forgets a recording and removes its files; work for it ends."""
        recording.discarded = True
        self._recordings.pop(recording.id, None)
        recording.remove_files()

    def forget_idle(self) -> None:
        """Forgets the recordings that nobody has asked for in a long time."""
        oldest = time.monotonic() - self.limits.idle_seconds
        for recording in [each for each in self._recordings.values() if each.used < oldest]:
            self.discard(recording)

    def close(self) -> None:
        """Forgets everything, once no worker works any more, and leaves nothing on disk."""
        for recording in list(self._recordings.values()):
            self.discard(recording)
        self._workers.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _model(self) -> Iterator[Model]:
        model = self._models.get()
        try:
            yield model
        finally:
            self._models.put(model)

    def _work(self, recording: Recording) -> None:
        """All that is done with a recording, in a worker thread. Nothing escapes: the page is told what is wrong."""
        try:
            self._read(recording)
            recording.state = State.HEARING
            with self._model() as model:
                prediction = model.predict(recording.file, progress=_progress_of(recording))
            recording.prediction = dataclasses.replace(prediction, path=recording.name)
            recording.state = State.HEARD
        except _Discarded:
            recording.state = State.FAILED
        except MirTfError as error:
            cause = str(error).removeprefix(f"{recording.file}: ")
            recording.message = f"“{recording.name}” cannot be heard: {cause}."
            if "not audio" in cause:
                recording.message = (
                    f"“{recording.name}” is no recording, or of a kind that cannot be read, as m4a, aac and wma. "
                    "Try wav, flac, mp3, ogg or aiff."
                )
            recording.state = State.FAILED
        except Exception:
            recording.message = f"“{recording.name}” could not be heard: something went wrong on this machine."
            recording.state = State.FAILED
            logging.getLogger(__name__).exception("A recording could not be heard")
        finally:
            recording.file.unlink(missing_ok=True)
            if recording.discarded or recording.state is State.FAILED:
                recording.remove_files()

    def _read(self, recording: Recording) -> None:
        """Decodes a recording once: its true length, its waveform and, where one is wanted, a copy to play.

        Raises:
            AudioError: it cannot be decoded, or lasts longer than it may; or the copy cannot be written.
        """
        recording.state = State.READING
        meter, num_samples = _PeakMeter(), 0
        with contextlib.nullcontext() if recording.copy is None else _copy_into(recording.copy) as copy:
            for block in read_blocks(recording.file, _WAVEFORM_RATE):
                if recording.discarded:
                    raise _Discarded
                num_samples += len(block)
                if num_samples > self.limits.max_seconds * _WAVEFORM_RATE:
                    raise AudioError(f"it lasts longer than {self.limits.max_seconds / 60:g} minutes")
                meter.add(block)
                if copy is not None:
                    copy.write(np.clip(block, -1, 1))
        recording.peaks = meter.peaks()
        recording.seconds = num_samples / _WAVEFORM_RATE


@contextlib.contextmanager
def _copy_into(path: Path) -> Iterator[soundfile.SoundFile]:
    """A new FLAC for the browser to play.

    Raises:
        AudioError: it cannot be written.
    """
    try:
        with soundfile.SoundFile(path, "w", _WAVEFORM_RATE, 1, "PCM_16", format="FLAC") as copy:
            yield copy
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"the copy that the browser is to play cannot be written ({error}); is this machine's disk full?"
        ) from error


class _PeakMeter:
    """The waveform as the greatest magnitude in each 1 / PEAK_RATE s."""

    _SAMPLES = _WAVEFORM_RATE // PEAK_RATE

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._peaks: list[NDArray[np.float32]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Takes the next samples [samples]."""
        samples = np.concatenate([self._rest, np.abs(block)])
        whole = len(samples) // self._SAMPLES * self._SAMPLES
        self._peaks.append(samples[:whole].reshape(-1, self._SAMPLES).max(axis=1))
        self._rest = samples[whole:]

    def peaks(self) -> NDArray[np.float32]:
        """Float32 [peaks], at least one."""
        rest = [self._rest.max(keepdims=True)] if len(self._rest) else []
        return np.concatenate([*self._peaks, *rest])


def _models(path: Path, count: int) -> Sequence[Model]:
    """What ``count`` threads hear with at once.

    An interpreter of LiteRT serves one thread at a time: each has its own. Keras' model serves all: it is a traced
    function, which only reads its variables.
    """
    if path.is_file():
        return [load(path, threads=1) for _ in range(count)]
    return [load(path)] * count


def _progress_of(recording: Recording) -> Callable[[float], None]:
    def progress(seconds: float) -> None:
        if recording.discarded:
            raise _Discarded
        recording.heard_seconds = seconds

    return progress


def _plain(name: str) -> str:
    """A name that a browser stated, as people may see it: no folders, no control characters, of bounded length."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable()).strip()[-120:] or "recording"
