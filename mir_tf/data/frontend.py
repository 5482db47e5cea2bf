"""The log-mel front end: the only STFT in the project, shared by the builder, training, prediction and export."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import librosa
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import FrontEndConfig

_BLOCK_FRAMES = 1024
"""Number of frames that :func:`log_mel_blocks` computes at once: 8 MB of windows, one compiled graph."""


@functools.lru_cache(maxsize=8)
def mel_filter_bank(config: FrontEndConfig) -> NDArray[np.float32]:
    """Return the weights [n_fft / 2 + 1, n_mels] of the mel bands, from ``librosa.filters.mel``."""
    slaney = config.mel_scale == "slaney"
    bands = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.band_edge,
        htk=not slaney,
        norm="slaney" if slaney else None,
    )
    return bands.T.astype(np.float32)


def log_mel(waveform: tf.Tensor, config: FrontEndConfig, by_convolution: bool = False) -> tf.Tensor:
    """Return the log-mel spectrogram in dB re a mel power of 1, never below ``config.log_floor_db``.

    It equals ``librosa.power_to_db(librosa.feature.melspectrogram(...), ref=1, top_db=None)`` with the same framing.

    Args:
        waveform: float32 [..., samples] in [-1, 1], at ``config.sample_rate``.
        config: The front end.
        by_convolution: Compute the Fourier transform as a convolution with sines, for runtimes without another one;
            the waveform must then be [batch, samples]. It is slower, and equal up to rounding.

    Returns:
        float32 [..., frames, mels] with ``config.num_frames(samples)`` frames; the signal is surrounded by zeros.
    """
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    num_samples = waveform.shape[-1] if waveform.shape[-1] is not None else tf.shape(waveform)[-1]
    num_frames = config.num_frames(num_samples)
    spanned = (num_frames - 1) * config.hop_length + config.n_fft
    # If a hop is slightly longer or shorter than its share of the label frame, the last window may end before the
    # signal does. Then the signal is cut, so that the number of frames is still right.
    right = tf.maximum(spanned - config.left_padding - num_samples, 0)
    paddings = [[0, 0]] * (waveform.shape.rank - 1) + [[config.left_padding, right]]
    padded = tf.pad(waveform, paddings)[..., : tf.maximum(spanned, 0)]  # [..., spanned]
    return log_mel_of_padded(padded, config, by_convolution)


def log_mel_of_padded(padded: tf.Tensor, config: FrontEndConfig, by_convolution: bool = False) -> tf.Tensor:
    """Return the log-mel of every complete window in ``padded`` [..., samples]: :func:`log_mel` without its zeros."""
    magnitude = (_magnitude_by_convolution if by_convolution else _magnitude)(padded, config)
    bands = tf.matmul(magnitude**config.power, mel_filter_bank(config))  # [..., frames, mels]
    decibels_per_e = 20 / config.power / np.log(10)
    floor = np.float32(10 ** (config.log_floor_db * config.power / 20))
    return tf.math.log(tf.maximum(bands, floor)) * np.float32(decibels_per_e)


def _window(config: FrontEndConfig) -> tf.Tensor:
    make = {"hann": tf.signal.hann_window, "hamming": tf.signal.hamming_window}[config.window]
    return make(config.n_fft, periodic=True)


def _magnitude(padded: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Return the magnitude spectrum [..., frames, n_fft / 2 + 1] of every window in ``padded`` [..., samples]."""
    windows = _frame(padded, config.n_fft, config.hop_length) * _window(config)  # [..., frames, n_fft]
    return tf.abs(tf.signal.rfft(windows))


def _frame(padded: tf.Tensor, size: int, hop: int) -> tf.Tensor:
    """Return every complete window [..., frames, size] in ``padded`` [..., samples], as ``tf.signal.frame`` does.

    ``tf.signal.frame`` gathers sample by sample if size and hop have no common divisor, which is slow and writes an
    index of every sample into an exported file. Here a window is some whole consecutive hops and a part of one.
    """
    num_samples = padded.shape[-1] if padded.shape[-1] is not None else tf.shape(padded)[-1]
    num_frames = (num_samples - size) // hop + 1
    num_hops = num_frames + (size - 1) // hop
    excess = num_hops * hop - num_samples
    paddings = [[0, 0]] * (padded.shape.rank - 1) + [[0, tf.maximum(excess, 0)]]
    padded = tf.pad(padded, paddings)[..., : num_hops * hop]
    hops = tf.reshape(padded, tf.concat([tf.shape(padded)[:-1], [num_hops, hop]], axis=0))  # [..., hops, hop]
    parts = [hops[..., index : index + num_frames, : min(hop, size - index * hop)] for index in range(-(-size // hop))]
    return tf.concat(parts, axis=-1)


def _magnitude_by_convolution(padded: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Return :func:`_magnitude` of ``padded`` [batch, samples], which is at least one window long."""
    bins = config.n_fft // 2 + 1
    phase = 2 * np.pi / config.n_fft * (np.arange(config.n_fft)[:, np.newaxis] * np.arange(bins) % config.n_fft)
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)  # [n_fft, 2 × bins]
    kernel = (waves * _window(config)[:, tf.newaxis])[:, tf.newaxis]
    spectrum = tf.nn.conv1d(padded[..., np.newaxis], kernel, config.hop_length, "VALID")  # [batch, frames, 2 × bins]
    real, imaginary = tf.split(spectrum, 2, axis=-1)
    return tf.sqrt(real**2 + imaginary**2)


def normalize_clip(log_mel_frames: tf.Tensor, num_frames: tf.Tensor | int, config: FrontEndConfig) -> tf.Tensor:
    """Apply the PyTorch project's ``clip`` normalisation: top_db below the maximum, then z-score, over true frames.

    ``librosa.power_to_db(..., ref=np.max)`` differs from this by a constant, which the z-score removes.

    Args:
        log_mel_frames: float32 [frames, mels] of one clip, from :func:`log_mel`, padded at its end or not.
        num_frames: Number of true frames. The frames after them are padding, which is set to the clip's floor.
        config: The front end. With ``normalization="global"`` the input is returned unchanged, because that
            normalisation is a layer of the model.

    Returns:
        float32 [frames, mels].
    """
    if config.normalization == "global":
        return log_mel_frames
    is_true = tf.sequence_mask(num_frames, tf.shape(log_mel_frames)[0])[:, tf.newaxis]  # [frames, 1]
    count = tf.cast(tf.maximum(num_frames, 1) * config.n_mels, tf.float32)
    floor = tf.constant(config.log_floor_db, tf.float32)
    if config.top_db is not None:
        floor = tf.maximum(floor, tf.reduce_max(tf.where(is_true, log_mel_frames, floor)) - config.top_db)
    kept = tf.where(is_true, tf.maximum(log_mel_frames, floor), floor)
    mean = tf.reduce_sum(tf.where(is_true, kept, 0.0)) / count
    variance = tf.reduce_sum(tf.where(is_true, (kept - mean) ** 2, 0.0)) / count
    return (kept - mean) / tf.maximum(tf.sqrt(variance), 1e-6)


@functools.lru_cache(maxsize=8)
def _compiled_block(config: FrontEndConfig) -> Callable[[NDArray[np.float32]], tf.Tensor]:
    signature = [tf.TensorSpec([_block_samples(config)], tf.float32)]
    return tf.function(functools.partial(log_mel_of_padded, config=config), input_signature=signature)


def _block_samples(config: FrontEndConfig) -> int:
    return (_BLOCK_FRAMES - 1) * config.hop_length + config.n_fft


def log_mel_blocks(blocks: Iterable[NDArray[np.float32]], config: FrontEndConfig) -> Iterator[NDArray[np.float32]]:
    """Yield the log-mel of a signal that arrives in blocks, in bounded memory.

    Args:
        blocks: Consecutive pieces [samples] of one signal, of any lengths, at ``config.sample_rate``.
        config: The front end. With ``segment_seconds``, a longer signal is processed segment by segment: otherwise a
            hop that does not divide the label frame would drift further and further from the labels.

    Yields:
        float32 [frames, mels] pieces. Joined, they equal :func:`log_mel` of the signal, or of its segments joined.
    """
    if config.segment_seconds is None:
        yield from _signal_blocks(blocks, config)
    else:
        for segment in _segments(blocks, round(config.segment_seconds * config.sample_rate)):
            yield from _signal_blocks([segment], config)


def _segments(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Cut the signal into pieces of ``size`` samples; the last one may be shorter."""
    pending = np.zeros(0, np.float32)
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) >= size:
            yield pending[:size]
            pending = pending[size:]
    if len(pending):
        yield pending


def _signal_blocks(blocks: Iterable[NDArray[np.float32]], config: FrontEndConfig) -> Iterator[NDArray[np.float32]]:
    compute, block_samples = _compiled_block(config), _block_samples(config)
    step_samples = _BLOCK_FRAMES * config.hop_length
    pending = np.zeros(config.left_padding, np.float32)
    num_samples = done = 0
    for block in blocks:
        num_samples += len(block)
        pending = np.concatenate([pending, np.asarray(block, np.float32)])
        while len(pending) >= max(block_samples, step_samples) and done + _BLOCK_FRAMES <= config.num_frames(
            num_samples
        ):
            yield compute(pending[:block_samples]).numpy()
            pending = pending[step_samples:]
            done += _BLOCK_FRAMES
    while (missing := config.num_frames(num_samples) - done) > 0:
        last = pending[:block_samples]
        last = np.pad(last, (0, block_samples - len(last)))
        yield compute(last).numpy()[:missing]
        pending = pending[step_samples:]
        done += _BLOCK_FRAMES


def log_mel_batch(waveforms: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Return :func:`log_mel_blocks` of whole signals, as graph operations in bounded memory, for an exported model.

    Args:
        waveforms: float32 [batch, samples], at ``config.sample_rate``.
        config: The front end.

    Returns:
        float32 [batch, frames, mels].
    """
    num_samples = tf.shape(waveforms)[1]
    if config.segment_seconds is None:
        return _log_mel_piecewise(waveforms, config)
    segment = round(config.segment_seconds * config.sample_rate)
    num_segments = tf.maximum(-(-num_samples // segment), 1)
    padded = tf.pad(waveforms, [[0, 0], [0, num_segments * segment - num_samples]])
    # The log-mel of the last segment assumes zeros after it anyway; the extra frames are cut off below.
    segments = tf.map_fn(
        lambda index: _log_mel_piecewise(padded[:, index * segment : (index + 1) * segment], config),
        tf.range(num_segments),
        fn_output_signature=tf.TensorSpec([None, None, config.n_mels], tf.float32),
        parallel_iterations=1,
    )  # [segments, batch, frames, mels]
    rest = num_samples - (num_segments - 1) * segment
    num_frames = (num_segments - 1) * config.num_frames(segment) + config.num_frames(rest)
    joined = tf.reshape(tf.transpose(segments, [1, 0, 2, 3]), [tf.shape(waveforms)[0], -1, config.n_mels])
    return joined[:, :num_frames]


def _log_mel_piecewise(waveforms: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Return :func:`log_mel` of [batch, samples], computed :data:`_BLOCK_FRAMES` frames at a time."""
    num_samples = tf.shape(waveforms)[1]
    num_frames = config.num_frames(num_samples)
    num_blocks = tf.maximum(-(-num_frames // _BLOCK_FRAMES), 1)
    step, size = _BLOCK_FRAMES * config.hop_length, _block_samples(config)
    right = tf.maximum((num_blocks - 1) * step + size - config.left_padding - num_samples, 0)
    padded = tf.pad(waveforms, [[0, 0], [config.left_padding, right]])
    blocks = tf.map_fn(
        lambda index: log_mel_of_padded(padded[:, index * step : index * step + size], config),
        tf.range(num_blocks),
        fn_output_signature=tf.TensorSpec([None, None, config.n_mels], tf.float32),
        parallel_iterations=1,
    )  # [blocks, batch, frames of a block, mels]
    joined = tf.reshape(
        tf.transpose(blocks, [1, 0, 2, 3]), [tf.shape(waveforms)[0], num_blocks * _BLOCK_FRAMES, config.n_mels]
    )
    return joined[:, :num_frames]
