"""The structure of compressed files: cut off, joined, and with tags or padding around them."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.encoding import encode, melody

from mir_tf.errors import AudioError
from mir_tf.io import audio, flac

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}

BARE = {"song.mp3": "libmp3lame", "song.mp2": "mp2", "song.aac": "aac", "song.ac3": "ac3", "song.eac3": "eac3"}
"""Name of a file of frames alone → FFmpeg's name of the encoder."""

APE_TAG = b"".join(
    b"APETAGEX" + struct.pack("<4I8x", 2000, 32 + 10, 1, flags) + item
    for flags, item in ((0xA0000000, struct.pack("<II", 0, 0) + b"A\0"), (0x80000000, b""))
)


def read(path: Path, rate: int = 16000) -> np.ndarray:
    return np.concatenate(list(audio.read_blocks(path, rate)))


@pytest.mark.parametrize("name", BARE)
def test_frames_that_are_missing_a_part_are_refused(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, BARE[name], melody(44100), 44100)
    content = path.read_bytes()
    middle = len(content) // 2
    hole = content[:middle] + bytes(4000) + content[middle + 4000 :]
    for damaged in (content[: middle + 1], content[:middle] + content[middle + 1001 :], content[:-20], hole):
        path.write_bytes(damaged)
        with pytest.raises(AudioError, match=rf"{name}: (damaged or )?cut off after \d\.\d s"):
            read(path)


@pytest.mark.parametrize("name", BARE)
def test_frames_may_be_joined_and_have_tags_and_padding(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, BARE[name], melody(44100), 44100)
    content, alone = path.read_bytes(), read(path)
    id3 = b"ID3\3\0\0\0\0\x08\0" + bytes(1024)
    for before, between, after in (
        (bytes(4096), b"", bytes(300)), (id3, b"", b"TAG" + bytes(125)), (b"", id3, APE_TAG), (b"", bytes(64), b""),
    ):  # fmt: skip
        path.write_bytes(before + content + between + content + after)
        assert len(read(path)) == pytest.approx(2 * len(alone), abs=0.12 * 16000)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_an_mp3_whose_beginning_is_overwritten_is_refused(tmp_path: Path, first: int) -> None:
    path = encode(tmp_path / "song.mp3", "libmp3lame", melody(44100), 44100)
    content = bytearray(path.read_bytes())
    place = content.index(b"Info") - 36 + 418 * first
    content[place + 300 : place + 3000] = np.random.default_rng(first).bytes(2700)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"damaged or cut off after 0\.\d s"):
        read(path)


@pytest.mark.parametrize("codec", ["libmp3lame", "mp2"])
def test_frames_in_a_wav_are_followed_too(tmp_path: Path, codec: str) -> None:
    path = encode(tmp_path / "song.wav", codec, melody(44100), 44100)
    content = path.read_bytes()
    path.write_bytes(content + b"LIST" + struct.pack("<I", 9000) + bytes(9000))
    assert len(read(path)) == pytest.approx(len(melody(44100)[0]) * 16000 / 44100, abs=0.12 * 16000)
    place = content.index(b"data") + 8
    path.write_bytes(content[: place + 500] + np.random.default_rng(0).bytes(9000) + content[place + 9500 :])
    with pytest.raises(AudioError, match=r"song.wav: damaged or cut off"):
        read(path)


def test_a_cluster_whose_blocks_do_not_adjoin_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.mka", "libmp3lame", melody(44100), 44100)
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"song.mka: damaged or cut off: no element at byte \d+"):
        read(path)


def test_an_flv_with_a_tag_of_another_size_than_stated_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.flv", "libmp3lame", melody(44100), 44100)
    content = bytearray(path.read_bytes())
    content[-1] ^= 64
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"song.flv: damaged or cut off: a tag at byte \d+ lacks its stated size"):
        read(path)


@pytest.mark.parametrize(
    ("name", "codec", "options", "is_read"),
    [
        ("song.m4a", "aac", None, False),
        ("begins_with_index.mp4", "aac", {"movflags": "faststart"}, False),
        ("fragments.mp4", "aac", FRAGMENTS, False),
        ("song.mka", "aac", None, False),
        ("live.webm", "libopus", {"live": "1"}, False),
        ("song.tta", "tta", None, False),
        ("song.wv", "wavpack", None, False),
        ("song.avi", "libmp3lame", None, False),
        ("song.flv", "libmp3lame", None, False),
        ("song.voc", "pcm_s16le", None, False),
        ("song.wma", "wmav2", None, False),
        ("song.ts", "mp2", None, True),
        ("song.mpg", "mp2", None, True),
        ("low.mp3", "libmp3lame", None, True),
    ],
)
def test_joined_files_are_read_to_the_end_or_refused(
    tmp_path: Path, name: str, codec: str, options: dict[str, str] | None, is_read: bool
) -> None:
    rate = 48000 if codec == "libopus" else 22050 if name == "low.mp3" else 44100
    path = encode(tmp_path / name, codec, melody(rate), rate, options=options)
    alone = len(read(path))
    path.write_bytes(2 * path.read_bytes())
    if is_read:
        assert len(read(path)) == pytest.approx(2 * alone, abs=0.12 * 16000)
    else:
        with pytest.raises(AudioError, match="several files in one"):
            read(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("song.m4a", "aac"), ("song.mka", "aac"), ("song.webm", "libopus"), ("song.wma", "wmav2"),
        ("song.voc", "pcm_s16le"), ("song.avi", "libmp3lame"), ("song.flv", "libmp3lame"), ("song.tta", "tta"),
        ("song.wv", "wavpack"), ("song.ts", "mp2"), ("song.mpg", "mp2"),
    ],
)  # fmt: skip
def test_a_tag_before_a_file_is_skipped(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, codec, melody(48000), 48000)
    alone = read(path)
    path.write_bytes(b"ID3\3\0\0\0\0\x08\0" + bytes(1024) + path.read_bytes())
    np.testing.assert_array_equal(read(path), alone)


def test_a_transport_stream_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.ts", "mp2", melody(44100), 44100)
    path.write_bytes(path.read_bytes()[: 188 * 200 + 100])
    with pytest.raises(AudioError, match=r"song\.ts: cut off"):
        read(path)


def test_a_joined_nist_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.nist", melody(8000).T, 8000, format="NIST")
    content = (tmp_path / "song.nist").read_bytes()
    for other, message in ((2 * content, "several files in one"), (content[:-100], "cut off")):
        (tmp_path / "song.nist").write_bytes(other)
        with pytest.raises(AudioError, match=message):
            read(tmp_path / "song.nist")


def test_a_live_recording_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "live.webm", "libopus", melody(48000), 48000, options={"live": "1"})
    content = path.read_bytes()
    for share in (0.5, 0.7, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError, match=r"live\.webm: (damaged or )?cut off"):
            read(path)


def write_ogg(path: Path, rate: int, seconds: float, subtype: str, channels: int = 2) -> bytes:
    soundfile.write(path, melody(rate, seconds)[:channels].T, rate, format="OGG", subtype=subtype)
    return path.read_bytes()


def pages(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_lacks_a_page_is_refused(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "song.ogg"
    whole = pages(write_ogg(path, 48000, 12.0, subtype))
    assert len(whole) > 6
    content = b"".join(whole)
    for kept, message in ((content[:-9], "its end is missing"), (b"".join(whole[:4] + whole[5:]), "pages are missing")):
        path.write_bytes(kept)
        with pytest.raises(AudioError, match=message):
            read(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_an_end_mark_is_read(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "stream.ogg"
    whole = pages(write_ogg(path, 48000, 12.0, subtype))
    last = int.from_bytes(whole[-2][6:14], "little", signed=True)
    path.write_bytes(b"".join(whole[:-1]))
    assert len(read(path)) == pytest.approx(last / 3, abs=0.05 * 16000)


def test_a_changed_byte_in_an_ogg_is_noticed(tmp_path: Path) -> None:
    content = bytearray(write_ogg(tmp_path / "song.ogg", 44100, 3.0, "VORBIS"))
    content[len(content) // 2] ^= 1
    (tmp_path / "song.ogg").write_bytes(content)
    with pytest.raises(AudioError, match=r"damaged or cut off: wrong checksum of the ogg page at byte \d+"):
        read(tmp_path / "song.ogg")


@pytest.mark.parametrize("second", [("VORBIS", 48000, 1), ("VORBIS", 32000, 2), ("OPUS", 48000, 2)])
def test_chained_ogg_of_other_kinds_name_them(tmp_path: Path, second: tuple[str, int, int]) -> None:
    path = tmp_path / "radio.ogg"
    first = write_ogg(path, 48000, 2.0, "VORBIS")
    subtype, rate, channels = second
    path.write_bytes(first + write_ogg(path, rate, 2.0, subtype, channels))
    with pytest.raises(
        AudioError, match=rf"\(vorbis, 48000 Hz, 2 channels; then {subtype.lower()}, {rate} Hz, {channels} channels\)"
    ):
        read(path)


def test_a_tag_may_stand_between_chained_ogg(tmp_path: Path) -> None:
    content = write_ogg(tmp_path / "radio.ogg", 48000, 2.0, "OPUS")
    (tmp_path / "radio.ogg").write_bytes(content + b"ID3\3\0\0\0\0\x08\0" + bytes(1024) + content)
    assert len(read(tmp_path / "radio.ogg")) == pytest.approx(64000, abs=500)


@pytest.mark.parametrize("total", [0, 1, 8000])
def test_a_flac_that_states_too_few_samples_is_read_to_its_end(tmp_path: Path, total: int) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, melody(44100).T, 44100)
    expected = read(path, 44100)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = struct.pack(">I", total)
    path.write_bytes(content)
    np.testing.assert_allclose(read(path, 44100), expected, atol=1e-6)


@pytest.mark.parametrize("offset", range(-9, 2))
def test_another_flac_is_found_wherever_it_begins(offset: int) -> None:
    first = b"fLaC\x80\0\0\x22"
    content = bytearray(3 * flac._PIECE)
    content[: len(first)] = first
    assert not flac.is_joined_flac(io.BytesIO(content))
    at = len(first) + flac._PIECE + offset  # near the edge of what is searched at once
    content[at : at + len(first)] = first
    assert flac.is_joined_flac(io.BytesIO(content))


def test_a_flac_with_a_tag_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, melody(44100).T, 44100)
    expected = read(path, 44100)
    content = path.read_bytes()
    path.write_bytes(b"ID3\3\0\0\0\0\x08\0" + bytes(1024) + content + b"TAG" + bytes(125))
    np.testing.assert_array_equal(read(path, 44100), expected)
    path.write_bytes(b"ID3\3\0\0\0\0\x08\0" + bytes(1024) + content[: len(content) // 2])
    with pytest.raises(AudioError, match="damaged or cut off"):
        read(path, 44100)


def test_a_voc_of_sox_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.voc", "pcm_s16le", melody(44100), 44100)
    content = bytearray(path.read_bytes())
    assert content[26] == 9
    content[27:30] = (int.from_bytes(content[27:30], "little") - 8).to_bytes(3, "little")
    path.write_bytes(content)
    assert len(read(path)) == pytest.approx(3 * 16000, abs=160)
