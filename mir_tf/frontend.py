"""The log-mel front end: the only STFT in the project, for the builder, the pipeline, prediction and export alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import librosa
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import FrontEndConfig

_BLOCK_FRAMES = 1024
"""Frames that :func:`log_mel_blocks` computes at once: 8 MB of windows, one compiled graph."""


@functools.lru_cache(maxsize=8)
def mel_filter_bank(config: FrontEndConfig) -> NDArray[np.float32]:
    """Weights [n_fft / 2 + 1, n_mels] of the mel bands, from ``librosa.filters.mel``."""
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


def log_mel(waveform: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Log-mel spectrogram in dB re a mel power of 1, never below ``config.log_floor_db``.

    Equal to ``librosa.power_to_db(librosa.feature.melspectrogram(...), ref=1, top_db=None)`` for the same framing.

    Args:
        waveform: float32 [..., samples] in [-1, 1], at ``config.sample_rate``.
        config: the front end.

    Returns:
        float32 [..., frames, mels] with ``config.num_frames(samples)`` frames; zeros are assumed around the signal.
    """
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    num_samples = waveform.shape[-1] if waveform.shape[-1] is not None else tf.shape(waveform)[-1]
    num_frames = config.num_frames(num_samples)
    spanned = (num_frames - 1) * config.hop_length + config.n_fft
    # Where a hop is a little longer or shorter than its share of the label frame the last window may end before the
    # signal does: then the signal is cut, never the count of frames.
    right = tf.maximum(spanned - config.left_padding - num_samples, 0)
    paddings = [[0, 0]] * (waveform.shape.rank - 1) + [[config.left_padding, right]]
    padded = tf.pad(waveform, paddings)[..., : tf.maximum(spanned, 0)]  # [..., spanned]
    return _log_mel_of_padded(padded, config)


def _log_mel_of_padded(padded: tf.Tensor, config: FrontEndConfig) -> tf.Tensor:
    """Log-mel of every window that lies wholly in ``padded`` [..., samples]."""
    make_window = {"hann": tf.signal.hann_window, "hamming": tf.signal.hamming_window}[config.window]
    windows = tf.signal.frame(padded, config.n_fft, config.hop_length)  # [..., frames, n_fft]
    windows *= make_window(config.n_fft, periodic=True)
    magnitude = tf.abs(tf.signal.rfft(windows))  # [..., frames, n_fft / 2 + 1]
    bands = tf.matmul(magnitude**config.power, mel_filter_bank(config))  # [..., frames, mels]
    decibels_per_e = 20 / config.power / np.log(10)
    floor = np.float32(10 ** (config.log_floor_db * config.power / 20))
    return tf.math.log(tf.maximum(bands, floor)) * np.float32(decibels_per_e)


def normalize_clip(log_mel_frames: tf.Tensor, num_frames: tf.Tensor | int, config: FrontEndConfig) -> tf.Tensor:
    """The ``clip`` normalisation of the PyTorch project: top_db under the maximum, then z-score, over true frames.

    ``librosa.power_to_db(..., ref=np.max)`` differs from this by a constant, which the z-score removes.

    Args:
        log_mel_frames: float32 [frames, mels] of one clip, from :func:`log_mel`, padded at its end or not.
        num_frames: true frames; those after them are padding and come out at the clip's floor.
        config: the front end; with ``normalization="global"`` the input is returned as it is, because that
            normalisation is a layer of the model.

    Returns:
        float32 [frames, mels].
    """
    if config.normalization == "global":
        return log_mel_frames
    is_true = tf.sequence_mask(num_frames, tf.shape(log_mel_frames)[0])[:, tf.newaxis]  # [frames, 1]
    true_frames = log_mel_frames[:num_frames]  # [true, mels]
    floor = tf.constant(config.log_floor_db, tf.float32)
    if config.top_db is not None:
        floor = tf.maximum(floor, tf.reduce_max(true_frames) - config.top_db)
    true_frames = tf.maximum(true_frames, floor)
    mean, deviation = tf.reduce_mean(true_frames), tf.math.reduce_std(true_frames)
    kept = tf.where(is_true, tf.maximum(log_mel_frames, floor), floor)
    return (kept - mean) / tf.maximum(deviation, 1e-6)


@functools.lru_cache(maxsize=8)
def _compiled_block(config: FrontEndConfig) -> Callable[[NDArray[np.float32]], tf.Tensor]:
    signature = [tf.TensorSpec([_block_samples(config)], tf.float32)]
    return tf.function(functools.partial(_log_mel_of_padded, config=config), input_signature=signature)


def _block_samples(config: FrontEndConfig) -> int:
    return (_BLOCK_FRAMES - 1) * config.hop_length + config.n_fft


def log_mel_blocks(blocks: Iterable[NDArray[np.float32]], config: FrontEndConfig) -> Iterator[NDArray[np.float32]]:
    """Log-mel of a signal that arrives in blocks, in bounded memory.

    Args:
        blocks: consecutive pieces [samples] of one signal, of any lengths, at ``config.sample_rate``.
        config: the front end. Where it has ``segment_seconds``, a longer signal is taken segment by segment: a hop that
            does not divide the label frame would otherwise drift ever further from the labels.

    Yields:
        float32 [frames, mels] pieces that, joined, equal :func:`log_mel` of the signal, or of its segments joined.
    """
    if config.segment_seconds is None:
        yield from _signal_blocks(blocks, config)
    else:
        for segment in _segments(blocks, round(config.segment_seconds * config.sample_rate)):
            yield from _signal_blocks([segment], config)


def _segments(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """The signal cut into pieces of ``size`` samples, the last of which may be shorter."""
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
