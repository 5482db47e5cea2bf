"""Random predictions beside their truth, with thresholds and post-processing for them."""

import numpy as np

from mir_tf.events import PostProcessing
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import VOCABULARIES

THRESHOLDS = np.linspace(0.3, 0.6, len(VOCABULARIES["family"]), dtype=np.float32)
POST_PROCESSING = PostProcessing(tuple((THRESHOLDS * np.float32(0.8)).tolist()), (0.3,) * 17, (0.2,) * 17)


def random_predictions(tracks: int = 8, seed: int = 0) -> list[TrackPrediction]:
    """Return predictions that follow the truth loosely. Class 3 never plays, class 5 in one track only."""
    generator = np.random.default_rng(seed)
    predictions = []
    for track in range(tracks):
        frames = int(generator.integers(30, 200))
        is_present = generator.random(17) < 0.7
        truth = (generator.random((frames, 17)) < generator.random(17)) & is_present
        truth[:, 3] = False
        truth[:, 5] &= track == 0
        scores = np.clip(truth * 0.3 + generator.random((frames, 17)) * 0.7, 0, 1)
        predictions.append(TrackPrediction(f"song {track}", str(track), scores.astype(np.float32), truth))
    return predictions
