"""Checks of whether a stem's sound fits its MIDI.

A stem with a warning stays in the labels: a soft or dying sound can look like a fault, and with the labels ``audible``
a silent stem marks nothing anyway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import frames_of
from tfrecords_builder.records.labels import AUDIBLE_DB, active_frames

_ATTACK = 0.3
"""Seconds after a note-on by which sound must begin."""

_REST_AFTER = 5.0
"""Seconds after a note-off from which a stem counts as resting: pads and cymbals die away until then."""

_MOST = 0.5
"""Share of the notes, or of the rest, from which a stem gets a warning."""

_MIN_REST = 5.0
"""Minimum seconds of rest for a check."""

_MIN_SOUND = 20.0
_MIN_NOTES = 10
"""Minimum seconds of sound and number of notes for the check for a constant tone or noise."""

_EVEN_DB = 1.0
"""Largest distance between the 5th and 95th percentile of the levels of a constant tone or noise."""


def check_stem(notes: NDArray[np.float64], levels: NDArray[np.float64], start: float = 0.0) -> list[str]:
    """Return warnings about a stem. A frame is silent at -60 dBFS RMS and below.

    - ``silent while its MIDI plays``: for at least half of the note-ons, the next 0.3 s are silent;
    - ``sounds while its MIDI rests``: at least half of the frames without a note now or in the 5 s before are not
      silent, and there are at least 5 s of such frames;
    - ``constant tone or noise``: 90 % of the frames that are not silent lie within 1 dB, there are at least 20 s of
      them, and at least ten notes are played.

    Args:
        notes: Note-on and note-off in seconds on the clock of the mix, float64 [notes, 2].
        levels: Level of each label frame in dBFS, float64 [label frames].
        start: Seconds of the mix before the first frame.

    Returns:
        One text with its figures for each criterion that is met.
    """
    warnings = []
    sounds = levels > AUDIBLE_DB  # [label frames]
    onsets, _ = frames_of(*(notes.T - start))
    onsets = onsets[(onsets >= 0) & (onsets < len(levels))]
    if len(onsets):
        reach = np.minimum(onsets[:, np.newaxis] + np.arange(round(_ATTACK * LABEL_RATE) + 1), len(levels) - 1)
        silent = ~sounds[reach].any(axis=1)  # [notes]
        if silent.mean() >= _MOST:
            warnings.append(f"silent while its MIDI plays ({silent.mean():.0%} of {len(onsets)} notes)")
    rests = ~active_frames(notes, len(levels), start, _REST_AFTER)
    if rests.sum() >= _MIN_REST * LABEL_RATE and (share := sounds[rests].mean()) >= _MOST:
        warnings.append(f"sounds while its MIDI rests ({share:.0%} of {rests.sum() / LABEL_RATE:.0f} s)")
    if sounds.sum() >= _MIN_SOUND * LABEL_RATE and len(onsets) >= _MIN_NOTES:
        spread = float(np.ptp(np.percentile(levels[sounds], [5, 95])))
        if spread <= _EVEN_DB:
            warnings.append(f"constant tone or noise ({spread:.2f} dB over {sounds.sum() / LABEL_RATE:.0f} s)")
    return warnings
