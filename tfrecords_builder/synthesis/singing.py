"""A voice for rendered songs, without a label: most recordings have singers, and no class of General MIDI is theirs.

A network that was trained without voices takes them for an instrument. The voice has no words, only their sounds:
vowels (G. E. Peterson and H. L. Barney, Control methods used in a study of the vowels, J. Acoust. Soc. Am. 24, 1952)
made by a source and a filter (G. Fant, Acoustic theory of speech production, 1960), with consonants of noise, slides
between notes, vibrato and breath.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
import pretty_midi
from numpy.typing import NDArray
from scipy.signal import istft, lfilter, stft

_VOWELS = np.array(
    [
        [270, 2290, 3010, 3600],
        [390, 1990, 2550, 3500],
        [530, 1840, 2480, 3500],
        [660, 1720, 2410, 3400],
        [730, 1090, 2440, 3300],
        [570, 840, 2410, 3300],
        [440, 1020, 2240, 3200],
        [300, 870, 2240, 3200],
        [640, 1190, 2390, 3300],
        [490, 1350, 1690, 3200],
    ],
    np.float64,
)
"""Formants of a man's vowels in Hz [vowels, formants]. Those above the third are similar in all vowels."""

_NASAL = np.array([250.0, 1200.0, 2300.0, 3300.0])
_BANDWIDTHS = np.array([70.0, 90.0, 130.0, 180.0])
"""Bandwidths of the formants in Hz."""

_RANGES = {"low": (43, 67, 1.0), "high": (55, 79, 1.17)}
"""Lowest and highest note of a man and of a woman, and the ratio of their formants to a man's."""

_WINDOW, _HOP = 1024, 256
"""Window and hop of the filter in samples."""

_PHRASE = (2.0, 9.0)
_REST = (0.5, 9.0)
"""Shortest and longest duration of a phrase and of the rest after it, in seconds."""

_LONGEST = 3.0
"""Longest note in seconds."""

Signal = NDArray[np.float32]
Frames = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Singer:
    """A voice.

    Attributes:
        seed: Seed of all random draws.
        low: Lowest MIDI note.
        high: Highest MIDI note.
        size: Ratio of the formants to those of a man.
        tilt: Frequency in Hz above which the source falls by another 6 dB per octave.
        breath: Level of the noise in the source.
        vibrato: Depth of the vibrato in semitones to either side.
        rate: Rate of the vibrato in Hz.
        slide: Seconds from one pitch to the next.
        roughness: From 0 (clear) to 1 (a shout).
        scream: Level of a second noise that beats with the folds, as in growls and screams; 0 in most voices.
    """

    seed: str
    low: int
    high: int
    size: float
    tilt: float
    breath: float
    vibrato: float
    rate: float
    slide: float
    roughness: float
    scream: float

    @classmethod
    def draw(cls, seed: str) -> Singer:
        """Return the singer of a seed."""
        generator = random.Random(seed)
        low, high, size = _RANGES[generator.choice(sorted(_RANGES))]
        return cls(
            seed,
            low,
            high,
            size * generator.uniform(0.94, 1.06),
            generator.uniform(500, 3500),
            10 ** generator.uniform(-2.5, -1),
            generator.choice((0.0, 1.0)) * generator.uniform(0.1, 0.7),
            generator.uniform(4.5, 6.8),
            generator.uniform(0.02, 0.09),
            max(0.0, generator.uniform(-1.2, 1.0)),
            max(0.0, generator.uniform(-3.0, 1.0)),
        )

    def choose(self, song: pretty_midi.PrettyMIDI) -> pretty_midi.Instrument:
        """Return the part to sing: the upper voice of a part of the song, in phrases, moved by octaves into range.

        Returns:
            Notes that do not overlap; none if only drums play.
        """
        generator = random.Random(f"{self.seed}:part")
        parts = [part for part in song.instruments if part.notes and not part.is_drum]
        voice = pretty_midi.Instrument(0, name="Voice")
        if not parts:
            return voice
        melody = _upper_voice(generator.choice(parts).notes)
        turn, rests = melody[0].start, True
        for note in melody:
            while note.start >= turn:
                rests = not rests
                turn += generator.uniform(*(_REST if rests else _PHRASE))
            if not rests:
                pitch = note.pitch
                while pitch > self.high:
                    pitch -= 12
                while pitch < self.low:
                    pitch += 12
                voice.notes.append(pretty_midi.Note(note.velocity, pitch, note.start, note.end))
        return voice

    def sing(self, notes: Sequence[pretty_midi.Note], count: int, sample_rate: int) -> Signal:
        """Return the sound of notes that do not overlap.

        Args:
            notes: Notes sorted by onset.
            count: Number of samples.
            sample_rate: Hz.

        Returns:
            float32 [count], within ±1; silent without notes.
        """
        if not notes:
            return np.zeros(count, np.float32)
        generator = np.random.default_rng([ord(letter) for letter in self.seed])
        score = self._score(notes, count // _HOP + 2, sample_rate / _HOP, generator)
        voiced = self._source(score, count, sample_rate, generator)
        hiss = generator.standard_normal(count)
        sound = _filtered(voiced + self.breath * hiss * _upsampled(score.level, count), _formants(score, sample_rate))
        sound /= max(float(np.abs(sound).max()), 1e-9)
        if self.roughness:
            sound = np.tanh((1 + 6 * self.roughness) * sound)
        sound += 0.4 * np.abs(sound).max() * _filtered(hiss, _consonants(score, sample_rate))
        return (sound / max(float(np.abs(sound).max()), 1e-9)).astype(np.float32)

    def _score(
        self, notes: Sequence[pretty_midi.Note], frames: int, rate: float, generator: np.random.Generator
    ) -> _Score:
        """Return the course of the voice in frames, of which there are ``rate`` per second."""
        pitch, level = np.full(frames, np.nan), np.zeros(frames)
        formants = np.full((frames, _VOWELS.shape[1]), np.nan)
        noise, hertz = np.zeros(frames), np.full(frames, 5000.0)
        trembling = np.zeros(frames)
        for note in notes:
            begin, end = round(note.start * rate), round(min(note.end, note.start + _LONGEST) * rate)
            begin, end = min(begin, frames - 1), max(min(end, frames), min(begin, frames - 1) + 1)
            consonant = generator.choice(("none", "fricative", "plosive", "nasal"), p=(0.25, 0.3, 0.25, 0.2))
            onset = min(begin + round(generator.uniform(0.03, 0.09) * rate), end)
            pitch[begin:end] = note.pitch
            if generator.random() < 0.3:
                pitch[begin : begin + round(0.06 * rate)] -= generator.uniform(0.5, 2.5)
            level[onset:end] = (note.velocity / 127) ** 0.7
            vowels = _VOWELS[generator.choice(len(_VOWELS), 2)] * self.size
            turn = onset + (end - onset) * 2 // 3 if generator.random() < 0.3 else end
            formants[begin:turn], formants[turn:end] = vowels[0], vowels[1]
            if consonant == "nasal":
                formants[begin:onset], level[begin:onset] = _NASAL * self.size, 0.4 * level[end - 1]
            elif consonant == "fricative":
                noise[begin:onset] = generator.uniform(0.3, 1.0)
            elif consonant == "plosive":
                noise[max(onset - round(0.015 * rate), begin) : onset] = 1.0
            else:
                level[begin:onset] = level[end - 1]
            hertz[begin:onset] = generator.uniform(2500, 8000)
            steady = begin + round(0.25 * rate)
            trembling[steady:end] = np.minimum(np.arange(max(end - steady, 0)) / (0.3 * rate), 1.0)
        place = np.arange(frames)
        sung = ~np.isnan(pitch)
        pitch = _smooth(np.interp(place, place[sung], pitch[sung]), self.slide * rate)
        drift = _smooth(generator.standard_normal(frames), 0.05 * rate)
        pitch += drift + self.vibrato * trembling * np.sin(2 * np.pi * self.rate * place / rate)
        filled = [_smooth(np.interp(place, place[sung], column[sung]), 0.03 * rate) for column in formants.T]
        return _Score(pitch, _smooth(level, 0.02 * rate), np.stack(filled, axis=1), noise, hertz)

    def _source(self, score: _Score, count: int, sample_rate: int, generator: np.random.Generator) -> Frames:
        """Return the signal of the vocal folds [count]: a sawtooth without aliases, filtered by the tilt."""
        step = 440 * 2 ** ((_upsampled(score.pitch, count) - 69) / 12) / sample_rate
        phase = np.cumsum(step)
        turn = phase % 1.0
        saw = 2 * turn - 1
        early, late = turn < step, turn > 1 - step  # V. Välimäki and A. Huovilainen, Antialiasing oscillators (2007)
        before, after = turn[early] / step[early], (turn[late] - 1) / step[late]
        saw[early] -= 2 * before - before**2 - 1
        saw[late] -= after**2 + 2 * after + 1
        if self.roughness:
            beats = np.sin(np.pi * phase) + _smooth(generator.standard_normal(count), sample_rate / 300) * 3
            saw *= 1 + 0.7 * self.roughness * beats
        pole = np.exp(-2 * np.pi * self.tilt / sample_rate)
        source: Frames = lfilter([1 - pole], [1, -pole], saw)
        if self.scream:
            source += self.scream * 0.5 * (1 + np.sin(np.pi * phase)) * generator.standard_normal(count)
        return source * _upsampled(score.level, count)


@dataclasses.dataclass(frozen=True)
class _Score:
    """The course of a voice, each [frames]: MIDI pitch, level, formants in Hz [frames, 4], noise and its frequency."""

    pitch: Frames
    level: Frames
    formants: Frames
    noise: Frames
    hertz: Frames


def _upper_voice(notes: Sequence[pretty_midi.Note]) -> list[pretty_midi.Note]:
    """Return the highest of the notes that begin together, each until the next one begins."""
    melody: list[pretty_midi.Note] = []
    for note in sorted(notes, key=lambda note: (note.start, -note.pitch)):
        if melody and note.start - melody[-1].start < 0.12:
            continue
        if melody:
            melody[-1].end = min(melody[-1].end, note.start)
        melody.append(pretty_midi.Note(note.velocity, note.pitch, note.start, note.end))
    return melody


def _smooth(values: Frames, length: float) -> Frames:
    """Return a moving average over ``length`` values with soft edges; the ends are repeated."""
    size = max(round(length), 1)
    window = np.hanning(2 * size + 1)[1:-1]
    padded = np.pad(values, size - 1, mode="edge")
    smoothed: Frames = np.convolve(padded, window / window.sum(), mode="valid")
    return smoothed


def _upsampled(values: Frames, count: int) -> Frames:
    """Interpolate values of frames at ``count`` samples."""
    return np.interp(np.arange(count), np.arange(len(values)) * _HOP, values)


def _formants(score: _Score, sample_rate: int) -> Frames:
    """Return the gain [bins, frames] of the vocal tract: a resonance at each formant, the first not below the pitch."""
    hertz = np.fft.rfftfreq(_WINDOW, 1 / sample_rate)[:, np.newaxis]  # [bins, 1]
    fundamental = 440 * 2 ** ((score.pitch - 69) / 12)
    gain = np.ones((len(hertz), len(score.pitch)))
    for number, bandwidth in enumerate(_BANDWIDTHS):
        centre = score.formants[:, number]  # [frames]
        centre = np.maximum(centre, fundamental) if number == 0 else centre
        gain *= centre**2 / np.sqrt((centre**2 - hertz**2) ** 2 + (bandwidth * hertz) ** 2)
    return gain * (1 + (hertz / 4000) ** 4) ** 0.5  # compensates for the missing resonances above the fourth


def _consonants(score: _Score, sample_rate: int) -> Frames:
    """Return the gain [bins, frames] of the noise of consonants: a band of one or two octaves."""
    hertz = np.maximum(np.fft.rfftfreq(_WINDOW, 1 / sample_rate), 1.0)[:, np.newaxis]
    octaves = np.log2(hertz / score.hertz)
    band: Frames = np.exp(-(octaves**2) / 0.5)
    return score.noise * band


def _filtered(signal: Frames, gain: Frames) -> Frames:
    """Apply a time-varying filter [bins, frames] to a signal [samples]."""
    _, _, spectrum = stft(signal, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    frames = min(spectrum.shape[1], gain.shape[1])
    shaped = np.zeros_like(spectrum)
    shaped[:, :frames] = spectrum[:, :frames] * gain[:, :frames]
    _, filtered = istft(shaped, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    fitted: Frames = np.pad(filtered[: len(signal)], (0, max(len(signal) - len(filtered), 0)))
    return fitted
