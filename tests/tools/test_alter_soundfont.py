"""tools/alter_soundfont.py: other sounds of the same instruments, from a SoundFont that is made here of pure tones."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import invoke

from tfrecords_builder.synthesis.soundfont import SoundFont

ROOT = Path(__file__).resolve().parents[2]
RATE = 22050
A2, A4 = 45, 69
PROGRAMS = range(0, 128, 4)
DRUM_KEYS = (36, 38, 42)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import alter_soundfont
    import freepats

    return alter_soundfont, freepats


def partial_of(program: int, high: bool) -> int:
    """Return the partial that identifies a recording: even below A3, odd from there on."""
    return 2 + 2 * (program // 8) + high


@pytest.fixture
def source(tools, tmp_path: Path) -> Path:
    """Two recordings for each program, A2 and A4, with a fundamental and one partial that tells the family."""
    _, freepats = tools

    def sample(frequency: float, partial: int, low: int, high: int, root: int):
        time = np.arange(RATE) / RATE
        tone = np.sin(2 * np.pi * frequency * time) + np.sin(2 * np.pi * partial * frequency * time)
        return freepats.Sample((9000 * tone).astype(np.int16), RATE, None, low, high, root, 0.001, 2.0, 0.0, 0.1)

    programs = {
        program: [
            sample(110, partial_of(program, False), 0, 56, A2),
            sample(110, partial_of(program, True), 57, 127, A2),
        ]
        for program in PROGRAMS
    }
    kit = [sample(200, 7, 0, 37, 60), sample(400, 7, 38, 127, 60)]  # one instrument, as in most SoundFonts
    drums = dict.fromkeys(DRUM_KEYS, kit)
    path = tmp_path / "tones.sf2"
    freepats.write_soundfont(path, programs, drums)
    return path


@pytest.fixture
def altered(tools, source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "altered.sf2"
    tools[0].alter(source, path, 1)
    return path


def spectrum(sound: np.ndarray, fundamental: float) -> np.ndarray:
    """Amplitude of each partial, from 1 on, within 20 cents."""
    magnitude = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
    hertz = np.arange(len(magnitude)) * RATE / (1 << 17)
    count = int(0.9 * RATE / 2 / fundamental)
    near = [np.abs(np.log2(np.maximum(hertz, 1) / (n * fundamental))) < 20 / 1200 for n in range(1, count + 1)]
    return np.array([magnitude[each].max() for each in near])


def test_pitch_and_class_stay(source, altered):
    before, after = SoundFont(source), SoundFont(altered)
    for program in PROGRAMS:
        old, new = (font.note(program, False, A2, 100, 0.8, RATE) for font in (before, after))
        assert not np.array_equal(old, new)
        partials = spectrum(new, 110)
        strongest = partials.max()
        loud = {number for number, amplitude in enumerate(partials, 1) if amplitude > 0.1 * strongest}
        assert 1 in loud
        assert loud <= {1, partial_of(program, False), partial_of(program, True)}


def test_recordings_play_between_other_keys(source, altered):
    before, after = SoundFont(source), SoundFont(altered)
    changed = 0
    for program in PROGRAMS:
        for key in (54, 59):
            fundamental = 440 * 2 ** ((key - A4) / 12)
            low, high = partial_of(program, False), partial_of(program, True)
            sounds = (font.note(program, False, key, 100, 0.8, RATE) for font in (before, after))
            old, new = (spectrum(sound, fundamental) for sound in sounds)
            assert (old[low - 1] > old[high - 1]) == (key < 57)
            changed += (new[low - 1] > new[high - 1]) != (key < 57)
    assert 5 < changed < len(PROGRAMS)


def test_some_programs_are_layered(source, altered):
    def zones(path: Path) -> list[int]:
        font = SoundFont(path)
        return [len(font._presets[0, program]) for program in PROGRAMS]

    assert set(zones(source)) == {2}
    layered = [count for count in zones(altered) if count > 2]
    assert 4 <= len(layered) <= 18
    assert set(layered) == {4}


def test_drums_keep_their_keys_and_change_their_sound(tools, source, tmp_path):
    before = SoundFont(source)
    for seed in range(4):
        tools[0].alter(source, tmp_path / "drums.sf2", seed)
        after = SoundFont(tmp_path / "drums.sf2")
        for key in range(30, 50):
            old, new = (font.note(0, True, key, 100, 0.3, RATE) for font in (before, after))
            assert bool(len(old)) == bool(len(new)) == (key in DRUM_KEYS)
            if len(old):
                assert not np.array_equal(old, new)
                lowest = np.abs(np.fft.rfft(new, RATE))[100:600].argmax() + 100
                assert (lowest < 283) == (key < 38)


def test_a_seed_gives_one_file_and_another_seed_other_sounds(tools, source, altered, tmp_path):
    again, other = tmp_path / "again.sf2", tmp_path / "other.sf2"
    tools[0].alter(source, again, 1)
    tools[0].alter(source, other, 2)
    assert again.read_bytes() == altered.read_bytes()
    one, two = SoundFont(altered), SoundFont(other)
    notes = [[font.note(program, False, A2, 100, 0.8, RATE) for font in (one, two)] for program in PROGRAMS]
    assert not any(np.array_equal(*pair) for pair in notes)


@pytest.mark.parametrize(("damage", "told"), [(None, "sfbk"), ((b"pmod", b"pmud"), "pmod"), (b"shdr", "compressed")])
def test_what_is_no_soundfont_is_named_and_nothing_is_written(tools, source, tmp_path, damage, told):
    wrong, out = tmp_path / "wrong.sf2", tmp_path / "out.sf2"
    content = bytearray(source.read_bytes())
    if damage is None:
        content = b"RIFF\0\0\0\0WAVE"
    elif damage == b"shdr":
        content[content.index(damage) + 8 + 44] |= 0x10
    else:
        content = content.replace(*damage)
    wrong.write_bytes(content)
    result = invoke(tools[0].main, wrong, "--seed", "1", "--out", out)
    assert result.exit_code == 1
    assert "wrong.sf2" in result.output
    assert told in result.output
    assert not out.exists()


def test_a_file_that_cannot_be_written_is_named(tools, source, tmp_path):
    out = tmp_path / "absent" / "out.sf2"
    result = invoke(tools[0].main, source, "--seed", "1", "--out", out)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "absent" in result.output


def test_more_generators_than_the_format_numbers_are_refused(tools):
    import soundfont_file

    zone = ([soundfont_file.generator(43, 127 << 8)] * 1000, b"")
    assert soundfont_file.bags(b"i", [zone] * 65).startswith(b"ibag")
    with pytest.raises(ValueError, match=r"at least 66000 generators; the format allows 65535"):
        soundfont_file.bags(b"i", [zone] * 66)
