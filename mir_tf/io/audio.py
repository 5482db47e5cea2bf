"""Audio decoding, downmixing and resampling, in blocks: recordings, and streams through a Resampler.

libsndfile reads wav and flac: it is fast, exact and can seek. FFmpeg reads everything else, and the few wav and flac
files that libsndfile does not read to their end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import numbers
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.files import as_path

if TYPE_CHECKING:
    from mir_tf.io.ffmpeg import FFmpegFile

AUDIO_SUFFIXES = frozenset(
    (
        ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .nist .sph .ircam .sf "
        ".m4a .m4b .mp4 .m4v .mov .3gp .aac .alac .wma .wmv .webm .weba .mka .mkv .avi .ac3 .amr .mp2 .tta .wv .ape"
    ).split()
)
"""Lower-case suffixes of recordings and videos. Folders are searched for these."""

SAMPLE_RATES = (1_000, 768_000)
"""Lowest and highest accepted sample rate in Hz. Anything outside is a mistake or a damaged header."""

_MAX_AMPLITUDE = 1000.0
"""Largest accepted sample, 60 dB above full scale. Larger ones are integers that were read as floating-point."""

_BLOCK_SECONDS = 10.0

_BLOCK_VALUES = 2**22
"""Maximum samples in a block over all channels: a small file may declare hundreds of channels."""

_UNKNOWN = 2**63 - 1
"""Length that libsndfile reports if the header contains none: SF_COUNT_MAX."""

_MAX_AFTER_FLAC = 8192
"""Bytes that may follow the samples of a flac: libsndfile reads so many ahead, and a tag is no sound."""

_MAX_WAV_HEADER = 4096
"""Largest size in bytes of a wav without samples. A larger one contains samples, whatever its header states."""

STREAMED_SIZE = 2**31 - 2**16
"""RIFF sizes from here on are placeholders by programs that write to a pipe."""

MAX_CHANNELS = 64
"""Arrays with more columns are assumed to be transposed."""

RESAMPLER_DELAY = 1500
"""Samples, at the lower of the two rates, that soxr holds back at most at usual rates (measured: 1400)."""


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file.

    Attributes:
        sr: Sample rate in Hz.
        num_samples: Samples in each channel; an estimate for mp3.
    """

    sr: int
    num_samples: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.num_samples / self.sr


def probe(path: str | Path) -> AudioInfo:
    """Read the header of an audio file.

    If the header states no length, as in a streamed flac or a webm from a browser, the file is decoded to count its
    samples.

    Raises:
        AudioError: The file is missing, not audio, truncated or without samples.
    """
    with _open(path) as file:
        count = file.num_samples
        if count is None:
            count = sum(map(len, _decode(file, path, 0.0, None, _BLOCK_SECONDS)))
        return AudioInfo(file.sr, count)


def read_blocks(
    path: str | Path,
    sr: int,
    start: float = 0.0,
    seconds: float | None = None,
    block_seconds: float = _BLOCK_SECONDS,
) -> Iterator[NDArray[np.float32]]:
    """Decode a file to mono at a sample rate, in bounded memory.

    Channels are averaged. A segment of n samples becomes n * ``sr`` / (rate of the file) samples, rounded half up.
    Samples outside of the segment do not affect it.

    A file that is damaged or cut off is refused wherever that can be known: if its header states its length, if its
    index is missing, or if a part cannot be decoded. An mp3 or aac without a stated length is read as far as it goes.

    Args:
        path: A recording or a video; see :data:`AUDIO_SUFFIXES`.
        sr: Sample rate of the result in Hz.
        start: Start of the segment in seconds.
        seconds: Duration of the segment; None reads to the end of the file.
        block_seconds: Duration of the pieces that are decoded at once.

    Yields:
        float32 [samples], never empty, of varying lengths.

    Raises:
        AudioError: The file is missing, not audio, damaged, cut off (see above) or shorter than the segment; its sample
            rate is outside of :data:`SAMPLE_RATES` or changes; a sample is not finite or exceeds 1000; or there is too
            little audio for one sample.
    """
    for (block,) in read_at_rates(path, (sr,), start, seconds, block_seconds):
        if len(block):
            yield block


def read_at_rates(
    path: str | Path,
    rates: Sequence[int],
    start: float = 0.0,
    seconds: float | None = None,
    block_seconds: float = _BLOCK_SECONDS,
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Decode a file once to mono at several sample rates; the rest is as in :func:`read_blocks`.

    Yields:
        For each rate, float32 [samples]; some may be empty.
    """
    with _open(path) as file:
        resamplers = [Resampler(file.sr, rate) for rate in rates]
        counts = [0] * len(rates)
        blocks = _decode(file, path, start, seconds, block_seconds)
        for block in itertools.chain(blocks, [None]):
            resampled = tuple(each.finish() if block is None else each.resample(block) for each in resamplers)
            counts = [count + len(samples) for count, samples in zip(counts, resampled, strict=True)]
            yield resampled
    for rate, count in zip(rates, counts, strict=True):
        if not count:
            raise AudioError(f"{path}: too short: no sample at {rate} Hz")


def find_invalid_rate(sr: float) -> str | None:
    """Return a message about an invalid sample rate in Hz, or None if it is valid."""
    lowest, highest = SAMPLE_RATES
    if not isinstance(sr, numbers.Real | np.ndarray):
        return f"sample rate {sr!r}: it must be a number, in Hz"
    return None if lowest <= sr <= highest else f"sample rate {sr}: it must be between {lowest} and {highest} Hz"


def find_invalid_sample(samples: NDArray[np.float32], sr: float, start: float) -> str | None:
    """Return a message about the first invalid sample, or None if all are valid.

    Args:
        samples: float32 [samples] or [samples, channels].
        sr: Sample rate in Hz.
        start: Time of the first sample in seconds.
    """
    peaks = np.abs(samples)
    if peaks.max(initial=0.0) <= _MAX_AMPLITUDE:  # also False for NaN
        return None
    first, *_ = np.argwhere(~(peaks <= _MAX_AMPLITUDE))[0]
    peak, when = peaks[first].max(), f"after {start + first / sr:.1f} s"
    if not np.isfinite(peak):
        return f"contains NaN or infinity, {when}"
    return f"contains a sample of {peak:g}, {when}, but full scale is 1 (divide 16-bit integers by 32768)"


class Resampler:
    """Converts blocks to mono at another sample rate, with the same result as for the whole signal at once.

    Use :meth:`feed` for blocks from outside, which it checks, or :meth:`resample` for checked mono samples.
    """

    def __init__(self, sr: float, target_sr: int) -> None:
        """Convert from ``sr`` to ``target_sr``, both in Hz.

        Raises:
            ConfigError: ``sr`` is not a valid sample rate.
        """
        if fault := find_invalid_rate(sr):
            raise ConfigError(fault)
        self._sr = sr
        self._num_fed = 0
        self._stream = soxr.ResampleStream(sr, target_sr, 1)

    def feed(self, block: ArrayLike) -> NDArray[np.float32]:
        """Check, downmix and resample the next block.

        Args:
            block: Floating-point [samples] or [samples, channels], about -1 to 1.

        Returns:
            float32 [samples]: the samples that are complete now, often with a small delay.

        Raises:
            AudioError: The block has another shape or type, or contains a value that is not finite or exceeds 1000. It
                is skipped.
        """
        samples = np.asarray(block)
        if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MAX_CHANNELS):
            raise AudioError(
                f"audio of shape {list(samples.shape)}; it must be [samples], or [samples, channels] with 1 to "
                f"{MAX_CHANNELS} channels"
            )
        if samples.dtype.kind != "f":
            raise AudioError(
                f"audio of type {samples.dtype}; it must be floating-point, about -1 to 1: divide int16 by 32768"
            )
        with np.errstate(over="ignore"):  # overflow gives infinity, which is rejected below
            samples = samples.astype(np.float32, copy=False)
        if fault := find_invalid_sample(samples, self._sr, self._num_fed / self._sr):
            raise AudioError(f"audio {fault}")
        self._num_fed += len(samples)
        return self.resample(samples if samples.ndim == 1 else samples.mean(axis=1))

    def resample(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample the next samples, float32 [samples]; return those that are complete now."""
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples)
        return resampled

    def finish(self) -> NDArray[np.float32]:
        """Return the samples held back, float32 [samples]. Do not feed more after this."""
        rest: NDArray[np.float32] = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read sequentially. soundfile itself seeks after each read, which fails for an unknown length."""

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek."""
        return False


class _Source:
    """The file object that the decoders read from. It keeps read errors, which libsndfile takes for the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file
        self.error: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except OSError as error:
            self.error = error
            return 0

    def read(self, size: int) -> bytes:
        return bytes(self._file.read(size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return int(self._file.seek(offset, whence))
        except OSError as error:
            if error.errno != errno.EINVAL:  # which means before the file, where a damaged header can lead
                self.error = error
            return -1

    def tell(self) -> int:
        return int(self._file.tell())


class _Decoder(Protocol):
    """An opened recording; see :class:`mir_tf.io.ffmpeg.FFmpegFile`."""

    sr: int
    num_samples: int | None
    is_exact: bool

    def blocks(
        self, first: int, count: int | None, max_samples: int, max_values: int
    ) -> Iterator[NDArray[np.float32]]: ...


class _WavOrFlac:
    """A wav or flac file, read by libsndfile.

    Attributes:
        sr: Sample rate in Hz.
        num_samples: Length in samples; None if the header states none.
        is_exact: Whether the length is known.
    """

    def __init__(self, file: _SoundFile, source: _Source, path: str | Path) -> None:
        self._file, self._source, self._path = file, source, path
        self.sr = int(file.samplerate)
        self.num_samples = None if file.frames == _UNKNOWN else int(file.frames)
        self.is_exact = self.num_samples is not None

    def blocks(self, first: int, count: int | None, max_samples: int, max_values: int) -> Iterator[NDArray[np.float32]]:
        position, end = first, self._file.frames if count is None else first + count
        try:
            if first:
                self._file.seek(first)
            while position < end:
                size = min(max_samples, max(1, max_values // self._file.channels), end - position)
                samples: NDArray[np.float32] = self._file.read(size, dtype="float32", always_2d=True)
                if not len(samples):
                    break
                position += len(samples)
                yield samples
        except soundfile.SoundFileError as error:
            cause = str(error).removeprefix("Error : ").rstrip(".")
            raise AudioError(f"{self._path}: damaged or cut off after {position / self.sr:.1f} s ({cause})") from None
        if self._file.format == "FLAC" and count is None and len(self._source.read(_MAX_AFTER_FLAC)) == _MAX_AFTER_FLAC:
            with _ffmpeg_file(self._source, self._path) as joined:  # another flac follows
                yield from joined.blocks(position, None, max_samples, max_values)


def _ffmpeg_file(source: _Source, path: str | Path) -> FFmpegFile:
    try:
        from mir_tf.io.ffmpeg import FFmpegFile  # takes 0.15 s
    except ModuleNotFoundError as error:  # programs that ship mir_tf.lite may leave PyAV out
        if error.name != "av":
            raise
        raise AudioError(f"{path}: only wav and flac are read without the package av: pip install av") from None
    return FFmpegFile(source, path)


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[_Decoder]:
    """Open a recording that contains at least one sample; the libraries' errors become AudioError.

    Raises:
        AudioError: See :func:`probe`.
        OSError: Reading failed after the file was opened: the disk or the network is at fault.
    """
    local = as_path(path)
    with contextlib.ExitStack() as stack:
        try:
            if local.is_fifo():  # opening it might wait forever
                raise AudioError(
                    f"{path}: a pipe, which can be read only once. Write it to a file first, or use mir-tf listen, "
                    "which reads wav: ffmpeg -i song.mp3 -f wav - | mir-tf listen"
                )
            raw = stack.enter_context(local.open("rb"))
        except OSError as error:
            raise AudioError(f"{path}: cannot be opened: {error.strerror or error}") from None
        except ValueError as error:  # a NUL in the path
            raise AudioError(f"{str(path)!r}: cannot be opened: {error}") from None
        _require_whole_riff(raw, path)
        source = _Source(raw)
        file: _Decoder | None = None
        if _is_wav_or_flac(raw):
            file = _open_wav_or_flac(stack, source, path)
        if file is None:
            file = stack.enter_context(_ffmpeg_file(source, path))
        if fault := find_invalid_rate(file.sr):
            raise AudioError(f"{path}: {fault}")
        try:
            yield file
        except AudioError:
            if source.error is None:
                raise
        if source.error is not None:
            raise source.error


def _is_wav_or_flac(raw: BinaryIO) -> bool:
    head = raw.read(12)
    raw.seek(0)
    return head.startswith(b"fLaC") or (head.startswith((b"RIFF", b"RIFX")) and head.endswith(b"WAVE"))


def _open_wav_or_flac(stack: contextlib.ExitStack, source: _Source, path: str | Path) -> _WavOrFlac | None:
    """Open a file with libsndfile, until the end of ``stack``; return None if FFmpeg is to read it."""
    try:
        file = stack.enter_context(_SoundFile(source, "r"))
    except soundfile.SoundFileError:
        if source.error is not None:
            raise source.error from None
        return None
    if file.subtype.startswith("MPEG"):  # libsndfile only estimates its length
        return None
    if not file.frames:
        hint = ""
        if file.format in ("WAV", "WAVEX") and source.seek(0, os.SEEK_END) > _MAX_WAV_HEADER:
            hint = (
                ": its header states no length, as if the program that wrote it was stopped; read it as a stream: "
                "mir-tf listen < FILE"
            )
        raise AudioError(f"{path}: contains no samples{hint}")
    return _WavOrFlac(file, source, path)


def _require_whole_riff(raw: BinaryIO, path: str | Path) -> None:
    """Raise AudioError if a wav or avi ends before its stated size, or another wav follows: decoders ignore both."""
    name, stated = raw.read(4), int.from_bytes(raw.read(4), "little")
    present = raw.seek(0, os.SEEK_END) - 8
    raw.seek(8 + stated)
    following = raw.read(13)[stated % 2 :] if name == b"RIFF" and stated else b""
    raw.seek(0)
    if following.startswith(b"RIFF") and following[8:12] == b"WAVE":
        raise AudioError(
            f"{path}: several wav files in one, of which programs play the first only; join their audio instead: "
            "sox 1.wav 2.wav song.wav"
        )
    # Some programs count a last byte of padding that they do not write, or the 8 bytes of the header itself.
    if name == b"RIFF" and present + 9 < stated < STREAMED_SIZE:
        raise AudioError(f"{path}: damaged or cut off: {present} bytes follow its header, which states {stated}")


def _decode(
    file: _Decoder, path: str | Path, start: float, seconds: float | None, block_seconds: float
) -> Iterator[NDArray[np.float32]]:
    """Yield mono blocks [samples] of a segment at the file's own rate, checked for damage."""
    sr = file.sr
    first = position = round(start * sr)
    count = None if seconds is None else round(seconds * sr)
    length = file.num_samples if file.is_exact else None
    end = length if count is None else first + count
    if (end is not None and end <= first) or (length is not None and end is not None and end > length):
        shown = "" if length is None else f"lasts {length / sr:.3f} s; "
        raise AudioError(f"{path}: {shown}nothing to read from {start:.3f} s on")
    for samples in file.blocks(first, count, round(block_seconds * sr), _BLOCK_VALUES):
        if fault := find_invalid_sample(samples, sr, position / sr):
            raise AudioError(f"{path}: {fault}")
        position += len(samples)
        yield samples.mean(axis=1)  # [samples]
    if end is not None and position < end:
        raise AudioError(f"{path}: damaged or cut off after {position / sr:.1f} s of {end / sr:.1f} s")
