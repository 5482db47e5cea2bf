"""tools/freepats.py: Gravis patches, packed here by hand, become a SoundFont that sounds as they do."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import invoke

from tfrecords_builder.synthesis.soundfont import SoundFont

ROOT = Path(__file__).resolve().parents[2]
RATE = 22050
SILENT_ENVELOPE = (bytes(6), bytes(6))


@pytest.fixture
def freepats(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import freepats

    return freepats


def sample(
    audio: bytes,
    modes: int,
    loop: tuple[int, int] = (0, 0),
    keys: tuple[float, float, float] = (0, 127, 57),
    envelope: tuple[bytes, bytes] = SILENT_ENVELOPE,
) -> bytes:
    """Return a sample header and its audio; ``loop`` in bytes, ``keys`` the lowest, highest and root."""
    low, high, root = (round(440000 * 2 ** ((key - 69) / 12)) for key in keys)
    header = struct.pack(
        "<7sBIIIHIIIhB6s6s3s3sBHH36x",
        b"wave",
        0,
        len(audio),
        *loop,
        RATE,
        low,
        high,
        root,
        0,
        7,
        *envelope,
        bytes(3),
        bytes(3),
        modes,
        60,
        1024,
    )
    return header + audio


def patch(*samples: bytes) -> bytes:
    head = b"GF1PATCH110\0ID#000002\0".ljust(129, b"\0") + bytes(63)
    return head + bytes(6) + bytes([len(samples)]) + bytes(40) + b"".join(samples)


def sine(frequency: float, seconds: float = 1.0) -> bytes:
    return (20000 * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)).astype("<i2").tobytes()


def frequency_of(sound: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
    return float(np.argmax(spectrum)) * RATE / (1 << 17)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_samples_are_sixteen_bits_and_loops_that_turn_are_unrolled(freepats, tmp_path):
    eight = sample(bytes([128, 255, 0]), modes=2)
    unsigned = sample(struct.pack("<3H", 0x8000, 0xFFFF, 0), modes=3)
    turning = sample(struct.pack("<4h", 1, 2, 3, 4), modes=1 | 4 | 8, loop=(2, 8))
    read = freepats.read_patch(write(tmp_path / "a.pat", patch(eight, unsigned, turning)))
    assert [each.audio.tolist() for each in read] == [[0, 32512, -32768], [0, 32767, -32768], [1, 2, 3, 4, 4, 3, 2]]
    assert [each.loop for each in read] == [None, None, (1, 7)]
    assert all(each.audio.dtype == np.int16 and each.rate == RATE for each in read)


def test_each_key_has_one_sample_and_the_outermost_reach_to_the_ends(freepats, tmp_path):
    samples = [sample(b"\1\0", 1, keys=keys) for keys in ((60, 72, 66), (20, 40, 30), (40, 60, 50.25))]
    read = freepats.read_patch(write(tmp_path / "a.pat", patch(*samples)))
    assert [(each.low, each.high) for each in read] == [(0, 39), (40, 59), (60, 127)]
    assert [each.root for each in read] == pytest.approx([30, 50.25, 66], abs=1e-3)


def test_envelopes_are_seconds_and_decibels(freepats, tmp_path):
    # Up to 240 by 48 sixteenths a sample; down to 160 by one every 64 samples; released to 0 by two every 512.
    rates = bytes([48, 0x81, 0x3F, 0xC2, 0x3F, 0x3F])
    offsets = bytes([240, 160, 160, 0, 0, 0])
    data = patch(sample(b"\1\0", 1 | 64, envelope=(rates, offsets)))
    (read,) = freepats.read_patch(write(tmp_path / "a.pat", data))
    assert read.attack == pytest.approx(240 * 16 / 48 / 44100)
    assert read.sustain == pytest.approx(80 * 6.02 / 16)
    assert read.decay * read.sustain / 100 == pytest.approx(80 * 16 * 64 / 44100)
    assert read.release * (160 * 6.02 / 16) / 100 == pytest.approx(160 * 16 / 2 * 512 / 44100)


def test_a_soundfont_sounds_as_its_patches_and_fills_families(freepats, tmp_path):
    for family in range(16):
        # Of families one has 220 Hz as its key 57, the next 330 Hz, a little above its key 64.
        audio, root = (sine(220), 57.0) if family % 2 == 0 else (sine(330), 64.02)
        write(tmp_path / f"Tone_000/{8 * family + 3:03}_A.pat", patch(sample(audio, 1, keys=(0, 127, root))))
    write(tmp_path / "Tone_000/006_B.pat", patch(sample(sine(440), 1, keys=(0, 127, 57))))  # an octave too high
    write(tmp_path / "Drum_000/038_Snare.pat", patch(sample(sine(1000), 1, keys=(38, 38, 38))))
    out = tmp_path / "out.sf2"
    result = invoke(freepats.main, "--patches", tmp_path, "--out", out)
    assert result.exit_code == 0, result.output
    assert "17 programs and 1 drums" in result.output
    nowhere = ["--patches", str(tmp_path), "--out", str(tmp_path / "absent" / "out.sf2")]
    failed = invoke(freepats.main, *nowhere)
    assert isinstance(failed.exception, SystemExit), failed.exception
    assert (failed.exit_code, "absent" in failed.output) == (1, True)

    font = SoundFont(out)
    for program, frequency in {3: 440, 0: 440, 4: 440, 5: 880, 7: 880, 11: 440, 15: 440, 127: 440}.items():
        assert frequency_of(font.note(program, False, 69, 100, 0.4, RATE)) == pytest.approx(frequency, rel=2e-3)
    assert frequency_of(font.note(0, True, 38, 100, 0.4, RATE)) == pytest.approx(1000, rel=2e-3)
    assert len(font.note(0, True, 40, 100, 0.4, RATE)) == 0


def test_loops_last_as_long_as_the_note(freepats, tmp_path):
    period = RATE // 105  # whole, so that the loop has no seam
    audio = sine(RATE / period, seconds=0.1)
    looped = patch(sample(audio, 1 | 4, loop=(0, 2 * period * 10), keys=(0, 127, 57)))
    for family in range(16):
        write(tmp_path / f"Tone_000/{8 * family:03}_A.pat", looped)
    write(tmp_path / "Drum_000/035_Kick.pat", patch(sample(audio, 1)))
    freepats.main(["--patches", str(tmp_path), "--out", str(tmp_path / "a.sf2")], standalone_mode=False)
    font = SoundFont(tmp_path / "a.sf2")
    sound = font.note(0, False, 57, 127, 1.0, RATE)
    assert np.abs(sound[int(0.9 * RATE) : RATE]).max() > 0.5 * np.abs(sound[:RATE]).max()
    assert len(font.note(0, True, 35, 127, 1.0, RATE)) < 0.2 * RATE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RIFF and more", "is not a Gravis patch"),
        (patch(sample(b"\1\0", 1))[:-40], "cannot be converted"),
        (patch(sample(b"\1\0", 1 | 16)), "backwards"),
        (None, "no patch Tone_000/NNN_"),
    ],
)
def test_what_cannot_be_converted_is_named_and_nothing_is_written(freepats, tmp_path, data, reason):
    if data is not None:
        write(tmp_path / "Tone_000/000_A.pat", data)
    out = tmp_path / "out.sf2"
    result = invoke(freepats.main, "--patches", tmp_path, "--out", out)
    assert result.exit_code == 1
    assert reason in result.output
    assert data is None or "000_A.pat" in result.output
    assert not out.exists()
