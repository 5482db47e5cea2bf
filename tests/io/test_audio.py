"""Decoding: correct samples from good files, clear errors for bad ones; test_ffmpeg.py has the other formats."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from mir_tf.errors import AudioError
from mir_tf.io import audio

RATE = 44100


@pytest.fixture
def noise() -> np.ndarray:
    """Two channels of noise that last a little more than 3 s."""
    return (0.1 * np.random.default_rng(0).standard_normal((3 * RATE + 77, 2))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def read(path: Path, rate: int) -> np.ndarray:
    return np.concatenate(list(audio.read_blocks(path, rate)))


def correlation(longer: np.ndarray, shorter: np.ndarray) -> float:
    """Return the greatest correlation of ``shorter`` with a part of ``longer``."""
    products = np.correlate(longer, shorter)
    place = products.argmax()
    return float(np.corrcoef(longer[place : place + len(shorter)], shorter)[0, 1])


def test_probe_tells_what_was_written(tmp_path: Path, noise: np.ndarray) -> None:
    info = audio.probe(write(tmp_path / "a.flac", noise))
    assert info == audio.AudioInfo(RATE, len(noise))
    assert info.seconds == pytest.approx(3 + 77 / RATE)


def test_the_channels_are_averaged(tmp_path: Path, noise: np.ndarray) -> None:
    samples = read(write(tmp_path / "a.wav", noise, subtype="FLOAT"), RATE)
    np.testing.assert_allclose(samples, noise.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("block_seconds", [0.01, 0.7, 10.0])
def test_resampling_in_blocks_equals_resampling_the_whole(
    tmp_path: Path, noise: np.ndarray, rate: int, block_seconds: float
) -> None:
    path = write(tmp_path / "a.wav", noise, subtype="FLOAT")
    blocks = list(audio.read_blocks(path, rate, block_seconds=block_seconds))
    whole = soxr.resample(noise.mean(axis=1), RATE, rate)
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)
    assert sum(map(len, blocks)) == int(len(noise) * rate / RATE + 0.5)
    assert all(len(block) and block.dtype == np.float32 for block in blocks)


def test_blocks_bound_the_memory(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", noise)
    assert max(map(len, audio.read_blocks(path, 22050, block_seconds=0.1))) < 2 * 2205


def test_a_block_of_many_channels_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 64))
    soundfile.write(tmp_path / "a.wav", channels, RATE, "FLOAT")
    monkeypatch.setattr(audio, "_BLOCK_VALUES", 64 * 100)
    blocks = list(audio.read_blocks(tmp_path / "a.wav", RATE))
    assert max(map(len, blocks)) <= 100
    np.testing.assert_allclose(np.concatenate(blocks), channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_format_gives_the_tone_back(tmp_path: Path, suffix: str) -> None:
    seconds = np.arange(2 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    samples = read(write(tmp_path / f"a.{suffix}", tone), 22050)
    assert len(samples) == pytest.approx(44100, abs=2500)  # mp3 pads
    spectrum = np.abs(np.fft.rfft(samples[:22050]))
    assert spectrum.argmax() == 440
    assert np.abs(samples[5000:-5000]).max() == pytest.approx(0.5, abs=0.02)


def test_a_segment_is_the_part_of_the_file(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", noise, subtype="FLOAT")
    samples = np.concatenate(list(audio.read_blocks(path, RATE, start=1.25, seconds=0.5)))
    first = round(1.25 * RATE)
    np.testing.assert_allclose(samples, noise.mean(axis=1)[first : first + RATE // 2], atol=1e-7)


def test_a_segment_beyond_the_end_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", noise)
    with pytest.raises(AudioError, match=r"a\.wav: lasts 3\.002 s"):
        list(audio.read_blocks(path, RATE, start=2.9, seconds=1.0))


def test_ten_milliseconds_are_enough(tmp_path: Path, noise: np.ndarray) -> None:
    assert len(read(write(tmp_path / "a.wav", noise[:441]), 22050)) == 221


def test_silence_is_fine(tmp_path: Path) -> None:
    samples = read(write(tmp_path / "a.flac", np.zeros(RATE)), 22050)
    assert len(samples) == 22050
    assert not samples.any()


@pytest.mark.parametrize("name", ["no.flac", "."])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError, match=r"cannot be opened: (No such file|Is a directory)") as raised:
        read(tmp_path / name, RATE)
    assert str(tmp_path / name) in str(raised.value)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.wav", "a.raw"])
@pytest.mark.parametrize(("content", "fault"), [("", "empty file"), ("No music at all.\n" * 100, "not audio")])
def test_text_with_the_name_of_audio_is_refused(tmp_path: Path, name: str, content: str, fault: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(AudioError, match=f"{name}: {fault}"):
        audio.probe(path)


def test_no_samples_are_refused(tmp_path: Path, noise: np.ndarray) -> None:
    with pytest.raises(AudioError, match=r"a\.wav: contains no samples$"):
        audio.probe(write(tmp_path / "a.wav", np.zeros(0)))


def test_too_few_samples_for_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"a\.wav: too short"):
        read(write(tmp_path / "a.wav", np.zeros(1)), 16000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, noise: np.ndarray, value: float) -> None:
    noise[round(2.3 * RATE), 1] = value
    path = write(tmp_path / "a.wav", noise, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: contains NaN or infinity, after 2\.3 s"):
        list(audio.read_blocks(path, RATE, block_seconds=1.0))


@pytest.mark.parametrize("value", [3e38, 20000.0])
def test_integers_in_floating_point_are_refused(tmp_path: Path, noise: np.ndarray, value: float) -> None:
    noise[round(2.3 * RATE)] = value  # the sum of two channels of 3e38 is infinite
    path = write(tmp_path / "a.wav", noise, subtype="FLOAT")
    with pytest.raises(
        AudioError, match=r"a\.wav: contains a sample of (3e\+38|20000), after 2\.3 s, but full scale is 1"
    ):
        list(audio.read_blocks(path, RATE, block_seconds=1.0))


@pytest.mark.parametrize("rate", [10, 999, 768_001])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), rate)
    with pytest.raises(AudioError, match=rf"a\.wav: sample rate {rate}: it must be between 1000 and 768000 Hz"):
        audio.probe(tmp_path / "a.wav")


def test_a_truncated_flac_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.flac", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.flac: damaged or cut off after 0\.0 s"):
        read(path, RATE)


def test_a_flac_that_ends_between_frames_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    """The header states more samples than follow, and the decoder reports no error."""
    path = write(tmp_path / "a.flac", noise)
    content = bytearray(path.read_bytes())
    # 4 bytes "fLaC", 4 bytes of block header, then STREAMINFO, whose bits 108 to 143 are the number of samples.
    assert int.from_bytes(content[21:26], "big") & (2**36 - 1) == len(noise)
    content[22:26] = (len(noise) + RATE).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.flac: damaged or cut off after 3\.0 s of 4\.0 s"):
        read(path, RATE)


def test_a_corrupt_flac_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.flac", noise)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.flac: damaged or cut off after \d\.\d s"):
        read(path, RATE)


def write_streamed_flac(path: Path, samples: np.ndarray) -> Path:
    """Write a flac as by an encoder that cannot seek back: its header has 0, unknown, for the number of samples."""
    write(path, samples)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


def test_a_streamed_flac_is_read_to_its_end(tmp_path: Path, noise: np.ndarray) -> None:
    path = write_streamed_flac(tmp_path / "a.flac", noise)
    assert audio.probe(path) == audio.AudioInfo(RATE, len(noise))
    expected = read(write(tmp_path / "b.flac", noise), RATE)
    np.testing.assert_array_equal(read(path, RATE), expected)
    segment = np.concatenate(list(audio.read_blocks(path, RATE, start=1.25, seconds=0.5)))
    np.testing.assert_array_equal(segment, expected[round(1.25 * RATE) :][: RATE // 2])
    with pytest.raises(AudioError, match=r"a\.flac: damaged or cut off after 3\.0 s of 3\.5 s"):
        list(audio.read_blocks(path, RATE, start=2.5, seconds=1.0))


def test_a_truncated_streamed_flac_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write_streamed_flac(tmp_path / "a.flac", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for use in (lambda path: read(path, RATE), audio.probe):
        with pytest.raises(AudioError, match=r"a\.flac: (damaged or )?cut off after 1\.\d s"):
            use(path)


def test_a_truncated_wav_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", noise)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        AudioError, match=r"a\.wav: damaged or cut off after 1\.5 s: its header states 529\d+ .* 264\d+ follow"
    ):
        audio.probe(path)


def test_a_streamed_wav_is_read_to_its_end(tmp_path: Path, noise: np.ndarray) -> None:
    """Programs that write to a pipe state the maximum length."""
    path = write(tmp_path / "a.wav", noise)
    content = bytearray(path.read_bytes())
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read(path, RATE)) == len(noise)


def test_a_truncated_mp3_is_refused(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.mp3", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.mp3: damaged or cut off after 1\.\d s of 3\.\d s; get the whole file"):
        read(path, RATE)


def test_a_truncated_mp3_without_a_length_gives_what_is_there(tmp_path: Path, noise: np.ndarray) -> None:
    path = write_mp3_without_length(tmp_path / "a.mp3", noise, "CONSTANT")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert RATE < len(read(path, RATE)) < 2 * RATE


def write_mp3_without_length(path: Path, samples: np.ndarray, bitrate_mode: str) -> Path:
    """Write an mp3 without its first frame, which states the number of frames."""
    write(path, samples, bitrate_mode=bitrate_mode, compression_level=0.5)
    content = path.read_bytes()
    tag = content.index(b"Xing" if bitrate_mode == "VARIABLE" else b"Info")
    path.write_bytes(content[content.index(b"\xff\xfb", tag) :])
    return path


def test_an_mp3_of_variable_bit_rate_needs_no_length(tmp_path: Path, noise: np.ndarray) -> None:
    """The length that its first frames suggest is too short: the others need less."""
    samples = np.concatenate([noise, 1e-4 * noise, 1e-4 * noise])
    path = write_mp3_without_length(tmp_path / "a.mp3", samples, "VARIABLE")
    assert len(read(path, RATE)) == pytest.approx(len(samples), abs=3 * 1152)


@pytest.mark.parametrize("between", [b"", b"ID3\4\0\0\0\0\x08\0" + bytes(1024), b"TAG" + bytes(125)])
def test_mp3_in_one_file_are_read_to_the_end(tmp_path: Path, noise: np.ndarray, between: bytes) -> None:
    path = write(tmp_path / "a.mp3", noise)
    alone = read(path, RATE)
    path.write_bytes(path.read_bytes() + between + path.read_bytes())
    joined = read(path, RATE)
    assert len(joined) == pytest.approx(2 * len(noise), abs=4 * 1152)
    np.testing.assert_allclose(joined[:RATE], alone[:RATE], atol=1e-6)
    assert correlation(joined[-RATE - 5000 :], alone[-RATE:]) > 0.99


@pytest.mark.parametrize("sign", [b"\xff", b"\x00"])
def test_an_mp3_with_other_bytes_amid_its_frames_is_refused(tmp_path: Path, noise: np.ndarray, sign: bytes) -> None:
    path = write_mp3_without_length(tmp_path / "a.mp3", noise, "CONSTANT")
    content = path.read_bytes()
    middle = content.index(b"\xff\xfb", len(content) // 2)
    path.write_bytes(content[:middle] + sign + np.random.default_rng(0).bytes(3000) + content[middle + 3001 :])
    with pytest.raises(AudioError, match=r"a\.mp3: damaged or cut off after 1\.\d s; get the whole file"):
        read(path, RATE)


@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(500)])
def test_an_mp3_of_constant_bit_rate_needs_no_length(tmp_path: Path, noise: np.ndarray, after: bytes) -> None:
    path = write_mp3_without_length(tmp_path / "a.mp3", noise, "CONSTANT")
    path.write_bytes(path.read_bytes() + after)
    assert len(read(path, RATE)) == pytest.approx(len(noise), abs=3 * 1152)


def test_what_is_no_sound_may_follow_an_mp3(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.mp3", noise)
    path.write_bytes(path.read_bytes() + b"APETAGEX" + bytes(20000))
    assert len(read(path, RATE)) == pytest.approx(len(noise), abs=1152)


@pytest.mark.parametrize("after", [b"TAG" + bytes(125), np.random.default_rng(0).bytes(3000)])
def test_what_is_no_sound_may_follow_a_flac(tmp_path: Path, noise: np.ndarray, after: bytes) -> None:
    path = write(tmp_path / "a.flac", noise)
    path.write_bytes(path.read_bytes() + after)
    assert len(read(path, RATE)) == len(noise)


def test_flac_in_one_file_are_read_to_the_end(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.flac", noise)
    alone = read(path, RATE)
    path.write_bytes(3 * path.read_bytes())
    np.testing.assert_array_equal(read(path, RATE), np.concatenate([alone] * 3))


def test_a_wav_whose_size_counts_its_own_header_is_read(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", noise)
    content = bytearray(path.read_bytes())
    content[4:8] = len(content).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(read(path, RATE)) == len(noise)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_points_to_listen(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    for use in (audio.probe, lambda path: read(path, RATE)):
        with pytest.raises(AudioError, match=r"a\.wav: a pipe, which can be read only once.* \| mir-tf listen"):
            use(tmp_path / "a.wav")


def test_several_rates_are_read_at_once(tmp_path: Path, noise: np.ndarray) -> None:
    path = write(tmp_path / "a.flac", noise)
    pieces = zip(*audio.read_at_rates(path, (16000, RATE), block_seconds=0.7), strict=True)
    for rate, blocks in zip((16000, RATE), pieces, strict=True):
        np.testing.assert_array_equal(np.concatenate(blocks), read(path, rate))


@pytest.mark.parametrize("samples", [8000, 8001])
def test_several_wav_files_in_one_are_refused(tmp_path: Path, samples: int) -> None:
    """``cat 1.wav 2.wav > both.wav`` gives such a file; decoders would answer for its first part."""
    path = tmp_path / "both.wav"
    soundfile.write(path, np.zeros(samples), 8000, subtype="PCM_U8")
    content = path.read_bytes()
    path.write_bytes(2 * content)
    with pytest.raises(AudioError, match=r"both\.wav: several files in one"):
        list(audio.read_blocks(path, 8000))
    path.write_bytes(content + b"TAG" + bytes(125))
    assert sum(map(len, audio.read_blocks(path, 8000))) == samples
