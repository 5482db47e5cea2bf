"""Uncompressed audio in wav, rf64, w64, aiff, au and caf files.

The usual libraries read as much as the header states, or as there is, whichever is less, and report neither a file that
is cut off nor audio that the header does not count. This module finds the audio itself: it reads to the end of a file
whose header states too little, because a program was stopped or wrote to a pipe, and refuses one that is cut off.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import AudioError

TO_WAV = "ffmpeg -i FILE song.wav"
RESTORE = f"get the whole file, or keep what is left of it: {TO_WAV}"
"""What to do about a file that is cut off."""

SEVERAL = "several files in one, of which programs play the first only"

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
"""First bytes of tags, which may stand before and after the audio of any file."""

_UNLIKELY_SIZE = 2**46
"""Sizes in bytes from here on are placeholders."""

_PLACEHOLDER_RANGE = 2**16
"""Programs that write to a pipe state a size this close to 2 GiB or 4 GiB."""

_MAX_CHUNKS = 100_000


def is_placeholder(size: int) -> bool:
    """Return whether a program that could not know the size in bytes wrote this one."""
    return abs(size - 2**31) <= _PLACEHOLDER_RANGE or 0 <= 2**32 - size <= _PLACEHOLDER_RANGE or size >= _UNLIKELY_SIZE


class Encoding(NamedTuple):
    """How samples are stored: kind ``i`` (integer), ``u`` (unsigned), ``f`` (float), ``U`` (µ-law) or ``A`` (A-law)."""

    kind: str
    width: int  # bytes
    endian: str  # "<" or ">"


MAX_CHANNELS = 64
"""Files with more are assumed to be damaged, and arrays with more columns to be transposed."""

_USUAL_RATES = frozenset((8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000))


@dataclasses.dataclass
class _Found:
    """What a header states, as far as it is read.

    Attributes:
        sr: Sample rate in Hz.
        channels: Number of channels.
        encoding: How samples are stored; None if they are compressed.
        pieces: Offset and size in bytes of each part of the audio.
        is_contradictory: Whether two fields cannot both be true, so that the length is not known.
    """

    sr: int = 0
    channels: int = 0
    encoding: Encoding | None = None
    is_contradictory: bool = False
    pieces: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def use_wav(self, layout: bytes, endian: str) -> None:
        """Take over the ``fmt`` chunk of a wav."""
        if len(layout) < 16:
            return
        tag, self.channels, self.sr, per_second, block, bits = struct.unpack_from(endian + "HHIIHH", layout)
        if tag == 0xFFFE and len(layout) >= 26:
            tag = struct.unpack_from(endian + "I", layout, 24)[0] & 0xFFFF
        width = block // self.channels if self.channels else 0
        if width * self.channels != block or not bits <= 8 * width < bits + 8:
            width = (bits + 7) // 8
            self.is_contradictory = tag in (1, 3) and block not in (0, 1, width)  # these are common mistakes
        other_sr = per_second // block if block else 0
        self.is_contradictory |= tag in (1, 3) and self.sr not in _USUAL_RATES and other_sr in _USUAL_RATES
        if tag == 1 and width in (1, 2, 3, 4, 8):
            self.encoding = Encoding("u" if width == 1 else "i", width, endian)
        elif tag == 3 and width in (4, 8):
            self.encoding = Encoding("f", width, endian)
        elif tag in (6, 7) and bits == 8:
            self.encoding = Encoding("A" if tag == 6 else "U", 1, endian)


class PcmFile:
    """An uncompressed recording, opened.

    Attributes:
        sr: Sample rate in Hz.
        num_samples: Length in samples.
        is_exact: True.
    """

    is_exact = True

    def __init__(self, file: Any, path: str | Path, found: _Found) -> None:
        """Read the audio that was found in a file, an object with ``read`` and ``seek``."""
        assert found.encoding is not None
        self._file, self._path, self._encoding, self._channels = file, path, found.encoding, found.channels
        self.sr = found.sr
        self._frame = found.channels * found.encoding.width
        self._pieces = [(offset, size // self._frame) for offset, size in found.pieces]
        self._length = sum(count for _, count in self._pieces)
        self.num_samples: int | None = self._length

    def blocks(self, first: int, count: int | None, max_samples: int, max_values: int) -> Iterator[NDArray[np.float32]]:
        """Read a segment; see :meth:`mir_tf.io.ffmpeg.FFmpegFile.blocks`."""
        end = self._length if count is None else first + count
        most = max(1, min(max_samples, max_values // self._channels))
        begin = 0
        for offset, length in self._pieces:
            for position in range(max(first, begin), min(end, begin + length), most):
                size = min(most, min(end, begin + length) - position)
                self._file.seek(offset + (position - begin) * self._frame)
                content = self._file.read(size * self._frame)
                if len(content) < size * self._frame:
                    return
                yield _to_samples(content, self._encoding).reshape(size, self._channels)
            begin += length


def open_pcm(file: Any, path: str | Path) -> PcmFile | None:
    """Open a file if it is uncompressed, and check any wav, aiff, au or caf.

    Args:
        file: The file: an object with ``read``, ``seek`` and ``tell``.
        path: Its path, for messages.

    Returns:
        The file; None if it is another kind of file, or compressed.

    Raises:
        AudioError: It is cut off, its header is damaged, it contains no samples, or several files were joined.
    """
    size = _before_tags(file, file.seek(0, os.SEEK_END))
    start = after_tags(file)
    file.seek(start)
    head = file.read(40)
    found = _Found()
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        _read_riff(file, path, start, size, found, ">" if head.startswith(b"RIFX") else "<")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        _read_aiff(file, path, start, size, found)
    elif head.startswith(b"riff") and head[24:28] == b"wave":
        _read_w64(file, path, start, size, found)
    elif head.startswith(b"caff"):
        _read_caf(file, path, start, size, found)
    elif head[:4] in (b".snd", b"dns."):
        _read_au(file, head, path, start, size, found)
    else:
        return None
    if found.encoding is None or not found.channels:
        if found.sr and not any(length for _, length in found.pieces):
            raise AudioError(f"{path}: contains no samples")
        return None
    if found.channels > MAX_CHANNELS:
        raise AudioError(
            f"{path}: states {found.channels} channels, and at most {MAX_CHANNELS} are read; get the file again"
        )
    if found.is_contradictory:
        raise AudioError(
            f"{path}: damaged: its header contradicts itself about sample rate, channels and size of samples; get the "
            "file again"
        )
    opened = PcmFile(file, path, found)
    if not opened.num_samples:
        raise AudioError(f"{path}: contains no samples")
    return opened


def after_tags(file: Any) -> int:
    """Return the offset of the first byte after any ID3 tags at the beginning of a file."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            return start
        start += 10 + seven_bit_size(head) + (10 if head[5] & 0x10 else 0)


def _before_tags(file: Any, size: int) -> int:
    """Return the offset of the tags at the end of a file, or its size if there are none."""
    while True:
        file.seek(max(0, size - 128))
        last = file.read(min(size, 128))
        if len(last) == 128 and last.startswith(b"TAG"):
            size -= 128
        elif last[-32:].startswith(b"APETAGEX"):
            length = int.from_bytes(last[-20:-16], "little") + (32 if last[-9] & 0x80 else 0)
            if not 32 <= length <= size:
                return size
            size -= length
        else:
            return size


def seven_bit_size(head: bytes) -> int:
    """Return the size that the header of an ID3 tag states, in four bytes of seven bits."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _read_riff(file: Any, path: str | Path, start: int, size: int, found: _Found, endian: str) -> None:
    big = 0  # size of the audio in the chunk ds64 of rf64
    at = start + 12
    for _ in range(_MAX_CHUNKS):
        at = min(at, size)
        file.seek(at)
        head = file.read(8)
        is_other = not _is_name(head[:4]) or head.startswith((b"RIFF", b"RF64", b"RIFX"))
        if len(head) < 8 or (found.pieces and is_other):
            break
        name, length = head[:4], struct.unpack(endian + "I", head[4:])[0]
        at += 8
        if name == b"ds64":
            big = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            found.use_wav(file.read(min(length, 4096)), endian)
        elif name == b"data":
            if length == 2**32 - 1 and big:
                length = big
            if length > size - at or (not length and not _are_chunks(file, at, size, endian)):
                length = _fit(length, size - at, path, found)
            found.pieces.append((at, length))
        elif found.pieces and at + length > size + 1:
            at -= 8
            break
        at = _next_chunk(file, at + length)
    _take_rest(file, path, at, size, found)


def _read_aiff(file: Any, path: str | Path, start: int, size: int, found: _Found) -> None:
    frames, compression = 0, b"NONE"
    file.seek(start + 8)
    kind = file.read(4)
    at = start + 12
    for _ in range(_MAX_CHUNKS):
        at = min(at, size)
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or (found.pieces and (not _is_name(head[:4]) or head.startswith(b"FORM"))):
            break
        name, length = head[:4], int.from_bytes(head[4:], "big")
        at += 8
        if name == b"COMM":
            layout = file.read(min(length, 64))
            if len(layout) >= 18:
                found.channels, frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", layout)
                found.sr = round(mantissa * 2.0 ** min((exponent & 0x7FFF) - 16446, 100))
                compression = layout[18:22] if kind == b"AIFC" and len(layout) >= 22 else compression
                found.encoding = _aiff_encoding(compression, bits)
        elif name == b"SSND":
            skipped = 8 + int.from_bytes(file.read(8)[:4], "big")
            if length > size - at or (length <= skipped and not _are_chunks(file, at + length, size, ">")):
                length = skipped + _fit(max(0, length - skipped), size - at - skipped, path, found)
            found.pieces.append((at + skipped, max(0, length - skipped)))
        elif found.pieces and at + length > size + 1:
            at -= 8
            break
        at = _next_chunk(file, at + length)
    if found.encoding is not None and found.pieces:
        present = size - found.pieces[0][0]
        stated = frames * found.channels * found.encoding.width
        if stated > present and not is_placeholder(stated) and frames < 2**32 - 2**16:
            _fit(stated, present, path, found)
    _take_rest(file, path, at, size, found)


def _aiff_encoding(compression: bytes, bits: int) -> Encoding | None:
    width = (bits + 7) // 8
    floats = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8}
    if compression in floats:
        return Encoding("f", floats[compression], ">")
    if compression.lower() in (b"ulaw", b"alaw"):
        return Encoding(compression[:1].decode().upper(), 1, ">")
    if compression == b"raw ":
        return Encoding("u", 1, ">")
    if compression in (b"NONE", b"twos", b"sowt", b"in24", b"in32") and 1 <= width <= 4:
        return Encoding("i", width, "<" if compression == b"sowt" else ">")
    return None


def _read_w64(file: Any, path: str | Path, start: int, size: int, found: _Found) -> None:
    at = start + 40
    for _ in range(_MAX_CHUNKS):
        at = min(at, size)
        file.seek(at)
        head = file.read(24)  # a GUID, which begins with a name, and the size with these 24 bytes
        if len(head) < 24 or (found.pieces and (not _is_name(head[:4]) or head.startswith(b"riff"))):
            break
        name, length = head[:4], int.from_bytes(head[16:], "little") - 24
        at += 24
        if name == b"fmt ":
            found.use_wav(file.read(min(max(length, 0), 4096)), "<")
        elif name == b"data":
            length = max(0, length)
            if length > size - at or not length:
                length = _fit(length, size - at, path, found)
            found.pieces.append((at, length))
        elif found.pieces and (length < 0 or at + length > size + 7):
            at -= 24
            break
        at += max(0, length) + -length % 8
    _take_rest(file, path, at, size, found)


def _read_caf(file: Any, path: str | Path, start: int, size: int, found: _Found) -> None:
    at = start + 8
    for _ in range(_MAX_CHUNKS):
        at = min(at, size)
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or (found.pieces and not _is_name(head[:4])):
            break
        name, length = head[:4], int.from_bytes(head[4:], "big", signed=True)
        at += 12
        if name == b"desc":
            layout = file.read(32)
            if len(layout) == 32:
                rate, code, flags, block, _, found.channels, bits = struct.unpack(">d4s5I", layout)
                found.sr = round(rate) if abs(rate) < 2**31 else 0
                width = (block // found.channels if found.channels else 0) or (bits + 7) // 8
                endian = "<" if flags & 2 else ">"
                if code == b"lpcm" and (width in (4, 8) if flags & 1 else 1 <= width <= 4):
                    found.encoding = Encoding("f" if flags & 1 else "i", width, endian)
                elif code in (b"ulaw", b"alaw"):
                    found.encoding = Encoding(code[:1].decode().upper(), 1, endian)
        elif name == b"data":
            if length < 4 or length > size - at:
                length = 4 + _fit(max(0, length - 4) if length >= 0 else 0, max(0, size - at - 4), path, found)
            found.pieces.append((at + 4, length - 4))  # after the number of edits
        elif found.pieces and not 0 <= length <= size - at:
            at -= 12
            break
        at += max(0, length)
    _take_rest(file, path, at, size, found)


def _read_au(file: Any, head: bytes, path: str | Path, start: int, size: int, found: _Found) -> None:
    if len(head) < 24:
        raise AudioError(f"{path}: contains no samples")
    endian = ">" if head.startswith(b".snd") else "<"
    offset, length, code, found.sr, found.channels = struct.unpack_from(endian + "5I", head, 4)
    kinds = {1: ("U", 1), 2: ("i", 1), 3: ("i", 2), 4: ("i", 3), 5: ("i", 4), 6: ("f", 4), 7: ("f", 8), 27: ("A", 1)}
    if code in kinds:
        found.encoding = Encoding(*kinds[code], endian)
    at = start + max(24, offset)
    present = max(0, size - at)
    if length > present:
        length = _fit(length, present, path, found)
    file.seek(at + length)
    if length and file.read(4) in (b".snd", b"dns."):
        raise _joined(path)
    found.pieces.append((at, present if found.encoding is not None and length < present else length))


def _fit(stated: int, present: int, path: str | Path, found: _Found) -> int:
    """Return the size in bytes of audio of which a file contains less than stated, or states nothing.

    Raises:
        AudioError: The file is cut off.
    """
    frame = found.channels * found.encoding.width if found.encoding is not None else 1
    if not stated or is_placeholder(stated) or stated - present < frame:
        return max(0, present)
    seconds = ""
    if found.encoding is not None and found.sr and frame:
        seconds = f" after {present / frame / found.sr:.1f} s"
    raise AudioError(
        f"{path}: damaged or cut off{seconds}: its header states {stated} bytes of audio, and "
        f"{max(0, present)} follow; {RESTORE}"
    )


def _take_rest(file: Any, path: str | Path, at: int, size: int, found: _Found) -> None:
    """Add what follows the last chunk to the audio, unless it is a tag; the header states too little.

    Raises:
        AudioError: Another file follows.
    """
    if not found.pieces or at >= size:
        return
    file.seek(at)
    head = file.read(40)
    joined = any(
        (each[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM") and each[8:12] in (b"WAVE", b"AIFF", b"AIFC"))
        or each.startswith((b"caff\0\1", b"riff\x2e\x91\xcf\x11"))
        for each in (head, head[1:])
    )  # fmt: skip
    if joined:
        raise _joined(path)
    if found.encoding is None or head.startswith(TAGS) or found.pieces[-1][0] + found.pieces[-1][1] < at - 8:
        return  # compressed; or a tag; or the rest of a damaged chunk after the audio
    offset, _ = found.pieces[-1]
    found.pieces[-1] = (offset, size - offset)


def _joined(path: str | Path) -> AudioError:
    return AudioError(f"{path}: {SEVERAL}; join their audio instead: sox 1.wav 2.wav song.wav")


def _is_name(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk."""
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _are_chunks(file: Any, at: int, size: int, endian: str) -> bool:
    """Return whether chunks, or nothing, follow up to the end of a file."""
    while at < size:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or not _is_name(head[:4]):
            return False
        at = _next_chunk(file, at + 8 + struct.unpack(endian + "I", head[4:])[0])
    return at <= size + 1


def _next_chunk(file: Any, end: int) -> int:
    """Return the offset of the chunk after one that ends at ``end``: chunks begin at even offsets, in most files."""
    if end % 2 == 0:
        return end
    file.seek(end)
    name = file.read(5)
    return end if _is_name(name[:4]) and not (name[1:] and _is_name(name[1:5])) else end + 1


def _to_samples(content: bytes, encoding: Encoding) -> NDArray[np.float32]:
    """Return samples as float32 [values], about -1 to 1."""
    kind, width, endian = encoding
    if kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later
            return np.frombuffer(content, f"{endian}f{width}").astype(np.float32)
    if kind in "UA":
        companded: NDArray[np.float32] = _companded(kind)[np.frombuffer(content, np.uint8)]
        return companded
    if kind == "u":
        return (np.frombuffer(content, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    if width == 3:
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        place = 1 if endian == "<" else 0
        padded[:, place : place + 3] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view(f"{endian}i4")[:, 0].astype(np.float32) * np.float32(2.0**-31)
    return np.frombuffer(content, f"{endian}i{width}").astype(np.float32) * np.float32(2.0 ** (1 - 8 * width))


def _companded(kind: str) -> NDArray[np.float32]:
    """Return the samples that the 256 codes of µ-law (``U``) or A-law (``A``) stand for, as ITU-T G.711 has them."""
    codes = np.arange(256)
    if kind == "U":
        codes = ~codes & 0xFF
        magnitude = (((codes & 15) << 3) + 132 << (codes >> 4 & 7)) - 132
        sign = np.where(codes & 128, -1, 1)
    else:
        codes = codes ^ 0x55
        segment = codes >> 4 & 7
        magnitude = np.where(segment, ((codes & 15) * 16 + 264) << np.maximum(segment - 1, 0), (codes & 15) * 16 + 8)
        sign = np.where(codes & 128, 1, -1)
    samples: NDArray[np.float32] = (sign * magnitude / 32768).astype(np.float32)
    return samples
