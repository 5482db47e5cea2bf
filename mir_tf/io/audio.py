"""Audio decoding, downmixing and resampling, in blocks: recordings, and streams through a Resampler.

:mod:`mir_tf.io.pcm` reads uncompressed files, and libsndfile reads flac and ALAC in caf: both are fast, exact and can
seek. FFmpeg reads everything else, and the few flac files that libsndfile does not read to their end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import numbers
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.downmix import Downmix
from mir_tf.io.files import as_path
from mir_tf.io.flac import is_all_of_flac, is_joined_flac
from mir_tf.io.pcm import MAX_CHANNELS, after_tags, open_pcm
from mir_tf.io.remote import RemotePath

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

    Channels are averaged, unless they cancel each other: see :class:`mir_tf.io.downmix.Downmix`. A segment of n samples
    becomes n * ``sr`` / (rate of the file) samples, rounded half up.
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
    if not isinstance(sr[()] if isinstance(sr, np.ndarray) else sr, numbers.Real):
        return f"sample rate {sr!r}: it must be a number, in Hz"
    return None if lowest <= sr <= highest else f"sample rate {sr}: it must be between {lowest} and {highest} Hz"


class CountedBlocks:
    """The blocks of a signal [samples], counted while somebody goes through them.

    Attributes:
        num_samples: Samples of the blocks so far.
    """

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = blocks
        self.num_samples = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            self.num_samples += len(block)
            yield block


def find_invalid_sample(samples: NDArray[np.float32], sr: float, start: float) -> str | None:
    """Return a message about the first invalid sample, or None if all are valid.

    Args:
        samples: float32 [samples] or [samples, channels].
        sr: Sample rate in Hz.
        start: Time of the first sample in seconds.
    """
    # Two comparisons, which take less time than the peaks; also False for NaN.
    if samples.max(initial=0.0) <= _MAX_AMPLITUDE and samples.min(initial=0.0) >= -_MAX_AMPLITUDE:
        return None
    peaks = np.abs(samples)
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
        self._downmix = Downmix(sr)
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
        if isinstance(block, np.ma.MaskedArray) and block.mask.any():
            raise AudioError("audio has masked samples; give them a value, for example with filled(0)")
        try:
            samples = np.asarray(block)
        except ValueError as error:  # lists of different lengths
            raise AudioError(f"audio is no array: {error}") from error
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
        return self.resample(samples if samples.ndim == 1 else self._downmix.mix(samples))

    def resample(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample the next samples, float32 [samples]; return those that are complete now."""
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples)
        return resampled

    def finish(self) -> NDArray[np.float32]:
        """Return the samples held back, float32 [samples]. Do not feed more after this."""
        rest: NDArray[np.float32] = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read sequentially. soundfile itself seeks after each read, which fails in damaged files."""

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek."""
        return False


class _RemoteSource:
    """A file object for libsndfile, which takes an error in reading for the end of the file. This keeps the error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file
        self.error: BaseException | None = None

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except BaseException as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return int(self._file.seek(offset, whence))
        except ValueError:  # before the file, where a damaged header can lead
            return -1

    def tell(self) -> int:
        return int(self._file.tell())

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error


class _Decoder(Protocol):
    """An opened recording; see :class:`mir_tf.io.ffmpeg.FFmpegFile`."""

    sr: int
    num_samples: int | None
    is_exact: bool

    def blocks(
        self, first: int, count: int | None, max_samples: int, max_values: int
    ) -> Iterator[NDArray[np.float32]]: ...


class _FlacOrCaf:
    """A flac file, or ALAC in a caf, read by libsndfile.

    Attributes:
        sr: Sample rate in Hz.
        num_samples: Length in samples.
        is_exact: True.
    """

    is_exact = True

    def __init__(self, file: soundfile.SoundFile, raw: BinaryIO, source: Any, path: str | Path) -> None:
        self._file, self._raw, self._source, self._path = file, raw, source, path
        self.sr = int(file.samplerate)
        self.num_samples: int | None = int(file.frames)

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
            self._raise_read_error()
            cause = str(error).removeprefix("Error : ").rstrip(".")
            raise AudioError(f"{self._path}: damaged or cut off after {position / self.sr:.1f} s ({cause})") from None
        self._raise_read_error()
        if self._file.format == "FLAC" and count is None and position == end and is_joined_flac(self._raw):
            with _ffmpeg_file(self._raw, self._path) as joined:
                yield from joined.blocks(position, None, max_samples, max_values)

    def _raise_read_error(self) -> None:
        if isinstance(self._source, _RemoteSource):
            self._source.raise_error()


def _ffmpeg_file(raw: BinaryIO, path: str | Path) -> FFmpegFile:
    try:
        from mir_tf.io.ffmpeg import FFmpegFile  # takes 0.15 s
    except ModuleNotFoundError as error:  # programs that ship mir_tf.lite may leave PyAV out
        if error.name != "av":
            raise
        raise AudioError(
            f"{path}: only wav, aiff, au, caf and flac are read without the package av: pip install av"
        ) from None
    return FFmpegFile(raw, path)


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
            mode = local.stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe might wait forever
                what = "a pipe" if stat.S_ISFIFO(mode) else "not a file but a device"
                raise AudioError(
                    f"{path}: {what}, which can be read only once. Write it to a file first, or use mir-tf listen, "
                    "which reads wav: ffmpeg -i song.mp3 -f wav - | mir-tf listen"
                )
            raw = stack.enter_context(local.open("rb"))
        except OSError as error:
            raise AudioError(f"{path}: cannot be opened: {error.strerror or error}") from None
        except ValueError as error:  # a NUL in the path
            raise AudioError(f"{str(path)!r}: cannot be opened: {error}") from None
        file: _Decoder | None = open_pcm(raw, path)
        if file is None:
            file = _open_by_libsndfile(stack, raw, path)
        if file is None:
            file = stack.enter_context(_ffmpeg_file(raw, path))
        if fault := find_invalid_rate(file.sr):
            raise AudioError(f"{path}: {fault}")
        yield file


def _open_by_libsndfile(stack: contextlib.ExitStack, raw: BinaryIO, path: str | Path) -> _FlacOrCaf | None:
    """Open a flac or caf with libsndfile, until the end of ``stack``; return None if FFmpeg is to read it."""
    raw.seek(after_tags(raw))
    head = raw.read(4)
    if head != b"caff" and (head != b"fLaC" or not is_all_of_flac(raw)):  # FFmpeg loses the end of ALAC in caf
        return None
    raw.seek(0)
    source: Any = as_path(path)
    if isinstance(source, RemotePath):
        source = _RemoteSource(raw)
    try:
        # A name where possible: libsndfile would swallow a Ctrl-C in Python's functions.
        file = _SoundFile(source, "r")
    except soundfile.SoundFileError:
        if isinstance(source, _RemoteSource):
            source.raise_error()
        return None
    stack.enter_context(file)
    return _FlacOrCaf(file, raw, source, path) if 0 < file.frames < _UNKNOWN else None


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
    downmix = Downmix(sr)
    for samples in file.blocks(first, count, round(block_seconds * sr), _BLOCK_VALUES):
        if fault := find_invalid_sample(samples, sr, position / sr):
            raise AudioError(f"{path}: {fault}")
        position += len(samples)
        yield downmix.mix(samples)  # [samples]
    if end is not None and position < end:
        raise AudioError(f"{path}: damaged or cut off after {position / sr:.1f} s of {end / sr:.1f} s")
