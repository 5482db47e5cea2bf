"""How well intervals agree: by segments of a second, and event by event, as sound event detection measures it.

Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection" (Applied Sciences 6, 2016). The counts
are those of sed_eval and, of events, of mir_eval; both are oracles in the tests. Times are label frames, so that no
rounding decides what is close: for sed_eval, which subtracts seconds, 0.9 s is more than 0.2 s after 0.7 s.
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
"""Label frames of a segment: one second."""

COLLAR_FRAMES = 2
"""How far, at most, an event may begin from the one in the truth, and end from it if that is short: 200 ms, the collar
of DCASE's task 4 and of sed_eval."""

LENGTH_DIVISOR = 5
"""An event may end as far from the one in the truth as a fifth, 20 %, of its length, where that is more than the
collar; also DCASE's."""


def segment_counts(active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ConfusionCounts:
    """Counts [classes] over the segments: a class is active in one if it is in any of its frames.

    Args:
        active: bool [frames, classes], predicted.
        truth: bool [frames, classes].
    """
    starts = np.arange(0, len(truth), SEGMENT_FRAMES)
    return ConfusionCounts.of(
        *(np.logical_or.reduceat(each, starts, axis=0) if len(each) else each for each in (active, truth))
    )


def event_counts(estimated: Events, reference: Events, groups: int, with_offsets: bool) -> ConfusionCounts:
    """Counts [groups] of events: the most that can be matched one to one, found or wrongly found, or missed.

    Two events of a group match where their starts are at most :data:`COLLAR_FRAMES` apart and, ``with_offsets``, their
    ends as close, or closer than the reference's length divided by :data:`LENGTH_DIVISOR`.

    Args:
        estimated: events predicted.
        reference: events of the truth.
        groups: number of groups, which take the place of the events' classes: a class, or a class of a track.
        with_offsets: whether ends count.

    Returns:
        Counts with ``tn`` 0: there is no telling how many events are not there.
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
