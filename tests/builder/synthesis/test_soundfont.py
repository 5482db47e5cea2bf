import os
from pathlib import Path

import librosa
import numpy as np
import pytest
from helpers.sine_soundfont import RATE, write_sine

from mir_tf.errors import DataError
from tfrecords_builder.synthesis.soundfont import SoundFont
from tfrecords_builder.synthesis.synthesizers import default_soundfont

ROOT_KEY, COARSE_TUNE, FINE_TUNE, SCALE, ATTENUATION, RELEASE = 58, 51, 52, 56, 48, 38


@pytest.fixture(scope="module")
def general_midi() -> SoundFont:
    return SoundFont(default_soundfont())


def hertz(sound: np.ndarray, rate: int) -> float:
    """Return the frequency of the strongest partial."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 16 * len(sound)))
    return np.argmax(power) * rate / (16 * len(sound))


@pytest.mark.parametrize(
    ("generators", "key", "expected"),
    [
        ([(ROOT_KEY, 69)], 69, 440.0),
        ([(ROOT_KEY, 69)], 81, 880.0),
        ([(ROOT_KEY, 69), (COARSE_TUNE, -12)], 69, 220.0),
        ([(ROOT_KEY, 69), (FINE_TUNE, 50)], 69, 440 * 2 ** (0.5 / 12)),
        ([(ROOT_KEY, 69), (SCALE, 50)], 81, 440 * 2**0.5),
        ([], 60, 440.0),
    ],
)
@pytest.mark.parametrize("sample_rate", [44100, 22050])
def test_keys_sound_at_the_pitch_that_the_generators_say(tmp_path, generators, key, expected, sample_rate):
    soundfont = SoundFont(write_sine(tmp_path / "sine.sf2", 5, tuple(generators)))
    sound = soundfont.note(5, False, key, 100, 1.5, sample_rate)[: int(1.5 * sample_rate)]
    assert hertz(sound, sample_rate) == pytest.approx(expected, rel=1e-3)


def test_loop_outlasts_the_sample_without_a_gap(tmp_path):
    soundfont = SoundFont(write_sine(tmp_path / "sine.sf2"))
    sound = soundfont.note(5, False, 60, 127, 5.0, RATE)[: 5 * RATE]
    peaks = np.abs(sound[100:]).reshape(-1, 1)[: 79 * 2000].reshape(79, 2000).max(axis=1)
    np.testing.assert_allclose(peaks, 20000 / 32768, rtol=1e-2)


def test_velocity_attenuation_and_release(tmp_path):
    soundfont = SoundFont(write_sine(tmp_path / "sine.sf2", 5, ((ATTENUATION, 500), (RELEASE, 0))))
    loud, soft = (soundfont.note(5, False, 60, velocity, 1.0, RATE) for velocity in (127, 64))
    # 50 dB written, of which the hardware that SoundFonts are voiced for takes 0.4.
    assert np.abs(loud[1000:RATE]).max() == pytest.approx(20000 / 32768 * 0.1, rel=1e-2)
    np.testing.assert_allclose(soft, loud * (64 / 127) ** 2, atol=1e-7)
    # The release falls 100 dB a second and is cut at 60.
    assert len(loud) == pytest.approx(1.6 * RATE, abs=1)
    after = np.abs(loud[int(1.3 * RATE) - 100 : int(1.3 * RATE) + 100]).max()
    assert 20 * np.log10(after / np.abs(loud[1000:RATE]).max()) == pytest.approx(-30, abs=1)


def test_missing_program_and_missing_drum_kit_are_silent(tmp_path):
    soundfont = SoundFont(write_sine(tmp_path / "sine.sf2", 5))
    assert len(soundfont.note(6, False, 60, 100, 1.0, RATE)) == 0
    assert len(soundfont.note(0, True, 36, 100, 1.0, RATE)) == 0


# Programs of each kind whose fundamental is strong; librosa's tracker is the oracle.
@pytest.mark.parametrize("program", [0, 5, 11, 24, 32, 40, 48, 56, 65, 73, 80, 89, 104])
def test_the_shipped_soundfont_is_in_tune(general_midi, program):
    for key in (48, 57, 60, 69):
        sound = general_midi.note(program, False, key, 100, 1.0, 44100)[:44100].astype(np.float64)
        pitch = librosa.yin(sound, fmin=60, fmax=1000, sr=44100, frame_length=4096)
        assert 12 * np.log2(np.median(pitch) / 440) + 69 == pytest.approx(key, abs=0.3)


def test_drums_come_from_the_drum_bank_and_a_missing_kit_is_kit_0(general_midi):
    bass_drum, hat = (general_midi.note(0, True, key, 100, 0.2, 44100) for key in (36, 42))

    def centroid(sound):
        return np.mean(librosa.feature.spectral_centroid(y=sound[:4096], sr=44100))

    assert centroid(bass_drum) < 2500 < 5000 < centroid(hat)
    assert np.abs(bass_drum).max() > 0.01
    np.testing.assert_array_equal(general_midi.note(77, True, 36, 100, 0.2, 44100), bass_drum)


def test_every_program_of_the_shipped_soundfont_sounds(general_midi):
    for program in range(128):
        assert np.abs(general_midi.note(program, False, 60, 100, 0.5, 44100)).max() > 1e-3, program


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "text.sf2").write_text("no SoundFont, but long enough for its header")
    (tmp_path / "empty.sf2").touch()
    os.mkfifo(tmp_path / "pipe.sf2")
    whole = write_sine(tmp_path / "sine.sf2").read_bytes()
    for cut in (len(whole) // 2, len(whole) - 100):
        (tmp_path / f"cut{cut}.sf2").write_bytes(whole[:cut])
    (tmp_path / "sine.sf2").unlink()
    for path in [*tmp_path.iterdir(), tmp_path / "absent.sf2", tmp_path]:
        with pytest.raises(DataError, match=path.name):
            SoundFont(path)


def test_compressed_samples_are_refused_by_what_they_say_of_themselves(tmp_path):
    path = write_sine(tmp_path / "sine.sf2")
    data = bytearray(path.read_bytes())
    kind = data.index(b"shdr") + 8 + 44
    assert data[kind] == 1
    data[kind] |= 0x10
    path.write_bytes(data)
    with pytest.raises(
        DataError, match=r"sine\.sf2: .*samples are compressed, as in \.sf3.*give a complete \.sf2 file"
    ):
        SoundFont(path)


def test_programs_that_it_has(general_midi, tmp_path):
    font = SoundFont(write_sine(tmp_path / "sine.sf2", program=5))
    assert [program for program in range(128) if font.has(program, False)] == [5]
    assert not font.has(0, True)
    assert all(general_midi.has(kit, True) for kit in (0, 16, 100))


def changed(path: Path, table: bytes, row: int, size: int, place: int, value: bytes) -> Path:
    """Change bytes in a row of a table."""
    content = bytearray(path.read_bytes())
    at = content.index(table) + 8 + row * size + place
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("table", "row", "size", "place", "value", "reason"),
    [
        (b"phdr", 0, 38, 24, b"\xff\x00", "its table phdr is damaged"),
        (b"pbag", 0, 4, 0, b"\x09\x00", "its table pbag is damaged"),
        (b"inst", 1, 22, 20, b"\x07\x00", "its table inst is damaged"),
        (b"shdr", 0, 46, 24, b"\xff\xff\xff\x00", "ends after the audio"),
        (b"shdr", 0, 46, 44, b"\x10\x00", "compressed"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, table, row, size, place, value, reason):
    path = changed(write_sine(tmp_path / "sine.sf2"), table, row, size, place, value)
    with pytest.raises(DataError, match=reason):
        SoundFont(path)


def test_a_sample_in_the_rom_of_a_card_is_no_sound(tmp_path):
    assert SoundFont(write_sine(tmp_path / "sine.sf2", 5)).has(5, False)
    path = changed(tmp_path / "sine.sf2", b"shdr", 0, 46, 44, b"\x01\x80")
    assert not SoundFont(path).has(5, False)
    assert len(SoundFont(path).note(5, False, 60, 100, 1.0, RATE)) == 0


def test_impossible_tuning_and_rate_give_a_sound_of_numbers(tmp_path):
    for generators in ([(COARSE_TUNE, 32767)], [(COARSE_TUNE, -32768)], [(SCALE, 32767)], [(0, -32768), (45, -1)]):
        soundfont = SoundFont(write_sine(tmp_path / "sine.sf2", 5, tuple(generators)))
        assert np.isfinite(soundfont.note(5, False, 61, 100, 0.5, RATE)).all()
    path = changed(write_sine(tmp_path / "rate.sf2", 5), b"shdr", 0, 46, 36, b"\0\0\0\0")
    assert np.abs(SoundFont(path).note(5, False, 60, 100, 0.5, RATE)).max() > 0
