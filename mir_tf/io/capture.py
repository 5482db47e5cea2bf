"""Live audio, in blocks: from a pipe or a microphone."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.audio import find_invalid_rate
from mir_tf.io.pcm import MAX_CHANNELS, is_placeholder

BLOCK_SECONDS = 0.1

_RAW = {"s16le": ("PCM_16", 2), "f32le": ("FLOAT", 4)}
"""Raw format → libsndfile's name of its encoding, and bytes of a sample."""

_WAV = {
    (1, 8): ("PCM_U8", 1),
    (1, 16): ("PCM_16", 2),
    (1, 24): ("PCM_24", 3),
    (1, 32): ("PCM_32", 4),
    (3, 32): ("FLOAT", 4),
    (3, 64): ("DOUBLE", 8),
}
"""Format tag and bits of a sample in a wav header → the same."""

_EXTENSIBLE = 0xFFFE

_MAX_CHUNK = 2**20
"""Maximum bytes of a chunk before the audio that is skipped."""

_MICROPHONE_SECONDS = 1.0
"""Audio that the system buffers while the model predicts a window."""


@dataclasses.dataclass(frozen=True)
class RawSource:
    """Samples in a stream of bytes.

    Attributes:
        file: The stream. Reads return what is available and do not wait for more.
        sr: Sample rate in Hz.
        channels: Number of interleaved channels.
        subtype: libsndfile's name of the encoding.
        width: Bytes of a sample.
        size: Bytes of audio, if known; what follows is not read.
    """

    file: BinaryIO
    sr: int
    channels: int
    subtype: str
    width: int
    size: int | None = None

    def __post_init__(self) -> None:
        """Check the number of channels.

        Raises:
            AudioError: There are too many.
        """
        if self.channels > MAX_CHANNELS:
            raise AudioError(f"standard input: {self.channels} channels; at most {MAX_CHANNELS} are supported")

    @classmethod
    def of_format(cls, file: BinaryIO, name: str | None, sr: int | None, channels: int | None) -> RawSource:
        """Return a source for ``s16le``, ``f32le`` or ``wav`` (also None), whose header states rate and channels.

        Raises:
            ConfigError: Rate or channels are missing, superfluous or too many.
            AudioError: It is not a wav, or has an unsupported encoding.
        """
        if name in (None, "wav"):
            if sr is not None or channels is not None:
                raise ConfigError(
                    "a wav states its own rate and channels: omit --rate and --channels, or give --format"
                )
            return _read_wav_header(file)
        if sr is None:
            raise ConfigError(f"{name} states no sample rate: give --rate")
        if channels is not None and channels > MAX_CHANNELS:
            raise ConfigError(f"--channels {channels}; at most {MAX_CHANNELS} are supported")
        return cls(file, sr, channels or 1, *_RAW[name])

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks [samples, channels] as they arrive; an incomplete last sample is dropped."""
        frame, taken, rest = self.width * self.channels, 0, b""
        block_size = max(round(BLOCK_SECONDS * self.sr), 1) * frame
        while self.size is None or taken < self.size:
            size = block_size if self.size is None else min(block_size, self.size - taken)
            if not (piece := self.file.read1(size)):  # type: ignore[attr-defined]  # of buffered files
                break
            taken += len(piece)
            content = rest + piece
            whole = len(content) - len(content) % frame
            rest = content[whole:]
            if whole:
                yield self._decode(content[:whole])
        if taken < frame:
            raise AudioError("standard input: contains no samples")
        if self.size is not None and taken < self.size:
            seconds, stated = (size / frame / self.sr for size in (taken, self.size))
            raise AudioError(f"standard input: cut off after {seconds:.1f} s; its header states {stated:.1f} s")

    def _decode(self, content: bytes) -> NDArray[np.float32]:
        samples: NDArray[np.float32]
        samples, _ = soundfile.read(
            io.BytesIO(content),
            dtype="float32",
            always_2d=True,
            samplerate=self.sr,
            channels=self.channels,
            format="RAW",
            subtype=self.subtype,
            endian="LITTLE",
        )
        return samples


class Microphone:
    """The system's microphone, in mono.

    Attributes:
        sr: Sample rate in Hz.
    """

    def __init__(self) -> None:
        """Find the microphone.

        Raises:
            ConfigError: sounddevice is not installed.
            AudioError: There is no microphone, or the system library for it is missing.
        """
        try:
            import sounddevice
        except ImportError:
            raise ConfigError("the microphone needs sounddevice: pip install 'mir-tf[listen]'") from None
        except OSError as error:
            raise AudioError(f"microphone: {error}; install it with the system's packages") from None
        self._sounddevice = sounddevice
        try:
            self.sr = round(sounddevice.query_devices(kind="input")["default_samplerate"])
        except sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: none found: {error}") from None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks [samples, 1] without end.

        Raises:
            AudioError: The microphone fails, or the machine is too slow to keep up.
        """
        try:
            with self._sounddevice.InputStream(
                self.sr, channels=1, dtype="float32", latency=_MICROPHONE_SECONDS
            ) as stream:
                while True:
                    block, is_lost = stream.read(round(BLOCK_SECONDS * self.sr))
                    if is_lost:
                        raise AudioError("microphone: samples were lost: this machine is too slow for the model")
                    yield block
        except self._sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: {error}") from None


def _read_wav_header(file: BinaryIO) -> RawSource:
    """Read a wav from a pipe up to its first sample; libsndfile would block there and not stop at Ctrl-C."""
    if file.read(4) != b"RIFF" or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
        raise AudioError(f"standard input: not a wav; give --format {' or '.join(_RAW)} for raw audio")
    layout = b""
    while True:
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if not name or name == b"data" or size > _MAX_CHUNK:
            break
        content = file.read(size + size % 2)
        if name == b"fmt ":
            layout = content
    if name != b"data" or len(layout) < 16:
        raise AudioError("standard input: damaged or cut off in the header of the wav")
    tag, channels = (int.from_bytes(layout[at : at + 2], "little") for at in (0, 2))
    sr, bits = int.from_bytes(layout[4:8], "little"), int.from_bytes(layout[14:16], "little")
    if tag == _EXTENSIBLE and len(layout) >= 26:
        tag = int.from_bytes(layout[24:26], "little")
    if fault := find_invalid_rate(sr):
        raise AudioError(f"standard input: {fault}")
    if (tag, bits) not in _WAV or not channels:
        raise AudioError(
            f"standard input: cannot decode a wav with encoding {tag}, {bits} bits, {channels} channels and {sr} Hz; "
            "send PCM or floating-point"
        )
    return RawSource(file, sr, channels, *_WAV[tag, bits], None if not size or is_placeholder(size) else size)
