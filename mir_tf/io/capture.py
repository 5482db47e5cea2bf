"""Audio as it comes: from a pipe or a microphone, in blocks."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.audio import MOST_CHANNELS, find_invalid_rate

BLOCK_SECONDS = 0.1


_RAW = {"s16le": ("PCM_16", 2), "f32le": ("FLOAT", 4)}
"""libsndfile's name of an encoding, and the bytes of a sample."""


_WAV = {
    (1, 8): ("PCM_U8", 1),
    (1, 16): ("PCM_16", 2),
    (1, 24): ("PCM_24", 3),
    (1, 32): ("PCM_32", 4),
    (3, 32): ("FLOAT", 4),
    (3, 64): ("DOUBLE", 8),
}
"""The same, by the tag and the bits of a sample in the header of a wav."""


_EXTENSIBLE = 0xFFFE


_STREAMED = 2**31 - 2**16
"""Sizes from here on, and 0, are the placeholders of programs that write to a pipe."""


_MOST_HEADER = 2**20
"""Bytes of a chunk before the audio that is skipped at most."""


_MICROPHONE_SECONDS = 1.0
"""What the system keeps of a microphone while a window is answered."""


@dataclasses.dataclass(frozen=True)
class RawSource:
    """Samples in a stream of bytes.

    Attributes:
        file: where they come from, of which no more is read than is there.
        rate: Hz.
        channels: whose samples are interleaved.
        subtype: libsndfile's name of their encoding.
        width: bytes of a sample.
        size: bytes, if known; what follows them is not read.
    """

    file: BinaryIO
    rate: int
    channels: int
    subtype: str
    width: int
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuses what libsndfile would.

        Raises:
            AudioError: there are too many channels.
        """
        if self.channels > MOST_CHANNELS:
            raise AudioError(f"standard input: {self.channels} channels; there may be {MOST_CHANNELS} at most")

    @classmethod
    def of_format(cls, file: BinaryIO, name: str | None, rate: int | None, channels: int | None) -> RawSource:
        """A source of a format: ``s16le``, ``f32le``, or a wav (None too), which states its own rate and channels.

        Raises:
            ConfigError: rate or channels are missing, superfluous or too many.
            AudioError: it is no wav, or of an encoding that is not known here.
        """
        if name in (None, "wav"):
            if rate is not None or channels is not None:
                raise ConfigError(
                    "a wav states its own rate and channels: leave --rate and --channels out, or give --format"
                )
            return _read_wav_header(file)
        if rate is None:
            raise ConfigError(f"{name} states no sample rate: give --rate")
        if channels is not None and channels > MOST_CHANNELS:
            raise ConfigError(f"--channels {channels}; there may be {MOST_CHANNELS} at most")
        return cls(file, rate, channels or 1, *_RAW[name])

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Blocks [samples, channels] as they come. A last sample that is not whole is left out."""
        frame, taken, rest = self.width * self.channels, 0, b""
        block_size = max(round(BLOCK_SECONDS * self.rate), 1) * frame
        while self.size is None or taken < self.size:
            size = block_size if self.size is None else min(block_size, self.size - taken)
            if not (piece := self.file.read1(size)):  # type: ignore[attr-defined]  # of buffered files
                break
            taken += len(piece)
            content = rest + piece
            whole = len(content) - len(content) % frame
            rest = content[whole:]
            if whole:
                yield self._decoded(content[:whole])
        if taken < frame:
            raise AudioError("standard input: holds no samples")
        if self.size is not None and taken < self.size:
            seconds, stated = (size / frame / self.rate for size in (taken, self.size))
            raise AudioError(f"standard input: cut off after {seconds:.1f} s; its header states {stated:.1f} s")

    def _decoded(self, content: bytes) -> NDArray[np.float32]:
        samples: NDArray[np.float32]
        samples, _ = soundfile.read(
            io.BytesIO(content),
            dtype="float32",
            always_2d=True,
            samplerate=self.rate,
            channels=self.channels,
            format="RAW",
            subtype=self.subtype,
            endian="LITTLE",
        )
        return samples


class Microphone:
    """The system's microphone, in mono.

    Attributes:
        rate: Hz.
    """

    def __init__(self) -> None:
        """Finds the microphone.

        Raises:
            ConfigError: sounddevice is not installed.
            AudioError: there is no microphone, or no library for it.
        """
        try:
            import sounddevice
        except ImportError:
            raise ConfigError("a microphone needs sounddevice: pip install 'mir-tf[listen]'") from None
        except OSError as error:
            raise AudioError(f"microphone: {error}; install it with the system's packages") from None
        self._sounddevice = sounddevice
        try:
            self.rate = round(sounddevice.query_devices(kind="input")["default_samplerate"])
        except sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: none is found: {error}") from None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Blocks [samples, 1], for ever.

        Raises:
            AudioError: the microphone fails, or the machine is too slow to take all that it gives.
        """
        try:
            with self._sounddevice.InputStream(
                self.rate, channels=1, dtype="float32", latency=_MICROPHONE_SECONDS
            ) as stream:
                while True:
                    block, is_lost = stream.read(round(BLOCK_SECONDS * self.rate))
                    if is_lost:
                        raise AudioError("microphone: samples were lost: this machine is too slow for the model")
                    yield block
        except self._sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: {error}") from None


def _read_wav_header(file: BinaryIO) -> RawSource:
    """Reads a wav from a pipe, which libsndfile would not leave at Ctrl-C, up to its first sample."""
    if file.read(4) != b"RIFF" or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
        raise AudioError(f"standard input: no wav; give --format {' or '.join(_RAW)} for raw audio")
    layout = b""
    while True:
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if not name or name == b"data" or size > _MOST_HEADER:
            break
        content = file.read(size + size % 2)
        if name == b"fmt ":
            layout = content
    if name != b"data" or len(layout) < 16:
        raise AudioError("standard input: damaged or cut off in the header of the wav")
    tag, channels = (int.from_bytes(layout[at : at + 2], "little") for at in (0, 2))
    rate, bits = int.from_bytes(layout[4:8], "little"), int.from_bytes(layout[14:16], "little")
    if tag == _EXTENSIBLE and len(layout) >= 26:
        tag = int.from_bytes(layout[24:26], "little")
    if fault := find_invalid_rate(rate):
        raise AudioError(f"standard input: {fault}")
    if (tag, bits) not in _WAV or not channels:
        raise AudioError(
            f"standard input: a wav of encoding {tag} with {bits} bits, {channels} channels, {rate} Hz cannot be "
            "decoded here; send PCM or floating-point"
        )
    return RawSource(file, rate, channels, *_WAV[tag, bits], size if 0 < size < _STREAMED else None)
