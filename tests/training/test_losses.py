"""Class weights and loss, compared with closed forms, PyTorch and Keras' own training step."""

import keras
import numpy as np
import pytest

from mir_tf.training.losses import WeightedBCE, class_weights

POS_WEIGHT = [1.0, 2.5, 10.0]


def batch(frames: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and logits [4, frames, 3]."""
    generator = np.random.default_rng(0)
    targets = (generator.random((4, frames, 3)) > 0.7).astype(np.float32)
    return targets, generator.normal(0, 4, (4, frames, 3)).astype(np.float32)


def closed_form(targets: np.ndarray, logits: np.ndarray, positive: float = 0, negative: float = 0) -> np.ndarray:
    """Return the loss by its definition, in float64: [batch, frames, classes]."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    of_positives = np.array(POS_WEIGHT) * targets * (1 - probability) ** positive * np.log(probability)
    return -(of_positives + (1 - targets) * probability**negative * np.log(1 - probability))


def test_class_weights_are_negatives_over_positives_within_bounds() -> None:
    weights = class_weights([500, 250, 10, 900, 0], total=1000, maximum=10)
    np.testing.assert_allclose(weights, [1, 3, 10, 1, 1])
    assert weights.dtype == np.float32


def test_equals_the_definition() -> None:
    targets, logits = batch()
    assert float(WeightedBCE(POS_WEIGHT)(targets, logits)) == pytest.approx(
        closed_form(targets, logits).mean(), rel=1e-5
    )


@pytest.mark.parametrize(("positive", "negative"), [(2.0, 2.0), (0.0, 4.0), (1.0, 0.5)])
def test_focus_equals_the_definition(positive: float, negative: float) -> None:
    targets, logits = batch()
    loss = WeightedBCE(POS_WEIGHT, positive, negative)(targets, logits)
    assert float(loss) == pytest.approx(closed_form(targets, logits, positive, negative).mean(), rel=1e-5)


def test_no_focus_and_whole_boundaries_are_the_plain_loss() -> None:
    """In the limit of small exponents, which other code computes, it is the loss without them."""
    targets, logits = batch()
    plain = WeightedBCE(POS_WEIGHT).call(targets, logits)
    np.testing.assert_array_equal(WeightedBCE(POS_WEIGHT, 0, 0, 1).call(targets, logits), plain)
    np.testing.assert_allclose(WeightedBCE(POS_WEIGHT, 1e-7, 1e-7, 1 - 1e-7).call(targets, logits), plain, rtol=1e-5)


@pytest.mark.parametrize("settings", [(2.0, 2.0, 1.0), (0.0, 4.0, 1.0), (0.5, 0.5, 0.5)])
def test_gradients_are_those_of_the_definition_and_finite_at_logits_of_any_size(
    settings: tuple[float, float, float],
) -> None:
    tf = pytest.importorskip("tensorflow")
    loss = WeightedBCE(POS_WEIGHT, *settings)

    def gradient(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
        variable = tf.Variable(logits)
        with tf.GradientTape() as tape:
            value = loss(tf.constant(targets), variable)
        return tape.gradient(value, variable).numpy()

    extreme = np.array([[[1e4, 1e4, -1e4], [-1e4, -1e4, 1e4], [1e4, -1e4, 90.0]]], np.float32)
    found = gradient(np.array([[[1, 0, 1], [1, 0, 0], [1, 0, 0]]], np.float32), extreme)
    assert np.isfinite(found).all()
    # The gradient is full for a prediction that is entirely wrong, and zero for one that is entirely right.
    np.testing.assert_allclose(found[0, :, 0] * 9, [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(found[0, 0, 1] * 9, 1, rtol=1e-6)

    targets, logits = batch()
    targets[:] = targets[:, :1]  # without boundaries
    step = 1e-5
    above, below = (closed_form(targets, logits.astype(np.float64) + way, *settings[:2]) for way in (step, -step))
    np.testing.assert_allclose(
        gradient(targets, logits) * targets.size, (above - below) / (2 * step), rtol=1e-3, atol=1e-5
    )


def test_boundary_weight_holds_on_both_sides_of_a_change_of_the_class_itself() -> None:
    targets = np.array([[[0, 1, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0], [1, 1, 1]]], np.float32)
    logits = np.random.default_rng(0).normal(0, 4, targets.shape).astype(np.float32)
    boundaries = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
    for weight in (0.25, 0.0):
        loss = WeightedBCE(POS_WEIGHT, 2, 1, boundary_weight=weight)
        expected = closed_form(targets, logits, 2, 1)[0] * np.where(boundaries, weight, 1)
        np.testing.assert_allclose(loss.call(targets, logits)[0], expected.mean(axis=1), rtol=1e-5)
    one_frame = targets[:, :1], logits[:, :1]
    assert float(loss(*one_frame)) == float(WeightedBCE(POS_WEIGHT, 2, 1)(*one_frame)), "one frame has no neighbour"


def test_padding_is_silence_to_the_boundaries() -> None:
    loss = WeightedBCE([1.0], boundary_weight=0.5)
    targets = np.array([[[1], [1], [0]]], np.float32)
    padded = loss(targets, np.zeros_like(targets), sample_weight=np.array([[1, 1, 0]], np.float32))
    assert float(padded) == pytest.approx(np.log(2) * (1 + 0.5) / 2, rel=1e-6)


def test_equals_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="the reference for BCEWithLogitsLoss")
    targets, logits = batch()
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(POS_WEIGHT))
    expected = float(loss(torch.tensor(logits), torch.tensor(targets)))
    assert float(WeightedBCE(POS_WEIGHT)(targets, logits)) == pytest.approx(expected, rel=1e-5)


def test_logits_of_any_size_are_finite_and_exact() -> None:
    logits = np.array([[[1e4, -1e4, 1e4], [-1e4, 1e4, -1e4]]], np.float32)
    targets = np.array([[[1, 1, 0], [1, 0, 0]]], np.float32)
    losses = WeightedBCE(POS_WEIGHT).call(targets, logits)
    np.testing.assert_allclose(losses, [[(2.5e4 + 1e4) / 3, (1e4 + 1e4) / 3]], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_logits_are_summed_in_float32(dtype: str) -> None:
    targets, logits = batch()
    half = keras.ops.cast(logits, dtype)
    loss = WeightedBCE(POS_WEIGHT)(targets, half)
    assert loss.dtype == "float32"
    expected = closed_form(targets, np.array(keras.ops.cast(half, "float32"))).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_padding_does_not_change_the_loss() -> None:
    """Examples of different true lengths: the mean is over true frames, neither over examples nor padding."""
    targets, logits = batch()
    lengths = np.array([20, 3, 11, 0])
    true = (np.arange(20) < lengths[:, np.newaxis]).astype(np.float32)
    expected = closed_form(targets, logits)[true > 0].mean()
    loss = WeightedBCE(POS_WEIGHT)
    assert float(loss(targets, logits, sample_weight=true)) == pytest.approx(expected, rel=1e-5)

    pad = [(0, 0), (0, 13), (0, 0)]
    padded = loss(np.pad(targets, pad), np.pad(logits, pad, constant_values=7), sample_weight=np.pad(true, pad[:2]))
    assert float(padded) == pytest.approx(expected, rel=1e-5)


def test_padding_changes_neither_step_nor_reported_loss() -> None:
    """Through Keras' own training step, gradients included."""
    targets, logits = batch()
    true = np.repeat(np.arange(20)[np.newaxis] < 8, 4, axis=0).astype(np.float32)
    results = []
    for frames in (8, 20):
        model = keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(3, kernel_initializer="ones")])
        model.compile(keras.optimizers.SGD(1.0), WeightedBCE(POS_WEIGHT))
        loss = model.train_on_batch(logits[:, :frames], targets[:, :frames], true[:, :frames])
        results.append((loss, model.get_weights()[0]))
    (cut_loss, cut_kernel), (padded_loss, padded_kernel) = results
    assert padded_loss == pytest.approx(cut_loss, rel=1e-5)
    np.testing.assert_allclose(padded_kernel, cut_kernel, rtol=1e-4)


def test_nothing_but_padding_is_zero() -> None:
    targets, logits = batch()
    assert float(WeightedBCE(POS_WEIGHT)(targets, logits, sample_weight=np.zeros((4, 20)))) == 0


def test_configuration_survives() -> None:
    loss = WeightedBCE(np.array(POS_WEIGHT, np.float32), 1, 2, 0.5)
    loaded = keras.losses.deserialize(keras.losses.serialize(loss))
    targets, logits = batch()
    true = np.repeat(np.arange(20)[np.newaxis] < 8, 4, axis=0)
    assert float(loaded(targets, logits, sample_weight=true)) == float(loss(targets, logits, sample_weight=true))
    assert loaded.get_config() == loss.get_config()
    old = WeightedBCE.from_config(
        {"pos_weight": POS_WEIGHT, "name": "weighted_bce"}
    )  # saved before the exponents existed
    assert old.get_config() == WeightedBCE(POS_WEIGHT).get_config()
