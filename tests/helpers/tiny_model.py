"""Make untrained models that predict within milliseconds, signals for them, and their predictions."""

import keras
import numpy as np
from helpers.tiny_data import CONFIG

from mir_tf.bundle import Bundle
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.config import RunConfig
from mir_tf.data.frontend import log_mel_blocks
from mir_tf.events import PostProcessing
from mir_tf.export import exporter
from mir_tf.models import build_model

CONFIDENCE = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 17, 0.5)
"""Takes a class's mean probability as its confidence. A class is detected from 0.5."""


def make_bundle(architecture: str, config: RunConfig = CONFIG) -> Bundle:
    """Return an untrained model whose scores vary with its input."""
    config = config.merge({"model": {"architecture": architecture}})
    keras.utils.set_random_seed(4)
    model = build_model(config.model, config.front_end, 17, -45.0, 20.0)
    head = model.get_layer("fc")
    head.set_weights([10 * head.get_weights()[0], head.get_weights()[1]])
    thresholds = np.linspace(0.3, 0.7, 17, dtype=np.float32)
    rule = PostProcessing(tuple((thresholds * np.float32(0.9)).tolist()), (0.3,) * 17, (0.2,) * 17)
    return Bundle(model, config, thresholds, rule, ("Organ",), {"epoch": 3}, CONFIDENCE)


def predict_signal(model: Bundle, signal: np.ndarray) -> np.ndarray:
    """Return the probabilities [label frames, classes] of a signal [samples], by windowed inference in Keras."""
    return model.windowed.predict_track(np.concatenate(list(log_mel_blocks([signal], model.config.front_end))))


def make_signal(model: Bundle, seconds: float) -> np.ndarray:
    """Return a test signal [samples] at the model's sample rate."""
    return exporter.probe_signal(model.config.front_end.sample_rate, seconds)
