"""What TensorBoard is given of a run, apart from what the tests of training see of it."""

import numpy as np

from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.training import summaries


def test_pr_curves_reach_from_all_to_few():
    histogram = ScoreHistogram(1)
    histogram.update(np.array([[0.9], [0.2], [0.6]], np.float32), np.array([[True], [False], [False]]))
    [curve] = summaries._pr_curves(histogram)
    np.testing.assert_allclose(curve[:, 0], [1, 2, 0, 0, 1 / 3, 1])
    np.testing.assert_allclose(curve[:, -1], [0, 0, 2, 1, 0, 0])


def test_pr_curves_stand_at_the_thresholds_that_tensorboard_takes_them_for():
    scores = np.linspace(0, 0.999, 700, dtype=np.float32)[:, np.newaxis]
    truth = np.random.default_rng(0).random(scores.shape) < scores
    histogram = ScoreHistogram(1)
    histogram.update(scores, truth)
    [curve] = summaries._pr_curves(histogram)
    for threshold, hits, alarms in zip(np.linspace(0, 1, curve.shape[1]), *curve[:2], strict=True):
        assert (hits, alarms) == ((truth & (scores >= threshold)).sum(), (~truth & (scores >= threshold)).sum())
