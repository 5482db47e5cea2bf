"""The event rule that suits a model: of a small grid the best by onsets, of those that keep the mean F1 of frames.

One choice is made for all classes together; only the thresholds at which an interval goes on differ, as shares of the
classes' own. Chosen class by class, the numbers fit the validation songs better and other songs no better:
tools/choose_post_processing.py measures it, docs/events.md has the figures.
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
"""Offset thresholds that are tried, as shares of the thresholds."""

FRAMES = (0, 2, 3, 5, 8, 12)
"""Longest gaps that are filled, and least durations, that are tried, in label frames."""

GRID = tuple(itertools.product(OFFSET_SHARES, FRAMES, FRAMES))
"""Shares, gaps and durations; the first of all leaves the frames as they are."""

ScoredTrack = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Probabilities and truth [label frames, classes] of a track."""


def grid_counts(answers: Sequence[ScoredTrack], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """What every rule of the grid finds: to be added up over tracks, and then given to :func:`choose`.

    Args:
        answers: of each track; there may be none.
        thresholds: float32 [classes].

    Returns:
        int64 [2, 4, grid, classes]: of onsets (:func:`mir_tf.metrics.events.event_counts`) and of frames the columns of
        :class:`mir_tf.metrics.counts.ConfusionCounts`; ``tn`` is 0.
    """
    num_classes = len(thresholds)
    counts = np.zeros((2, 4, len(GRID), num_classes), np.int64)
    if not answers:
        return counts
    groups = len(answers) * num_classes  # one for each class of each track
    reference = Events.joined([Events.of(truth) for _, truth in answers], num_classes)
    # Frames of truth before each frame, all tracks one after the other, and each track's first frame there.
    truth = np.concatenate([truth for _, truth in answers])
    before = np.zeros((len(truth) + 1, num_classes), np.int64)
    np.cumsum(truth, axis=0, out=before[1:])
    firsts = np.cumsum([0, *(len(truth) for _, truth in answers)])[:-1]

    rows = iter(np.moveaxis(counts, 2, 0))  # [2, 4, classes] each
    for share in OFFSET_SHARES:
        offsets = thresholds * np.float32(share)
        heard = Events.joined(
            [hysteresis(probabilities, thresholds, offsets) for probabilities, _ in answers], num_classes
        )
        for gap in FRAMES:
            filled = heard.filled(np.full(groups, gap))
            for duration in FRAMES:
                events = filled.lasting(np.full(groups, duration))
                onsets = event_counts(events, reference, groups, with_offsets=False)
                tracks, classes = np.divmod(events.classes, num_classes)
                shift = firsts[tracks]
                hits = before[shift + events.ends, classes] - before[shift + events.starts, classes]
                tp = np.bincount(classes, hits, minlength=num_classes).astype(np.int64)
                found = np.bincount(classes, events.ends - events.starts, minlength=num_classes).astype(np.int64)
                row = next(rows)
                row[0, :3] = np.stack([onsets.tp, onsets.fp, onsets.fn]).reshape(3, -1, num_classes).sum(axis=1)
                row[1, :3] = tp, found - tp, before[-1] - tp
    return counts


def choose(counts: NDArray[np.int64], thresholds: NDArray[np.float32]) -> PostProcessing:
    """The rule that :func:`choose_index` takes, for classes with ``thresholds`` [classes]."""
    return rule_at(choose_index(counts), thresholds)


def choose_index(counts: NDArray[np.int64]) -> int:
    """The place in the grid of the rule with the best macro F1 of onsets.

    Rules that lower the mean of micro and macro F1 over frames are left out; of equally good ones the first of the
    grid is taken, that of the highest offset thresholds.

    Args:
        counts: int64 [2, 4, grid, classes], as :func:`grid_counts` gives them, of one track or added up over many. A
            class must sound in them.
    """
    onsets, frames = (ConfusionCounts(*columns) for columns in counts)
    mean = (frames.micro.f1 + frames.macro_f1) / 2
    return int(np.where(mean >= mean[0], onsets.macro_f1, -1).argmax())


def rule_at(index: int, thresholds: NDArray[np.float32]) -> PostProcessing:
    """A rule of the grid, for classes with ``thresholds`` [classes]."""
    share, gap, duration = GRID[index]
    return PostProcessing(
        offset_thresholds=tuple((thresholds * np.float32(share)).tolist()),
        min_durations=(duration / LABEL_RATE,) * len(thresholds),
        max_gaps=(gap / LABEL_RATE,) * len(thresholds),
    )
