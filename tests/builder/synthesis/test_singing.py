"""The voice sings the given pitches, in its range, with the formants of vowels."""

import numpy as np
import pretty_midi
import pytest

from tfrecords_builder.synthesis.singing import Singer

RATE = 44100


def notes(*rows: tuple[float, float, int]) -> list[pretty_midi.Note]:
    return [pretty_midi.Note(100, pitch, start, end) for start, end, pitch in rows]


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = 1 << 17
    return np.fft.rfftfreq(size, 1 / RATE), np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))


def song_of(*parts: tuple[bool, list[tuple[float, float, int]]]) -> pretty_midi.PrettyMIDI:
    song = pretty_midi.PrettyMIDI()
    for is_drum, rows in parts:
        part = pretty_midi.Instrument(0, is_drum)
        part.notes = notes(*rows)
        song.instruments.append(part)
    return song


@pytest.mark.parametrize("pitch", [48, 57, 64])
def test_notes_have_their_pitch(pitch):
    singer = Singer("a", 43, 79, 1.0, 2000.0, 0.01, 0.0, 5.0, 0.03, 0.0, 0.0)
    sound = singer.sing(notes((0.5, 2.5, pitch)), 3 * RATE, RATE)
    hertz, magnitude = spectrum(sound[RATE : 2 * RATE])
    wanted = 440 * 2 ** ((pitch - 69) / 12)
    for partial in (1, 2):
        around = np.abs(np.log2(np.maximum(hertz, 1) / (partial * wanted))) < 1 / 12
        assert hertz[around][magnitude[around].argmax()] == pytest.approx(partial * wanted, rel=0.02)
    between = np.abs(np.log2(np.maximum(hertz, 1) / (1.5 * wanted))) < 1 / 12
    assert magnitude[between].max() < 0.2 * magnitude.max()


def test_it_is_silent_where_nothing_is_sung():
    singer = Singer.draw("b")
    sound = singer.sing(notes((1.0, 2.0, singer.low + 5)), 4 * RATE, RATE)
    assert sound.dtype == np.float32
    assert len(sound) == 4 * RATE
    assert np.abs(sound).max() == pytest.approx(1.0)
    level = np.sqrt(np.square(sound).reshape(-1, RATE // 10).mean(axis=1))  # [tenths of a second]
    assert level[11:19].min() > 0.01
    assert level[:9].max() < 1e-3
    assert level[22:].max() < 1e-3
    assert not singer.sing([], RATE, RATE).any()


def test_vowels_differ_on_one_pitch():
    """The strongest partials change between notes of one pitch, unlike those of an organ."""
    singer = Singer("c", 43, 79, 1.0, 3000.0, 0.0, 0.0, 5.0, 0.03, 0.0, 0.0)
    sound = singer.sing(notes(*((float(i), i + 0.9, 48) for i in range(12))), 12 * RATE, RATE)
    strongest = set()
    for begin in range(12):
        hertz, magnitude = spectrum(sound[int((begin + 0.3) * RATE) : int((begin + 0.6) * RATE)])
        strongest.add(round(hertz[magnitude.argmax()] / 130.8))
    assert len(strongest) >= 3


def test_screams_have_more_noise_between_their_partials():
    def noise(scream: float) -> float:
        singer = Singer("d", 43, 79, 1.0, 3000.0, 0.01, 0.0, 5.0, 0.03, 0.0, scream)
        hertz, magnitude = spectrum(singer.sing(notes((0.0, 2.0, 57)), 2 * RATE, RATE)[RATE // 2 : 3 * RATE // 2])
        heard = (hertz > 200) & (hertz < 4000)
        return float(np.median(magnitude[heard]) / magnitude.max())

    assert noise(1.0) > 3 * noise(0.0)


def test_a_seed_draws_one_singer_and_many_differ():
    singers = [Singer.draw(str(seed)) for seed in range(60)]
    assert Singer.draw("7") == singers[7]
    assert len({singer.tilt for singer in singers}) == 60
    assert 0.3 < np.mean([singer.low == 43 for singer in singers]) < 0.7
    assert 0.2 < np.mean([singer.vibrato == 0 for singer in singers]) < 0.8
    assert 0.2 < np.mean([singer.roughness == 0 for singer in singers]) < 0.8
    assert 0.1 < np.mean([singer.scream > 0 for singer in singers]) < 0.4
    melody = notes((0.0, 1.0, 60), (1.0, 2.0, 62))
    np.testing.assert_array_equal(*(Singer.draw("7").sing(melody, 2 * RATE, RATE) for _ in range(2)))
    assert not np.array_equal(*(singer.sing(melody, 2 * RATE, RATE) for singer in singers[:2]))


@pytest.mark.parametrize("highest", [90, 30])
def test_the_upper_voice_of_a_part_is_sung_in_phrases_within_the_range(highest):
    chords = [(0.5 * i, 0.5 * i + 0.8, pitch) for i in range(120) for pitch in (21 + i % 7, highest + i % 12)]
    song = song_of((False, chords), (True, [(0.0, 60.0, 40)]))
    for seed in range(20):
        singer = Singer.draw(str(seed))
        voice = singer.choose(song)
        assert 10 < len(voice.notes) < 110
        starts = [note.start for note in voice.notes]
        assert starts == sorted(starts)
        for note, following in zip(voice.notes, voice.notes[1:], strict=False):
            assert note.end <= following.start
        for note in voice.notes:
            assert singer.low <= note.pitch <= singer.high
            assert (note.pitch - highest - round(note.start / 0.5) % 12) % 12 == 0


def test_nothing_is_sung_to_drums_alone():
    assert Singer.draw("1").choose(song_of((True, [(0.0, 1.0, 40)]))).notes == []
