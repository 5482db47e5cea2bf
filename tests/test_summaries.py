"""What TensorBoard is given of a run, apart from what the tests of training see of it."""

import numpy as np

from mir_tf import summaries
from mir_tf.thresholds import ScoreHistogram


def test_pr_curves_reach_from_all_to_few():
    histogram = ScoreHistogram(1)
    histogram.update(np.array([[0.9], [0.2], [0.6]], np.float32), np.array([[True], [False], [False]]))
    [curve] = summaries._pr_curves(histogram)
    np.testing.assert_allclose(curve[:, 0], [1, 2, 0, 0, 1 / 3, 1])
    np.testing.assert_allclose(curve[:, -1], [0, 0, 2, 1, 0, 0])
