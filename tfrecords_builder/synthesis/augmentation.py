"""Augmentation of rendered songs, drawn from a seed: pitch, balance, timbre, room, noise and codec.

It imitates the differences between recordings of one song. Players tune differently and choose another key; a voice
sings along; an amplifier, a microphone and a mixing desk colour each instrument; the mix is equalised, put in a room
and compressed; noise and a lossy codec come last. Each step depends on seed and name alone.
"""

from __future__ import annotations

import dataclasses
import io
import math
import random

import numpy as np
import soundfile
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from mir_tf.vocabulary import DRUMS, FAMILY_SIZE
from tfrecords_builder.synthesis.singing import Signal, Singer

MOST_SEMITONES = 3
"""Largest transposition in semitones, up or down."""

MOST_CENTS = 40.0
"""Largest deviation of the tuning from 440 Hz."""

SUNG = 0.5
"""Share of renditions with a voice."""

_DRIVEN = {3: 0.5, 4: 0.2, DRUMS // FAMILY_SIZE: 0.0}
"""Family → share of its stems played through an overdriven amplifier: guitars, basses, drums."""

_SELDOM_DRIVEN = 0.05
"""The same for all other families."""

_CODECS = (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"))
"""Codecs of libsndfile, which return as many samples as they take, without delay."""

_GAIN_RATE = 100
"""Values per second of a compressor's gain."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The differences of one rendition of a song from the plain one.

    Attributes:
        seed: Seed of everything; two renditions with the same seed are equal.
        semitones: Transposition of all parts except drums.
        cents: Tuning of all parts except drums, by the built-in synthesiser; FluidSynth ignores it.
    """

    seed: str
    semitones: int
    cents: float

    @classmethod
    def draw(cls, seed: str) -> Augmentation:
        """Return the augmentation of a seed."""
        generator = random.Random(seed)
        semitones = generator.randint(-MOST_SEMITONES, MOST_SEMITONES)
        return cls(seed, semitones, max(-MOST_CENTS, min(MOST_CENTS, generator.gauss(0, 12))))

    def singer(self) -> Singer | None:
        """Return the singer, or None without a voice."""
        seed = f"{self.seed}:voice"
        return Singer.draw(seed) if random.Random(seed).random() < SUNG else None

    def stem(self, signal: Signal, name: str, sample_rate: int, program: int | None = None) -> Signal:
        """Return a stem after an amplifier, a microphone and a mixing desk: drive, level, equalisation, width.

        Args:
            signal: float32 [samples].
            name: Name of the stem, part of its seed.
            sample_rate: Hz.
            program: General MIDI program, or 128 for drums, which determines how likely an amplifier is; None for a
                voice, which has none.

        Returns:
            float32 [samples].
        """
        generator = random.Random(f"{self.seed}:{name}:amplifier")
        driven = 0.0 if program is None else _DRIVEN.get(program // FAMILY_SIZE, _SELDOM_DRIVEN)
        if generator.random() < driven:
            takes = [signal, _played_again(signal, generator, sample_rate)] if generator.random() < 0.4 else [signal]
            driven_takes = np.sum([_amplified(take, generator, sample_rate) for take in takes], axis=0)
            signal = driven_takes / np.float32(math.sqrt(len(takes)))
        generator = random.Random(f"{self.seed}:{name}")
        signal = _equalized(signal, generator, 2, 5.0, sample_rate)
        if generator.random() < 0.4:  # two channels, one a little late, mixed down to one
            delay = round(generator.uniform(0.1e-3, 0.8e-3) * sample_rate)
            share = generator.uniform(0.2, 0.7)
            late = np.concatenate([np.zeros(delay, np.float32), signal])[: len(signal)]
            signal = signal + np.float32(share) * late
        return signal * np.float32(10 ** (generator.gauss(0, 4) / 20))

    def mix(self, signal: Signal, sample_rate: int) -> Signal:
        """Return the mix after equalisation, room, compression, noise, level and codec.

        Args:
            signal: float32 [samples], at any level.
            sample_rate: Hz.

        Returns:
            float32 [samples] within ±1, its peak between −14 and −1 dB.
        """
        generator = random.Random(f"{self.seed}:mix")
        signal = _equalized(signal, generator, 3, 4.0, sample_rate)
        if generator.random() < 0.5:
            signal = _in_room(signal, generator, sample_rate)
        if generator.random() < 0.5:
            signal = _compressed(signal, generator, sample_rate)
        if generator.random() < 0.5:
            signal = _with_noise(signal, generator)
        peak = max(float(np.abs(signal).max()), 1e-9)
        signal = signal * np.float32(10 ** (generator.uniform(-14, -1) / 20) / peak)
        if generator.random() < 0.4:
            signal = _through_codec(signal, generator, sample_rate)
        return np.clip(signal, -1, 1)


def _equalized(signal: Signal, generator: random.Random, bands: int, deviation: float, sample_rate: int) -> Signal:
    """Apply ``bands`` peaking filters with random frequencies and gains (standard deviation in dB)."""
    sections = []
    for _ in range(bands):
        frequency = 60 * (12000 / 60) ** generator.random()
        sections.append(_peaking(frequency, generator.gauss(0, deviation), generator.uniform(0.4, 1.4), sample_rate))
    return np.asarray(sosfilt(np.array(sections, np.float32), signal), np.float32)


def _peaking(frequency: float, gain: float, quality: float, sample_rate: int) -> list[float]:
    """Return a peaking filter: R. Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients."""
    amplitude = 10 ** (gain / 40)
    omega = 2 * math.pi * frequency / sample_rate
    alpha = math.sin(omega) / (2 * quality)
    over = 1 + alpha / amplitude
    return [
        (1 + alpha * amplitude) / over,
        -2 * math.cos(omega) / over,
        (1 - alpha * amplitude) / over,
        1.0,
        -2 * math.cos(omega) / over,
        (1 - alpha / amplitude) / over,
    ]


def _amplified(signal: Signal, generator: random.Random, sample_rate: int) -> Signal:
    """Apply an amplifier with 10 to 40 dB too much gain, and a loudspeaker; keep the loudness.

    The valve is a biased hyperbolic tangent between filters, as in D. T. Yeh, J. S. Abel and J. O. Smith,
    Simplified, physically-informed models of distortion and overdrive guitar effects pedals (DAFx, 2007).
    """
    loudness = math.sqrt(float(np.square(signal).mean()))
    if not loudness:
        return signal
    first = butter(1, generator.uniform(80, 700), "highpass", fs=sample_rate, output="sos")
    gain = 10 ** (generator.uniform(10, 40) / 20) / loudness * 0.1
    bias = generator.uniform(0, 0.3)
    clipped = np.tanh(gain * sosfilt(first, signal) + bias) - math.tanh(bias)
    speaker = np.concatenate(
        [
            butter(2, generator.uniform(60, 120), "highpass", fs=sample_rate, output="sos"),
            butter(4, generator.uniform(3000, 7000), "lowpass", fs=sample_rate, output="sos"),
            [_peaking(generator.uniform(1500, 3500), generator.uniform(0, 8), 1.0, sample_rate)],
        ]
    )
    played = sosfilt(speaker, clipped)
    return np.asarray(played * (loudness / math.sqrt(float(np.square(played).mean()))), np.float32)


def _played_again(signal: Signal, generator: random.Random, sample_rate: int) -> Signal:
    """Return a second take of a part, as guitars are often recorded: 4 to 30 ms late and some cents out of tune."""
    seconds = len(signal) / sample_rate
    delays = np.random.default_rng(generator.getrandbits(32)).uniform(0.004, 0.03, math.ceil(seconds / 2) + 2)
    place = np.arange(len(signal))
    late = np.interp(place / (2 * sample_rate), np.arange(len(delays)), delays) * sample_rate
    return np.interp(place - late, place, signal, left=0.0).astype(np.float32)


def _in_room(signal: Signal, generator: random.Random, sample_rate: int) -> Signal:
    """Add the reverberation of a room: noise that dies away by 60 dB, high frequencies sooner.

    J. A. Moorer, About this reverberation business (Computer Music Journal 3, 1979).
    """
    seconds = 0.15 * (1.5 / 0.15) ** generator.random()
    level = generator.uniform(-26, -10)  # dB relative to the power of the direct sound
    noise = np.random.default_rng(generator.getrandbits(32)).standard_normal(round(seconds * sample_rate))
    time = np.arange(len(noise)) / sample_rate
    dull = lfilter([1 - (pole := generator.uniform(0.2, 0.8))], [1, -pole], noise)
    response = dull * 10 ** (-3 * time / seconds)
    response *= 10 ** (level / 20) / math.sqrt(float(np.square(response).sum()))
    late = round(generator.uniform(0.002, 0.02) * sample_rate)
    reverberation = oaconvolve(signal, response.astype(np.float32))[: len(signal)]
    signal = signal.copy()
    signal[late:] += reverberation[: len(signal) - late]
    return signal


def _compressed(signal: Signal, generator: random.Random, sample_rate: int) -> Signal:
    """Apply a compressor that follows the level within 10 ms and releases within tenths of a second.

    D. Giannoulis et al., Digital dynamic range compressor design (J. Audio Eng. Soc. 60, 2012), hard knee.
    """
    hop = sample_rate // _GAIN_RATE
    frames = -(-len(signal) // hop)
    power = np.square(np.pad(signal, (0, frames * hop - len(signal)))).reshape(frames, hop).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)  # [frames]
    threshold = float(np.percentile(level, generator.uniform(50, 90)))
    ratio = generator.uniform(1.5, 5)
    wanted = -np.maximum(level - threshold, 0) * (1 - 1 / ratio)  # dB, at or below 0
    release = math.exp(-1 / (_GAIN_RATE * generator.uniform(0.08, 0.4)))
    gain, held = np.empty(frames), 0.0
    for frame, target in enumerate(wanted.tolist()):
        held = min(target, held * release)
        gain[frame] = held
    place = (np.arange(frames) + 0.5) * hop
    smooth = np.interp(np.arange(len(signal)), place, 10 ** (gain / 20))
    return signal * smooth.astype(np.float32)


def _with_noise(signal: Signal, generator: random.Random) -> Signal:
    """Add noise 25 to 65 dB below the signal, between white and brown."""
    noise = np.random.default_rng(generator.getrandbits(32)).standard_normal(len(signal), dtype=np.float32)
    noise = lfilter([1.0], [1, -generator.uniform(0, 0.98)], noise).astype(np.float32)
    level = 10 ** (generator.uniform(-65, -25) / 20) * math.sqrt(float(np.square(signal).mean()))
    noise *= np.float32(level / math.sqrt(float(np.square(noise).mean())))
    mixed: Signal = signal + noise
    return mixed


def _through_codec(signal: Signal, generator: random.Random, sample_rate: int) -> Signal:
    """Encode with loss at about 45 to 125 kbit/s, and decode again."""
    container, subtype = generator.choice(_CODECS)
    coded = io.BytesIO()
    with soundfile.SoundFile(
        coded, "w", sample_rate, 1, subtype, format=container, compression_level=generator.uniform(0.1, 0.9)
    ) as file:
        for start in range(0, len(signal), sample_rate):  # libsndfile's Vorbis puts a whole write on the stack
            file.write(signal[start : start + sample_rate])
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    return np.pad(decoded[: len(signal)], (0, max(len(signal) - len(decoded), 0)))
