"""tools/sample_soundfont.py: notes that are synthesised here, some with wrong labels, become a SoundFont."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import invoke

from tfrecords_builder.synthesis.soundfont import SoundFont

ROOT = Path(__file__).resolve().parents[2]
RATE = 44100
FLUTE, CELLO, BASE = 73, 42, 0


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import sample_soundfont

    return sample_soundfont


def tone(key: float, seconds: float = 1.5, harmonics: int = 6) -> np.ndarray:
    """Return a note with silence before it, whose harmonics fall by a third."""
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((key - 69) / 12)
    sound = sum(np.sin(2 * np.pi * n * frequency * time) * 0.67**n for n in range(1, harmonics + 1))
    sound *= np.minimum(np.minimum(time / 0.02, (seconds - time) / 0.1), 1)
    return np.concatenate([np.zeros(RATE // 5), 0.2 * sound])


def key_of(sound: np.ndarray) -> float:
    """Return the fractional key of the strongest peak, which is the fundamental of the tones of this module."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19))
    return float(69 + 12 * np.log2(np.argmax(spectrum) * RATE / (1 << 19) / 440))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Return a folder with flutes, their labels mostly right, cellos without labels, and what is not a note."""
    folder = tmp_path / "samples"
    folder.mkdir()
    random = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    slide = 0.2 * np.sin(2 * np.pi * np.cumsum(200 * 2 ** (1.5 * time)) / RATE)
    notes = [("spectmorph", "alto-flute", key, key, tone(key + 0.2)) for key in (60, 64, 67, 72)]
    notes += [("spectmorph", "alto-flute", 88, 76, tone(76)), ("spectmorph", "alto-flute", 81, 79, tone(79))]
    notes += [("spectmorph", "cello", "", key, tone(key, 2.5, 10)) for key in (36, 43, 50, 57)]
    notes += [("spectmorph", "cello", "", "noise", random.normal(size=RATE) * 0.1)]
    notes += [("spectmorph", "cello", 45, "slide", slide), ("spectmorph", "cello", 60, "silence", np.zeros(RATE))]
    notes += [("other", "kazoo", 60, 60, tone(60))]
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["set", "instrument", "midi_note", "file"])
        for set_name, instrument, label, name, audio in notes:
            table.writerow([set_name, instrument, label, f"{instrument}-{name}.wav"])
            soundfile.write(folder / f"{instrument}-{name}.wav", audio.astype(np.float32), RATE)
        table.writerow(["spectmorph", "cello", 50, "missing.wav"])
    return folder


@pytest.fixture
def base(tmp_path: Path, tool) -> Path:
    import freepats

    time = np.arange(RATE) / RATE
    sine = (9000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    plain = freepats.Sample(sine, RATE, None, 0, 127, 69, 0.001, 2.0, 0.0, 0.1)
    path = tmp_path / "base.sf2"
    freepats.write_soundfont(path, {program: [plain] for program in range(128)}, {38: [plain]})
    return path


def run(tool, samples: Path, base: Path, seed: int, out: Path):
    pitches = out.parent / "pitches.csv"
    return invoke(
        tool.main, "--samples", samples, "--base", base, "--seed", str(seed), "--pitches", pitches, "--out", out
    )


def test_pitches_are_measured_and_wrong_labels_corrected(tool, samples: Path, base: Path, tmp_path: Path) -> None:
    result = run(tool, samples, base, 1, tmp_path / "out.sf2")
    assert result.exit_code == 0, result.output
    assert "4 right, 2 corrected, 4 measured, 3 dropped, 1 unreadable" in result.output
    found = {pitch.file: pitch for pitch in tool.read_pitches(tmp_path / "pitches.csv")}
    assert len(found) == 14  # all but the kazoo
    for file, pitch in found.items():
        name = file.rpartition("-")[2].removesuffix(".wav")
        if name.isdigit():
            sharp = 0.2 if pitch.verdict == "right" else 0
            assert pitch.key == pytest.approx(int(name) + sharp, abs=0.1), file
        else:
            assert pitch.key is None
    assert found["alto-flute-76.wav"].verdict == found["alto-flute-79.wav"].verdict == "corrected"


def test_recordings_sound_in_tune_on_all_keys_and_can_be_held(tool, samples: Path, base: Path, tmp_path: Path) -> None:
    seed = next(
        seed
        for seed in range(20)
        if run(tool, samples, base, seed, tmp_path / "out.sf2").output.startswith(f"{tmp_path / 'out.sf2'}: 2 programs")
    )
    assert run(tool, samples, base, seed, tmp_path / "again.sf2").exit_code == 0
    assert (tmp_path / "again.sf2").read_bytes() == (tmp_path / "out.sf2").read_bytes()
    font = SoundFont(tmp_path / "out.sf2")
    plain = SoundFont(base)
    for program, keys in ((FLUTE, (60, 62, 70, 79, 84)), (CELLO, (36, 40, 57, 60))):
        for key in keys:
            sound = font.note(program, False, key, 100, 6.0, RATE, 0.0)
            assert key_of(sound[: RATE // 2]) == pytest.approx(key, abs=0.12), (program, key)
            # The recordings last 1.5 and 2.5 s; the loop goes on as loud, and in tune.
            held = sound[5 * RATE : 6 * RATE]
            assert key_of(held) == pytest.approx(key, abs=0.12), (program, key)
            assert np.std(held) == pytest.approx(np.std(sound[RATE // 2 : RATE]), rel=0.3), (program, key)
            assert (
                np.abs(np.diff(sound[RATE // 2 : 6 * RATE])).max() < 2 * np.abs(np.diff(sound[RATE // 2 : RATE])).max()
            )
    for program, is_drum in ((BASE, False), (41, False), (0, True)):
        key = 38 if is_drum else 60
        np.testing.assert_allclose(
            font.note(program, is_drum, key, 100, 0.5, RATE, 0.0),
            plain.note(program, is_drum, key, 100, 0.5, RATE, 0.0),
            atol=1e-6,
        )


def test_what_cannot_be_used_is_refused(tool, samples: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.sf2").write_bytes(base.read_bytes()[:2000])
    (tmp_path / "pitches.csv").write_text("file,instrument\na,b\n")
    refused = run(tool, samples, base, 1, tmp_path / "out.sf2")
    assert refused.exit_code == 1
    assert "remove it to measure again" in refused.output
    (tmp_path / "pitches.csv").unlink()
    refused = run(tool, samples, tmp_path / "broken.sf2", 1, tmp_path / "out.sf2")
    assert refused.exit_code == 1
    assert "broken.sf2" in refused.output
    assert not (tmp_path / "out.sf2").exists()
    (samples / "index.csv").write_text("set,file\n")
    (tmp_path / "pitches.csv").unlink()
    (samples / "index.csv").write_text("set,file\nspectmorph,a.wav\n")
    refused = run(tool, samples, base, 1, tmp_path / "out.sf2")
    assert refused.exit_code == 1
    assert "index.csv" in refused.output
