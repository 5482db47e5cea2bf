"""The TensorFlow graphs of an export: the module of a SavedModel, and the pieces that the converters read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from mir_tf.bundle import Bundle
from mir_tf.config import LABEL_RATE
from mir_tf.data.frontend import log_mel, log_mel_batch, log_mel_of_padded, normalize_clip
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata
from mir_tf.io.litert_log import hide_xnnpack_line

_ROW = 1024
"""Samples that :func:`_last` searches at once."""


class ServingModule(tf.Module):
    """The content of a SavedModel: whole signals to probabilities, playing times and the dominant class."""

    def __init__(self, bundle: Bundle, metadata: Metadata, assets: Path) -> None:
        """Build the functions for a model; its labels and metadata are written to the folder ``assets``."""
        super().__init__()
        front_end, windowed_model = bundle.config.front_end, bundle.windowed
        self.model_variables = [variable.value for variable in bundle.model.variables]
        self.classes = tf.Variable(list(metadata.classes), trainable=False)  # [classes]
        self.thresholds = tf.Variable(bundle.thresholds, trainable=False)  # [classes]
        self.metadata = tf.Variable(metadata.to_json(), trainable=False)
        (assets / LABELS_FILE).write_text(metadata.labels, encoding="utf-8")
        (assets / METADATA_FILE).write_text(metadata.to_json(), encoding="utf-8")
        self.labels_file = tf.saved_model.Asset(str(assets / LABELS_FILE))
        self.metadata_file = tf.saved_model.Asset(str(assets / METADATA_FILE))

        def predict(frames: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = windowed_model.predict_batch(frames)  # [batch, label frames, classes]
            active = probabilities >= self.thresholds
            count = tf.reduce_sum(tf.cast(active, tf.int32), axis=1)  # [batch, classes]
            longest = tf.gather(self.classes, tf.argmax(count, axis=1))  # [batch]
            return {
                "probabilities": probabilities,
                "active": active,
                "playing_time": tf.cast(count, tf.float32) / LABEL_RATE,
                "dominant": tf.where(tf.reduce_max(count, axis=1) > 0, longest, ""),
            }

        def from_waveform(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
            waveform = tf.debugging.check_numerics(waveform, "waveform contains NaN or infinity")
            return predict(log_mel_batch(waveform, front_end))

        self.from_waveform = tf.function(
            from_waveform, input_signature=[tf.TensorSpec([None, None], tf.float32, name="waveform")]
        )
        self.from_log_mel = tf.function(
            lambda log_mel: predict(log_mel),
            input_signature=[tf.TensorSpec([None, None, front_end.n_mels], tf.float32, name="log_mel")],
        )


class Pieces(tf.Module):
    """The computation from a window's waveform to probabilities, in pieces that are converted separately.

    Attributes:
        front: Waveform [1, input samples] to the network's input; float32 in every file.
        network: Network input to logits [1, steps, classes]; quantised.
        frames: Logits to probabilities [1, window frames, classes].
        clip: Logits to their maximum over the window, [1, classes].
        whole: Waveform to probabilities [1, window frames, classes].
        onnx: The same with the FFT as a convolution.
    """

    def __init__(self, bundle: Bundle, metadata: Metadata) -> None:
        """Build the pieces for a model."""
        super().__init__()
        config = bundle.config.front_end
        model = bundle.model
        features = model.get_layer("spec_augment").input
        normalize = keras.Model(model.input, features)
        network = keras.Model(features, model.get_layer("fc").output)
        interpolate = interpolation(bundle)
        self.model_variables = [variable.value for variable in model.variables]
        num_frames = metadata.window_frames * config.subframes
        num_inputs = num_frames if bundle.config.model.uses_subframes else metadata.window_frames
        self._features_spec = tf.TensorSpec([1, num_inputs, config.n_mels], tf.float32, name="features")
        waveform_spec = tf.TensorSpec([1, metadata.input_samples], tf.float32, name="waveform")

        def front(waveform: tf.Tensor, by_convolution: bool = False) -> tf.Tensor:
            """Return features [1, frames or label frames, mels]; NaN samples are outside of the signal."""
            # Use exactly this comparison: tf2onnx turns others into a multiplication, which NaN survives.
            is_outside = tf.math.is_nan(waveform)
            waveform = tf.where(is_outside, 0.0, waveform)
            num_samples = _last_inside(is_outside) - metadata.left_context
            true_frames = config.num_frames(tf.clip_by_value(num_samples, 0, metadata.window_samples))
            if config.segment_seconds is None:
                decibels = log_mel_of_padded(waveform, config, by_convolution)  # [1, frames, mels]
            else:
                decibels = log_mel(waveform, config, by_convolution)
            is_true = tf.range(num_frames)[:, tf.newaxis] < true_frames  # [frames, 1]
            decibels = tf.squeeze(tf.where(is_true, decibels, config.log_floor_db), axis=0)  # [frames, mels]
            return normalize(normalize_clip(decibels, true_frames, config)[tf.newaxis], training=False)

        def logits(features: tf.Tensor) -> tf.Tensor:
            return network(features, training=False)  # [1, steps, classes]

        def frames(steps: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(interpolate(steps, tf.zeros([1, metadata.window_frames, 1])))

        self.front = tf.function(front, input_signature=[waveform_spec])
        self.network = tf.function(logits, input_signature=[self._features_spec])
        steps_spec = tf.TensorSpec(self.network.get_concrete_function().outputs[0].shape, tf.float32, name="steps")
        self.frames = tf.function(frames, input_signature=[steps_spec])
        self.clip = tf.function(lambda steps: tf.reduce_max(frames(steps), axis=1), input_signature=[steps_spec])
        self.whole = tf.function(lambda waveform: frames(logits(front(waveform))), input_signature=[waveform_spec])
        self.onnx = tf.function(lambda waveform: frames(logits(front(waveform, True))), input_signature=[waveform_spec])

    def unrolled_network(self, bundle: Bundle) -> Any:
        """Return :attr:`network` with its recurrent layers unrolled, so that it has no loops."""
        network = keras.Model(bundle.model.get_layer("spec_augment").input, bundle.model.get_layer("fc").output)
        unrolled = cloned(network, keras.Input(batch_shape=self._features_spec.shape), unroll=True)
        self.unrolled_variables = [variable.value for variable in unrolled.variables]
        return tf.function(lambda features: unrolled(features, training=False), input_signature=[self._features_spec])


def interpolation(bundle: Bundle) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function from logits of steps, and a tensor with as many label frames as wanted, to their logits."""
    if bundle.config.model.uses_subframes:  # its steps are label frames
        return lambda steps, frames: steps
    layer: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = bundle.model.get_layer("logits")
    return layer


def _last_inside(is_outside: tf.Tensor) -> tf.Tensor:
    """Return the 1-based index of the last False element of bool [1, samples], or 0 if there is none.

    It searches rows of samples, because the converter would store an index for every sample in the file. It computes in
    float32, in which LiteRT takes a twentieth of the time that slices and integers take.
    """
    num_rows = -(-is_outside.shape[1] // _ROW)
    is_inside = 1.0 - tf.cast(is_outside, tf.float32)
    rows = tf.pad(is_inside, [[0, 0], [0, num_rows * _ROW - is_inside.shape[1]]])
    places = tf.reshape(rows, [num_rows, _ROW]) * tf.range(1, _ROW + 1, dtype=tf.float32)  # within their rows
    last = tf.cast(tf.reduce_max(places, axis=1), tf.int32)  # [rows]
    return tf.reduce_max(tf.where(last > 0, last + tf.range(num_rows) * _ROW, 0))


def is_recurrent(model: keras.Model) -> bool:
    """Return whether the model has recurrent layers."""
    return any(isinstance(layer, keras.layers.Bidirectional | keras.layers.RNN) for layer in model.layers)


def cloned(model: keras.Model, inputs: keras.KerasTensor | None = None, unroll: bool = False) -> keras.Model:
    """Return a copy of the model in float32, optionally with its own inputs and with recurrent layers unrolled."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if "dtype" in config:  # a bare operation has none: it computes in the type of its input
            config["dtype"] = "float32"
        for part in ("layer", "backward_layer"):  # of a bidirectional layer
            if config.get(part) is not None:
                config[part]["config"].update({"dtype": "float32", "unroll": unroll})
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


class ConvertedModel:
    """A Keras model whose network runs in LiteRT, for :class:`mir_tf.bundle.windows.WindowedModel`."""

    def __init__(self, bundle: Bundle, network: bytes) -> None:
        """Wrap the model of ``bundle`` with ``network``, a ``.tflite`` file of its network."""
        model = bundle.model
        self.output_shape = model.output_shape
        self._normalize = keras.Model(model.input, model.get_layer("spec_augment").input)
        self._interpolate = interpolation(bundle)
        self._num_classes = model.output_shape[-1]
        with hide_xnnpack_line():
            self._interpreter = Interpreter(model_content=network, num_threads=os.cpu_count())
            self._interpreter.allocate_tensors()

    def __call__(self, windows: tf.Tensor, training: bool) -> tf.Tensor:
        """Return logits [batch, label frames, classes] for raw log-mel [batch, frames, mels]."""
        features = self._normalize(windows, training=training)  # [batch, frames or label frames, mels]
        steps = tf.numpy_function(self._run, [features], tf.float32, stateful=False)
        return self._interpolate(tf.ensure_shape(steps, [None, None, self._num_classes]), features)

    def _run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        source, target = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        logits = []
        for window in features:
            self._interpreter.set_tensor(source["index"], window[np.newaxis])
            self._interpreter.invoke()
            logits.append(self._interpreter.get_tensor(target["index"])[0])
        return np.stack(logits)
