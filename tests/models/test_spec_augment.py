"""SpecAugment: statistics compared with tensorflow-io's masks, and properties of every example."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mir_tf.models.spec_augment import SpecAugment

EXAMPLES = 2000


def examples(batch: int = 8, frames: int = 300, mels: int = 128) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, (batch, frames, mels)).astype(np.float32)


def masked_by_layer(inputs: np.ndarray, layer: SpecAugment) -> np.ndarray:
    """Return the places of the layer's masks: bool [batch, frames, mels]. The place of the minimum may be included."""
    return layer(inputs, training=True).numpy() == inputs.min((1, 2), keepdims=True)


def masked_by_tensorflow_io(batch: int, frames: int, mels: int, **masks: int) -> np.ndarray:
    """Return the places of tensorflow-io's masks, drawn for each example: bool [batch, frames, mels]."""
    tfio = pytest.importorskip("tensorflow_io", reason="the reference for the masks' statistics")
    tf.random.set_seed(0)

    def one(_: tf.Tensor) -> tf.Tensor:
        example = tf.ones([frames, mels])
        for _ in range(masks["freq_masks"]):
            example = tfio.audio.freq_mask(example, masks["freq_mask_bands"])
        for _ in range(masks["time_masks"]):
            example = tfio.audio.time_mask(example, masks["time_mask_frames"])
        return example

    mapped = tf.function(lambda: tf.map_fn(one, tf.range(batch), fn_output_signature=tf.float32))
    return mapped().numpy() == 0


def runs(masked: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the width of the mask along ``axis`` in each example, and the starts of those that are not empty."""
    line = masked.all(axis=3 - axis)  # [batch, places]
    widths = line.sum(axis=1)
    return widths, line.argmax(axis=1)[widths > 0]


@pytest.mark.parametrize("axis", [1, 2])
def test_widths_and_starts_are_distributed_as_tensorflow_io_s(axis: int) -> None:
    masks = {"freq_masks": 0, "freq_mask_bands": 15, "time_masks": 0, "time_mask_frames": 40}
    masks["time_masks" if axis == 1 else "freq_masks"] = 1
    inputs = examples(EXAMPLES, frames=100, mels=32)
    ours = runs(
        masked_by_layer(inputs, SpecAugment(**masks, seed=1)) | (inputs == inputs.min((1, 2), keepdims=True)),
        axis,
    )
    theirs = runs(masked_by_tensorflow_io(*inputs.shape, **masks), axis)
    for our, their in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(our, their).pvalue > 0.01
        assert our.min() == their.min()
        assert our.max() == their.max()


def test_masked_share_is_tensorflow_io_s() -> None:
    masks = {"freq_masks": 2, "freq_mask_bands": 15, "time_masks": 2, "time_mask_frames": 75}
    inputs = examples(EXAMPLES // 2, frames=300, mels=32)
    ours = masked_by_layer(inputs, SpecAugment(**masks, seed=1)).mean((1, 2))
    theirs = masked_by_tensorflow_io(*inputs.shape, **masks).mean((1, 2))
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.03)


def test_each_example_has_its_own_masks_filled_with_its_minimum() -> None:
    inputs = examples() + np.arange(8, dtype=np.float32)[:, np.newaxis, np.newaxis]
    outputs = SpecAugment(2, 15, 2, 75, seed=0)(inputs, training=True).numpy()
    masked = outputs != inputs
    for example in range(8):
        assert np.all(outputs[example][masked[example]] == inputs[example].min())
        assert masked[example].any()
    assert len({mask.tobytes() for mask in masked}) == 8


def test_every_step_draws_new_masks() -> None:
    layer = SpecAugment(2, 15, 2, 75, seed=0)
    assert np.any(masked_by_layer(examples(), layer) != masked_by_layer(examples(), layer))


def test_identity_at_inference() -> None:
    layer = SpecAugment(2, 15, 2, 75)
    np.testing.assert_array_equal(layer(examples(), training=False), examples())
    np.testing.assert_array_equal(layer(examples()), examples())


def test_no_masks_is_identity_in_training() -> None:
    np.testing.assert_array_equal(SpecAugment(0, 15, 0, 75)(examples(), training=True), examples())


def test_graph_equals_eager() -> None:
    eager, compiled = SpecAugment(2, 15, 2, 75, seed=3), SpecAugment(2, 15, 2, 75, seed=3)
    function = tf.function(lambda x: compiled(x, training=True))
    for _ in range(3):
        np.testing.assert_array_equal(function(examples()), eager(examples(), training=True))


def test_xla_masks_alike() -> None:
    """XLA draws other random numbers, so the masks differ; their statistics do not."""
    layer = SpecAugment(2, 15, 2, 75, seed=3)
    inputs = examples(EXAMPLES // 4, frames=100, mels=32)
    function = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    outputs, again = function(inputs).numpy(), function(inputs).numpy()
    masked = outputs != inputs
    assert np.all(outputs[masked] == np.broadcast_to(inputs.min((1, 2), keepdims=True), inputs.shape)[masked])
    assert np.any(outputs != again)
    eager = layer(inputs, training=True).numpy() != inputs
    assert stats.ks_2samp(masked.mean((1, 2)), eager.mean((1, 2))).pvalue > 0.01


def test_length_may_be_unknown_when_traced() -> None:
    layer = SpecAugment(2, 15, 2, 75, seed=3)
    function = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None, None, 128], tf.float32)]
    )
    for frames in (10, 300):
        assert function(examples(frames=frames)).shape == (8, frames, 128)


def test_masks_wider_than_the_axis_leave_something() -> None:
    inputs = examples(EXAMPLES, frames=6, mels=4)
    kept = SpecAugment(1, 15, 1, 75, seed=0)(inputs, training=True).numpy() == inputs
    assert kept.any((1, 2)).all()
    # A row or column with at least one place that is kept is not masked.
    assert kept.any(2).sum(1).min() == 1
    assert kept.any(1).sum(1).min() == 1


def test_half_precision_masks_the_same_places() -> None:
    layers = [SpecAugment(2, 15, 2, 75, seed=5, dtype=dtype) for dtype in ("float32", "mixed_bfloat16")]
    inputs = tf.round(examples() * 64) / 64  # exact in bfloat16
    full, half = (layer(inputs, training=True) for layer in layers)
    assert half.dtype == "bfloat16"
    np.testing.assert_array_equal(full, tf.cast(half, tf.float32))


def test_configuration_survives() -> None:
    layer = SpecAugment(1, 2, 3, 4, seed=5, dtype="float32")
    config = keras.layers.deserialize(keras.layers.serialize(layer)).get_config()
    assert config == layer.get_config()
