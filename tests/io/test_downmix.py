"""The downmix: the mean, and one channel where the mean would cancel what they share."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mir_tf.io import audio
from mir_tf.io.downmix import Downmix

RATE = 16000


@pytest.fixture
def noise() -> np.ndarray:
    """Two independent channels, float32 [samples, 2], of 2 s."""
    return np.random.default_rng(0).normal(0, 0.1, (2 * RATE, 2)).astype(np.float32)


def test_channels_are_averaged(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(Downmix(RATE).mix(noise), noise.mean(axis=1))
    one_side = noise * [1, 0]
    np.testing.assert_array_equal(
        Downmix(RATE).mix(one_side.astype(np.float32)), one_side.mean(axis=1, dtype=np.float32)
    )


@pytest.mark.parametrize("gain", [-1, -0.9, -0.7])
def test_a_channel_with_inverted_polarity_does_not_cancel_the_other(noise: np.ndarray, gain: float) -> None:
    left = noise[:, 0]
    np.testing.assert_array_equal(Downmix(RATE).mix(np.stack([left, np.float32(gain) * left], axis=1)), left)
    np.testing.assert_array_equal(
        Downmix(RATE).mix(np.stack([np.float32(gain) * left, left * np.float32(1.3)], axis=1)), left * np.float32(1.3)
    )


def test_the_louder_of_many_channels_is_used(noise: np.ndarray) -> None:
    left = noise[:, 0]
    np.testing.assert_array_equal(Downmix(RATE).mix(np.stack([0 * left, left, -left, 0 * left], axis=1)), left)


def test_polarity_may_change_within_a_recording(noise: np.ndarray) -> None:
    left = noise[:, 0]
    right = np.where(np.arange(len(left)) < RATE, left, -left)
    mono = Downmix(RATE).mix(np.stack([left, right], axis=1))
    assert np.mean(mono != left) < 0.2  # the switch takes 0.3 s of these 2 s


@pytest.mark.parametrize("size", [80, 1600, 1601, 9999])
@pytest.mark.parametrize("gain", [1, -1])
def test_the_size_of_blocks_does_not_matter(noise: np.ndarray, size: int, gain: int) -> None:
    signal = np.stack([noise[:, 0], 0.8 * gain * noise[:, 0] + 0.1 * noise[:, 1]], axis=1).astype(np.float32)
    downmix = Downmix(RATE)
    pieces = [downmix.mix(signal[begin : begin + size]) for begin in range(0, len(signal), size)]
    np.testing.assert_array_equal(np.concatenate(pieces), Downmix(RATE).mix(signal))


def test_files_segments_arrays_and_streams_agree(tmp_path: Path, noise: np.ndarray) -> None:
    signal = np.stack([noise[:, 0], -noise[:, 0]], axis=1)
    soundfile.write(tmp_path / "a.wav", signal, RATE, "FLOAT")
    whole = np.concatenate(list(audio.read_blocks(tmp_path / "a.wav", RATE)))
    np.testing.assert_array_equal(whole, noise[:, 0])
    segment = np.concatenate(list(audio.read_blocks(tmp_path / "a.wav", RATE, start=0.5, seconds=1.0)))
    np.testing.assert_array_equal(segment, noise[RATE // 2 : 3 * RATE // 2, 0])
    resampler = audio.Resampler(RATE, RATE)
    stream = [resampler.feed(signal[begin : begin + 1600]) for begin in range(0, len(signal), 1600)]
    np.testing.assert_array_equal(np.concatenate([*stream, resampler.finish()]), whole)
