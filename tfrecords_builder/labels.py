"""From the MIDI of rendered stems to activity at ten frames a second."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.vocabulary import NUM_PROGRAMS
from tfrecords_builder import songs
from tfrecords_builder.slakh import Track


def stem_activity(midi: Path, num_label_frames: int, start: float = 0.0) -> NDArray[np.bool_]:
    """In which label frames a stem plays: from note-on to note-off, one frame at least.

    A note sounds in every frame that it overlaps. The pedal is ignored, drums count as they are written.
    Whatever instruments the file names, all its notes are the stem's. One thing is lost: a note whose note-off
    comes at the very tick of its note-on is dropped by pretty_midi, and marks nothing.

    Args:
        midi: the stem's MIDI file, on the clock of the mix.
        num_label_frames: frames wanted.
        start: seconds of the mix before the first frame.

    Returns:
        bool [num_label_frames].

    Raises:
        DataError: the file cannot be read as MIDI.
    """
    active = np.zeros(num_label_frames, np.bool_)
    for instrument in songs.read_midi(midi).instruments:
        for note in instrument.notes:
            # Rounded, because 0.3 s after 0.1 s must end frame 3 and not begin frame 4.
            first = math.floor(round((note.start - start) * LABEL_RATE, 6))
            end = max(first + 1, math.ceil(round((note.end - start) * LABEL_RATE, 6)))
            active[max(first, 0) : max(end, 0)] = True
    return active


def track_activity(track: Track, num_label_frames: int, start: float = 0.0) -> NDArray[np.bool_]:
    """Activity of each program in a track: that of any of its stems.

    Args:
        track: the track.
        num_label_frames: frames wanted.
        start: seconds of the mix before the first frame.

    Returns:
        bool [num_label_frames, 129], drums last.

    Raises:
        DataError: the MIDI of a stem cannot be read.
    """
    activity = np.zeros((num_label_frames, NUM_PROGRAMS), np.bool_)
    for stem in track.stems:
        activity[:, stem.program] |= stem_activity(stem.midi, num_label_frames, start)
    return activity
