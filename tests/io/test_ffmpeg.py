"""Decoding with FFmpeg: every format that people have, and files that are damaged."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import soxr
from helpers.encoding import encode, melody

from mir_tf.errors import AudioError
from mir_tf.io import audio
from mir_tf.io.ffmpeg import FFmpegFile

RATE = 22050


class Form(NamedTuple):
    """A format of recordings.

    Attributes:
        codec: FFmpeg's name of the encoder.
        form: FFmpeg's name of the format, if the suffix does not tell it.
        rate: Sample rate in Hz.
        video: Whether it is a video.
        tells_cut: Whether a file that is cut off differs from a shorter one.
        options: Options of the format.
    """

    codec: str
    form: str | None = None
    rate: int = 44100
    video: bool = False
    tells_cut: bool = True
    options: dict[str, str] | None = None


FORMS = {
    "aac.m4a": Form("aac"),
    "alac.m4a": Form("alac"),
    "alac.alac": Form("alac", "ipod"),
    "book.m4b": Form("aac", "ipod"),
    "film.mp4": Form("aac", video=True),
    "begins_with_index.mp4": Form("aac", video=True, options={"movflags": "faststart"}),
    "fragments.mp4": Form("aac", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "film.m4v": Form("aac", "mp4", video=True),
    "film.mov": Form("aac", video=True),
    "uncompressed.mov": Form("pcm_s16le", video=True),
    "phone.3gp": Form("aac", video=True),
    "phone.amr": Form("libopencore_amrnb", rate=8000),
    "bare.aac": Form("aac"),
    "bare.ac3": Form("ac3", tells_cut=False),
    "bare.mp2": Form("mp2", tells_cut=False),
    "lame.mp3": Form("libmp3lame"),
    "mp3_in.wav": Form("libmp3lame"),
    "windows.wma": Form("wmav2"),
    "old_windows.wma": Form("wmav1"),
    "film.wmv": Form("wmav2", "asf", video=True),
    "film.avi": Form("libmp3lame", video=True),
    "film.webm": Form("libopus", rate=48000),
    "audio.weba": Form("libopus", "webm", rate=48000),
    "voice.opus": Form("libopus", rate=48000),
    "voice.ogg": Form("libopus", rate=48000),
    "lossless.oga": Form("flac", "ogg"),
    "film.mkv": Form("libopus", rate=48000, video=True),
    "lossless.mka": Form("flac"),
    "lossless.tta": Form("tta"),
    "lossless.wv": Form("wavpack"),
    "alac.caf": Form("alac"),
}  # fmt: skip
"""Name of a file → its format."""


def write(folder: Path, name: str) -> tuple[Path, np.ndarray]:
    """Write a recording; return its path and the mono signal that it contains."""
    form = FORMS[name]
    channels = melody(form.rate)[: 1 if name.endswith(".amr") else 2]
    path = encode(
        folder / name, form.codec, channels, form.rate, video=form.video, form=form.form, options=form.options
    )
    return path, channels.mean(axis=0)


def read(path: Path, rate: int = RATE) -> np.ndarray:
    return np.concatenate(list(audio.read_blocks(path, rate)))


def likeness(signal: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Return the correlation of two signals where they fit best, and by how many samples the first one is late."""
    size = 2 ** int(np.ceil(np.log2(len(signal) + len(expected))))
    products = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(expected, size)))
    late = int(products.argmax())
    late -= size if late > size // 2 else 0
    first, second = signal[max(0, late) :], expected[max(0, -late) :]
    count = min(len(first), len(second))
    return float(np.corrcoef(first[:count], second[:count])[0, 1]), late


@pytest.mark.parametrize("name", FORMS)
def test_every_format_gives_its_signal_back(tmp_path: Path, name: str) -> None:
    path, signal = write(tmp_path, name)
    samples = read(path)
    expected = soxr.resample(signal, FORMS[name].rate, RATE)
    correlation, late = likeness(samples, expected)
    assert correlation > (0.9 if name == "phone.amr" else 0.99)
    assert abs(late) / RATE < 0.05  # the delay of the encoder, where the format does not state it
    assert len(samples) / RATE == pytest.approx(3, abs=0.06)
    info = audio.probe(path)
    assert info.sr == FORMS[name].rate
    assert info.seconds == pytest.approx(3, abs=0.11)
    np.testing.assert_allclose(
        np.concatenate(list(audio.read_blocks(path, RATE, start=0.7, seconds=1.5, block_seconds=0.4)))[100:-100],
        samples[round(0.7 * RATE) : round(2.2 * RATE)][100:-100],
        atol=2e-3,  # at its ends, a segment is resampled without its surroundings
    )


def test_the_suffixes_are_of_files_that_are_read(tmp_path: Path) -> None:
    for suffix, (kind, subtype) in {
        ".wav": ("WAV", "PCM_16"), ".wave": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".mp3": ("MP3", None),
        ".ogg": ("OGG", "VORBIS"), ".oga": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".aif": ("AIFF", "PCM_16"),
        ".aiff": ("AIFF", "PCM_16"), ".aifc": ("AIFF", "PCM_16"), ".au": ("AU", "PCM_16"), ".snd": ("AU", "PCM_16"),
        ".caf": ("CAF", "PCM_16"), ".w64": ("W64", "PCM_16"), ".rf64": ("RF64", "PCM_16"), ".voc": ("VOC", "PCM_16"),
        ".nist": ("NIST", "PCM_16"), ".sph": ("NIST", "PCM_16"), ".ircam": ("IRCAM", "PCM_16"),
        ".sf": ("IRCAM", "PCM_16"),
    }.items():  # fmt: skip
        path = tmp_path / f"song{suffix}"
        signal = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2))
        soundfile.write(path, signal, 8000, format=kind, subtype=subtype)
        assert audio.probe(path).sr == (48000 if suffix == ".opus" else 8000)
        if subtype == "PCM_16":
            np.testing.assert_allclose(read(path, 8000), signal.mean(axis=1), atol=2**-15)
    written = {path.suffix for path in tmp_path.iterdir()} | {Path(name).suffix for name in FORMS}
    assert written | {".ape"} == audio.AUDIO_SUFFIXES  # FFmpeg cannot write that


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.tells_cut])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name)
    path.write_bytes(path.read_bytes()[: round(0.6 * path.stat().st_size)])
    with pytest.raises(AudioError, match=f"{name}: (incomplete: its index|(damaged or )?cut off|not audio, damaged)"):
        read(path)


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"uncompressed.mov", "film.avi"}))  # these lose only 0.1 s
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name)
    content = bytearray(path.read_bytes())
    middle, size = len(content) // 2, len(content) // 8
    content[middle : middle + size] = np.random.default_rng(1).bytes(size)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=f"{name}: damaged or cut off"):
        read(path)


def test_a_video_without_audio_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", None, melody(RATE), RATE, video=True)
    with pytest.raises(AudioError, match=r"film\.mp4: contains no audio, only video$"):
        audio.probe(path)


@pytest.mark.parametrize(("name", "suffix"), [("aac.m4a", "mp3"), ("lame.mp3", "wav"), ("film.webm", "ogg")])
def test_a_wrong_suffix_does_not_matter(tmp_path: Path, name: str, suffix: str) -> None:
    path, _ = write(tmp_path, name)
    samples = read(path)
    np.testing.assert_array_equal(read(path.rename(tmp_path / f"song.{suffix}")), samples)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_are_read_to_the_end(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "radio.ogg"
    signal = melody(48000)
    soundfile.write(path, signal.T, 48000, format="OGG", subtype=subtype)
    path.write_bytes(3 * path.read_bytes())
    samples = read(path, 48000)
    assert len(samples) == pytest.approx(9 * 48000, abs=3 * 1024)
    for half in (samples[: 3 * 48000], samples[-3 * 48000 :]):
        assert likeness(half, signal.mean(axis=0))[0] > 0.99


def test_chained_ogg_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "radio.ogg"
    soundfile.write(path, melody(48000).T, 48000, format="OGG", subtype="VORBIS")
    begin = path.read_bytes()
    for rate, subtype in ((32000, "VORBIS"), (48000, "OPUS")):
        soundfile.write(path, melody(rate).T, rate, format="OGG", subtype=subtype)
        path.write_bytes(begin + path.read_bytes())
        with pytest.raises(AudioError, match=r"radio\.ogg: it was joined from streams of different kinds"):
            read(path)


def test_channels_may_change(tmp_path: Path) -> None:
    path, signal = tmp_path / "song.mp3", melody(44100)
    encode(path, "libmp3lame", signal[:1], 44100)
    mono = path.read_bytes()
    encode(path, "libmp3lame", signal, 44100)
    path.write_bytes(mono + path.read_bytes())
    samples = read(path, 44100)
    assert len(samples) / 44100 == pytest.approx(6, abs=0.06)
    assert likeness(samples[: 3 * 44100], signal[0])[0] > 0.99
    assert likeness(samples[3 * 44100 :], signal.mean(axis=0))[0] > 0.99


def test_sample_rates_may_not_change(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    encode(path, "libmp3lame", melody(44100), 44100)
    begin = path.read_bytes()
    encode(path, "libmp3lame", melody(32000), 32000)
    path.write_bytes(begin + path.read_bytes())
    with pytest.raises(AudioError, match=r"song\.mp3: its sample rate changes from 44100 to 32000 Hz after 3\.0 s"):
        read(path)


def test_missing_audio_within_a_video_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.webm", "libopus", melody(48000), 48000, gap=2.0)
    with pytest.raises(AudioError, match=r"film\.webm: .* after 1\.5 s \(2\.0 s of audio are missing there\)"):
        read(path)


def test_a_recording_of_a_browser_states_no_length(tmp_path: Path) -> None:
    path = encode(tmp_path / "microphone.webm", "libopus", melody(48000), 48000, options={"live": "1"})
    assert audio.probe(path).seconds == pytest.approx(3, abs=0.03)
    assert len(read(path)) / RATE == pytest.approx(3, abs=0.03)


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile lame.mp3\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nlame.mp3\n#EXT-X-ENDLIST\n",
    ],
)
def test_no_other_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "lame.mp3")
    Path("list.mp3").write_text(content)
    with pytest.raises(AudioError, match=r"list\.mp3: not audio"):
        audio.probe("list.mp3")


def test_names_and_tags_may_be_in_any_encoding(tmp_path: Path) -> None:
    path = tmp_path / "song.aiff"
    soundfile.write(path, melody(RATE).T, RATE)
    content = path.read_bytes()
    title = b"NAME" + (4).to_bytes(4, "big") + b"caf\xe9"
    size = int.from_bytes(content[4:8], "big") + len(title)
    path.write_bytes(content[:4] + size.to_bytes(4, "big") + content[8:12] + title + content[12:])
    name = path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.aiff"))
    assert len(read(name)) == 3 * RATE


@pytest.mark.parametrize("reads", [1, 4])
def test_errors_of_the_disk_are_not_damage(tmp_path: Path, reads: int) -> None:
    path, _ = write(tmp_path, "aac.m4a")

    class Disk:
        def __init__(self, file: Any) -> None:
            self.file, self.left = file, reads

        def read(self, size: int) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "disk gone")
            return bytes(self.file.read(size))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with path.open("rb") as file, pytest.raises(OSError, match="disk gone"), FFmpegFile(Disk(file), path) as opened:
        list(opened.blocks(0, None, 44100, 2**22))


def test_blocks_bound_the_memory(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "aac.m4a")
    lengths = [len(block) for block in audio.read_blocks(path, 44100, block_seconds=0.1)]
    assert max(lengths) < 2 * 4410
    assert sum(lengths) == len(read(path, 44100))


@pytest.mark.parametrize("name", ["voice.opus", "lossless.oga"])
@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_an_ogg_whose_rest_was_never_downloaded_is_refused(tmp_path: Path, name: str, filler: bytes) -> None:
    """Some programs reserve the full size at the beginning of a download."""
    form = FORMS[name]
    path = encode(tmp_path / name, form.codec, melody(form.rate, 30.0), form.rate, form=form.form)
    content = path.read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    for cut in (pages[len(pages) // 2], pages[len(pages) // 2] + 50):
        path.write_bytes(content[:cut] + filler * (len(content) - cut))
        with pytest.raises(AudioError, match=f"{name}: cut off"):
            read(path)
    path.write_bytes(content + b"TAG" + bytes(125))
    assert len(read(path)) == pytest.approx(30 * RATE, abs=0.1 * RATE)


def test_a_wma_that_is_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wma", "wmav2", melody(RATE, 12.0), RATE, form="asf")
    content = path.read_bytes()
    size = 3200  # of its packets
    for packets in range(2, len(content) // size, 3):
        path.write_bytes(content[: len(content) - packets * size])
        with pytest.raises(AudioError, match=r"song\.wma: (cut off|damaged|not audio|empty)"):
            read(path)


def test_audio_may_begin_late_in_a_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mka", "flac", melody(RATE), RATE, gap=4.0, gap_from=0.0)
    assert len(read(path)) == 3 * RATE
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"late\.mka: (damaged or )?cut off"):
        read(path)


@pytest.mark.skipif(os.name == "nt", reason="its errors differ")
def test_headers_that_lead_to_before_the_file_are_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "song.caf"
    soundfile.write(path, melody(RATE).T, RATE)
    path.write_bytes(2 * path.read_bytes())
    with contextlib.suppress(AudioError):
        read(path)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "codec"),
    [("song.opus", "libopus"), ("song.mka", "aac"), ("song.wv", "wavpack"), ("song.mov", "pcm_s16le")],
)
def test_eight_channels_are_read(tmp_path: Path, name: str, codec: str) -> None:
    signal = melody(48000)[0]
    channels = np.outer(np.linspace(0.3, 1.0, 8), signal).astype(np.float32)
    path = encode(tmp_path / name, codec, channels, 48000, layout="7.1")
    assert likeness(read(path), soxr.resample(signal, 48000, RATE))[0] > 0.95
    with path.open("rb") as file, FFmpegFile(file, path) as opened:
        assert {block.shape[1] for block in opened.blocks(0, None, 4800, 2**20)} == {8}


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("song.wma", "wmav2", "asf"),
        ("song.avi", "libmp3lame", "avi"),
        ("flac_in.wav", "flac", "wav"),
        ("mp3_in.wav", "libmp3lame", "wav"),
    ],
)
def test_an_estimated_length_refuses_nothing(tmp_path: Path, name: str, codec: str, form: str) -> None:
    channels = melody(44100)
    path = encode(tmp_path / name, codec, channels, 44100, form=form, to_pipe=True)
    assert likeness(read(path), soxr.resample(channels.mean(axis=0), 44100, RATE))[0] > 0.95
    assert audio.probe(path).seconds == pytest.approx(3.0, abs=0.2)


def test_raw_aac_in_wav_is_named(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wav", "aac", melody(44100), 44100)
    with pytest.raises(AudioError, match=r"song\.wav: raw AAC in wav.*save it as m4a"):
        read(path)
