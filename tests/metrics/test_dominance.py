"""Playing time, the dominant class and its ties."""

import numpy as np
import pytest

from mir_tf.metrics.dominance import dominance_matrix, dominant, dominant_classes, playing_time, same_dominant


def roll(*frames_of_each_class: int, frames: int = 20) -> np.ndarray:
    """Return a roll [frames, classes] in which each class is active in its first frames, as many as given."""
    return np.arange(frames)[:, np.newaxis] < np.array(frames_of_each_class)


def test_playing_time_is_in_seconds() -> None:
    np.testing.assert_allclose(playing_time(roll(20, 5, 0)), [2.0, 0.5, 0.0])


def test_the_longest_playing_class_dominates_whenever_it_plays() -> None:
    active = roll(8, 0, 3)
    active[11:, 1] = True  # 9 frames, later
    assert dominant(active) == 1


def test_of_tied_classes_the_lowest_is_dominant() -> None:
    assert dominant(roll(3, 7, 7, 1)) == 1
    assert dominant_classes(roll(3, 7, 7, 1)) == [1, 2]


@pytest.mark.parametrize("silence", [roll(0, 0, 0), np.zeros((0, 3), bool)])
def test_silence_has_no_dominant_class(silence: np.ndarray) -> None:
    assert dominant(silence) is None
    assert dominant_classes(silence) == []
    np.testing.assert_array_equal(playing_time(silence), [0, 0, 0])


@pytest.mark.parametrize(
    ("predicted", "truth", "is_right"),
    [
        (roll(1, 9, 2), roll(3, 7, 1), True),
        (roll(9, 1, 2), roll(3, 7, 1), False),
        (roll(1, 2, 9), roll(0, 7, 7), True),  # predicts one of the tied
        (roll(9, 2, 1), roll(0, 7, 7), False),
        (roll(5, 5, 0), roll(0, 7, 0), False),  # a tie in the prediction: the lowest counts, which is wrong here
        (roll(0, 0, 0), roll(0, 0, 0), True),
        (roll(0, 1, 0), roll(0, 0, 0), False),
        (roll(0, 0, 0), roll(0, 1, 0), False),
    ],
)
def test_same_dominant(predicted: np.ndarray, truth: np.ndarray, is_right: bool) -> None:
    assert same_dominant(predicted, truth) is is_right


def test_the_matrix_counts_tracks_by_truth_and_prediction() -> None:
    predicted = [roll(*frames) for frames in ((5, 1), (5, 1), (0, 3), (0, 0), (0, 0), (1, 2))]
    truth = [roll(*frames) for frames in ((4, 4), (4, 3), (2, 0), (3, 3), (0, 0), (5, 0))]
    # Rows are the truth; the last row and column are silence.
    np.testing.assert_array_equal(dominance_matrix(predicted, truth), [[2, 2, 0.5], [0, 0, 0.5], [0, 0, 1]])
