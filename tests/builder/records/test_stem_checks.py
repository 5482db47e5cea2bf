"""Checks of a stem, on levels made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tfrecords_builder.records.stem_checks import check_stem

# A note of half a second every two seconds for a minute; then a rest of half a minute.
NOTES = np.array([[2.0 * i, 2.0 * i + 0.5] for i in range(30)])
FRAMES = 900


def played(decay_db: float = 30.0) -> NDArray[np.float64]:
    """Return the levels of a healthy stem: each note dies away, and the rest is silent."""
    levels = np.full(FRAMES, -200.0)
    for note in range(30):
        levels[20 * note : 20 * note + 20] = -20 - decay_db * np.arange(20) / 20
    return levels


def test_a_healthy_stem_has_none() -> None:
    assert check_stem(NOTES, played()) == []
    assert check_stem(NOTES, played(decay_db=60)) == []  # percussion
    assert check_stem(NOTES[:0], np.full(FRAMES, -200.0)) == []
    assert check_stem(NOTES, np.zeros(0)) == []


def test_silence_while_the_midi_plays() -> None:
    assert check_stem(NOTES, np.full(FRAMES, -60.0)) == ["silent while its MIDI plays (100% of 30 notes)"]
    levels = played()
    levels[: 20 * 16] = -61
    assert check_stem(NOTES, levels) == ["silent while its MIDI plays (53% of 30 notes)"]
    levels[20 * 14 :] = played()[20 * 14 :]
    assert check_stem(NOTES, levels) == []  # 14 of 30
    late = np.roll(played(), 2)
    assert check_stem(NOTES, late) == []  # sounds begin 0.2 s after their notes


def test_sound_while_the_midi_rests() -> None:
    levels = played()
    levels[600:] = -50 + np.tile([-3, 3], 150)
    # The last note ends at 58.5 s; from 63.5 s on it rests.
    assert check_stem(NOTES, levels) == ["sounds while its MIDI rests (100% of 26 s)"]
    levels[740:] = -200
    assert check_stem(NOTES, levels) == []  # a long tail is none
    # Where it never rests for long nothing can be said.
    assert check_stem(NOTES, played()[:640] + 100) == []


@pytest.mark.parametrize(("ripple", "is_even"), [(0.0, True), (0.4, True), (0.6, False)])
def test_a_constant_tone(ripple: float, is_even: bool) -> None:
    levels = -30 + ripple * np.tile([-1.0, 1.0], FRAMES // 2)
    found = [text for text in check_stem(NOTES, levels) if "constant" in text]
    assert found == ([f"constant tone or noise ({2 * ripple:.2f} dB over 90 s)"] if is_even else [])
    assert not [text for text in check_stem(NOTES[:9], levels) if "constant" in text]  # a drone of few notes


def test_a_segment_has_its_own_clock() -> None:
    assert check_stem(NOTES, np.full(100, -200.0), start=50.0) == ["silent while its MIDI plays (100% of 5 notes)"]
