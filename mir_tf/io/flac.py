"""The structure of flac files: whether the stated length is that of the whole file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from mir_tf.io.pcm import after_tags

_TAIL = 2**18
"""Bytes at the end of a file in which its last frame begins; FLAC's frames are shorter in practice."""

_PIECE = 2**20
"""Bytes that are searched at once: few enough for a processor's cache."""

_HEADER = re.compile(rb"fLaC[\0\x80]\0\0\x22")
"""The beginning of a flac."""


def is_all_of_flac(file: Any) -> bool:
    """Return whether the length that the header of a flac states is known, and is that of the file.

    The last frame states its place, which must be within the stated length.
    """
    start = after_tags(file)
    file.seek(start)
    head = file.read(42)
    total = int.from_bytes(head[21:26], "big") & (2**36 - 1)
    if len(head) < 42 or head[4] & 0x7F or not total:
        return False
    size = file.seek(0, os.SEEK_END)
    audio = _after_metadata(file, start + 4, size)
    file.seek(audio)
    first = file.read(4)
    if not _is_sync(first):
        return False
    block_size = int.from_bytes(head[8:10], "big")
    begin = max(audio, size - _TAIL)
    file.seek(begin)
    tail = file.read(_TAIL)
    for at in _backwards(tail, first[:2]):
        number, end = _number(tail[at : at + 20], first)
        if number is None:
            continue
        is_fixed = not first[1] & 1
        last = number * block_size + 1 if is_fixed else number + 1
        if last > total or (end and last - 1 + end > total):
            return False
        break
    return True


def stated_samples(file: Any) -> int:
    """Return the number of samples that the header of a flac states; 0 if it states none."""
    file.seek(after_tags(file) + 21)
    return int.from_bytes(file.read(5), "big") & (2**36 - 1)


def is_joined_flac(file: Any) -> bool:
    """Return whether the header of another flac follows the first."""
    at = after_tags(file) + 8
    while True:
        file.seek(at)
        piece = file.read(_PIECE + 8)
        if _HEADER.search(piece):
            return True
        if len(piece) <= _PIECE:
            return False
        at += _PIECE


def _after_metadata(file: Any, at: int, size: int) -> int:
    """Return the offset of the first frame."""
    while at < size:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            break
        at += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 0x80:
            break
    return at


def _is_sync(head: bytes) -> bool:
    return len(head) == 4 and head[0] == 0xFF and head[1] & 0xFE == 0xF8


def _backwards(tail: bytes, sync: bytes) -> Iterator[int]:
    """Yield the places of possible frames, the last one first."""
    at = len(tail)
    while (at := tail.rfind(sync, 0, at)) >= 0:
        yield at
        at += 1  # the bytes of the next may overlap


def _number(head: bytes, first: bytes) -> tuple[int | None, int]:
    """Return the number that the header of a frame states, and its samples; None and 0 if it is not a header."""
    if len(head) < 8 or head[2] & 0x0F != first[2] & 0x0F or (head[3] ^ first[3]) & 0x0F:
        return None, 0
    lead = head[4]
    length = 1 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length()
    if length == 8 or (lead >= 0x80 and length < 2) or any(byte & 0xC0 != 0x80 for byte in head[5 : 4 + length]):
        return None, 0
    number = lead if length == 1 else lead & (0x7F >> length)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    at = 4 + length
    code, rate = head[2] >> 4, head[2] & 0x0F
    samples = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}.get(code, 0)
    if code in (6, 7):
        samples = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    return (number, samples) if samples and at < len(head) and _crc8(head[:at]) == head[at] else (None, 0)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
