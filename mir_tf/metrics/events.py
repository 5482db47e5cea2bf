"""Segment-based and event-based metrics of sound event detection.

The metrics are those of Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection" (Applied
Sciences 6, 2016). The tests compare the counts with sed_eval and, for events, with mir_eval. Times are whole label
frames, so rounding cannot decide a match: sed_eval subtracts seconds, and finds 0.9 s more than 0.2 s after 0.7 s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mir_tf.config import LABEL_RATE
from mir_tf.events import Events
from mir_tf.metrics.counts import ConfusionCounts

SEGMENT_FRAMES = LABEL_RATE
"""Number of label frames in a segment of one second."""

COLLAR_FRAMES = 2
"""Largest distance between the starts of two events that match, and between the ends of short ones.

These are the 200 ms of DCASE's task 4 and of sed_eval.
"""

LENGTH_DIVISOR = 5
"""The ends of two events may differ by the true event's length divided by this, if that exceeds the collar.

A fifth is 20 %, as in DCASE's task 4.
"""


def segment_counts(active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ConfusionCounts:
    """Count segments [classes]; a class is active in a segment if it is active in any of its frames.

    Args:
        active: bool [frames, classes], predicted.
        truth: bool [frames, classes].
    """
    starts = np.arange(0, len(truth), SEGMENT_FRAMES)
    return ConfusionCounts.of(
        *(np.logical_or.reduceat(each, starts, axis=0) if len(each) else each for each in (active, truth))
    )


def event_counts(estimated: Events, reference: Events, groups: int, with_offsets: bool) -> ConfusionCounts:
    """Count events [groups]: as many true and predicted events as possible are matched one to one.

    Two events of a group match if their starts are at most :data:`COLLAR_FRAMES` apart. ``with_offsets``, their ends
    must be as close too, or closer than the true event's length divided by :data:`LENGTH_DIVISOR`.

    Args:
        estimated: Predicted events.
        reference: Events of the truth.
        groups: Number of groups. The classes of the events are groups: a class, or a class of a track.
        with_offsets: Whether the ends must match too.

    Returns:
        Counts in which ``tn`` is 0, because the number of absent events is not defined.
    """
    # Estimated events that begin within the collar are neighbours in the order of groups and starts.
    span = (
        1 + COLLAR_FRAMES + max((int(events.ends.max()) for events in (estimated, reference) if len(events)), default=0)
    )
    keys = estimated.classes * span + estimated.starts
    wanted = reference.classes * span + reference.starts
    first = np.searchsorted(keys, wanted - COLLAR_FRAMES)
    count = np.searchsorted(keys, wanted + COLLAR_FRAMES, side="right") - first  # [reference events]
    rows = np.repeat(np.arange(len(reference)), count)  # [pairs]
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count - first, count)
    if with_offsets:
        distances = np.abs(estimated.ends[columns] - reference.ends[rows])
        lengths = (reference.ends - reference.starts)[rows]
        close = distances * LENGTH_DIVISOR <= np.maximum(COLLAR_FRAMES * LENGTH_DIVISOR, lengths)
        rows, columns = rows[close], columns[close]
    pairs = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(reference), len(estimated)))
    is_found = maximum_bipartite_matching(pairs, perm_type="column") >= 0  # [reference events]
    found = np.bincount(reference.classes[is_found], minlength=groups)
    return ConfusionCounts(
        tp=found,
        fp=np.bincount(estimated.classes, minlength=groups) - found,
        fn=np.bincount(reference.classes, minlength=groups) - found,
        tn=np.zeros(groups, np.int64),
    )
