"""Untrained models that answer in milliseconds, and what they hear."""

import keras
import numpy as np
from helpers.tiny_data import CONFIG

from mir_tf.bundle import Bundle
from mir_tf.config import RunConfig
from mir_tf.data.frontend import log_mel_blocks
from mir_tf.events import PostProcessing
from mir_tf.export import exporter
from mir_tf.models import build_model


def make_bundle(architecture: str, config: RunConfig = CONFIG) -> Bundle:
    """An untrained model whose answers move with what it hears."""
    config = config.merge({"model": {"architecture": architecture}})
    keras.utils.set_random_seed(4)
    model = build_model(config.model, config.front_end, 17, -45.0, 20.0)
    head = model.get_layer("fc")
    head.set_weights([10 * head.get_weights()[0], head.get_weights()[1]])
    thresholds = np.linspace(0.3, 0.7, 17, dtype=np.float32)
    rule = PostProcessing(tuple((thresholds * np.float32(0.9)).tolist()), (0.3,) * 17, (0.2,) * 17)
    return Bundle(model, config, thresholds, rule, ("Organ",), {"epoch": 3})


def heard(model: Bundle, signal: np.ndarray) -> np.ndarray:
    """Probabilities of the windowed inference."""
    return model.windowed.predict_track(np.concatenate(list(log_mel_blocks([signal], model.config.front_end))))


def signal_of(model: Bundle, seconds: float) -> np.ndarray:
    return exporter.probe_signal(model.config.front_end.sample_rate, seconds)
