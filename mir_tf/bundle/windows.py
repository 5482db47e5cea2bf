"""The one windowed inference: log-mel of any length to probabilities, in bounded memory, without retracing.

Threshold tuning, evaluation, prediction and export all give its answer. The signal is cut into windows of
fixed length that overlap; where two windows answer for the same frame, their probabilities are cross-faded
linearly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import RunConfig
from mir_tf.data.frontend import normalize_clip

_BATCH_WINDOWS = 8
"""Windows that go through the model at once."""


class WindowedModel:
    """A model behind the windowed inference of its configuration."""

    def __init__(self, model: keras.Model, config: RunConfig) -> None:
        """Wraps ``model``, whose weights may go on changing, for signals of ``config.front_end``.

        Args:
            model: float32 [batch, frames, mels] to logits [batch, label frames, classes].
            config: the run's; its front end and window are used.
        """
        self._front_end = config.front_end
        self._num_classes = model.output_shape[-1]
        self._window = config.window.window_frames
        self._overlap = config.window.overlap_frames
        self._window_frames = self._window * self._front_end.subframes
        fade_in = (np.arange(self._overlap, dtype=np.float32) + 0.5) / max(self._overlap, 1)
        self._fade_in = fade_in[:, np.newaxis]  # [overlap, 1]

        def probabilities(windows: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
            if self._front_end.normalization == "clip":
                windows = tf.map_fn(
                    lambda item: normalize_clip(item[0], item[1], self._front_end),
                    (windows, num_frames),
                    fn_output_signature=tf.float32,
                )  # [batch, frames, mels]
            return tf.sigmoid(tf.cast(model(windows, training=False), tf.float32))  # [batch, window, classes]

        self._probabilities = tf.function(
            probabilities,
            input_signature=[
                tf.TensorSpec([None, self._window_frames, self._front_end.n_mels], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    @property
    def graph(self) -> tf.Graph:
        """The graph from a batch of windows to their probabilities."""
        return self._probabilities.get_concrete_function().graph

    def predict_blocks(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Probabilities of a signal that arrives in blocks.

        Args:
            blocks: float32 [frames, mels], consecutive pieces, of any lengths, of one signal's raw log-mel.

        Yields:
            float32 [label frames, classes] pieces that, joined, are the ``ceil(frames / subframes)`` label
            frames of the signal. How the signal was cut into blocks does not show in them.
        """
        hop = self._window - self._overlap
        windows = self._windows(blocks)
        end: NDArray[np.float32] | None = None  # what the window before answers beyond its hop
        while batch := list(itertools.islice(windows, _BATCH_WINDOWS)):
            features, num_frames = zip(*batch, strict=True)
            answers = self._probabilities(np.stack(features), np.array(num_frames, np.int32)).numpy()
            for padded_answer, frames in zip(answers, num_frames, strict=True):
                answer = padded_answer[: -(-frames // self._front_end.subframes)]  # [label frames, classes]
                if end is not None:
                    answer[: self._overlap] = end + (answer[: self._overlap] - end) * self._fade_in
                yield answer[:hop]
                end = answer[hop:]
        if end is not None:
            yield end

    def predict_track(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [label frames, classes] of a whole signal's raw log-mel [frames, mels]."""
        pieces = list(self.predict_blocks([log_mel]))
        return np.concatenate(pieces) if pieces else np.zeros((0, self._num_classes), np.float32)

    def predict_batch(self, log_mel: tf.Tensor) -> tf.Tensor:
        """:meth:`predict_track` of signals of one length, as graph operations: for an exported model.

        Args:
            log_mel: float32 [batch, frames, mels], raw.

        Returns:
            float32 [batch, label frames, classes].
        """
        subframes, mels = self._front_end.subframes, self._front_end.n_mels
        batch, num_frames = tf.shape(log_mel)[0], tf.shape(log_mel)[1]
        num_label_frames = -(-num_frames // subframes)
        hop = self._window - self._overlap
        # Of a signal of nothing too there is one window, of padding, of which nothing is returned.
        num_windows = tf.maximum(-(-(num_label_frames - self._overlap) // hop), 1)
        padding = ((num_windows - 1) * hop + self._window) * subframes - num_frames
        # oneDNN's convolution of an empty batch has, on some processors, the channels of its input: there is one signal
        # of padding then, of which nothing is returned.
        at_least = tf.maximum(batch, 1)
        paddings = [[0, at_least - batch], [0, tf.maximum(padding, 0)], [0, 0]]
        padded = tf.pad(log_mel, paddings, constant_values=self._front_end.log_floor_db)
        starts = tf.range(num_windows) * hop * subframes  # [windows]

        def answer(start: tf.Tensor) -> tf.Tensor:
            """Of the window that begins at frame ``start``: [batch, window, classes]."""
            window = tf.ensure_shape(padded[:, start : start + self._window_frames], [None, self._window_frames, mels])
            true_frames = tf.minimum(num_frames - start, self._window_frames)
            return self._probabilities(window, tf.fill([at_least], true_frames))

        # One window of every signal at a time: however long they are, memory holds one.
        answers = tf.map_fn(answer, starts, fn_output_signature=tf.float32, parallel_iterations=1)
        answers = tf.ensure_shape(answers, [None, None, self._window, self._num_classes])
        answers = tf.transpose(answers, [1, 0, 2, 3])  # [batch, windows, window, classes]
        ends, faded = answers[:, :-1, hop:], answers[:, 1:, : self._overlap]
        faded = tf.concat([answers[:, :1, : self._overlap], ends + (faded - ends) * self._fade_in], axis=1)
        firsts = tf.concat([faded, answers[:, :, self._overlap : hop]], axis=2)  # [batch, windows, hop, classes]
        joined = tf.reshape(firsts, [at_least, num_windows * hop, self._num_classes])
        last = tf.reshape(answers[:, -1:, hop:], [at_least, -1, self._num_classes])
        return tf.concat([joined, last], axis=1)[:batch, :num_label_frames]

    def _windows(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Windows [window frames, mels], the last one filled up with the log floor, and their true frames."""
        subframes = self._front_end.subframes
        size, overlap = self._window * subframes, self._overlap * subframes
        pending = np.zeros((0, self._front_end.n_mels), np.float32)
        answered = 0  # frames at the start of ``pending`` that a window has answered for already
        for block in blocks:
            pending = np.concatenate([pending, block])
            while len(pending) >= size:
                yield pending[:size], size
                pending, answered = pending[size - overlap :], overlap
        if (frames := len(pending)) > answered:
            floor = self._front_end.log_floor_db
            yield np.pad(pending, ((0, size - frames), (0, 0)), constant_values=floor), frames
