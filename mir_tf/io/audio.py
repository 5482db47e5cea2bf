"""The only decoding, downmixing and resampling: what libsndfile reads becomes blocks of mono samples."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.files import as_path

SUFFIXES = frozenset(
    ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .nist .sph .ircam .sf".split()
)
"""Of files that libsndfile reads and that state what they are, in small letters: what is looked for in folders."""

OTHER_SUFFIXES = frozenset(
    ".m4a .m4b .mp4 .m4v .aac .alac .wma .wv .ape .ac3 .amr .mka .mkv .webm .weba .mov .avi".split()
)
"""Of recordings that it does not read: looked for too, so that nobody takes them for heard."""

SAMPLE_RATES = (1_000, 768_000)
"""The lowest and the highest in Hz: another one is a mistake, or of a damaged header."""

_LOUDEST = 1000.0
"""Most that a sample may be, 60 dB above full scale: beyond are integers that were taken for floating-point."""

_BLOCK_SECONDS = 10.0

_BLOCK_VALUES = 2**22
"""Samples of all channels together, at most, that a block has: a small file may state hundreds of channels."""

_UNKNOWN = 2**63 - 1
"""Length that libsndfile reports where a header states none: SF_COUNT_MAX."""

_MOST_HEADER = 4096
"""Bytes of a wav beyond which some must be sound."""

_STREAMED = 2**31 - 2**16
"""RIFF sizes from here on are the placeholders of programs that wrote to a pipe."""

MOST_CHANNELS = 64
"""More are taken for an array whose axes are the other way round."""

RESAMPLER_SAMPLES = 1500
"""Samples, at the lower of its two rates, that soxr holds back at most at usual rates (measured: 1400)."""


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        sample_rate: Hz.
        num_samples: samples in each channel; an estimate for mp3.
    """

    sample_rate: int
    num_samples: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """Reads the header of an audio file; one that states no length, as of a streamed flac, is decoded and counted.

    Raises:
        AudioError: the file is missing, not audio, cut off, or holds no samples.
    """
    with _open(path) as (file, raw):
        count = file.frames
        if count == _UNKNOWN:
            count = sum(map(len, _decode(file, raw, path, 0.0, None, _BLOCK_SECONDS)))
        return AudioInfo(file.samplerate, count)


def read_blocks(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    seconds: float | None = None,
    block_seconds: float = _BLOCK_SECONDS,
) -> Iterator[NDArray[np.float32]]:
    """Decodes a file as mono at ``sample_rate``, in bounded memory.

    The channels are averaged. A segment of n samples gives n * ``sample_rate`` / (rate of the file) samples,
    rounded half up; what lies outside of the segment has no influence on it.

    A file that was cut off is refused where its header states its length: flac and wav, unless they were written
    to a pipe. The length of an mp3 is an estimate and that of an ogg is measured: of these, whatever is there is read.

    Args:
        path: any file that libsndfile reads: wav, flac, mp3, ogg, ...
        sample_rate: Hz wanted.
        start: seconds before the segment.
        seconds: length of the segment; None reads to the end of the file.
        block_seconds: length of the pieces that are decoded at once.

    Yields:
        float32 [samples], never empty, of varying lengths.

    Raises:
        AudioError: the file is missing, not audio, damaged, cut off (see above), shorter than the segment; its
            header states a rate outside of :data:`SAMPLE_RATES`; it holds a value that is not finite or beyond 1000,
            or too little to give one sample; it is an mp3 that goes on where libsndfile believes it to end.
    """
    num_given = 0
    with _open(path) as (file, raw):
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1)
        for block in _decode(file, raw, path, start, seconds, block_seconds):
            resampled = resampler.resample_chunk(block)  # [samples]
            if len(resampled):
                num_given += len(resampled)
                yield resampled
    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if len(rest):
        yield rest
    elif not num_given:
        raise AudioError(f"{path}: too short: it gives no sample at {sample_rate} Hz")


def find_invalid_rate(rate: float) -> str | None:
    """What is wrong with a sample rate in Hz, in words; None if nothing is."""
    lowest, highest = SAMPLE_RATES
    return None if lowest <= rate <= highest else f"sample rate {rate}: it must be between {lowest} and {highest} Hz"


def find_invalid_sample(samples: NDArray[np.float32], rate: float, start: float) -> str | None:
    """What is wrong with the values of samples, in words; None if nothing is.

    Args:
        samples: float32 [samples] or [samples, channels].
        rate: of the samples in Hz.
        start: seconds before them.
    """
    peaks = np.abs(samples)
    if peaks.max(initial=0.0) <= _LOUDEST:  # NaN if there is one
        return None
    first, *_ = np.argwhere(~(peaks <= _LOUDEST))[0]
    peak, when = peaks[first].max(), f"after {start + first / rate:.1f} s"
    if not np.isfinite(peak):
        return f"holds NaN or infinity, {when}"
    hint = "where full scale is 1 (integers of 16 bits are to be divided by 32768)"
    return f"holds a sample of {peak:g}, {when}, {hint}"


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read on and on: soundfile's own seeks after every read, in vain where no length is stated."""

    def seekable(self) -> bool:
        """What makes soundfile seek."""
        return False


class _Source:
    """What libsndfile reads from. It takes an error for the end of the file: the error is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file
        self.error: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except OSError as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[tuple[_SoundFile, BinaryIO]]:
    """Opens an audio file that holds at least one sample; whatever libsndfile says becomes an AudioError.

    Yields:
        The decoder, and the file that it reads from.

    Raises:
        OSError: reading the file failed where it had been opened: the disk or the network is at fault.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(as_path(path).open("rb"))
            _require_whole_wav(raw, path)
            source = _Source(raw)
            file = stack.enter_context(_SoundFile(source, "r"))
        except OSError as error:
            raise AudioError(f"{path}: cannot be opened: {error.strerror or error}") from None
        except (soundfile.SoundFileError, TypeError):  # TypeError: .raw, which has no header
            if source.error is not None:
                raise source.error from None
            if not raw.seek(0, os.SEEK_END):
                raise AudioError(f"{path}: holds nothing: 0 bytes") from None
            raise AudioError(
                f"{path}: not audio, or of a format that libsndfile does not read, as m4a, aac and wma "
                "(ffmpeg -i song.m4a song.wav converts one)"
            ) from None
        if not file.frames:
            hint = ""
            if file.format in ("WAV", "WAVEX") and raw.seek(0, os.SEEK_END) > _MOST_HEADER:
                hint = (
                    ": its header states no length, as where the program that wrote it was stopped; as a stream it is "
                    "heard: mir-tf listen < FILE"
                )
            raise AudioError(f"{path}: holds no samples{hint}")
        if fault := find_invalid_rate(file.samplerate):
            raise AudioError(f"{path}: {fault}")
        try:
            yield file, raw
        except AudioError:
            if source.error is None:
                raise
        if source.error is not None:
            raise source.error


def _require_whole_wav(raw: BinaryIO, path: str | Path) -> None:
    """Refuses a wav that ends before its header says so: libsndfile takes the end of the file for the sound's."""
    name, stated = raw.read(4), int.from_bytes(raw.read(4), "little")
    there = raw.seek(0, os.SEEK_END) - 8
    raw.seek(0)
    if name == b"RIFF" and there + 1 < stated < _STREAMED:  # some programs count a last byte of padding, and forget it
        raise AudioError(f"{path}: damaged or cut off: {there} bytes follow its header, which states {stated}")


def _decode(
    file: _SoundFile, raw: BinaryIO, path: str | Path, start: float, seconds: float | None, block_seconds: float
) -> Iterator[NDArray[np.float32]]:
    """Mono blocks [samples] of a segment at the file's own rate, checked for damage."""
    rate = file.samplerate
    first = position = round(start * rate)
    end = file.frames if seconds is None else first + round(seconds * rate)
    if not first < end <= file.frames:
        raise AudioError(f"{path}: lasts {file.frames / rate:.3f} s; nothing to read from {start:.3f} s on")
    try:
        if first:  # some formats cannot seek, but can be read from their beginning
            file.seek(first)
        while position < end:
            size = min(round(block_seconds * rate), max(1, _BLOCK_VALUES // file.channels), end - position)
            samples = file.read(size, dtype="float32", always_2d=True)  # [samples, channels]
            if not len(samples):
                break
            if fault := find_invalid_sample(samples, rate, position / rate):
                raise AudioError(f"{path}: {fault}")
            position += len(samples)
            yield samples.mean(axis=1)  # [samples]
    except soundfile.SoundFileError as error:
        cause = str(error).removeprefix("Error : ").rstrip(".")
        raise AudioError(f"{path}: damaged or cut off after {position / rate:.1f} s ({cause})") from None
    is_estimate = file.format == "MP3" or file.frames == _UNKNOWN
    if position < end and not (seconds is None and is_estimate):
        raise AudioError(f"{path}: damaged or cut off after {position / rate:.1f} s of {end / rate:.1f} s")
    if position == file.frames and file.format == "MP3" and _goes_on(raw):
        raise AudioError(
            f"{path}: does not state its true length, so that libsndfile reads only {position / rate:.1f} s of it; "
            "convert it to flac or wav"
        )


def _goes_on(raw: BinaryIO) -> bool:
    """Whether more than the padding of an mp3 follows: five frames at least, or another mp3."""
    rest = raw.read(8192)
    return len(rest) == 8192 and (rest.startswith(b"ID3") or (rest[0] == 0xFF and rest[1] >= 0xE0))


class Resampler:
    """Turns blocks of any number of channels, at any rate, into mono at another: bit by bit what a whole file gives."""

    def __init__(self, rate: float, sample_rate: int) -> None:
        """Takes blocks at ``rate`` Hz; gives them at ``sample_rate``.

        Raises:
            ConfigError: the rate is no sample rate.
        """
        if fault := find_invalid_rate(rate):
            raise ConfigError(fault)
        self._rate = rate
        self._taken = 0
        self._stream = soxr.ResampleStream(rate, sample_rate, 1)

    def feed(self, block: ArrayLike) -> NDArray[np.float32]:
        """What a block [samples] or [samples, channels] adds to the signal: float32 [samples], often a little later.

        Raises:
            AudioError: the block is of another shape or type, or holds a value that is not finite or beyond 1000. It is
                left out.
        """
        samples = np.asarray(block)
        if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MOST_CHANNELS):
            raise AudioError(
                f"audio of shape {list(samples.shape)}; it must be [samples], or [samples, channels] with 1 to "
                f"{MOST_CHANNELS} channels"
            )
        if samples.dtype.kind != "f":
            raise AudioError(
                f"audio of type {samples.dtype}; it must be floating-point, about -1 to 1: divide int16 by 32768"
            )
        with np.errstate(over="ignore"):  # to infinity, which is refused
            samples = samples.astype(np.float32, copy=False)
        if fault := find_invalid_sample(samples, self._rate, self._taken / self._rate):
            raise AudioError(f"audio {fault}")
        self._taken += len(samples)
        resampled: NDArray[np.float32] = self._stream.resample_chunk(
            samples if samples.ndim == 1 else samples.mean(axis=1)
        )
        return resampled

    def finish(self) -> NDArray[np.float32]:
        """What was held back, float32 [samples]; then it takes no more."""
        rest: NDArray[np.float32] = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest
