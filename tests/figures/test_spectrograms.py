"""Figures with spectrograms: what they show, and where."""

import numpy as np

from mir_tf.config import FRONT_ENDS
from mir_tf.figures import spectrograms, style
from mir_tf.vocabulary import VOCABULARIES


def test_a_song_is_above_its_truth_and_its_prediction_on_one_clock() -> None:
    front_end = FRONT_ENDS["default"].replace(n_mels=8)
    generator = np.random.default_rng(0)
    truth = generator.random((20, 17)) < 0.5
    probabilities = generator.random((20, 17)).astype(np.float32)
    log_mel = generator.normal(-40, 10, (100, 8)).astype(np.float32)
    figure = spectrograms.song_figure(log_mel, front_end, truth, probabilities, VOCABULARIES["family"].classes, "song")
    drawn = [axes.images[0] for axes in figure.axes]
    for image, expected in zip(drawn, (log_mel, truth, probabilities), strict=True):
        np.testing.assert_allclose(image.get_array(), expected.T)
        assert image.origin == "lower"
        assert image.get_extent()[:2] == [0, 2.0]
    assert [image.get_clim() for image in drawn[1:]] == [(0, 1), (0, 1)]
    pixels = style.to_pixels(figure)
    assert pixels.shape == (1000, 1400, 3)
    assert pixels.dtype == np.uint8
