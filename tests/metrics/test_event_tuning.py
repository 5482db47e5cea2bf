"""Counts of the grid against decoding track by track, and which entry is chosen."""

import numpy as np
import pytest

from mir_tf.events import Events, PostProcessing, decode
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.event_tuning import GRID, choose, grid_counts, post_processing_at
from mir_tf.metrics.events import event_counts

CLASSES = 4
THRESHOLDS = np.linspace(0.4, 0.7, CLASSES, dtype=np.float32)


def songs(noise: float, seed: int = 0, count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return songs whose notes last seconds, with flickering probabilities. The last class never plays."""
    generator = np.random.default_rng(seed)
    tracks = []
    for _ in range(count):
        frames = int(generator.integers(150, 400))
        truth = np.cumsum(generator.random((frames, CLASSES)) < 0.03, axis=0) % 2 == 1
        truth[:, -1] = False
        scores = np.clip(0.25 + 0.5 * truth + generator.normal(0, noise, truth.shape), 0, 1).astype(np.float32)
        tracks.append((scores, truth))
    return tracks


@pytest.fixture(scope="module")
def tracks() -> list[tuple[np.ndarray, np.ndarray]]:
    return songs(noise=0.15)


@pytest.fixture(scope="module")
def counts(tracks: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return grid_counts(tracks, THRESHOLDS)


@pytest.mark.parametrize("index", [0, 1, 6, 35, 60, 100, len(GRID) - 1])
def test_counts_are_those_of_decoding_track_by_track(
    tracks: list[tuple[np.ndarray, np.ndarray]], counts: np.ndarray, index: int
) -> None:
    post_processing = post_processing_at(index, THRESHOLDS)
    expected = np.zeros((2, 4, CLASSES), np.int64)
    for scores, truth in tracks:
        active = decode(scores, THRESHOLDS, post_processing)
        onsets = event_counts(Events.of(active), Events.of(truth), CLASSES, with_offsets=False)
        frames = ConfusionCounts.of(active, truth)
        expected[0, :3] += np.stack([onsets.tp, onsets.fp, onsets.fn])
        expected[1, :3] += np.stack([frames.tp, frames.fp, frames.fn])
    np.testing.assert_array_equal(counts[:, :, index], expected)


def test_counts_add_up_over_tracks(tracks: list[tuple[np.ndarray, np.ndarray]], counts: np.ndarray) -> None:
    """Workers can share the tracks, and a worker may have none."""
    apart = [grid_counts(tracks[:1], THRESHOLDS), grid_counts(tracks[1:], THRESHOLDS), grid_counts([], THRESHOLDS)]
    np.testing.assert_array_equal(sum(apart), counts)


def test_the_first_entry_leaves_frames_as_they_are() -> None:
    assert post_processing_at(0, THRESHOLDS) == PostProcessing.plain(THRESHOLDS)


def macro_f1(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the macro F1 [grid] of onsets, and the micro and macro F1 of frames."""
    onsets, frames = (ConfusionCounts(*columns) for columns in counts)
    return onsets.macro_f1, frames.micro.f1, frames.macro_f1


def test_flickering_probabilities_are_smoothed(counts: np.ndarray) -> None:
    chosen = choose(counts, THRESHOLDS)
    assert chosen.fits(THRESHOLDS)
    onsets, micro, macro = macro_f1(counts)
    index = next(index for index in range(len(GRID)) if post_processing_at(index, THRESHOLDS) == chosen)
    assert onsets[index] > 2 * onsets[0]
    mean = (micro + macro) / 2
    assert mean[index] >= mean[0]
    assert onsets[index] == onsets[mean >= mean[0]].max()


def test_onsets_do_not_cost_frames() -> None:
    """An echo follows each note, and is detected as a second note unless the gap between them is filled."""
    truth = np.tile(np.repeat([True, False, False, False], [40, 25, 25, 25]), 6)[:, np.newaxis]
    scores = np.tile(np.repeat([0.6, 0.45, 0.6, 0.0], [40, 25, 25, 25]), 6)[:, np.newaxis].astype(np.float32)
    thresholds = np.array([0.5], np.float32)
    counts = grid_counts([(scores, truth)], thresholds)
    onsets, _, frames = macro_f1(counts)
    best = int(onsets.argmax())
    assert (onsets[0], onsets[best]) == (pytest.approx(2 / 3), 1)
    assert frames[best] < frames[0]
    assert choose(counts, thresholds) == PostProcessing.plain(thresholds)


def test_of_equally_good_entries_the_plainest_is_chosen() -> None:
    truth = np.repeat([[False], [True], [False]], 30, axis=0)
    counts = grid_counts([(truth.astype(np.float32), truth)], np.array([0.5], np.float32))
    assert choose(counts, np.array([0.5], np.float32)) == PostProcessing.plain(np.array([0.5], np.float32))
