"""Uncompressed files: every encoding, headers that state a wrong length, and files that are cut off or joined."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.encoding import melody

from mir_tf.errors import AudioError
from mir_tf.io import audio
from mir_tf.io.pcm import open_pcm

RATE = 8000

KINDS = {
    "a.wav": ("WAV", "PCM_16"), "24.wav": ("WAV", "PCM_24"), "32.wav": ("WAV", "PCM_32"), "8.wav": ("WAV", "PCM_U8"),
    "float.wav": ("WAV", "FLOAT"), "double.wav": ("WAV", "DOUBLE"), "mu.wav": ("WAV", "ULAW"),
    "law.wav": ("WAV", "ALAW"), "x.wav": ("WAVEX", "PCM_16"), "a.rf64": ("RF64", "PCM_16"), "a.w64": ("W64", "PCM_24"),
    "a.aiff": ("AIFF", "PCM_16"), "8.aiff": ("AIFF", "PCM_S8"), "float.aifc": ("AIFF", "FLOAT"),
    "mu.aifc": ("AIFF", "ULAW"), "a.au": ("AU", "PCM_16"), "mu.au": ("AU", "ULAW"), "double.au": ("AU", "DOUBLE"),
    "a.caf": ("CAF", "PCM_16"), "float.caf": ("CAF", "FLOAT"),
}  # fmt: skip
"""Name of a file → libsndfile's names of its format and encoding."""


@pytest.fixture(params=KINDS)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a recording of 3 s in stereo."""
    path = tmp_path / request.param
    form, encoding = KINDS[request.param]
    soundfile.write(path, melody(RATE).T, RATE, encoding, format=form)
    return path


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(audio.read_blocks(path, RATE)))


def write_wav(path: Path, seconds: float = 3.0, **options: str) -> bytes:
    soundfile.write(path, melody(RATE, seconds).T, RATE, **options)
    return path.read_bytes()


def test_samples_are_those_of_libsndfile(recording: Path) -> None:
    expected = soundfile.read(recording, dtype="float32")[0].mean(axis=1)
    np.testing.assert_array_equal(read(recording), expected)
    segment = np.concatenate(list(audio.read_blocks(recording, RATE, start=1.0, seconds=0.5)))
    np.testing.assert_array_equal(segment, expected[RATE : 3 * RATE // 2])
    with recording.open("rb") as file:
        assert open_pcm(file, recording) is not None


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "CAF"])
def test_either_order_of_bytes_is_read(tmp_path: Path, form: str, endian: str) -> None:
    path = tmp_path / "song"
    soundfile.write(path, melody(RATE).T, RATE, "PCM_16", endian, format=form)
    np.testing.assert_array_equal(read(path), soundfile.read(path, dtype="float32")[0].mean(axis=1))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(recording: Path, share: float) -> None:
    content = recording.read_bytes()
    recording.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match=r"damaged or cut off after \d\.\d s: its header states \d+ bytes of audio"):
        read(recording)


def test_joined_files_are_refused(recording: Path) -> None:
    recording.write_bytes(2 * recording.read_bytes())
    with pytest.raises(AudioError, match="several files in one"):
        read(recording)


@pytest.mark.parametrize("after", [b"TAG" + bytes(125), b"APETAGEX" + struct.pack("<4I8x", 2000, 32, 0, 1 << 30)])
@pytest.mark.parametrize("before", [b"", b"ID3\3\0\0\0\0\x08\0" + bytes(1024)])
def test_tags_are_no_audio(recording: Path, before: bytes, after: bytes) -> None:
    alone = read(recording)
    recording.write_bytes(before + recording.read_bytes() + after)
    np.testing.assert_array_equal(read(recording), alone)


@pytest.mark.parametrize("size", [0, 8000, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
@pytest.mark.parametrize("riff_size", [0, 36, 0xFFFFFFFF])
def test_a_wav_whose_header_states_another_length_is_read_to_its_end(tmp_path: Path, size: int, riff_size: int) -> None:
    """A recorder was stopped, a size was more than 4 GiB, or a program wrote to a pipe."""
    content = bytearray(write_wav(tmp_path / "a.wav"))
    expected = read(tmp_path / "a.wav")
    content[4:8], content[40:44] = struct.pack("<I", riff_size), struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize("place", [4, 40])
@pytest.mark.parametrize("more", [1, 8])
def test_a_size_may_count_padding_or_its_own_header(tmp_path: Path, place: int, more: int) -> None:
    content = bytearray(write_wav(tmp_path / "a.wav"))
    if (place, more) == (40, 8):
        more = 2  # half a frame
    content[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", content, place)[0] + more)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read(tmp_path / "a.wav")) == 3 * RATE


@pytest.mark.parametrize("padding", [b"", b"\0"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_chunks_of_odd_size_may_lack_their_padding(tmp_path: Path, where: str, padding: bytes) -> None:
    content = write_wav(tmp_path / "a.wav")
    expected = read(tmp_path / "a.wav")
    chunk = b"note" + struct.pack("<I", 3) + b"abc" + padding
    place = 12 if where == "before" else len(content)
    (tmp_path / "a.wav").write_bytes(content[:place] + chunk + content[place:])
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), expected)


def test_several_chunks_of_audio_are_read(tmp_path: Path) -> None:
    content = write_wav(tmp_path / "a.wav")
    alone = read(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(content + content[36:])
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), np.concatenate([alone, alone]))


def test_a_recording_of_no_length_with_nothing_in_it_contains_no_samples(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.0)
    with pytest.raises(AudioError, match="contains no samples"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("size", [0, 100, 2**62, 2**64 - 1])
def test_an_rf64_whose_sizes_are_wrong_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = bytearray(write_wav(tmp_path / "a.rf64", format="RF64"))
    expected = read(tmp_path / "a.rf64")
    content[28:36] = struct.pack("<Q", size)  # of the audio, in the chunk ds64
    (tmp_path / "a.rf64").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "a.rf64"), expected)


@pytest.mark.parametrize("size", [0, 100, 0xFFFFFFFF])
def test_an_au_whose_size_is_wrong_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = bytearray(write_wav(tmp_path / "a.au", format="AU"))
    expected = read(tmp_path / "a.au")
    content[8:12] = struct.pack(">I" if content.startswith(b".snd") else "<I", size)
    (tmp_path / "a.au").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "a.au"), expected)


def test_a_file_of_too_many_channels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.au"
    soundfile.write(path, melody(RATE).T, RATE, "PCM_16", format="AU")
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, 20, 164)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="states 164 channels, and at most 64 are read"):
        read(path)


@pytest.mark.parametrize(("place", "value"), [(22, 10), (22, 1), (24, 8001), (34, 24)])
def test_a_wav_whose_header_contradicts_itself_is_refused(tmp_path: Path, place: int, value: int) -> None:
    path = tmp_path / "song.wav"
    content = bytearray(write_wav(path, subtype="PCM_16"))
    struct.pack_into("<H", content, place, value)  # number of channels, sample rate, bits of a sample
    path.write_bytes(content)
    with pytest.raises(AudioError, match="damaged: its header contradicts itself"):
        read(path)


@pytest.mark.parametrize(("place", "value"), [(28, 0), (28, 2 * RATE), (32, 0), (32, 2)])
def test_fields_that_programs_state_in_other_ways_do_not_count(tmp_path: Path, place: int, value: int) -> None:
    path = tmp_path / "song.wav"
    content = bytearray(write_wav(path, subtype="PCM_16"))
    expected = read(path)
    struct.pack_into("<I" if place == 28 else "<H", content, place, value)  # bytes of a second, of all channels
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), expected)


def test_a_device_is_not_read() -> None:
    with pytest.raises(AudioError, match="/dev/zero: not a file but a device"):
        audio.probe("/dev/zero")
