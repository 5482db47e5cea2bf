"""A signal in blocks: the frames of the whole signal, within the stated latency, in constant memory."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mir_tf.errors import AudioError, BundleError, ConfigError
from mir_tf.export.exporter import probe_signal
from mir_tf.inference.metadata import Metadata
from mir_tf.io.audio import RESAMPLER_DELAY, Resampler
from mir_tf.lite import LiteModel
from mir_tf.stream import PredictWindow, Stream, windows

RATE = 8000
"""Sample rate of the tiny model, whose windows last 3 s and overlap by 1 s."""


@pytest.fixture(scope="module")
def model(exported_cnn: Path) -> LiteModel:
    return LiteModel(exported_cnn / "model.float32.tflite")


def in_blocks(stream: Stream, signal: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Return all frames of a stream that is fed a signal in blocks of these sizes, in turn."""
    pieces, start, turn = [], 0, 0
    while start < len(signal):
        size = sizes[turn % len(sizes)]
        pieces.append(stream.feed(signal[start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate([*pieces, stream.finish()])


@pytest.mark.parametrize("sizes", [[7, 0, 800, 3], [441], [100_000], [10**9]])
@pytest.mark.parametrize("seconds", [0.01, 3.0, 3.01, 3.04, 5.013, 9.27])
def test_blocks_of_any_size_give_the_frames_of_the_file(model: LiteModel, seconds: float, sizes: list[int]) -> None:
    signal = probe_signal(RATE, 10.0)[: round(seconds * RATE)]
    expected = model.predict(signal, RATE).probabilities
    found = in_blocks(model.stream(RATE), signal, sizes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_single_samples_give_the_frames_of_the_file(model: LiteModel) -> None:
    signal = probe_signal(RATE, 3.3)
    found = in_blocks(model.stream(RATE), signal, [1])
    np.testing.assert_allclose(found, model.predict(signal, RATE).probabilities, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
def test_blocks_at_any_rate_and_of_any_channels_give_the_frames_of_the_file(model: LiteModel, rate: int) -> None:
    swell = np.sin(np.arange(round(7.3 * rate)) / rate)[:, np.newaxis] ** 2
    signal = np.random.default_rng(0).normal(0, 0.2, (len(swell), 8)) * swell
    expected = model.predict(signal, rate).probabilities
    np.testing.assert_allclose(in_blocks(model.stream(rate), signal, [480, 17, 5000]), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(signal.mean(axis=1), rate).probabilities, expected, atol=1e-6)


def by_contract(predict_window: PredictWindow, metadata: Metadata, signal: np.ndarray) -> np.ndarray:
    """Predict a whole signal as docs/export-formats.md describes it."""
    hop, per_frame = metadata.window_frames - metadata.overlap_frames, metadata.window_samples // metadata.window_frames
    num_frames = -(-len(signal) * metadata.label_rate // metadata.sample_rate)
    padded = np.pad(signal, (metadata.left_context, 2 * metadata.input_samples), constant_values=np.nan)
    found = np.zeros((num_frames + 2 * metadata.window_frames, len(metadata.classes)), np.float32)
    start = 0
    while num_frames:
        new = predict_window(padded[np.newaxis, start * per_frame :][:, : metadata.input_samples])
        for i in range(metadata.overlap_frames if start else 0):
            new[i] = found[start + i] + (new[i] - found[start + i]) * (i + 0.5) / metadata.overlap_frames
        found[start : start + metadata.window_frames] = new
        if start + metadata.window_frames >= num_frames:
            break
        start += hop
    return found[:num_frames]


GEOMETRIES = [(0, 0, 0), (0, 0, 40), (10, 30, 0), (15, 25, 35), (10, 60, -40), (10, 60, -140)]
"""Overlap in frames, and samples before and after the window, for windows of 3 s at 1000 Hz."""


@pytest.mark.parametrize(("overlap", "left", "right"), GEOMETRIES)
def test_windows_of_every_geometry_are_those_of_the_contract(
    model: LiteModel, overlap: int, left: int, right: int
) -> None:
    metadata = dataclasses.replace(
        model.metadata,
        classes=("a",),
        thresholds=(0.5,),
        sample_rate=1000,
        window_samples=3000,
        window_frames=30,
        overlap_frames=overlap,
        left_context=left,
        input_samples=left + 3000 + right,
    )

    def predict_window(window: np.ndarray) -> np.ndarray:
        """Return for each frame the sum of all samples before its end, including those outside of the signal."""
        sums = np.nan_to_num(window[0], nan=0.25).astype(float).cumsum()
        ends = np.minimum(left + 100 * np.arange(1, 31), len(sums)) - 1
        return sums[ends, np.newaxis].astype(np.float32)

    signal = np.random.default_rng(0).normal(size=8450).astype(np.float32)
    for length in (0, 1, 1999, 2870, 2999, 3000, 3001, 3034, 3035, 3036, 3040, 5000, 8450):
        expected = by_contract(predict_window, metadata, signal[:length])
        for sizes in ([37, 311], [10**9]):
            found = in_blocks(Stream(predict_window, metadata, 1000), signal[:length], sizes)
            np.testing.assert_allclose(found, expected, atol=1e-3)
        cut = list(windows(signal[:length], metadata))
        assert len(cut) == (0 if not length else max(-(-(len(expected) - overlap) // (30 - overlap)), 1))
        assert sum(np.count_nonzero(~np.isnan(window)) for window in cut) >= length - max(-right, 0)


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_frames_are_final_within_the_latency(model: LiteModel, rate: int) -> None:
    stream, block, num_final = model.stream(rate), rate // 100, 0
    assert 3.0 < stream.latency < 3.25
    arrivals = []  # seconds at which each frame became final
    for index in range(1000):
        num_final += len(stream.feed(np.zeros(block)))
        now = (index + 1) * block / rate
        arrivals += [now] * (num_final - len(arrivals))
        assert num_final > (now - stream.latency) * 10
    waits = np.array(arrivals) - np.arange(len(arrivals)) / 10
    assert stream.latency - 0.2 < waits.max() <= stream.latency + 0.01
    assert waits.min() < 1.25  # the last frames before an overlap wait for the overlap only


@pytest.mark.parametrize(("rate", "target"), [(8000, 48000), (44100, 22050), (96000, 8000), (11025, 8000)])
def test_resampling_delays_no_more_than_the_latency_includes(rate: int, target: int) -> None:
    resampler, block, given, late = Resampler(rate, target), rate // 100, 0, []
    for index in range(500):
        given += len(resampler.feed(np.zeros(block)))
        late.append((index + 1) * block / rate - given / target)
    assert 600 < max(late) * min(rate, target) <= RESAMPLER_DELAY


def test_memory_does_not_grow(model: LiteModel) -> None:
    stream, block = model.stream(44100), np.zeros((4410, 2), np.float32)
    used = []
    tracemalloc.start()
    for _minute in range(4):
        for _ in range(600):
            stream.feed(block)
        used.append(tracemalloc.get_traced_memory()[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used[-1] - used[0] < 20_000
    assert peak < 2_000_000


def test_provisional_frames_are_those_of_a_signal_that_ends_here(model: LiteModel) -> None:
    signal, stream, final = probe_signal(RATE, 8.0), model.stream(RATE), []
    assert stream.provisional().shape == (0, 17)
    for start in range(0, len(signal), 1230):
        final.append(stream.feed(signal[start : start + 1230]))
        here = model.predict(signal[: start + 1230], RATE).probabilities
        np.testing.assert_allclose(np.concatenate([*final, stream.provisional()]), here, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([*final, stream.finish()]), here, atol=1e-6)
    assert stream.provisional().shape == (0, 17)


def test_an_empty_signal_has_no_frames(model: LiteModel) -> None:
    assert model.stream(44100).finish().shape == (0, 17)


BAD_BLOCKS = [
    (np.array([0.0, np.nan]), "audio contains NaN or infinity, after 0.1 s"),
    (np.array([[0.0, -np.inf]]), "audio contains NaN or infinity"),
    (np.full(3, 1e300), "audio contains NaN or infinity"),
    (np.zeros(800, np.int16), "audio of type int16; it must be floating-point"),
    (np.zeros((2, 800)), r"audio of shape \[2, 800\]; it must be \[samples\], or"),
    (np.zeros((8, 0)), "audio of shape"),
    (np.zeros((1, 8, 2)), "audio of shape"),
    (0.5, r"audio of shape \[\]"),
]


def test_a_bad_block_is_refused_and_the_stream_continues(model: LiteModel) -> None:
    signal = probe_signal(RATE, 4.0)
    stream = model.stream(RATE)
    pieces = [stream.feed(signal[:800])]
    for block, message in BAD_BLOCKS:
        with pytest.raises(AudioError, match=message):
            stream.feed(block)
    found = np.concatenate([*pieces, stream.feed(signal[800:]), stream.finish()])
    np.testing.assert_allclose(found, model.predict(signal, RATE).probabilities, atol=1e-6)


@pytest.mark.parametrize("rate", [0, -44100, 999, 10**9, float("nan")])
def test_an_invalid_sample_rate_is_refused(model: LiteModel, rate: float) -> None:
    with pytest.raises(ConfigError, match=r"sample rate .* must be between 1000 and 768000 Hz"):
        model.stream(rate)


def test_a_front_end_that_normalises_each_clip_cannot_stream(model: LiteModel) -> None:
    metadata = dataclasses.replace(model.metadata, name="songs", streams=False)
    with pytest.raises(BundleError, match=r"songs: cannot process a stream: .* normalises each clip of 3 s as a whole"):
        Stream(model.predict_window, metadata, RATE)
