"""The decoding of uploads, in processes of their own.

Decoders are large C libraries, and an upload may be malformed on purpose. If one crashes, hangs or takes all memory,
its process ends and is replaced; the server goes on. ``mir-tf predict`` and Python decode in their own process: there,
people read their own files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import soundfile
from anyio import BrokenWorkerProcess, to_process
from anyio.from_thread import start_blocking_portal
from numpy.typing import NDArray

from mir_tf.errors import AudioError
from mir_tf.io.audio import read_at_rates

PEAK_RATE = 50
"""Peaks of the waveform per second."""

_WAVEFORM_RATE = 44100
"""Sample rate in Hz of the copy to play and of the waveform."""

_POLL_SECONDS = 0.1

_REMEDY = "the file may be damaged: convert it to flac or mp3"


class TooLongError(AudioError):
    """An upload is longer than the maximum length."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """An upload to decode.

    Attributes:
        file: The uploaded file.
        decoded: File to write: mono audio at ``sample_rate``, as wav, which the server may read itself.
        sample_rate: Sample rate of the model in Hz.
        copy: FLAC file to write for browsers that cannot play the upload; None writes none.
        max_seconds: Maximum length of the audio.
    """

    file: Path
    decoded: Path
    sample_rate: int
    copy: Path | None
    max_seconds: float


class Decoders:
    """Processes that decode uploads. They start when needed, stay for the next upload, and are replaced if they die."""

    def __init__(self, count: int, max_seconds: float, is_long: bool = False) -> None:
        """Start the first process, in the background, unless they are for long recordings.

        Args:
            count: Maximum number of processes.
            max_seconds: Maximum time for an upload.
            is_long: Whether they decode long recordings, at a lower priority.
        """
        self._max_seconds, self._niceness = max_seconds, 10 if is_long else 0
        self._stack = contextlib.ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._limiter = self._portal.call(anyio.CapacityLimiter, count)
        if not is_long:
            self._portal.start_task_soon(self._run, threading.Event(), _warm_up)

    def decode(self, upload: Upload, is_discarded: Callable[[], bool]) -> NDArray[np.float32] | None:
        """Run :func:`decode` in a process; call this from any thread.

        Args:
            upload: The upload.
            is_discarded: Whether nobody waits for it any more; the process is then ended.

        Returns:
            The waveform of :func:`decode`, or None if the upload was discarded.

        Raises:
            AudioError: See :func:`decode`; or the process died, or took too long.
        """
        ended = threading.Event()
        work = self._portal.start_task_soon(self._run, ended, decode, upload)
        while not wait([work], timeout=_POLL_SECONDS).done:
            if is_discarded():
                work.cancel()
                ended.wait()  # until then, the process may write files
                return None
        try:
            peaks: NDArray[np.float32] = work.result()
        except TimeoutError:
            raise AudioError(f"decoding it takes longer than {self._max_seconds:.0f} s; {_REMEDY}") from None
        except (BrokenWorkerProcess, MemoryError):
            raise AudioError(f"the process that decodes it crashed or ran out of memory; {_REMEDY}") from None
        return peaks

    def close(self) -> None:
        """End the processes."""
        self._stack.close()

    async def _run(self, ended: threading.Event, work: Callable[..., Any], *arguments: object) -> Any:
        """Run a function in a process, and set ``ended`` when it has returned or the process is dead."""
        try:
            with anyio.fail_after(self._max_seconds):
                return await to_process.run_sync(
                    _in_process, self._niceness, work, *arguments, cancellable=True, limiter=self._limiter
                )
        finally:
            ended.set()


def decode(upload: Upload) -> NDArray[np.float32]:
    """Decode an upload and write its files.

    Returns:
        The waveform: the greatest magnitude in each 1 / PEAK_RATE s, float32 [peaks].

    Raises:
        TooLongError: It is too long.
        AudioError: It cannot be decoded, or a file cannot be written.
    """
    meter, num_samples = _PeakMeter(), 0
    with contextlib.ExitStack() as stack:
        decoded = stack.enter_context(_create(upload.decoded, upload.sample_rate, "WAV"))
        copy = None
        if upload.copy is not None:
            copy = stack.enter_context(_create(upload.copy, _WAVEFORM_RATE, "FLAC"))
        for for_model, for_people in read_at_rates(upload.file, (upload.sample_rate, _WAVEFORM_RATE)):
            num_samples += len(for_people)
            if num_samples > upload.max_seconds * _WAVEFORM_RATE:
                raise TooLongError(f"it is longer than {upload.max_seconds / 60:g} minutes")
            decoded.write(for_model)
            meter.add(for_people)
            if copy is not None:
                copy.write(np.clip(for_people, -1, 1))
    return meter.peaks()


@contextlib.contextmanager
def _create(path: Path, sample_rate: int, form: str) -> Iterator[soundfile.SoundFile]:
    """Open a new mono file: FLAC for a browser, or WAV in floating-point.

    Raises:
        AudioError: It cannot be written.
    """
    try:
        subtype = "FLOAT" if form == "WAV" else "PCM_16"
        with soundfile.SoundFile(path, "w", sample_rate, 1, subtype, format=form) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise AudioError(f"the decoded audio cannot be written ({error}); is this machine's disk full?") from None


class _PeakMeter:
    """Computes the waveform: the greatest magnitude in each 1 / PEAK_RATE s."""

    _SAMPLES = _WAVEFORM_RATE // PEAK_RATE

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._peaks: list[NDArray[np.float32]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Add the next samples, float32 [samples]."""
        samples = np.concatenate([self._rest, np.abs(block)])
        whole = len(samples) // self._SAMPLES * self._SAMPLES
        self._peaks.append(samples[:whole].reshape(-1, self._SAMPLES).max(axis=1))
        self._rest = samples[whole:]

    def peaks(self) -> NDArray[np.float32]:
        """Return the peaks, float32 [peaks]; at least one."""
        rest = [self._rest.max(keepdims=True)] if len(self._rest) else []
        return np.concatenate([*self._peaks, *rest])


def _in_process(niceness: int, work: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and that its processes
    if hasattr(os, "nice"):
        os.nice(max(0, niceness - os.nice(0)))
    _silence_stderr()
    with contextlib.suppress(OSError):  # Linux alone: if memory runs out, this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    return work(*arguments)


def _silence_stderr() -> None:
    """Discard messages of C libraries: nobody reads the pipe, so a full one would stop the process."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _warm_up() -> None:
    """Load the libraries."""
    import mir_tf.io.ffmpeg  # noqa: F401
