"""Choice of a model's post-processing from a small grid: the best F1 of onsets that does not lower the F1 of frames.

All classes share the choice; only their offset thresholds differ, as a share of each class's threshold. A choice for
each class fits the validation songs better, but other songs no better: tools/choose_post_processing.py measures it,
and docs/events.md has the numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import Events, PostProcessing, hysteresis
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.events import event_counts

OFFSET_SHARES = (1.0, 0.8, 0.6, 0.4)
"""Offset thresholds to try, as shares of the thresholds."""

FRAMES = (0, 2, 3, 5, 8, 12)
"""Longest gaps to fill and shortest durations to keep, to try, in label frames."""

GRID = tuple(itertools.product(OFFSET_SHARES, FRAMES, FRAMES))
"""All combinations of share, gap and duration. The first one leaves the frames as they are."""

ScoredTrack = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Probabilities and truth [label frames, classes] of a track."""


def grid_counts(tracks: Sequence[ScoredTrack], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count onsets and frames for every entry of the grid.

    Counts of different tracks can be added up before they go to :func:`choose`.

    Args:
        tracks: Scores of each track; may be empty.
        thresholds: float32 [classes].

    Returns:
        int64 [2, 4, grid, classes]: the columns of :class:`mir_tf.metrics.counts.ConfusionCounts`, first for onsets
        (:func:`mir_tf.metrics.events.event_counts`), then for frames. ``tn`` is 0.
    """
    num_classes = len(thresholds)
    counts = np.zeros((2, 4, len(GRID), num_classes), np.int64)
    if not tracks:
        return counts
    groups = len(tracks) * num_classes  # one for each class of each track
    reference = Events.joined([Events.of(truth) for _, truth in tracks], num_classes)
    # For all tracks one after the other: number of true frames before each frame, and the first frame of each track.
    truth = np.concatenate([truth for _, truth in tracks])
    before = np.zeros((len(truth) + 1, num_classes), np.int64)
    np.cumsum(truth, axis=0, out=before[1:])
    firsts = np.cumsum([0, *(len(truth) for _, truth in tracks)])[:-1]

    rows = iter(np.moveaxis(counts, 2, 0))  # [2, 4, classes] each
    for share in OFFSET_SHARES:
        offsets = thresholds * np.float32(share)
        detected = Events.joined(
            [hysteresis(probabilities, thresholds, offsets) for probabilities, _ in tracks], num_classes
        )
        for gap in FRAMES:
            filled = detected.filled(np.full(groups, gap))
            for duration in FRAMES:
                events = filled.lasting(np.full(groups, duration))
                onsets = event_counts(events, reference, groups, with_offsets=False)
                track, classes = np.divmod(events.classes, num_classes)
                shift = firsts[track]
                hits = before[shift + events.ends, classes] - before[shift + events.starts, classes]
                tp = np.bincount(classes, hits, minlength=num_classes).astype(np.int64)
                found = np.bincount(classes, events.ends - events.starts, minlength=num_classes).astype(np.int64)
                row = next(rows)
                row[0, :3] = np.stack([onsets.tp, onsets.fp, onsets.fn]).reshape(3, -1, num_classes).sum(axis=1)
                row[1, :3] = tp, found - tp, before[-1] - tp
    return counts


def choose(counts: NDArray[np.int64], thresholds: NDArray[np.float32]) -> PostProcessing:
    """Return the entry that :func:`choose_index` finds, for classes with ``thresholds`` [classes]."""
    return post_processing_at(choose_index(counts), thresholds)


def choose_index(counts: NDArray[np.int64]) -> int:
    """Find the entry of the grid with the best macro F1 of onsets.

    Entries that lower the mean of micro and macro F1 over frames are excluded. Of equally good entries the first one
    wins, which has the highest offset thresholds.

    Args:
        counts: int64 [2, 4, grid, classes] from :func:`grid_counts`, of one track or added up over many. At least one
            class must be active in them.
    """
    onsets, frames = (ConfusionCounts(*columns) for columns in counts)
    mean = (frames.micro.f1 + frames.macro_f1) / 2
    return int(np.where(mean >= mean[0], onsets.macro_f1, -1).argmax())


def post_processing_at(index: int, thresholds: NDArray[np.float32]) -> PostProcessing:
    """Return an entry of the grid, for classes with ``thresholds`` [classes]."""
    share, gap, duration = GRID[index]
    return PostProcessing(
        offset_thresholds=tuple((thresholds * np.float32(share)).tolist()),
        min_durations=(duration / LABEL_RATE,) * len(thresholds),
        max_gaps=(gap / LABEL_RATE,) * len(thresholds),
    )
