"""Augmentation is drawn from a seed, is audible, and moves nothing in time."""

import numpy as np
import pytest

from tfrecords_builder.synthesis import augmentation
from tfrecords_builder.synthesis.augmentation import Augmentation

RATE = 44100


def clicks(seconds: float = 3.0) -> np.ndarray:
    signal = np.zeros(round(seconds * RATE), np.float32)
    signal[RATE // 2 :: RATE // 2] = 0.5
    return signal


def sines(seconds: float = 2.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * 110 * 2**octave * time) for octave in range(7))).astype(np.float32)


def test_a_seed_gives_the_same_and_others_differ():
    first, again, other = (Augmentation.draw(seed) for seed in ("1:Track00001", "1:Track00001", "1:Track00002"))
    assert first == again
    np.testing.assert_array_equal(first.mix(sines(), RATE), again.mix(sines(), RATE))
    np.testing.assert_array_equal(first.stem(sines(), "S00", RATE), again.stem(sines(), "S00", RATE))
    assert not np.array_equal(first.stem(sines(), "S00", RATE), first.stem(sines(), "S01", RATE))
    assert not np.array_equal(first.mix(sines(), RATE), other.mix(sines(), RATE))


def test_pitch_stays_within_its_bounds_and_uses_them():
    drawn = [Augmentation.draw(str(seed)) for seed in range(300)]
    assert {one.semitones for one in drawn} == set(range(-augmentation.MOST_SEMITONES, augmentation.MOST_SEMITONES + 1))
    cents = [one.cents for one in drawn]
    assert max(map(abs, cents)) <= augmentation.MOST_CENTS
    assert 8 < np.std(cents) < 16


def test_somebody_sings_in_every_other_track():
    singers = [Augmentation.draw(str(seed)).singer() for seed in range(200)]
    assert 80 < sum(singer is not None for singer in singers) < 120
    assert Augmentation.draw("7").singer() == singers[7]


def test_mixes_keep_length_and_time_and_differ_in_level():
    """A click stays in place through rooms, compressors and codecs, so that labels fit."""
    peaks = []
    for seed in range(16):
        mixed = Augmentation.draw(str(seed)).mix(clicks(), RATE)
        assert mixed.shape == clicks().shape
        assert mixed.dtype == np.float32
        assert np.abs(mixed).max() <= 1
        peaks.append(20 * np.log10(np.abs(mixed).max()))
        for click in range(RATE // 2, len(mixed), RATE // 2):
            around = np.abs(mixed[click - RATE // 20 : click + RATE // 20])
            assert abs(around.argmax() - RATE // 20) < 0.002 * RATE
    assert np.ptp(peaks) > 6


def test_levels_of_stems_differ_by_some_decibels():
    levels = [20 * np.log10(np.std(Augmentation.draw("0").stem(sines(), f"S{stem:02d}", RATE))) for stem in range(40)]
    assert 3 < np.std(levels) < 8


def test_guitars_are_often_overdriven_and_others_seldom():
    """An amplifier adds partials to a sine; drums and voices have no amplifier."""
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)

    def share(program: int | None) -> float:
        overtones = []
        for seed in range(150):
            sound = Augmentation.draw(str(seed)).stem(tone, "S00", RATE, program)
            magnitude = np.abs(np.fft.rfft(sound[RATE // 4 :]))
            at = [magnitude[round(number * 440 * 0.75)] for number in (1, 2, 3)]
            overtones.append(max(at[1:]) > 0.02 * at[0])
        return float(np.mean(overtones))

    assert 0.35 < share(29) < 0.65
    assert 0.1 < share(33) < 0.35
    assert share(0) < 0.12
    assert share(None) == share(128) == 0


def test_an_amplifier_keeps_loudness_and_silence():
    for seed in range(20):
        driven = augmentation._amplified(sines(), augmentation.random.Random(seed), RATE)
        assert driven.dtype == np.float32
        assert np.std(driven) == pytest.approx(np.std(sines()), rel=0.05)
    assert not augmentation._amplified(np.zeros(RATE, np.float32), augmentation.random.Random(0), RATE).any()


def test_a_second_take_is_a_little_late_and_never_by_the_same_time():
    take = augmentation._played_again(clicks(8.0), augmentation.random.Random(1), RATE)
    assert take.dtype == np.float32
    assert len(take) == 8 * RATE
    onsets = np.array([1 + np.abs(part[1:]).argmax() for part in take[RATE // 2 :].reshape(-1, RATE // 2)])
    assert onsets.min() > 0.003 * RATE
    assert onsets.max() < 0.031 * RATE
    assert np.ptp(onsets) > 0.001 * RATE


def test_guitars_are_sometimes_recorded_twice_and_no_louder(monkeypatch):
    again, drawn = augmentation._played_again, []
    monkeypatch.setattr(augmentation, "_played_again", lambda *given: drawn.append(1) or again(*given))
    levels = [np.std(Augmentation.draw(str(seed)).stem(sines(), "S00", RATE, 29)) for seed in range(60)]
    assert 5 < len(drawn) < 25
    assert np.mean(20 * np.log10(levels)) == pytest.approx(20 * np.log10(np.std(sines())), abs=2.5)


@pytest.mark.parametrize("container", ["MP3", "OGG"])
def test_a_codec_takes_long_signals_and_gives_them_back_in_place(container, monkeypatch):
    """Libsndfile puts all it encodes at once on the stack, so two minutes at once would end the process."""
    monkeypatch.setattr(augmentation, "_CODECS", [codec for codec in augmentation._CODECS if codec[0] == container])
    generator = augmentation.random.Random(0)
    signal = np.tile(sines(), 60)
    coded = augmentation._through_codec(signal, generator, RATE)
    assert coded.shape == signal.shape
    middle = slice(RATE, 2 * RATE)
    assert np.corrcoef(coded[middle], signal[middle])[0, 1] > 0.99
