import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny_data import FRONT_END

from mir_tf.bundle.windows import WindowedModel, cross_fade_graph
from mir_tf.config import FRONT_ENDS, RunConfig
from mir_tf.data.frontend import normalize_clip
from mir_tf.inference.cross_fade import CrossFade

WINDOW, OVERLAP = 30, 10  # label frames
SUBFRAMES, MELS = FRONT_END.subframes, FRONT_END.n_mels
CONFIG = RunConfig(FRONT_END).merge({"window": {"window_seconds": WINDOW / 10, "overlap_seconds": OVERLAP / 10}})


@pytest.fixture(scope="module")
def model():
    """Build a model of two classes, whose outputs depend on the frames around them and so differ at window edges."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, MELS))
    x = keras.layers.AveragePooling1D(SUBFRAMES)(inputs)
    x = keras.layers.Conv1D(2, 7, padding="same", kernel_initializer="random_normal")(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def windowed(model):
    return WindowedModel(model, CONFIG)


def features(frames, seed=0):
    return np.random.default_rng(seed).normal(-30, 15, (frames, MELS)).astype(np.float32)


def reference(model, log_mel):
    """Compute the definition: each frame is the weighted mean of the windows that contain it."""
    length = -(-len(log_mel) // SUBFRAMES)
    starts = [0]
    while starts[-1] + WINDOW < length:
        starts.append(starts[-1] + WINDOW - OVERLAP)
    total, weight = np.zeros((length, 2)), np.zeros((length, 1))
    for start in starts:
        window = np.full((WINDOW * SUBFRAMES, MELS), FRONT_END.log_floor_db, np.float32)
        piece = log_mel[start * SUBFRAMES : (start + WINDOW) * SUBFRAMES]
        window[: len(piece)] = piece
        prediction = 1 / (1 + np.exp(-model(window[np.newaxis]).numpy()[0].astype(float)))
        for frame in range(start, min(start + WINDOW, length)):
            place = frame - start
            share = 1.0
            if start != starts[0]:
                share = min(share, (place + 0.5) / OVERLAP)
            if start != starts[-1]:
                share = min(share, (WINDOW - place - 0.5) / OVERLAP)
            total[frame] += share * prediction[place]
            weight[frame] += share
    np.testing.assert_allclose(weight, 1)
    return total


@pytest.mark.parametrize("frames", [1, 2, 59, 60, 61, 99, 100, 101, 102, 140, 141, 777])
def test_equals_the_definition(model, windowed, frames):
    log_mel = features(frames)
    np.testing.assert_allclose(windowed.predict_track(log_mel), reference(model, log_mel), atol=1e-5)


@pytest.mark.parametrize("overlap", [0, OVERLAP, WINDOW // 2])
def test_a_batch_in_one_graph_gives_the_same(model, overlap):
    config = CONFIG.merge({"window": {"overlap_seconds": overlap / 10}})
    windowed = WindowedModel(model, config)
    graph = tf.function(windowed.predict_batch, input_signature=[tf.TensorSpec([None, None, MELS])])
    for frames in (0, 1, 2, 59, 60, 61, 100, 101, 102, 777):
        tracks = np.stack([features(frames, seed) for seed in range(3)])
        predictions = graph(tracks).numpy()
        np.testing.assert_allclose(predictions, [windowed.predict_track(track) for track in tracks], atol=1e-6)
    assert graph(features(60)[np.newaxis][:0]).shape == (0, 30, 2)


@pytest.mark.parametrize("overlap", [0, 1, OVERLAP, WINDOW // 2])
@pytest.mark.parametrize("num_windows", [1, 2, 5])
def test_the_cross_fades_in_numpy_and_in_a_graph_are_equal(num_windows, overlap):
    windows = np.random.default_rng(0).random((2, num_windows, WINDOW, 3), np.float32)
    joined = tf.function(cross_fade_graph)(windows, overlap).numpy()
    assert joined.shape == (2, num_windows * (WINDOW - overlap) + overlap, 3)
    for track, found in zip(windows, joined, strict=True):
        cross_fade = CrossFade(WINDOW, overlap, 3)
        np.testing.assert_array_equal(found, np.concatenate([*map(cross_fade.add, track), cross_fade.pending]))


@pytest.mark.parametrize("size", [1, 7, 60, 500])
def test_blocks_do_not_show(windowed, size):
    log_mel = features(777)
    blocks = (log_mel[start : start + size] for start in range(0, len(log_mel), size))
    joined = np.concatenate(list(windowed.predict_blocks(blocks)))
    np.testing.assert_array_equal(joined, windowed.predict_track(log_mel))


def test_a_signal_of_nothing_has_no_frames(windowed):
    assert windowed.predict_track(np.zeros((0, MELS), np.float32)).shape == (0, 2)
    assert list(windowed.predict_blocks([])) == []


def test_answers_come_before_the_signal_has_ended(windowed):
    """Memory is bounded: only a few windows of an endless signal are held back."""
    taken = 0

    def blocks():
        nonlocal taken
        while True:
            taken += 1
            yield features(60, taken)

    predictions = windowed.predict_blocks(blocks())
    for _ in range(20):
        next(predictions)
    assert taken < 40


def test_a_constant_model_gives_a_constant():
    inputs = keras.Input((None, MELS))
    pooled = keras.layers.AveragePooling1D(SUBFRAMES)(inputs)
    logit = float(np.log(0.3 / 0.7))
    constant = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(logit))
    predictions = WindowedModel(keras.Model(inputs, constant(pooled)), CONFIG).predict_track(features(333))
    assert predictions.shape == (167, 1)
    np.testing.assert_allclose(predictions, 0.3, rtol=1e-6)
    assert len(np.unique(predictions)) == 1


def test_lengths_do_not_retrace(model):
    traces = 0

    class Counting(keras.layers.Layer):
        def call(self, x):
            nonlocal traces
            traces += 1
            return x

    inputs = keras.Input((None, MELS))
    counted = keras.Model(inputs, model(Counting()(inputs)))
    windowed = WindowedModel(counted, CONFIG)
    traces = 0
    for frames in (3, 60, 61, 500, 2000):
        windowed.predict_track(features(frames))
    assert traces == 1


def test_changed_weights_are_heard(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    windowed = WindowedModel(copy, CONFIG)
    before = windowed.predict_track(features(90))
    copy.set_weights([-weight for weight in copy.get_weights()])
    np.testing.assert_allclose(windowed.predict_track(features(90)), 1 - before, atol=1e-6)


def test_clips_are_normalised_over_their_true_frames():
    front_end = FRONT_ENDS["seed_22k"]
    inputs = keras.Input((None, front_end.n_mels))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x[..., :3])(inputs))
    log_mel = np.random.default_rng(0).normal(-30, 15, (250, front_end.n_mels)).astype(np.float32)
    predictions = WindowedModel(model, RunConfig.for_front_end(front_end)).predict_track(log_mel)
    expected = tf.sigmoid(normalize_clip(tf.constant(log_mel), 250, front_end)[:, :3])
    np.testing.assert_allclose(predictions, expected, atol=1e-6)
