"""Decoding with FFmpeg's libraries, which the package PyAV contains: mp3, m4a, ogg, the sound of videos and more.

FFmpeg is lenient: it skips what it cannot decode, and may stop early without an error. This module refuses such files.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from mir_tf.errors import AudioError
from mir_tf.io.containers import CONVERT, frame_size, measure_frames, require_whole
from mir_tf.io.flac import stated_samples
from mir_tf.io.pcm import RESTORE, TAGS, after_tags

_OPTIONS = {
    # Without playlists and the like, which make FFmpeg open other files and addresses.
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,ircam,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,nistsphere,ogg,tak,tta,voc,w64,wav,wv",
    "protocol_whitelist": "none",
}

_BARE_STREAMS = frozenset({"aac", "ac3", "amr", "eac3", "flac", "mp3"})
"""Formats without a container: tags and other bytes may stand before, between and after the frames."""

_FRAMES = frozenset({"aac", "ac3", "amr", "eac3", "mp3"})
"""Formats of frames alone, whose length is known only from all of them."""

_EXACT = frozenset({"ape", "tta", "wv"})
"""Formats that state their length in samples."""

_MAX_ZEROS = 2**16
"""Bytes before the first frame that may be zero."""

_SYNCS = (b"\xff", b"\x0b")
"""First bytes of the frames of bare streams."""

_TOLERANCE = 0.1
"""Seconds of audio that may be missing at the end: stated durations are rounded, and some include padding."""

_PADDING = 4608
"""Samples that an encoder of mp3 or aac adds at both ends, at most."""

_MAX_PLANES = 8
"""Channels from which on PyAV reads beyond the pointers to them, if each channel is stored for itself."""

_MAX_GAP = 0.25
"""Seconds between the times of two frames from which on audio is missing: clocks of recorders are not exact."""


class _LenientFile:
    """A file that can be told to seek before its beginning, where a damaged header can lead.

    FFmpeg calls its functions. ``read`` is one of C's, in which no Ctrl-C is raised: FFmpeg would swallow it.
    """

    def __init__(self, file: Any, start: int) -> None:
        self._file, self._start = file, start  # what FFmpeg takes for the beginning
        self.read = file.read
        file.seek(start)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._start
        try:
            return int(self._file.seek(offset, whence)) - self._start
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            return -1

    def tell(self) -> int:
        return int(self._file.tell()) - self._start


class FFmpegFile:
    """The main audio stream of a file, opened.

    Attributes:
        sr: Sample rate in Hz.
        num_samples: Stated length in samples, an estimate for some formats; None if none is stated.
        is_exact: False: the length is checked at the end of decoding.
    """

    is_exact = False

    def __init__(self, file: Any, path: str | Path) -> None:
        """Open a file and decode its first samples.

        Args:
            file: The file: an object with ``read``, ``seek`` and ``tell``.
            path: Its path, for messages.

        Raises:
            AudioError: It contains no audio that FFmpeg decodes, or is damaged.
        """
        self._path = path
        self.sr = 0
        self._num_decoded = 0
        self._end = 0.0  # of the last packet of any stream so far, in seconds
        is_stated = require_whole(file, path)
        try:
            opened: Any = _LenientFile(file, _start(file))
            self._container = av.open(opened, metadata_errors="replace", options=_OPTIONS)
        except av.error.FFmpegError:
            raise AudioError(f"{path}: {_why_not_opened(file)}") from None
        try:
            place = file.tell()  # FFmpeg goes on there
            self._is_bare = self._container.format.name in _BARE_STREAMS
            measured = measure_frames(file, path) if self._container.format.name in _FRAMES else None
            stated = stated_samples(file) if self._container.format.name == "flac" else 0
            file.seek(place)
            self._stream = self._find_stream()
            frames = self._decode()
            first = next(frames, None)
            if first is None:
                raise AudioError(f"{path}: {_why_not_opened(file)}")
            self._frames = itertools.chain([first], frames)
            self.sr = int(first.sample_rate)
            seconds = self._stated_seconds() if is_stated else None
            self.num_samples = None if seconds is None else round(seconds * self.sr)
            if self._container.format.name in _FRAMES:
                # FFmpeg only estimates it, from the bit rate. Encoders add silence at both ends, which it leaves out.
                seconds = None if measured is None else measured - _PADDING / self.sr
            elif self._is_bare:
                seconds = stated / self.sr
            self._least_seconds = seconds
            is_amr = self._container.format.name == "amr"  # FFmpeg takes a tag after its frames for more of them
            self._most = round(measured * self.sr) if is_amr and measured else None
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> FFmpegFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._container.close()

    def blocks(self, first: int, count: int | None, max_samples: int, max_values: int) -> Iterator[NDArray[np.float32]]:
        """Decode once, from the beginning: few formats can seek exactly.

        Args:
            first: Samples to skip.
            count: Samples to yield; None decodes to the end.
            max_samples: Samples of a block; the frame that reaches them completes it.
            max_values: The same over all channels.

        Yields:
            float32 [samples, channels], not empty; fewer than ``count`` samples if the file ends.

        Raises:
            AudioError: The file is damaged or cut off, or its sample rate changes.
        """
        position, end = 0, None if count is None else first + count
        for group in self._groups(max_samples, max_values):
            try:
                samples = _to_samples(group)
            except ValueError:  # of PyAV
                raise AudioError(
                    f"{self._path}: its audio has an encoding that is not supported ({group[0].format.name}); {CONVERT}"
                ) from None
            wanted = samples[max(0, first - position) : None if end is None else end - position]
            position += len(samples)
            if len(wanted):
                yield wanted
            if end is not None and position >= end:
                return
        self._require_end()

    def _groups(self, max_samples: int, max_values: int) -> Iterator[list[AudioFrame]]:
        """Yield frames in groups that have the same format and channels."""
        group: list[AudioFrame] = []
        size = 0
        for frame in self._frames:
            if self._most is not None and self._num_decoded >= self._most:
                break
            if frame.sample_rate != self.sr:
                raise AudioError(
                    f"{self._path}: its sample rate changes from {self.sr} to {frame.sample_rate} Hz after "
                    f"{self._seconds_decoded:.1f} s; {CONVERT}"
                )
            if group and (
                size >= min(max_samples, max_values // frame.layout.nb_channels)
                or frame.format.name != group[0].format.name
                or frame.layout != group[0].layout
            ):
                yield group
                group, size = [], 0
            group.append(frame)
            size += frame.samples
            self._num_decoded += frame.samples
        if group:
            yield group

    def _decode(self) -> Iterator[AudioFrame]:
        """Yield the frames of the stream, none of them empty."""
        time_bases = {stream.index: float(stream.time_base or 0) for stream in self._container.streams}
        index, expected = self._stream.index, None
        is_followed = self._container.format.name in _FRAMES  # what is amid frames was checked
        is_wav = (
            self._container.format.name == "wav"
        )  # which is read in pieces, the last of them shorter than asked for
        skipped, is_tag = b"", False  # bytes between the frames of a bare stream, and whether a tag begins them
        try:
            for packet in self._container.demux():
                place = packet.stream.index  # not stream_index, which is 0 in the packets that empty the decoders
                time_base = time_bases[place]
                if packet.pts is not None:
                    self._end = max(self._end, (packet.pts + (packet.duration or 0)) * time_base)
                if place != index:
                    continue
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    content = bytes(packet).lstrip(b"\0")
                    if not self._is_bare:
                        raise
                    if not is_followed or not (size := frame_size(content[:8])) or size >= packet.size:
                        if is_followed and content.startswith(_SYNCS) and not any(tag in content for tag in TAGS):
                            raise
                        is_tag = is_tag or content.startswith(TAGS)
                        skipped = skipped or content
                        continue
                    # A parser adds tags and padding to the frame before them.
                    frames = self._stream.codec_context.decode(av.Packet(content[:size]))
                if (packet.is_corrupt and not is_wav) or (frames and skipped and not is_tag and not is_followed):
                    raise AudioError(self._damage())
                for frame in frames:
                    skipped, is_tag = b"", False
                    if not self._is_bare and frame.pts is not None:
                        begin = frame.pts * time_base
                        if expected is not None and begin - expected > _MAX_GAP:
                            raise AudioError(self._damage(f"{begin - expected:.1f} s of audio are missing there"))
                        expected = begin + frame.samples / frame.sample_rate
                    if frame.samples:
                        yield frame
        except av.error.FFmpegError:
            # A tag after the last block is no error.
            is_done = self._num_decoded and self._num_decoded == self.num_samples
            if not is_done or self._container.format.name not in _EXACT:
                raise AudioError(self._damage()) from None
        if skipped.startswith(_SYNCS) and not is_tag and not is_followed:
            raise AudioError(f"{self._path}: cut off after {self._seconds_decoded:.1f} s; {RESTORE}")

    def _require_end(self) -> None:
        """Raise AudioError if more audio was stated than decoded."""
        reached = self._seconds_decoded
        if self._stream.duration is None:  # the stated duration is that of the longest stream
            is_from_zero = self._container.format.name.startswith("matroska")  # its duration counts what is before
            start = 0.0 if is_from_zero else (self._container.start_time or 0) / av.time_base
            reached = max(reached, self._end - start)
        if self._least_seconds is not None and reached < self._least_seconds - _TOLERANCE:
            raise AudioError(
                f"{self._path}: damaged or cut off after {reached:.1f} s of {self._least_seconds:.1f} s; {RESTORE}"
            )

    def _find_stream(self) -> AudioStream:
        stream = self._container.streams.best("audio")
        if stream is None:
            raise AudioError(
                f"{self._path}: contains no audio{', only video' if self._container.streams.video else ''}"
            )
        if stream.codec_context is None:
            raise AudioError(f"{self._path}: its audio has an encoding that is not supported; {CONVERT}")
        assert isinstance(stream, AudioStream)
        layout = stream.codec_context.layout
        if " " in layout.name:  # an order of the file's own: PyAV frees its memory twice, unless it is replaced here
            stream.codec_context.layout = f"{layout.nb_channels} channels"
        return stream

    def _stated_seconds(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return None if self._container.duration is None else self._container.duration / av.time_base

    @property
    def _seconds_decoded(self) -> float:
        return self._num_decoded / self.sr if self.sr else 0.0

    def _damage(self, detail: str = "") -> str:
        if self._container.format.name == "wav" and self._stream.codec_context.name == "aac":
            return f"{self._path}: raw AAC in wav, whose frames no program finds; save it as m4a"
        detail = detail and f" ({detail})"
        return f"{self._path}: damaged or cut off after {self._seconds_decoded:.1f} s{detail}; {RESTORE}"


def _start(file: Any) -> int:
    """Return where FFmpeg is to begin: after tags that it does not expect before this kind of file."""
    start = after_tags(file)
    file.seek(start)
    head = file.read(8)
    if head[4:] == b"ftyp" or not head.startswith((*_SYNCS, b"\0")):
        return start
    file.seek(0)
    content = file.read(_MAX_ZEROS)
    rest = content.lstrip(b"\0")
    return len(content) - len(rest) if rest.startswith((*_SYNCS, b"ID3")) else 0


def _to_samples(frames: list[AudioFrame]) -> NDArray[np.float32]:
    """Return frames of one format as float32 [samples, channels], about -1 to 1."""
    if frames[0].format.is_planar and frames[0].layout.nb_channels >= _MAX_PLANES:
        resampler = av.AudioResampler("flt")
        frames = [packed for frame in [*frames, None] for packed in resampler.resample(frame)]
    values = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)  # [channels or 1, values]
    samples = values.T if frames[0].format.is_planar else values.reshape(-1, frames[0].layout.nb_channels)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    scale = -float(np.iinfo(samples.dtype).min)
    if samples.dtype == np.uint8:
        samples, scale = samples.astype(np.int16) - 128, 128.0
    return samples.astype(np.float32) / np.float32(scale)


def _why_not_opened(file: Any) -> str:
    if not file.seek(0, os.SEEK_END):
        return "empty file (0 bytes)"
    file.seek(4)
    if file.read(4) == b"ftyp":  # mp4, m4a, mov
        return "incomplete: its index is missing, as if the recording or download was interrupted; get the whole file"
    return (
        "not audio, damaged, or in a format that is not supported; save it as wav or flac with the program that made it"
    )
