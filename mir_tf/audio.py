"""The only decoding, downmixing and resampling: what libsndfile reads becomes blocks of mono samples."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from mir_tf.errors import AudioError


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        num_samples: samples in each channel; an estimate for mp3.
    """

    sample_rate: int
    channels: int
    num_samples: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """Reads the header of an audio file.

    Raises:
        AudioError: the file is missing, not audio, or holds no samples.
    """
    with _open(path) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames)


def read_blocks(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    seconds: float | None = None,
    block_seconds: float = 10.0,
) -> Iterator[NDArray[np.float32]]:
    """Decodes a file as mono at ``sample_rate``, in bounded memory.

    The channels are averaged. A segment of n samples gives n * ``sample_rate`` / (rate of the file) samples,
    rounded half up; what lies outside of the segment has no influence on it.

    Args:
        path: any file that libsndfile reads: wav, flac, mp3, ogg, ...
        sample_rate: Hz wanted.
        start: seconds before the segment.
        seconds: length of the segment; None reads to the end of the file.
        block_seconds: length of the pieces that are decoded at once.

    Yields:
        float32 [samples], never empty, of varying lengths.

    Raises:
        AudioError: the file is missing, not audio, damaged, shorter than its header or the segment says,
            holds a value that is not finite, or too little to give one sample.
    """
    num_given = 0
    with _open(path) as file:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1)
        for block in _decode(file, path, start, seconds, block_seconds):
            resampled = resampler.resample_chunk(block)  # [samples]
            if len(resampled):
                num_given += len(resampled)
                yield resampled
    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if len(rest):
        yield rest
    elif not num_given:
        raise AudioError(f"{path}: too short: it gives no sample at {sample_rate} Hz")


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Opens an audio file that holds at least one sample; whatever libsndfile says becomes an AudioError."""
    try:
        # libsndfile's own words for a missing file, a folder and a file that is not audio are all alike.
        Path(path).open("rb").close()
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError):  # TypeError: .raw, which has no header
        raise AudioError(f"{path}: not audio, or of a format that libsndfile does not read") from None
    with file:
        if not file.frames:
            raise AudioError(f"{path}: holds no samples")
        yield file


def _decode(
    file: soundfile.SoundFile, path: str | Path, start: float, seconds: float | None, block_seconds: float
) -> Iterator[NDArray[np.float32]]:
    """Mono blocks [samples] of a segment at the file's own rate, checked for damage."""
    rate = file.samplerate
    first = round(start * rate)
    wanted = file.frames - first if seconds is None else round(seconds * rate)
    if first + wanted > file.frames or wanted <= 0:
        raise AudioError(f"{path}: lasts {file.frames / rate:.3f} s; nothing to read from {start:.3f} s on")
    position = first
    try:
        if first:  # some formats cannot seek, but can be read from their beginning
            file.seek(first)
        while position < first + wanted:
            size = min(round(block_seconds * rate), first + wanted - position)
            samples = file.read(size, dtype="float32", always_2d=True)  # [samples, channels]
            if not len(samples):
                break  # the header of an mp3 only estimates its length; a cut flac fails instead
            if not np.isfinite(samples).all():
                raise AudioError(f"{path}: holds NaN or infinity, after {position / rate:.1f} s")
            position += len(samples)
            yield samples.mean(axis=1)  # [samples]
    except soundfile.SoundFileError as error:
        cause = str(error).removeprefix("Error : ").rstrip(".")
        raise AudioError(f"{path}: damaged or cut off after {position / rate:.1f} s ({cause})") from None
