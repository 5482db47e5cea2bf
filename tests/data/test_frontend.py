"""The front end compared with librosa, in blocks compared with the whole signal, and aligned with the labels."""

import librosa
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import FRONT_ENDS, FrontEndConfig
from mir_tf.data import frontend

CONFIGS = {
    **FRONT_ENDS,
    "htk": FrontEndConfig(mel_scale="htk", f_min=40.0, f_max=8000.0, n_mels=64),
    "hamming_magnitude": FrontEndConfig(
        sample_rate=16000,
        n_fft=512,
        hop_length=320,
        window="hamming",
        power=1.0,
        n_mels=40,
        log_floor_db=-80.0,
    ),
    "start": FrontEndConfig(frame_center="start"),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> FrontEndConfig:
    return CONFIGS[request.param]


def sweep(config: FrontEndConfig, seconds: float = 5.0) -> NDArray[np.float32]:
    """Return a rising tone with an envelope, some noise, and silence at the end."""
    count = round(seconds * config.sample_rate)
    t = np.arange(count) / config.sample_rate
    tone = np.sin(2 * np.pi * (100 + 300 * t) * t) * np.exp(-t)
    noise = np.random.default_rng(0).standard_normal(count)
    return ((0.5 * tone + 0.01 * noise) * (t < 0.9 * seconds)).astype(np.float32)


def by_librosa(signal: NDArray[np.float32], config: FrontEndConfig) -> NDArray[np.float32]:
    """Return librosa's log-mel [frames, mels]; its center=True is our frame_center="start"."""
    is_start = config.frame_center == "start"
    if not is_start:
        side = (config.n_fft - config.hop_length) // 2
        signal = np.pad(signal, (side, config.n_fft))
    mel = librosa.feature.melspectrogram(
        y=signal,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        window=config.window,
        center=is_start,
        pad_mode="constant",
        power=config.power,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=config.mel_scale == "htk",
        norm="slaney" if config.mel_scale == "slaney" else None,
    )
    to_db = {1.0: librosa.amplitude_to_db, 2.0: librosa.power_to_db}[config.power]
    return to_db(mel, ref=1.0, amin=10 ** (config.log_floor_db * config.power / 20), top_db=None).T


def test_it_equals_librosa(config: FrontEndConfig) -> None:
    signal = sweep(config)
    ours = frontend.log_mel(signal, config).numpy()
    assert ours.shape == (config.num_frames(len(signal)), config.n_mels)
    np.testing.assert_allclose(ours, by_librosa(signal, config)[: len(ours)], atol=2e-3)
    assert ours.max() > config.log_floor_db + 40  # the sweep is above the floor


def test_the_seed_preset_is_the_pytorch_projects() -> None:
    """1000 frames of 100 s, centred, dB under the maximum, 80 dB, z-score: with librosa's own functions."""
    config = FRONT_ENDS["seed_44k"]
    signal = sweep(config, 100.0)
    hop = (len(signal) - 2048) // 999
    assert hop == config.hop_length
    mel = librosa.feature.melspectrogram(
        y=signal, sr=44100, n_fft=2048, hop_length=hop, n_mels=128, pad_mode="constant"
    )
    decibels = librosa.power_to_db(mel, ref=np.max).T
    expected = (decibels - decibels.mean()) / decibels.std()
    ours = frontend.log_mel(signal, config)
    assert ours.shape == expected.shape == (1000, 128)
    normalized = frontend.normalize_clip(ours, 1000, config).numpy()
    np.testing.assert_allclose(normalized, expected, atol=1e-3)


@pytest.mark.parametrize("piece", [1 << 20, 44100, 4411, 777])
@pytest.mark.parametrize("seconds", [0.01, 0.1, 1.0, 21.37, 25.0])
@pytest.mark.parametrize("preset", ["default", "seed_44k"])
def test_blocks_equal_the_whole(preset: str, seconds: float, piece: int) -> None:
    config = FRONT_ENDS[preset]
    signal = sweep(config, seconds)
    pieces = (signal[i : i + piece] for i in range(0, len(signal), piece))
    joined = np.concatenate(list(frontend.log_mel_blocks(pieces, config)))
    np.testing.assert_allclose(joined, frontend.log_mel(signal, config).numpy(), atol=1e-3)


def test_blocks_are_bounded() -> None:
    config = FRONT_ENDS["default"]
    blocks = frontend.log_mel_blocks([sweep(config, 90.0)], config)
    assert max(map(len, blocks)) <= 1024


@pytest.mark.parametrize("preset", ["default", "seed_22k"])
def test_a_click_in_a_label_frame_appears_in_its_frames(preset: str) -> None:
    config = FRONT_ENDS[preset]
    # Windows at i hops are centred on the beginning of their label frame.
    offset = 0.05 if config.frame_center == "middle" else 0.0
    for label_frame in (1, 7, 24, 48):
        signal = np.zeros(5 * config.sample_rate, np.float32)
        signal[round((label_frame / 10 + offset) * config.sample_rate)] = 1.0
        loudness = frontend.log_mel(signal, config).numpy().sum(axis=1)  # [frames]
        assert loudness.argmax() // config.subframes == label_frame


def test_sub_frames_lie_inside_their_label_frame() -> None:
    """The first and the last sample of a label frame have their maximum in its own frames."""
    config = FRONT_ENDS["default"]
    for position in (7 * 2205 + 1, 8 * 2205 - 2):
        signal = np.zeros(3 * config.sample_rate, np.float32)
        signal[position] = 1.0
        loudness = frontend.log_mel(signal, config).numpy().sum(axis=1)
        assert loudness.argmax() // config.subframes == 7


def test_no_sample_falls_between_the_frames_of_the_default() -> None:
    """Its windows overlap: a click counts at least half of its maximum, wherever it falls."""
    config = FRONT_ENDS["default"]
    levels = []
    for position in range(20000, 20000 + config.hop_length, 21):
        signal = np.zeros(2 * config.sample_rate, np.float32)
        signal[position] = 1.0
        power = 10 ** (frontend.log_mel(signal, config).numpy() / 10)
        levels.append(10 * np.log10(power.sum()))
    assert max(levels) - min(levels) < 3


@pytest.mark.parametrize("count", [0, 1, 220, 2204, 2205, 2206, 22050])
def test_every_length_has_whole_label_frames(config: FrontEndConfig, count: int) -> None:
    frames = frontend.log_mel(tf.zeros([count]), config)
    assert frames.shape == (config.num_label_frames(count) * config.subframes, config.n_mels)
    np.testing.assert_allclose(frames, config.log_floor_db, atol=1e-3)


def test_it_runs_batched_and_in_a_graph_of_unknown_length() -> None:
    config = FRONT_ENDS["default"]
    signal = sweep(config, 2.0)
    alone = frontend.log_mel(signal, config).numpy()
    batched = frontend.log_mel(np.stack([signal, signal[::-1]]), config).numpy()
    np.testing.assert_allclose(batched[0], alone, atol=1e-4)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def compute(waveform: tf.Tensor) -> tf.Tensor:
        return frontend.log_mel(waveform, config)

    np.testing.assert_allclose(compute(signal), alone, atol=1e-4)
    (mapped,) = tf.data.Dataset.from_tensors(signal).map(compute)
    np.testing.assert_allclose(mapped, alone, atol=1e-4)


@pytest.mark.parametrize("name", ["default", "seed_22k", "hamming_magnitude"])
def test_a_batch_in_one_graph_equals_the_blocks(name: str) -> None:
    config = CONFIGS[name]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def compute(waveforms: tf.Tensor) -> tf.Tensor:
        return frontend.log_mel_batch(waveforms, config)

    long = np.random.default_rng(0).normal(0, 0.1, (2, 101 * config.sample_rate + 17)).astype(np.float32)
    segment = 100 * config.sample_rate
    for num_samples in (1, 100, 2 * config.sample_rate, 50 * config.sample_rate, segment, segment + 1, long.shape[1]):
        found = compute(long[:, :num_samples]).numpy()
        for waveform, frames in zip(long[:, :num_samples], found, strict=True):
            whole = np.concatenate(list(frontend.log_mel_blocks([waveform], config)))
            np.testing.assert_allclose(frames, whole, atol=1e-3)
    assert compute(long[:, :0]).shape == (2, 0, config.n_mels)


@pytest.mark.parametrize("name", ["default", "seed_44k", "hamming_magnitude"])
def test_a_convolution_gives_the_same_log_mel(name: str) -> None:
    config = CONFIGS[name]
    signal = sweep(config)[np.newaxis]
    found = frontend.log_mel(signal, config, by_convolution=True).numpy()
    np.testing.assert_allclose(found, frontend.log_mel(signal, config), atol=0.02)
    assert np.abs(found - frontend.log_mel(signal, config)).mean() < 1e-4


def test_global_normalization_leaves_the_frames_to_the_model() -> None:
    config = FRONT_ENDS["default"]
    frames = frontend.log_mel(sweep(config), config)
    np.testing.assert_array_equal(frontend.normalize_clip(frames, 100, config), frames)


def test_clip_normalization_leaves_padding_out() -> None:
    config = FRONT_ENDS["seed_22k"]
    frames = frontend.log_mel(sweep(config), config)
    alone = frontend.normalize_clip(frames, 50, config).numpy()
    padded = tf.pad(frames, [[0, 30], [0, 0]], constant_values=config.log_floor_db)
    normalized = frontend.normalize_clip(padded, 50, config).numpy()
    np.testing.assert_allclose(normalized[:50], alone, atol=1e-5)
    np.testing.assert_allclose(normalized[50:], alone.min(), atol=1e-5)
    assert alone.mean() == pytest.approx(0, abs=1e-4)
    assert alone.std() == pytest.approx(1, abs=1e-4)


def test_silence_has_a_clip_normalization() -> None:
    config = FRONT_ENDS["seed_22k"]
    frames = frontend.log_mel(tf.zeros([22050]), config)
    np.testing.assert_allclose(frontend.normalize_clip(frames, 10, config), 0.0, atol=1e-3)


@pytest.mark.parametrize("rate", [22050, 44100])
@pytest.mark.parametrize("num_samples", [1, 2204, 2205, 2206, 44100, 220_000_001, 2**31 - 1])
def test_label_frames_of_hours_do_not_outgrow_the_integers_of_a_graph(rate: int, num_samples: int) -> None:
    config = FRONT_ENDS["default"].replace(sample_rate=rate)
    expected = -(-num_samples * 10 // rate)
    assert config.num_label_frames(num_samples) == expected
    assert config.num_label_frames(tf.constant(num_samples)) == expected
