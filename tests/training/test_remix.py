"""New mixes from a batch: which stems are added up, which labels follow, and what stays unchanged."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from mir_tf.config import FRONT_ENDS, RunConfig, TrainConfig
from mir_tf.data.examples import Examples
from mir_tf.errors import ConfigError
from mir_tf.training import remix
from mir_tf.training.step import StatelessRandom

FRONT_END = FRONT_ENDS["default"]
EVERYTHING = {"remix_stems": 4, "shift_mels": 2.0, "color_db": 3.0, "noise_db": -20.0}

GOLDEN = Path(__file__).parents[1] / "golden" / "remix.npz"
"""A batch, the draws for the seed (7, 3) and EVERYTHING, and the result, all from the code before it used keras.ops."""

GOLDEN_DB = 4e-5
"""Bound on differences from the golden levels: five steps of float32 at -100 dB. Backends and processors round
exponentials, logarithms and sums differently; JAX and PyTorch differed from TensorFlow by one step."""

BATCH, FRAMES, LABELS = 8, 10, 2


def batch(stems: int) -> Examples:
    """Return a batch in which example i has class i and its own level, so that the power of a mix shows its parts."""
    levels = -10.0 + 0.01 * np.arange(BATCH, dtype=np.float32)
    log_mel = np.broadcast_to(levels[:, None, None], (BATCH, FRAMES, 4)).copy()
    targets = np.broadcast_to(np.eye(BATCH, dtype=np.float32)[:, None], (BATCH, LABELS, BATCH)).copy()
    weights = np.ones((BATCH, LABELS), np.float32)
    weights[0] = 0
    return Examples(log_mel, targets, weights, np.arange(BATCH) < stems)


def remixed(seed: int, stems: int, **options: Any) -> tuple[np.ndarray, ...]:
    return tuple(result.numpy() for result in remix_with((7, seed), batch(stems), TrainConfig(**options)))


def remix_with(seed: tuple[int, int], examples: Examples, train: TrainConfig) -> Examples:
    """Draw as the training step does, and remix."""
    draws = remix.draw(StatelessRandom(tf.constant(seed, tf.int64)), len(examples.log_mel), train)
    return remix.remix(examples, draws, train, FRONT_END)


def golden(part: str) -> dict[str, np.ndarray]:
    """Return the arrays of the golden file under ``part``."""
    with np.load(GOLDEN) as stored:
        return {name.partition("/")[2]: stored[name] for name in stored.files if name.startswith(f"{part}/")}


def assert_golden(result: dict[str, np.ndarray]) -> None:
    """Compare the fields of remixed examples with the golden ones."""
    expected = golden("output")
    assert result.keys() == expected.keys()
    for name, values in expected.items():
        assert result[name].dtype == values.dtype
        np.testing.assert_allclose(result[name], values, rtol=0, atol=GOLDEN_DB if name == "log_mel" else 0)


def test_a_seed_draws_what_it_always_drew() -> None:
    """A run that is resumed after an update goes on with the same draws."""
    draws = remix.draw(StatelessRandom(tf.constant([7, 3], tf.int64)), 6, TrainConfig(**EVERYTHING))
    for name, values in golden("draws").items():
        assert getattr(draws, name).dtype == values.dtype
        np.testing.assert_allclose(getattr(draws, name), values, rtol=1e-5)


def test_the_same_draws_give_the_same_values_in_tensorflow() -> None:
    examples, draws = Examples(**golden("input")), remix.Draws(**golden("draws"))
    compiled = tf.function(lambda e, d: remix.remix(e, d, TrainConfig(**EVERYTHING), FRONT_END))
    for mixed in (
        remix.remix(examples, draws, TrainConfig(**EVERYTHING), FRONT_END),
        compiled(examples, draws),
        remix_with((7, 3), examples, TrainConfig(**EVERYTHING)),
    ):
        assert_golden({name: value.numpy() for name, value in mixed._asdict().items()})


def test_xla_compiles_the_draws_and_the_mixing() -> None:
    """TensorFlow draws other numbers under XLA, but every example is still used once."""
    train = TrainConfig(**EVERYTHING)
    seed, examples = tf.constant([7, 3], tf.int64), Examples(**golden("input"))

    @tf.function(jit_compile=True)
    def compiled(seed: tf.Tensor, examples: Examples) -> tuple[remix.Draws, Examples]:
        draws = remix.draw(StatelessRandom(seed, jit=True), 6, train)
        return draws, remix.remix(examples, draws, train, FRONT_END)

    draws, mixed = compiled(seed, examples)
    assert sorted(draws.order.numpy()) == list(range(6))
    expected = remix.remix(examples, draws, train, FRONT_END)
    np.testing.assert_allclose(mixed.log_mel, expected.log_mel, rtol=0, atol=GOLDEN_DB)
    orders = {tuple(compiled(tf.constant([7, step], tf.int64), examples)[0].order.numpy()) for step in range(10)}
    assert len(orders) > 5


BACKEND_SCRIPT = """
import sys
import keras
import numpy as np
from mir_tf.config import FRONT_ENDS, TrainConfig
from mir_tf.data.examples import Examples
from mir_tf.training.remix import Draws, remix

path, out, everything = sys.argv[1], sys.argv[2], eval(sys.argv[3])
stored = np.load(path)
fields = lambda part, kind: kind(
    *(keras.ops.convert_to_tensor(stored[f"{part}/{name}"]) for name in kind._fields)
)
mixed = remix(fields("input", Examples), fields("draws", Draws), TrainConfig(**everything), FRONT_ENDS["default"])
np.savez(out, **{name: keras.ops.convert_to_numpy(value) for name, value in mixed._asdict().items()})
print(keras.config.backend())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_draws_give_the_same_values_on_another_backend(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    out = tmp_path / "mixed.npz"
    result = subprocess.run(
        [sys.executable, "-c", BACKEND_SCRIPT, GOLDEN, out, repr(EVERYTHING)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == backend
    with np.load(out) as mixed:
        assert_golden(dict(mixed))


def test_stems_join_stems_and_labels_follow() -> None:
    sizes = set()
    for seed in range(12):
        log_mel, targets, weights, _ = remixed(seed, stems=6, remix_stems=4)
        active = targets[:, 0]
        assert (targets == active[:, None]).all()
        for level, classes, weight in zip(log_mel[:, 0, 0], active, weights, strict=True):
            sizes.add(classes.sum())
            assert weight[0] == weight[1]
            if classes[6:].any():  # nothing is added to a mix
                assert classes.sum() == 1
                assert level == pytest.approx(-10 + 0.01 * classes.argmax(), abs=1e-4)
            elif classes.sum() == 1:
                assert level == pytest.approx(-10 + 0.01 * classes.argmax(), abs=1e-4)
            else:
                assert level > -10 + 0.01 * BATCH
        # No example is lost: each one is the base of one result, which has its weights.
        assert sorted(weights.sum(axis=1)) == [0] + [LABELS] * (BATCH - 1)
        assert active.any(axis=0).all()
    assert sizes == {1, 2, 3, 4}


def test_the_power_of_what_sounds_together_adds_up() -> None:
    """Two stems of equal level, each joined by at most the other one: 3 dB more, except for the random gain."""
    log_mel = np.full((2, FRAMES, 4), -20, np.float32)
    targets = np.broadcast_to(np.eye(2, dtype=np.float32)[:, None], (2, LABELS, 2))
    gains = []
    for seed in range(200):
        examples = Examples(log_mel, targets, np.ones((2, LABELS), np.float32), np.array([True, True]))
        mixed, active, *_ = remix_with((0, seed), examples, TrainConfig(remix_stems=2))
        together = active[:, 0].numpy().sum(axis=1) == 2
        power = 10 ** (mixed.numpy()[:, 0, 0] / 10) - 10**-2.0
        np.testing.assert_allclose(power[~together], 0, atol=1e-6)
        gains.extend(10 * np.log10(power[together]) + 20)
    assert 130 < len(gains) < 270
    assert abs(np.mean(gains)) < 0.3
    assert 0.8 < np.std(gains) < 1.2


def test_the_same_seed_gives_the_same_and_another_one_not() -> None:
    options = {"stems": 8, **EVERYTHING}
    for first, again in zip(remixed(1, **options), remixed(1, **options), strict=True):
        np.testing.assert_array_equal(first, again)
    assert not np.array_equal(remixed(1, **options)[0], remixed(2, **options)[0])


def test_colour_is_smooth_over_frequency_and_constant_in_time() -> None:
    log_mel = np.full((64, FRAMES, 128), -20, np.float32)
    targets = np.zeros((64, LABELS, 1), np.float32)
    examples = Examples(log_mel, targets, np.ones((64, LABELS), np.float32), np.zeros(64, bool))
    colored, *_ = remix_with((0, 0), examples, TrainConfig(color_db=3.0))
    difference = colored.numpy() + 20
    np.testing.assert_allclose(difference, difference[:, :1].repeat(FRAMES, axis=1), atol=1e-4)
    assert 5 < difference[:, 0].std() < 12  # drawn twice: for the stem and for the mix
    assert np.abs(np.diff(difference[:, 0], axis=1)).max() < 2


def test_examples_move_over_the_mel_axis_each_its_own_way() -> None:
    """A ridge moves by up to three bands, by any distance, with the same height, and alike in all frames."""
    ridge = -20 - 0.5 * np.abs(np.arange(128, dtype=np.float32) - 60)
    log_mel = np.broadcast_to(ridge, (64, FRAMES, 128))
    targets = np.zeros((64, LABELS, 1), np.float32)
    examples = Examples(log_mel, targets, np.ones((64, LABELS), np.float32), np.zeros(64, bool))
    moved, *_ = remix_with((0, 0), examples, TrainConfig(shift_mels=3.0))
    first = moved.numpy()[:, 0]
    np.testing.assert_allclose(moved, first[:, np.newaxis].repeat(FRAMES, axis=1), atol=1e-4)
    # The level on either slope, away from the top, shows how far a ridge was moved.
    shifts = (first[:, 30] - ridge[30]) / -0.5
    np.testing.assert_allclose((first[:, 90] - ridge[90]) / 0.5, shifts, atol=1e-3)
    assert -3 <= shifts.min() < -2.5
    assert 2.5 < shifts.max() <= 3
    assert len(np.unique(shifts.round(3))) > 50


def test_noise_fills_silence_and_nothing_falls_below_the_floor() -> None:
    log_mel = np.full((32, FRAMES, 128), FRONT_END.log_floor_db, np.float32)
    log_mel[:, : FRAMES // 2] = -10
    targets = np.zeros((32, LABELS, 1), np.float32)
    examples = Examples(log_mel, targets, np.ones((32, LABELS), np.float32), np.zeros(32, bool))
    noisy, *_ = remix_with((0, 0), examples, TrainConfig(noise_db=-20.0))
    silent = noisy.numpy()[:, -1]
    assert silent.min() >= FRONT_END.log_floor_db - 1e-4
    assert (silent > FRONT_END.log_floor_db + 3).any(axis=1).mean() > 0.5
    assert silent.max() < -10 - 20 + 25  # level at most 20 dB below, and a slope
    colored, *_ = remix_with((0, 0), examples, TrainConfig(color_db=10.0))
    assert colored.numpy().min() == FRONT_END.log_floor_db


def test_clips_that_are_normalised_cannot_be_remixed() -> None:
    with pytest.raises(ConfigError, match="work on decibels"):
        RunConfig.for_front_end(FRONT_ENDS["seed_44k"]).merge({"train": {"remix_stems": 4}})
