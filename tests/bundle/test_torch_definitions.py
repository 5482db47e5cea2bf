"""Training follows PyTorch's definitions, checked against PyTorch itself (extra ``torch``)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mir_tf.config import FrontEndConfig, ModelConfig, TrainConfig
from mir_tf.models import blocks, build_model
from mir_tf.training.losses import WeightedBCE
from mir_tf.training.schedule import Schedule

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)


def test_initial_weights_spread_as_pytorch_s() -> None:
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    model = build_model(ModelConfig(architecture="crnn_mha"), FrontEndConfig(), num_classes=17)
    gru, attention = torch.nn.GRU(128, 64, bidirectional=True), torch.nn.MultiheadAttention(128, 2)
    conv, fc = torch.nn.Conv2d(64, 128, 3), torch.nn.Linear(128, 17)
    pairs = {
        ("conv2", 0): conv.weight,
        ("conv2", 1): conv.bias,
        ("gru1", 0): gru.weight_ih_l0,
        ("gru1", 1): gru.weight_hh_l0,
        ("gru1", 2): torch.cat([gru.bias_ih_l0, gru.bias_hh_l0]),
        ("attention_in", 0): attention.in_proj_weight,
        ("attention_in", 1): attention.in_proj_bias,
        ("attention_out", 0): attention.out_proj.weight,
        ("fc", 0): fc.weight,
    }
    for (layer, index), theirs in pairs.items():
        ours, theirs = model.get_layer(layer).get_weights()[index].ravel(), theirs.detach().numpy().ravel()
        assert ours.size == theirs.size, (layer, index)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15), (layer, index)
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.1), (layer, index)


def test_batch_normalisation_learns_the_same_statistics() -> None:
    ours, theirs = blocks.batch_norm("bn"), torch.nn.BatchNorm2d(4)
    for _ in range(3):
        x = RNG.normal(2, 3, (8, 40, 16, 4)).astype(np.float32)
        expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(ours(x, training=True), expected, atol=1e-5)
    # PyTorch stores the unbiased variance, which for 5120 values is greater by one part in 5119.
    for weight, value in zip(ours.non_trainable_weights, (theirs.running_mean, theirs.running_var), strict=True):
        np.testing.assert_allclose(weight, value.numpy(), rtol=3e-4)
    x = RNG.normal(2, 3, (2, 5, 16, 4)).astype(np.float32)
    expected = theirs.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours(x, training=False), expected, atol=1e-3)


def test_layer_norm_and_elu_are_the_same() -> None:
    x = RNG.normal(0, 0.01, (3, 7, 16)).astype(np.float32)
    ours = keras.layers.LayerNormalization(epsilon=1e-5)(x)
    np.testing.assert_allclose(ours, torch.nn.LayerNorm(16)(torch.from_numpy(x)).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(keras.ops.elu(x), torch.nn.functional.elu(torch.from_numpy(x)).numpy(), atol=1e-7)


def test_the_loss_is_bce_with_logits_and_pos_weight() -> None:
    logits = RNG.normal(0, 3, (4, 20, 5)).astype(np.float32)
    truth = (RNG.random(logits.shape) < 0.3).astype(np.float32)
    pos_weight = np.array([1, 2.5, 4, 7, 10], np.float32)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.from_numpy(pos_weight))(
        torch.from_numpy(logits), torch.from_numpy(truth)
    )
    assert float(WeightedBCE(pos_weight)(truth, logits)) == pytest.approx(float(expected), rel=1e-5)


def test_the_optimiser_moves_every_weight_as_adamw_with_clipped_gradients() -> None:
    """PyTorch's AdamW decays all parameters: kernels, biases and the scales of batch normalisation."""
    config = TrainConfig()
    values = {"kernel": RNG.normal(size=(6, 4)), "bias": RNG.normal(size=4), "gamma": np.ones(4)}
    values = {name: value.astype(np.float32) for name, value in values.items()}
    ours = [keras.Variable(value, name=name) for name, value in values.items()]
    theirs = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in values.values()]
    # The arguments of training.loop._build, on one replica.
    optimizer = keras.optimizers.AdamW(
        config.learning_rate, weight_decay=config.weight_decay, epsilon=1e-8, global_clipnorm=config.clip_norm
    )
    reference = torch.optim.AdamW(theirs, lr=config.learning_rate, weight_decay=config.weight_decay)
    for step in range(20):
        gradients = [RNG.normal(0, 10.0 ** (step % 4 - 2), value.shape).astype(np.float32) for value in values.values()]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], ours)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        torch.nn.utils.clip_grad_norm_(theirs, config.clip_norm)
        reference.step()
    for variable, parameter, before in zip(ours, theirs, values.values(), strict=True):
        np.testing.assert_allclose(variable, parameter.detach().numpy(), atol=1e-5)
        assert np.abs(variable - before).max() > 5e-3


@pytest.mark.parametrize("seed", range(5))
def test_the_learning_rate_falls_where_reduce_lr_on_plateau_s_does(seed: int) -> None:
    config = TrainConfig()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=config.learning_rate)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=config.plateau_factor, patience=config.plateau_patience
    )
    schedule = Schedule(config.learning_rate)
    scores = np.maximum.accumulate(np.random.default_rng(seed).integers(0, 12, 60)) / 12
    scores = np.where(np.random.default_rng(seed + 1).random(60) < 0.5, scores, scores * 0.9)
    optimizer.step()
    rates = []
    for epoch, score in enumerate(scores, start=1):
        schedule.step(epoch, float(score), config)
        reference.step(float(score))
        rates.append(schedule.learning_rate)
        assert schedule.learning_rate == pytest.approx(optimizer.param_groups[0]["lr"])
    assert len(set(rates)) > 3
