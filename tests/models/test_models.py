"""The networks: sizes of the PyTorch project, alignment in time, and initial weights."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mir_tf.config import FRONT_ENDS, MODELS, FrontEndConfig, ModelConfig
from mir_tf.errors import ConfigError
from mir_tf.models import blocks, build_model
from mir_tf.models.cost import macs, parameters

TINY = ModelConfig(conv_filters=(4, 6, 8), gru_units=4, stage_filters=(4, 6, 8), temporal_filters=8, dilations=(1, 2))
TINY_FRONT_END = FrontEndConfig(n_mels=8)
ONE_FRAME = FrontEndConfig(n_fft=4096, hop_length=2205, n_mels=8)


def tiny(architecture: str, front_end: FrontEndConfig = TINY_FRONT_END) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model(TINY.replace(architecture=architecture), front_end, 3, -30.0, 20.0)


def decibels(frames: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(-30, 20, (batch, frames, 8)).astype(np.float32)


@pytest.mark.parametrize(("architecture", "count"), {"cnn": 224_915, "crnn": 373_907, "crnn_mha": 440_211}.items())
def test_parameters_are_the_original_s(architecture: str, count: int) -> None:
    model = build_model(ModelConfig(architecture=architecture), FRONT_ENDS["default"], num_classes=17)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == count


def test_the_tcn_is_small_enough_for_phones() -> None:
    model = build_model(ModelConfig(architecture="tcn"), FRONT_ENDS["default"], num_classes=17)
    assert parameters(model) <= 1_000_000
    seconds = 30
    assert macs(model, seconds * FRONT_ENDS["default"].frame_rate) / seconds <= 20e6


def test_a_click_peaks_in_its_label_frame_of_the_tcn() -> None:
    """Time is exact for any length and in any sub-frame, whatever the weights."""
    config = ModelConfig(architecture="tcn", stage_filters=(1, 1), temporal_filters=1, dilations=())
    model = build_model(config, FrontEndConfig(n_mels=8), num_classes=1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            middle = kernel.shape[0] // 2
            reach = 2 if layer.name == "stem" else 0  # exactly the sub-frames of the label frame
            kernel[middle - reach : middle + reach + 1] = 1
            layer.set_weights([kernel])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    for label_frames in (7, 50):
        clicks = np.repeat(np.eye(5 * label_frames, dtype=np.float32)[:, :, np.newaxis], 8, axis=2)
        responses = model(clicks)[..., 0].numpy()  # [click, label frame]
        np.testing.assert_array_equal(responses.argmax(axis=1), np.arange(5 * label_frames) // 5)


@pytest.mark.parametrize("architecture", MODELS)
def test_one_output_per_label_frame(architecture: str) -> None:
    model = tiny(architecture)
    for label_frames in (1, 37, 100):
        logits = model.predict_on_batch(decibels(5 * label_frames))
        assert logits.shape == (2, label_frames, 3)
        assert np.isfinite(logits).all()


def place_of_peak(frames: int, alignment: str, outputs: slice) -> np.ndarray:
    """Return the mean place, in frames, of the clicks that each of ``outputs`` responds to, weighted by its response.

    The network passes its input on, so that padding, pooling and interpolation alone decide.
    """
    config = ModelConfig(architecture="cnn", conv_filters=(1, 1, 1), alignment=alignment)
    model = build_model(config, FrontEndConfig(n_fft=4096, hop_length=2205, n_mels=1), num_classes=1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros((3, 3, 1, 1))
            kernel[1, 1] = 1
            layer.set_weights([kernel, np.zeros(1)])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([np.ones((1, 1)), np.zeros(1)])
    clicks = np.eye(frames, dtype=np.float32)[:, :, np.newaxis]  # [click, frame, mel]
    responses = model(clicks)[:, outputs, 0].numpy()  # [click, output]
    return np.arange(frames) @ responses / responses.sum(axis=0)


@pytest.mark.parametrize("frames", [90, 301, 1000])
def test_outputs_lie_at_their_own_place_in_time(frames: int) -> None:
    """All outputs except those within 1.5 steps of an end, whose receptive field includes padding."""
    inner = slice(12, frames - 12)
    np.testing.assert_allclose(place_of_peak(frames, "crop", inner), np.arange(frames)[inner], atol=0.1)


@pytest.mark.parametrize("frames", [90, 301, 1000])
def test_stretch_moves_events_as_the_original_did(frames: int) -> None:
    """The outputs divide the padded axis among themselves, which shifts them by up to the padding of 37 frames."""
    outputs = np.arange(frames)
    expected = (outputs + 0.5) * ((frames + 2 * 37) // 8 * 8) / frames - 0.5 - 37
    inside = np.flatnonzero((expected > 12) & (expected < frames - 13))
    places = place_of_peak(frames, "stretch", slice(inside[0], inside[-1] + 1))
    np.testing.assert_allclose(places, expected[inside], atol=0.1)
    assert np.abs(places - inside).max() > 10


def test_a_click_peaks_within_one_frame_at_the_centre_of_its_step() -> None:
    """The same from the event's side: a click at the centre of a step gives the peak, whatever the length."""
    layer = blocks.InterpolateSteps(stride=8, padding=37, alignment="crop")
    for frames in (90, 301, 1000):
        steps = np.eye((frames + 74) // 8, dtype=np.float32)[:, :, np.newaxis]  # [click, step, class]
        outputs = layer(steps, np.zeros((1, frames, 1)))[:, :, 0].numpy()
        for step, output in enumerate(outputs):
            centre = 8 * step + 3.5 - 37
            if 0 <= centre < frames:
                assert abs(output.argmax() - centre) <= 1


def test_sub_frames_are_averaged_as_power() -> None:
    pooled = blocks.AveragePower(5)(decibels(20))
    power = 10 ** (decibels(20).astype(np.float64) / 10)
    expected = 10 * np.log10(power.reshape(2, 4, 5, 8).mean(axis=2))
    np.testing.assert_allclose(pooled, expected, atol=1e-4)


def test_normalization_is_the_train_split_s() -> None:
    model = tiny("cnn", ONE_FRAME)
    normalized = build_model(TINY.replace(architecture="cnn"), ONE_FRAME, num_classes=3)
    normalized.set_weights(model.get_weights())
    np.testing.assert_allclose(model(decibels(40)), normalized((decibels(40) + 30) / 20), atol=1e-5)


def test_clips_normalised_with_sub_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match="5 sub-frames"):
        build_model(TINY, FrontEndConfig(normalization="clip"), num_classes=3)


@pytest.mark.parametrize("architecture", MODELS)
def test_saved_model_predicts_the_same(architecture: str, tmp_path: Path) -> None:
    model = tiny(architecture)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(decibels(50)), model(decibels(50)))


@pytest.mark.parametrize("architecture", MODELS)
def test_xla_predicts_the_same(architecture: str) -> None:
    model = tiny(architecture)
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(decibels(50)), model(decibels(50)), atol=1e-5)


@pytest.mark.parametrize("architecture", MODELS)
def test_ends_are_float32_under_mixed_precision(architecture: str) -> None:
    reference = tiny(architecture)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(architecture)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    model.set_weights(reference.get_weights())
    assert model.get_layer("stem" if architecture == "tcn" else "conv1").compute_dtype == "bfloat16"
    ends = {"average_power", "normalization", "spec_augment", "fc", "logits"} & {layer.name for layer in model.layers}
    assert {model.get_layer(name).compute_dtype for name in ends} == {"float32"}
    logits = model(decibels(50))
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, reference(decibels(50)), atol=0.05)


def test_initial_weights_are_pytorch_s() -> None:
    """Uniform within ±1/√fan_in: standard deviation 1/√(3 fan_in), and all values different."""
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig(architecture="crnn_mha"), FRONT_ENDS["default"], num_classes=17)
    fan_ins = {
        "conv2": (9 * 64, 9 * 64),
        "fc": (128, 128),
        "gru1": (64, 64, 64, 64, 64, 64),
        "attention_in": ((128 + 3 * 128) / 6,),  # Glorot's, over the three projections
        "attention_out": (128,),
    }
    for name, fans in fan_ins.items():
        for weight, fan in zip(model.get_layer(name).get_weights(), fans, strict=False):
            assert np.abs(weight).max() <= fan**-0.5
            assert np.std(weight) == pytest.approx((3 * fan) ** -0.5, rel=0.2)
    forward, backward = model.get_layer("gru1").get_weights()[::3]
    assert not np.array_equal(forward, backward)
    for name in ("attention_in", "attention_out"):
        assert not model.get_layer(name).get_weights()[1].any()


def test_every_weight_is_trained() -> None:
    model = tiny("crnn_mha", ONE_FRAME)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(decibels(20, batch=8), training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    # Batch norm removes a bias before it, and the softmax removes what all keys have in common.
    unmoved = {"bn0/gamma", "bn0/beta"} | {f"conv{block}/bias" for block in (1, 2, 3)}
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.any(gradient) or weight.path in unmoved, weight.path


def test_multiply_adds_are_those_counted_by_hand() -> None:
    """16 frames padded to 90; steps of 45, 22, 11; 8 mel bands; 3 classes."""
    convolutions = 9 * 8 * (90 * 1 * 4 + 45 * 4 * 6 + 22 * 6 * 8)
    recurrences = 2 * 11 * 3 * 4 * ((8 + 4) + (8 + 4))
    attention = 11 * 8 * (3 * 8 + 8) + 2 * 11 * 11 * 8
    counts = [macs(tiny(architecture, ONE_FRAME), 16) for architecture in ("cnn", "crnn", "crnn_mha")]
    head = 11 * 8 * 3
    assert counts == [
        convolutions + head,
        convolutions + recurrences + head,
        convolutions + recurrences + attention + head,
    ]
