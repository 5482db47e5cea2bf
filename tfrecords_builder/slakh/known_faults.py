"""Stems whose sound and MIDI do not belong together: those known of Slakh2100, and those found by measurement.

A stem that is known to be bad is left out of the labels. One that measurement finds is reported and kept: a soft or
dying sound can look like a fault, and with the labels ``audible`` a silent stem marks nothing anyway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from tfrecords_builder.records.labels import AUDIBLE_DB, active_frames

KNOWN = {
    "Track00262": ("S01", "short-labels"),
    "Track00357": ("S03", "white-noise"),
    "Track00377": ("S07", "white-noise"),
    "Track00385": ("S00", "white-noise"),
    "Track00398": ("S00", "white-noise"),
    "Track00400": ("S00", "white-noise"),
    "Track00404": ("S03", "long-labels"),
    "Track00496": ("S01", "wrong-pitch"),
    "Track00629": ("S01", "white-noise"),
    "Track00633": ("S01", "white-noise"),
    "Track00737": ("S01", "long-labels"),
    "Track00749": ("S01", "white-noise"),
    "Track00893": ("S01", "long-labels"),
    "Track01629": ("S00", "white-noise"),
    "Track01876": ("S01", "missing-audio"),
    "Track01908": ("S05", "missing-audio"),
    "Track01918": ("S10", "wrong-pitch"),
    "Track01929": ("S04", "wrong-octave"),
    "Track01931": ("S01", "wrong-pitch"),
    "Track01937": ("S03", "wrong-pitch"),
    "Track01993": ("S01", "missing-audio"),
    "Track02024": ("S13", "missing-audio"),
}
"""Track of Slakh2100 → its bad stem, and what is wrong with it: facts published with the data set, in our own form."""

_ATTACK = 0.3
"""Seconds from a note-on in which something must be heard."""

_REST_AFTER = 5.0
"""Seconds after a note-off from which a stem rests: pads and cymbals die away until then."""

_MOST = 0.5
"""Part of the notes, or of the rest, from which on a stem is suspect."""

_MIN_REST = 5.0
"""Seconds of rest without which nothing is said of it."""

_MIN_SOUND = 20.0
_MIN_NOTES = 10
"""Seconds of sound and notes without which nothing is said of its evenness."""

_EVEN_DB = 1.0
"""Sound whose 5th- and 95th-percentile frames are no farther apart is a constant tone, or noise."""


def suspicions(notes: NDArray[np.float64], levels: NDArray[np.float64], start: float = 0.0) -> list[str]:
    """What speaks against a stem. A frame is silent at -60 dBFS RMS and below.

    - ``silent while its MIDI plays``: after at least half of its note-ons all of 0.3 s is silent;
    - ``sounds while its MIDI rests``: at least half of the frames without a note now or in the 5 s before are not
      silent, of 5 s at least;
    - ``constant tone or noise``: 90 % of the frames that are not silent, 20 s at least, lie within 1 dB, while ten
      notes or more are played.

    Args:
        notes: note-on and note-off in seconds on the clock of the mix, float64 [notes, 2].
        levels: of each label frame in dBFS, float64 [label frames].
        start: seconds of the mix before the first frame.

    Returns:
        One text for each criterion that is met, with its figures.
    """
    found = []
    sounds = levels > AUDIBLE_DB  # [label frames]
    onsets = np.floor(np.round((notes[:, 0] - start) * LABEL_RATE, 6)).astype(np.int64)
    onsets = onsets[(onsets >= 0) & (onsets < len(levels))]
    if len(onsets):
        reach = np.minimum(onsets[:, np.newaxis] + np.arange(round(_ATTACK * LABEL_RATE) + 1), len(levels) - 1)
        silent = ~sounds[reach].any(axis=1)  # [notes]
        if silent.mean() >= _MOST:
            found.append(f"silent while its MIDI plays ({silent.mean():.0%} of {len(onsets)} notes)")
    rests = ~active_frames(notes, len(levels), start, _REST_AFTER)
    if rests.sum() >= _MIN_REST * LABEL_RATE and (share := sounds[rests].mean()) >= _MOST:
        found.append(f"sounds while its MIDI rests ({share:.0%} of {rests.sum() / LABEL_RATE:.0f} s)")
    if sounds.sum() >= _MIN_SOUND * LABEL_RATE and len(onsets) >= _MIN_NOTES:
        spread = float(np.ptp(np.percentile(levels[sounds], [5, 95])))
        if spread <= _EVEN_DB:
            found.append(f"constant tone or noise ({spread:.2f} dB over {sounds.sum() / LABEL_RATE:.0f} s)")
    return found
