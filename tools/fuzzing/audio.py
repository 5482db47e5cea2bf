"""Recordings and videos in many formats: the samples of the file before the change, and those of the program ffmpeg."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from fuzzing.cases import Case, Kind, damage
from mir_tf.errors import MirTfError
from mir_tf.io.audio import read_blocks

RATE = 8000
"""Sample rate in Hz at which answers are compared."""

TOLERANCE = 0.06
"""Seconds that an answer may lack: what an encoder adds at each end, and less than three frames of a codec."""

LOST = 0.11
"""Seconds that a damaged file may lack without a word: stated lengths are rounded, and some count padding."""

LIKENESS = 0.95
"""Least correlation of the same audio, wherever a quarter of a second is compared."""

SECONDS = 1.6


class Form(NamedTuple):
    """A format of recordings.

    Attributes:
        suffix: Suffix of the files.
        codec: FFmpeg's name of the encoder, or libsndfile's of the encoding.
        form: FFmpeg's or libsndfile's name of the format.
        rate: Sample rate in Hz.
        video: Whether there is a video too.
        options: Options of the format; None: libsndfile writes it.
        tells: Whether a file that is cut off between two of its parts differs from a shorter one.
    """

    suffix: str
    codec: str
    form: str
    rate: int = 22050
    video: bool = False
    options: dict[str, str] | None = None
    tells: bool = True


BY_LIBSNDFILE = (
    *(Form("wav", kind, "WAV") for kind in "PCM_16 PCM_24 PCM_32 PCM_U8 FLOAT DOUBLE ULAW ALAW IMA_ADPCM".split()),
    Form("wav", "PCM_16", "WAVEX"),
    *(Form("rf64", kind, "RF64") for kind in ("PCM_16", "FLOAT")),
    *(Form("w64", kind, "W64") for kind in ("PCM_16", "PCM_24")),
    *(Form("aiff", kind, "AIFF") for kind in ("PCM_16", "PCM_24", "PCM_S8", "FLOAT", "ULAW")),
    *(Form("caf", kind, "CAF") for kind in ("PCM_16", "FLOAT", "ALAC_16")),
    *(Form("au", kind, "AU") for kind in ("PCM_16", "ULAW", "FLOAT")),
    Form("voc", "PCM_16", "VOC", tells=False),  # it may have many blocks
    Form("nist", "PCM_16", "NIST"),
    Form("ircam", "PCM_16", "IRCAM", tells=False),
    *(Form("flac", kind, "FLAC") for kind in ("PCM_16", "PCM_24")),
    Form("ogg", "VORBIS", "OGG"),
    Form("opus", "OPUS", "OGG", 48000),
    Form("mp3", "MPEG_LAYER_III", "MP3", tells=False),
)
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"}
BY_FFMPEG = tuple(
    form._replace(options=form.options or {})
    for form in (
        Form("m4a", "aac", "ipod"),
        Form("m4a", "alac", "ipod"),
        Form("mp4", "aac", "mp4", video=True, options={"movflags": "faststart"}),
        Form("mp4", "aac", "mp4", options=FRAGMENTS, tells=False),
        Form("mov", "pcm_s16le", "mov", video=True),
        Form("3gp", "aac", "3gp", video=True),
        Form("amr", "libopencore_amrnb", "amr", 8000, tells=False),
        Form("aac", "aac", "adts", tells=False),
        Form("ac3", "ac3", "ac3", 44100, tells=False),
        Form("eac3", "eac3", "eac3", 48000, tells=False),
        Form("mp2", "mp2", "mp2", 44100, tells=False),
        Form("mp3", "libmp3lame", "mp3"),
        Form("mp3", "libmp3lame", "mp3", 44100, options={"write_xing": "0"}, tells=False),
        Form("wav", "libmp3lame", "wav"),
        Form("wma", "wmav2", "asf"),
        Form("wmv", "wmav2", "asf", video=True),
        Form("avi", "libmp3lame", "avi", video=True),
        Form("avi", "pcm_s16le", "avi", video=True),
        Form("webm", "libopus", "webm", 48000),
        Form("webm", "libopus", "webm", 48000, options={"live": "1"}, tells=False),
        Form("mkv", "flac", "matroska", video=True),
        Form("mka", "aac", "matroska"),
        Form("tta", "tta", "tta"),
        Form("wv", "wavpack", "wv"),
        Form("ts", "aac", "mpegts", tells=False),
        Form("ts", "mp2", "mpegts", 44100, video=True, tells=False),
        Form("mpg", "mp2", "mpeg", 44100, tells=False),
        Form("flv", "libmp3lame", "flv", video=True),
        Form("opus", "libopus", "ogg", 48000),
        Form("oga", "flac", "ogg"),
        Form("aif", "pcm_s16be", "aiff"),
    )
)  # fmt: skip
FORMS = BY_LIBSNDFILE + BY_FFMPEG


class Audio(Kind):
    """Each format as it is; then files that are cut off, joined, damaged, or changed in ways that mean nothing."""

    suffix = ".audio"
    sources = tuple(f".{suffix}" for suffix in sorted({form.suffix for form in FORMS}))

    def __init__(self, files: list[Path], seed: int) -> None:
        """Store the files and the seed, and find ffmpeg."""
        super().__init__(files, seed)
        self._ffmpeg = shutil.which("ffmpeg")
        self._whole: dict[bytes, NDArray[np.float32] | None] = {}
        self._made: dict[int, bytes] = {}
        self._notes: dict[int, tuple[str, bytes, bool]] = {}
        self._current = 0

    def case(self, number: int) -> Case:
        """Return a file, and what is done to it."""
        draw = self.draw(number)
        if self.files:
            chosen = self.files[number] if number < len(self.files) else draw.choice(self.files)
            content, suffix, tells = chosen.read_bytes(), chosen.suffix, False
        else:
            form = FORMS[number % len(FORMS)]
            content, suffix, tells = self._make(number % len(FORMS)), f".{form.suffix}", form.tells
        self._current = number
        name = "whole" if number < len(self.files or FORMS) else draw.choice(list(CHANGES))
        changed = content if name == "whole" else CHANGES[name](content, draw)
        if changed is None:
            name, changed = "whole", content
        self._notes[number] = (name, content, tells)
        return Case(changed, content if name in HARMLESS or name == "whole" else None, suffix)

    def judge(self, path: Path, case: Case) -> str:
        """Compare the samples with those of the whole file, and with ffmpeg's."""
        name, content, tells = self._notes.pop(self._current)
        whole = self._read_whole(content, path)
        if whole is None:
            return "unjudged"
        ours = read(path)
        if name in HARMLESS or name == "whole":
            found = difference(ours, whole)
            return "right" if found is None else f"wrong: {name}: {found}"
        if name == "join":
            if abs(len(ours) - 2 * len(whole)) > 2 * TOLERANCE * RATE:
                return f"wrong: join: {len(ours) / RATE:.2f} s instead of twice {len(whole) / RATE:.2f} s"
            size = min(len(whole), len(ours)) - RATE // 4  # without the seam
            found = difference(ours[:size], whole[:size]) or difference(ours[-size:], whole[-size:], 2 * TOLERANCE)
            return "right" if found is None else f"wrong: join: {found}"
        lacks = (len(whole) - len(ours)) / RATE
        if difference(ours, whole) is None:
            return "right"
        if lacks > LOST and tells:
            return f"wrong: {name}: {lacks:.2f} s of {len(whole) / RATE:.2f} s are missing"
        theirs = self._read_ffmpeg(path)
        if theirs is None:
            return "unjudged"
        if (lacking := (len(theirs) - len(ours)) / RATE) > LOST:
            return f"wrong: {name}: ffmpeg reads {lacking:.2f} s more than {len(ours) / RATE:.2f} s"
        found = difference(ours, theirs)
        return "right" if found is None else "unjudged"

    def _make(self, index: int) -> bytes:
        if index not in self._made:
            self._made[index] = make(FORMS[index])
        return self._made[index]

    def _read_whole(self, content: bytes, path: Path) -> NDArray[np.float32] | None:
        """Return the samples of a file before it was changed, which ffmpeg must confirm."""
        if content not in self._whole:
            other = path.with_name(f"whole{path.suffix}")
            other.write_bytes(content)
            try:
                ours: NDArray[np.float32] | None = read(other)
            except MirTfError:
                ours = None
            theirs = self._read_ffmpeg(other)
            other.unlink()
            if ours is None and theirs is not None:
                ours = theirs
            elif ours is not None and theirs is not None and (found := difference(ours, theirs)) is not None:
                raise RuntimeError(f"{path.suffix}: the whole file differs from ffmpeg's samples: {found}")
            self._whole[content] = ours
        return self._whole[content]

    def _read_ffmpeg(self, path: Path) -> NDArray[np.float32] | None:
        """Return what the program ffmpeg reads; None if it is not installed or reads nothing."""
        if self._ffmpeg is None:
            return None
        command = [self._ffmpeg, "-v", "quiet", "-nostdin", "-i", path, "-map", "0:a:0", "-f", "f32le"]
        done = subprocess.run(
            [*command, "-ac", "1", "-ar", str(RATE), "-"], capture_output=True, check=False, timeout=20
        )
        samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
        return samples if len(samples) else None


def read(path: Path) -> NDArray[np.float32]:
    """Return what mir-tf reads."""
    return np.concatenate(list(read_blocks(path, RATE)))


def difference(ours: NDArray[np.float32], theirs: NDArray[np.float32], tolerance: float = TOLERANCE) -> str | None:
    """Return how our samples differ from the others; None if they do not."""
    lacks = (len(theirs) - len(ours)) / RATE
    if abs(lacks) > tolerance:
        return f"{len(ours) / RATE:.2f} s instead of {len(theirs) / RATE:.2f} s"
    size = RATE // 4
    reach = round(tolerance * RATE)
    for begin in range(0, min(len(ours), len(theirs)) - size + 1, size):
        piece = ours[begin : begin + size]
        around = theirs[max(0, begin - reach) : begin + size + reach]
        if piece.std() < 1e-3:
            continue
        products = np.correlate(around, piece)
        place = int(products.argmax())
        alike = np.corrcoef(around[place : place + size], piece)[0, 1]
        if not alike > LIKENESS:
            return f"other audio after {begin / RATE:.2f} s (likeness {alike:.2f})"
    return None


def signal(rate: int) -> NDArray[np.float32]:
    """Return two channels, float32 [samples, 2], in which each place can be told."""
    time = np.arange(round(SECONDS * rate)) / rate
    left = 0.3 * np.sin(2 * np.pi * (220 + 300 * time) * time) * (0.6 + 0.4 * np.sin(6 * np.pi * time))
    return np.stack([left, 0.3 * np.sin(2 * np.pi * (330 + 90 * time) * time)], axis=1).astype(np.float32)


def make(form: Form) -> bytes:
    """Return a file of a format."""
    channels = signal(form.rate)
    if form.codec == "libopencore_amrnb":
        channels = channels[:, :1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole.{form.suffix}"
        if form.options is None:
            soundfile.write(path, channels, form.rate, form.codec, format=form.form)
        else:
            encode(path, form, channels)
        return path.read_bytes()


def encode(path: Path, form: Form, channels: NDArray[np.float32]) -> None:
    """Write a file with FFmpeg's libraries."""
    with av.open(str(path), "w", format=form.form, options=form.options) as container:
        pictures: Any = container.add_stream("mpeg4" if form.form != "flv" else "flv1", rate=10) if form.video else None
        sound: Any = container.add_stream(
            form.codec, rate=form.rate, layout="stereo" if channels.shape[1] == 2 else "mono"
        )
        if form.codec.startswith("wma"):
            sound.codec_context.bit_rate = 128_000
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
            for brightness in range(round(10 * SECONDS)):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * brightness, np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        context = sound.codec_context
        resampler = av.AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels.T), "fltp", sound.layout.name)
        frame.sample_rate, frame.pts = form.rate, 0
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(sound.encode(piece))


def cut(data: bytes, draw: random.Random) -> bytes:
    """Leave out the end: a little, or much."""
    return data[: round(len(data) * draw.choice([draw.uniform(0.05, 0.95), draw.uniform(0.8, 0.97)]))]


def remove(data: bytes, draw: random.Random) -> bytes:
    """Leave out a part in the middle."""
    size = round(len(data) * draw.uniform(0.08, 0.4))
    place = draw.randrange(max(1, len(data) - size))
    return data[:place] + data[place + size :]


def overwrite(data: bytes, draw: random.Random) -> bytes:
    """Replace a part by zeros, or by noise."""
    size = round(len(data) * draw.uniform(0.02, 0.4))
    place = draw.randrange(max(1, len(data) - size))
    return data[:place] + draw.choice([bytes(size), draw.randbytes(size)]) + data[place + size :]


def join(data: bytes, draw: random.Random) -> bytes:
    """Join a file with itself."""
    return data + data


def damage_header(data: bytes, draw: random.Random) -> bytes:
    """Damage the first bytes."""
    return damage(data[:200], draw) + data[200:]


def add_tag_after(data: bytes, draw: random.Random) -> bytes:
    """Add a tag at the end."""
    item = struct.pack("<II", 2, 0) + b"A\0bc"
    head, foot = (
        b"APETAGEX" + struct.pack("<IIII", 2000, 32 + len(item), 1, flags) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    )
    return data + draw.choice([b"TAG" + b"title".ljust(125, b"\0"), head + item + foot])


def add_tag_before(data: bytes, draw: random.Random) -> bytes | None:
    """Add an ID3 tag at the beginning, as some programs do for any format."""
    if data.startswith(b"caff"):  # libsndfile does not skip the tag, and FFmpeg loses 0.1 s at the end of ALAC
        return None
    size = draw.choice([64, 1000, 20000])
    return b"ID3\3\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + bytes(size) + data


def add_zeros_before(data: bytes, draw: random.Random) -> bytes | None:
    """Add zeros before the first frame."""
    return bytes(draw.choice([16, 400, 4096])) + data if data.startswith((b"\xff", b"\x0b\x77")) else None


def state_other_length(data: bytes, draw: random.Random) -> bytes | None:
    """State a wrong length in an uncompressed file, as programs do that are stopped or write to a pipe."""
    size = draw.choice([0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 400])
    if data.startswith((b"RIFF", b"RF64")) and data[8:12] == b"WAVE" and data[20:22] in (b"\1\0", b"\3\0"):
        place = data.find(b"data") + 4
        return (
            data[:4]
            + struct.pack("<I", min(size + 36, 2**32 - 1))
            + data[8:place]
            + struct.pack("<I", size)
            + data[place + 4 :]
        )
    if data.startswith(b".snd"):
        return data[:8] + struct.pack(">I", draw.choice([0xFFFFFFFF, 0, 400])) + data[12:]
    return None


def add_chunk(data: bytes, draw: random.Random) -> bytes | None:
    """Add a chunk of odd size after the audio of a wav, with or without a byte of padding."""
    if not data.startswith(b"RIFF") or data[8:12] != b"WAVE":
        return None
    chunk = b"LIST" + struct.pack("<I", 15) + b"INFOISFT" + struct.pack("<I", 3) + b"abc" + draw.choice([b"", b"\0"])
    size = len(data) - 8 + len(chunk) + draw.choice([0, 1, 8])
    return data[:4] + struct.pack("<I", size) + data[8:] + bytes(len(data) % 2) + chunk


HARMLESS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    function.__name__: function
    for function in (add_tag_after, add_tag_before, add_zeros_before, state_other_length, add_chunk)
}
"""Changes that leave the audio as it is."""

CHANGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    **HARMLESS,
    **{function.__name__: function for function in (cut, remove, overwrite, join, damage, damage_header)},
}
