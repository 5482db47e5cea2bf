"""The structure of compressed files: whether a file reaches to its own end, and is one file.

FFmpeg skips what it does not understand and stops without an error where a file is cut off. The functions here follow
the pages, boxes, elements or frames of a file from its first byte to its last, without decoding anything.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mir_tf.errors import AudioError
from mir_tf.io.pcm import RESTORE, SEVERAL, TAGS, TO_WAV, after_tags, is_placeholder, seven_bit_size

CONVERT = f"convert it: {TO_WAV}"

_MAX_AFTER = 4096
"""Bytes that may follow the last part of a file: padding, or a tag of an unknown kind."""

_HOLE = 512
"""Number of zeros amid frames that is too large for padding: a sector, the smallest part that a disk loses."""

_PIECE = 2**20

_TS = 188
"""Bytes of a packet of an MPEG transport stream."""

_SEARCHED = 2**17
"""Bytes in which the first frame, or another file, is sought."""

_ASF = bytes.fromhex("3026b2758e66cf11")
"""First bytes of wma and wmv."""

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Object of a wma or wmv that states its size, 40 bytes after this, and 48 bytes later whether it was streamed."""

_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"

_IN_SEGMENT = frozenset(
    bytes.fromhex(name)
    for name in "114d9b74 1549a966 1654ae6b 1f43b675 1c53bb6b 1941a469 1043a770 1254c367 ec bf".split()
)
"""Elements of matroska and webm within a segment."""

_IN_CLUSTER = frozenset(bytes.fromhex(name) for name in "e7 a3 a0 a7 ab ec bf 5854 af".split())

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in reverse."""


class Damage(Exception):
    """What is wrong with a file, for a message."""


def require_whole(file: Any, path: str | Path) -> bool:
    """Check the structure of a file; return whether the length that FFmpeg reports is stated, or only an estimate.

    Args:
        file: The file: an object with ``read``, ``seek`` and ``tell``.
        path: Its path, for messages.

    Raises:
        AudioError: The file is cut off or damaged, or several files were joined that cannot be read as one.
    """
    window = _Window(file)
    start = after_tags(file)
    head = window.at(start, 64)
    try:
        if head.startswith(b"OggS"):
            _follow_ogg(window, start)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof"):
            _follow_mp4(window, start)
        elif head.startswith(_EBML):
            _follow_matroska(window, start)
        elif head.startswith(_ASF):
            return _check_asf(window, start)
        elif head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            return _follow_avi(window, start)
        elif head.startswith((b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"caff")):
            if head.startswith(b"RIFF"):
                _follow_wav(window, start)
            return False  # mir_tf.io.pcm has checked the chunks
        elif head.startswith(b"TTA1"):
            _check_tta(head, window, start)
        elif head.startswith(b"wvpk"):
            _follow_wavpack(window, start)
        elif head.startswith(b"MAC "):
            _check_ape(head, window, start)
        elif head.startswith(b"Creative Voice File"):
            _follow_voc(head, window, start)
        elif head.startswith(b"NIST_1A"):
            _check_nist(window, start)
        elif head.startswith(b"\0\0\1\xba"):
            _follow_mpeg(window, start)
        elif head[:1] == window.at(start + _TS, 1) == window.at(start + 2 * _TS, 1) == b"\x47":
            # Recorders stop anywhere, so the last packet of audio may be incomplete, but not that of the transport.
            if (rest := (window.size - start) % _TS) and window.at(window.size - rest, 1) == b"\x47":
                raise _cut()
        elif head.startswith(b"FLV"):
            _follow_flv(head, window, start)
    except Damage as damage:
        raise AudioError(f"{path}: {damage}") from None
    return True


def measure_frames(file: Any, path: str | Path) -> float | None:
    """Return the length of a file that consists of frames alone (mp3, mp2, aac, ac3, amr), in seconds.

    Raises:
        AudioError: The file is cut off or damaged.
    """
    window = _Window(file)
    try:
        return _follow_frames(window, after_tags(file))
    except Damage as damage:
        raise AudioError(f"{path}: {damage}") from None


class _Window:
    """A file of which small pieces are looked at, mostly one after the other."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._start, self._piece = 0, b""

    def until(self, end: int) -> _Window:
        """Return this file as if it ended at a byte."""
        window = _Window(self._file)
        window.size = min(end, self.size)
        return window

    def at(self, place: int, count: int) -> bytes:
        """Return the bytes at a place; fewer at the end of the file."""
        begin = place - self._start
        if begin < 0 or begin + count > len(self._piece):
            if place >= self.size:
                return b""
            self._file.seek(place)
            self._start, self._piece, begin = place, self._file.read(max(count, _PIECE)), 0
        return self._piece[begin : begin + count]


def _cut(detail: str = "its end is missing") -> Damage:
    return Damage(f"cut off: {detail}; {RESTORE}")


def _joined() -> Damage:
    return Damage(f"{SEVERAL}; convert each of them before you join them: {TO_WAV}")


def _is_end(window: _Window, place: int) -> bool:
    """Return whether only a tag or a little padding follows."""
    rest = window.at(place, 16)
    return place >= window.size - _MAX_AFTER or rest.startswith(TAGS) or not rest.strip(b"\0")


def _require_none(window: _Window, place: int, magic: bytes) -> None:
    """Raise Damage if another file begins soon after this place."""
    if magic in window.at(place, _SEARCHED):
        raise _joined()


class _Kind(NamedTuple):
    name: str
    rate: int
    channels: int

    def __str__(self) -> str:
        return f"{self.name}, {self.rate} Hz, {self.channels} channels"


def _follow_ogg(window: _Window, place: int) -> None:
    """Check each page's checksum and number; chained streams must be of the same kind.

    A stream need not have an end mark: a recorder that is stopped writes none.
    """
    open_streams: dict[int, tuple[int, int, bool]] = {}  # serial → number, position, whether a packet is incomplete
    kind = None
    while place < window.size:
        head = window.at(place, 27)
        if not head.startswith(b"OggS"):
            if not b"OggS".startswith(head[:4]) and not open_streams and _is_end(window, place):
                break
            if not open_streams and head.startswith(b"ID3"):  # joined files that have tags
                place += 10 + seven_bit_size(head)
                continue
            if window.size - place <= _MAX_AFTER:
                raise _cut()
            if len(set(window.at(place, 4096))) == 1:  # some programs reserve the full size before they download
                raise _cut()
            raise Damage(f"damaged or cut off: no ogg page at byte {place}; {RESTORE}")
        count = head[26] if len(head) == 27 else 0
        table = window.at(place + 27, count)
        size = 27 + count + sum(table)
        page = window.at(place, size)
        if len(head) < 27 or len(page) < size:
            raise _cut()
        if _ogg_checksum(page) != int.from_bytes(page[22:26], "little"):
            if len(set(page[-64:])) <= 2 and not window.at(place + size, 4).startswith(b"OggS"):
                raise _cut()
            raise Damage(f"damaged or cut off: wrong checksum of the ogg page at byte {place}; {RESTORE}")
        flags, position = page[5], int.from_bytes(page[6:14], "little", signed=True)
        serial, number = int.from_bytes(page[14:18], "little"), int.from_bytes(page[18:22], "little")
        if flags & 2:
            if found := _ogg_kind(page[27 + count :]):
                if kind is not None and found != kind and serial not in open_streams:
                    raise Damage(f"it was joined from streams of different kinds ({kind}; then {found}); {CONVERT}")
                kind = kind or found
        elif serial in open_streams:
            before, last_position, is_incomplete = open_streams[serial]
            is_jump = number != (before + 1) % 2**32 and last_position > 0
            if is_jump or (is_incomplete != bool(flags & 1) and last_position > 0):
                raise Damage(f"damaged or cut off: ogg pages are missing before byte {place}; {RESTORE}")
        if flags & 4:
            open_streams.pop(serial, None)
        else:
            open_streams[serial] = (number, position, bool(table) and table[-1] == 255)
        place += size
    if any(is_incomplete for *_, is_incomplete in open_streams.values()):
        raise _cut()


def _ogg_checksum(page: bytes) -> int:
    """Return the checksum of a page: that of zlib without its inversions, and with the bits in the other order."""
    blank = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    return int(f"{zlib.crc32(blank, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _ogg_kind(packet: bytes) -> _Kind | None:
    if packet.startswith(b"\x01vorbis"):
        return _Kind("vorbis", int.from_bytes(packet[12:16], "little"), packet[11])
    if packet.startswith(b"OpusHead"):
        return _Kind("opus", 48000, packet[9])
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 30:
        bits = int.from_bytes(packet[27:31], "big")
        return _Kind("flac", bits >> 12, (bits >> 9 & 7) + 1)
    if packet.startswith(b"Speex   "):
        return _Kind("speex", int.from_bytes(packet[36:40], "little"), packet[48])
    return None


def _follow_mp4(window: _Window, place: int) -> None:
    has_index = False
    while place < window.size:
        head = window.at(place, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8 or not all(32 <= byte < 127 or byte == 0xA9 for byte in name) or 1 < size < 8:
            return  # padding or something else: the boxes before are whole
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if not size:
            return  # up to the end
        if name in (b"ftyp", b"moov") and has_index:
            raise _joined()
        has_index = has_index or name == b"moov"
        if place + size > window.size and not head.startswith(TAGS):
            if name == b"mdat" and not has_index:
                raise Damage(
                    "incomplete: its index is missing, as if the recording or download was interrupted; "
                    "get the whole file"
                )
            if name in (b"mdat", b"moov", b"moof"):
                raise _cut()
            return
        place += size


def _follow_matroska(window: _Window, place: int) -> None:
    begin = place
    segment_end: int | None = None
    in_segment = in_cluster = False
    while place < window.size:
        if segment_end is not None and place >= segment_end:
            in_segment, in_cluster, segment_end = False, False, None
        head = window.at(place, 12)
        name = head[: _vint_length(head[0])]
        size, length = _vint(head[len(name) :])
        if name in (_EBML, _SEGMENT):
            if name == _EBML:
                if place > begin and _SEGMENT in window.at(place, 256):
                    raise _joined()
                place += len(name) + length + (size or 0)
                continue
            in_segment = True
            place += len(name) + length
            if size is not None:
                segment_end = place + size
                if segment_end > window.size:
                    raise _cut()
            continue
        if not in_segment:
            return  # something else follows: the segment before is whole
        if name in _IN_SEGMENT and not (in_cluster and name in (b"\xec", b"\xbf")):
            in_cluster = name == _CLUSTER and size is None
            if name == _CLUSTER and size is not None:
                _follow_cluster(window, place + len(name) + length, place + len(name) + length + size)
        elif not in_cluster or name not in _IN_CLUSTER:
            if segment_end is None and _is_end(window, place):
                if window.size - place < 12:
                    raise _cut()
                return
            raise Damage(f"damaged or cut off: no element at byte {place}; {RESTORE}")
        if length == 0:
            raise _cut()
        place += len(name) + length + (size or 0)
    if place > window.size:
        raise _cut()


def _follow_wav(window: _Window, place: int) -> None:
    """Follow the frames of mp3 or mp2 in a wav."""
    place, codec = place + 12, 0
    while place < window.size - 8:
        name, size = window.at(place, 4), int.from_bytes(window.at(place + 4, 4), "little")
        if name == b"fmt ":
            codec = int.from_bytes(window.at(place + 8, 2), "little")
        if name == b"data":
            if codec in (0x50, 0x55):
                _follow_frames(window.until(place + 8 + size if size else window.size), place + 8)
            return
        place += 8 + size + size % 2


def _follow_cluster(window: _Window, place: int, end: int) -> None:
    """Check that the elements of a cluster adjoin and fill it, unless it is cut off."""
    while place < end <= window.size:
        head = window.at(place, 12)
        name = head[: _vint_length(head[0])]
        size, length = _vint(head[len(name) :])
        if name not in _IN_CLUSTER or size is None or place + len(name) + length + size > end:
            raise Damage(f"damaged or cut off: no element at byte {place}; {RESTORE}")
        place += len(name) + length + size


def _vint_length(first: int) -> int:
    return 9 - first.bit_length() if first else 1


def _vint(data: bytes) -> tuple[int | None, int]:
    """Return the size of an element, None if it is unknown, and the bytes that state it; 0 bytes at the end."""
    if not data or len(data) < (length := _vint_length(data[0])) or not data[0]:
        return None, 0
    value = int.from_bytes(data[:length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), length


def _check_asf(window: _Window, start: int) -> bool:
    """Check the size of a wma or wmv; return whether it states one: it was not streamed."""
    head = window.at(start, 4096)
    place = head.find(_ASF_FILE_PROPERTIES)
    if not 0 <= place < len(head) - 88 or head[place + 88] & 1:
        return False
    end = start + int.from_bytes(head[place + 40 : place + 48], "little")
    if end > window.size:
        raise _cut()
    if window.at(end, 8) == _ASF:
        raise _joined()
    return True


def _follow_avi(window: _Window, place: int) -> bool:
    """Follow the parts of an avi; return whether they state their sizes."""
    begin = place
    while place < window.size:
        head = window.at(place, 12)
        if not head.startswith(b"RIFF"):
            break
        if place > begin and head[8:12] == b"AVI ":
            raise _joined()
        size = int.from_bytes(head[4:8], "little")
        if not size or is_placeholder(size):
            return False
        # Some programs count a last byte of padding that they do not write, or the 8 bytes of the header itself.
        if place + size > window.size + 1:
            raise _cut()
        place += 8 + size + size % 2
    return True


def _check_tta(head: bytes, window: _Window, start: int) -> None:
    rate, samples = int.from_bytes(head[10:14], "little"), int.from_bytes(head[14:18], "little")
    length = 256 * rate // 245
    frames = -(-samples // length) if length else 0
    place = start + 22 + 4 * frames + 4
    table = window.at(start + 22, 4 * frames)
    end = place + sum(int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4))
    if end > window.size:
        raise _cut()
    _require_none(window, end, b"TTA1")


def _follow_wavpack(window: _Window, place: int) -> None:
    while place < window.size:
        head = window.at(place, 8)
        if not head.startswith(b"wvpk"):
            if _is_end(window, place):
                _require_none(window, place, b"wvpk")
                return
            raise Damage(f"damaged or cut off: no block at byte {place}; {RESTORE}")
        place += 8 + int.from_bytes(head[4:], "little")
        if len(head) < 8 or place > window.size:
            raise _cut()


def _check_ape(head: bytes, window: _Window, start: int) -> None:
    if int.from_bytes(head[4:6], "little") < 3980:
        return
    sizes = [int.from_bytes(head[at : at + 4], "little") for at in range(8, 36, 4)]
    end = start + sum(sizes[:5]) + (sizes[5] << 32) + sizes[6]
    if end > window.size:
        raise _cut()
    _require_none(window, end, b"MAC ")


def _follow_voc(head: bytes, window: _Window, start: int) -> None:
    place = start + int.from_bytes(head[20:22], "little")
    while place < window.size - 16:  # SoX counts a few bytes too few
        block = window.at(place, 4)
        if block[:1] == b"\0":
            break
        place += 4 + int.from_bytes(block[1:], "little")
    if place > window.size:
        raise _cut()
    if window.at(place + 1, 19) == b"Creative Voice File":
        raise _joined()


def _check_nist(window: _Window, start: int) -> None:
    words = window.at(start, 1024).decode("latin-1").split()
    stated = dict(zip(words, words[2:], strict=False))
    sizes = [stated.get(name, "") for name in ("sample_count", "channel_count", "sample_n_bytes")]
    if not all(size.isdecimal() for size in sizes) or "embedded" in stated.get("sample_coding", ""):
        return  # compressed, or of an unknown length
    header = words[1] if len(words) > 1 and words[1].isdecimal() else "1024"
    end = start + int(header) + math.prod(map(int, sizes))
    if window.size < end:
        raise _cut()
    if window.at(end, 7) == b"NIST_1A":
        raise _joined()


def _follow_mpeg(window: _Window, place: int) -> None:
    """Follow the packs and packets of an MPEG program stream."""
    while place < window.size:
        head = window.at(place, 14)
        code = head[3:4]
        if not head.startswith(b"\0\0\1") or len(head) < 6:
            if _is_end(window, place) and not b"\0\0\1".startswith(head[:3].lstrip(b"\0") or b"x"):
                return
            if not head.strip(b"\0"):
                place += max(1, len(head) - 3)
                continue
            if len(head) < 6:
                if head[:4] == b"\0\0\1\xb9":
                    return
                raise _cut()
            raise Damage(f"damaged or cut off: no packet at byte {place}; {RESTORE}")
        if code == b"\xb9":
            place += 4
        elif code == b"\xba":
            if len(head) < 14:
                raise _cut()
            place += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        else:
            size = int.from_bytes(head[4:6], "big")
            if not size:
                return  # a packet of unknown size
            place += 6 + size
    if place > window.size:
        raise _cut()


def _follow_flv(head: bytes, window: _Window, start: int) -> None:
    place = start + int.from_bytes(head[5:9], "big") + 4
    while place < window.size:
        tag = window.at(place, 11)
        if tag.startswith(b"FLV"):
            raise _joined()
        if tag[0] not in (8, 9, 18):
            if _is_end(window, place):
                return
            raise Damage(f"damaged or cut off: no tag at byte {place}; {RESTORE}")
        size = int.from_bytes(tag[1:4], "big")
        place += 11 + size + 4
        if place > window.size:
            raise _cut()
        # Each tag is followed by its size. Some programs leave out a part of its header.
        if int.from_bytes(window.at(place - 4, 4), "big") not in (size + 11, size + 10, size):
            raise Damage(f"damaged or cut off: a tag at byte {place - 15 - size} lacks its stated size; {RESTORE}")


class _Frame(NamedTuple):
    """The frame of a bare stream: its size in bytes, and its length in seconds."""

    size: int
    seconds: float


_MPEG_RATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Whether it is MPEG-1, and layer → bit rates in kbit/s of the codes 1 to 14."""

_AC3_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)

_AMR_SIZES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
_AMR_WB_SIZES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)


def _mpeg_frame(head: bytes) -> _Frame | None:
    """Return the frame of an mp3 or mp2 that begins with these bytes; None if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, code, rate_code = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or not 0 < code < 15 or rate_code == 3:
        return None
    rate = (44100, 48000, 32000)[rate_code] // {3: 1, 2: 2, 0: 4}[version]
    bits, padding = 1000 * _MPEG_RATES[version == 3, layer][code - 1], head[2] >> 1 & 1
    if layer == 1:
        return _Frame((12 * bits // rate + padding) * 4, 384 / rate)
    samples = 576 if layer == 3 and version != 3 else 1152
    return _Frame(samples // 8 * bits // rate + padding, samples / rate)


def _adts_frame(head: bytes) -> _Frame | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or (code := head[2] >> 2 & 15) > 12:
        return None
    rate = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)[code]
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return _Frame(size, 1024 * ((head[6] & 3) + 1) / rate) if size > 7 else None


def _ac3_frame(head: bytes) -> _Frame | None:
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    if head[5] >> 3 > 10:  # eac3
        code = head[4] >> 6
        rate = (48000, 44100, 32000)[code] if code < 3 else (24000, 22050, 16000, 0)[head[4] >> 4 & 3]
        blocks = 6 if code == 3 else (1, 2, 3, 6)[head[4] >> 4 & 3]
        is_dependent = head[2] >> 6 == 1
        size = 2 * ((head[2] & 7) << 8 | head[3]) + 2
        return _Frame(size, 0 if is_dependent else 256 * blocks / rate) if rate else None
    rate_code, code = head[4] >> 6, head[4] & 63
    if rate_code == 3 or code >= 2 * len(_AC3_RATES):
        return None
    kbits = _AC3_RATES[code // 2]
    words = (2 * kbits, 320 * kbits // 147 + code % 2, 3 * kbits)[rate_code]
    return _Frame(2 * words, 1536 / (48000, 44100, 32000)[rate_code])


def _amr_frame(head: bytes) -> _Frame | None:
    return _Frame(_AMR_SIZES[head[0] >> 3 & 15], 0.02) if head and not head[0] & 0x83 else None


def _amr_wb_frame(head: bytes) -> _Frame | None:
    return _Frame(_AMR_WB_SIZES[head[0] >> 3 & 15], 0.02) if head and not head[0] & 0x83 else None


_FRAMES: tuple[Callable[[bytes], _Frame | None], ...] = (_adts_frame, _ac3_frame, _mpeg_frame)


def _follow_frames(window: _Window, place: int) -> float | None:
    """Follow the frames of an mp3, aac, ac3 or amr; return their length in seconds, or None if it is something else."""
    head = window.at(place, 16)
    if head.startswith(b"#!AMR\n"):
        found = (_amr_frame, place + 6)
    elif head.startswith(b"#!AMR-WB\n"):
        found = (_amr_wb_frame, place + 9)
    elif (found := _first_frame(window, place)) is None:  # type: ignore[assignment]
        return None
    frame_of, place = found
    known: dict[bytes, _Frame | None] = {}
    seconds, first_seconds = 0.0, None
    stated, is_cut = 0, False
    while place < window.size:
        head = window.at(place, 7)
        frame = known[head] if head in known else known.setdefault(head, frame_of(head))
        if head.startswith(b"#!AMR") and first_seconds:
            raise _joined()
        if frame is None or head.startswith(TAGS):
            try:
                after = _after_other(window, place, frame_of)
            except Damage:
                raise Damage(f"damaged or cut off after {seconds:.1f} s; {RESTORE}") from None
            if after is None:
                if seconds and window.size - place < 7:
                    is_cut = head[:1] in (b"\xff", b"\x0b")
                break
            place = after
            continue
        if place + frame.size > window.size:
            is_cut = True
            break
        if first_seconds is None:
            stated = _stated_frames(window.at(place, 192)) if frame_of is _mpeg_frame else 0
            first_seconds = frame.seconds
        seconds += frame.seconds
        place += frame.size
        if len(known) > 4096:
            known.clear()
    least = (stated - 1) * (first_seconds or 0)
    if is_cut or seconds < least - 0.01:
        of = f" of {least:.1f} s" if seconds < least else ""
        raise Damage(f"damaged or cut off after {seconds:.1f} s{of}; {RESTORE}")
    return seconds


def frame_size(head: bytes) -> int | None:
    """Return the size of the frame of a bare stream that begins with these bytes; None if none does."""
    frames = (frame_of(head) for frame_of in _FRAMES)
    return next((frame.size for frame in frames if frame is not None), None)


def _first_frame(window: _Window, start: int) -> tuple[Callable[[bytes], _Frame | None], int] | None:
    """Return the kind and place of the first frame: others follow it, or it begins the file, or states a length."""
    content = window.at(start, _SEARCHED)
    for place in _syncs(content):
        head = content[place : place + 192]
        if _mpeg_frame(head) is not None and (place == 0 or _stated_frames(head)):
            return _mpeg_frame, start + place
        for frame_of in _FRAMES:
            at = start + place
            for _ in range(3):
                frame = frame_of(window.at(at, 7))
                if frame is None:
                    break
                at += frame.size
                if at >= window.size:
                    break
            if frame is not None:
                return frame_of, start + place
    return None


def _syncs(content: bytes) -> Iterator[int]:
    place = -1
    while True:
        places = [found for sync in (b"\xff", b"\x0b\x77") if (found := content.find(sync, place + 1)) >= 0]
        if not places:
            return
        place = min(places)
        yield place


def _stated_frames(frame: bytes) -> int:
    """Return the number of frames that the first frame of an mp3 states (Xing or Info); 0 if it states none."""
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place > 0 and len(frame) >= place + 12 and frame[place + 7] & 1:
            return int.from_bytes(frame[place + 8 : place + 12], "big")
    return 0


def _after_other(window: _Window, place: int, frame_of: Callable[[bytes], _Frame | None]) -> int | None:
    """Return the place after a tag or padding amid frames; None if only these follow.

    Raises:
        Damage: Something else is there, and frames follow.
    """
    head = window.at(place, 32)
    if head.startswith(b"ID3") and len(head) >= 10:
        return place + 10 + seven_bit_size(head)
    if head.startswith(b"TAG"):
        return place + 128
    if head.startswith(b"APETAGEX") and (size := int.from_bytes(head[12:16], "little")) >= 32:
        return place + size + (32 if len(head) == 32 and head[23] & 0x20 else 0)
    content = window.at(place, _SEARCHED)
    rest = content.lstrip(b"\0")
    if zeros := len(content) - len(rest):
        # If a disk or a download lost a part, frames continue after many zeros.
        if zeros >= _HOLE and rest and frame_of(rest) is not None and not _stated_frames(rest[:192]):
            raise Damage("no frame")
        return place + zeros
    is_tag = head.startswith(TAGS)
    if not is_tag and frame_of in (_amr_frame, _amr_wb_frame):  # whose frames begin with nothing to look for
        raise Damage("no frame")
    for found in _syncs(content):
        at = place + found
        frames = 0
        while frames < 4 and (frame := frame_of(window.at(at, 7))) is not None:
            frames += 1
            at += frame.size
            if at >= window.size:
                break
        if frames == 4 or (frames and at == window.size):
            if is_tag:
                return place + found
            raise Damage("no frame")
    if window.size - place > _MAX_AFTER and not is_tag:
        raise Damage("no frame")
    return None
