"""Activity of stems at ten frames per second, from their MIDI and their loudness."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.events import frames_of
from tfrecords_builder.midi import read_parts

AUDIBLE_DB = -60.0
"""Level in dBFS that an audible frame exceeds."""

_UNDER_LOUD_DB = 40.0
"""An audible frame is less than this far below the 95th percentile of the frames above :data:`AUDIBLE_DB`."""

AUDIBLE_TAIL = 2.0
"""Seconds after a note-off in which sound still counts."""

_SILENCE_DB = -200.0


def stem_notes(midi: Path) -> NDArray[np.float64]:
    """Return note-on and note-off of all notes of a stem in seconds, float64 [notes, 2], for any instruments.

    Raises:
        DataError: The file cannot be read as MIDI.
    """
    parts = read_parts(midi)
    return np.concatenate([np.zeros((0, 2)), *(np.stack([part.starts, part.ends], axis=1) for part in parts)])


def active_frames(
    notes: NDArray[np.float64], num_label_frames: int, start: float = 0.0, tail: float = 0.0
) -> NDArray[np.bool_]:
    """Return the label frames in which a stem plays: from note-on to note-off, at least one frame for each note.

    A note sounds in every frame that it overlaps. The pedal is ignored, and drums count as they are written. Notes
    whose note-off is at the tick of their note-on do not count, because the MIDI reader drops them.

    Args:
        notes: float64 [notes, 2], on the clock of the mix.
        num_label_frames: Number of frames.
        start: Seconds of the mix before the first frame.
        tail: Seconds by which each note is extended.

    Returns:
        bool [num_label_frames].
    """
    on, off = notes.T - start  # [notes] each
    begins, ends = np.clip(frames_of(on, off + tail), 0, num_label_frames)
    changes = np.zeros(num_label_frames + 1, np.int64)
    np.add.at(changes, begins, 1)
    np.add.at(changes, ends, -1)
    active: NDArray[np.bool_] = np.cumsum(changes)[:-1] > 0
    return active


def audible_frames(notes: NDArray[np.float64], levels: NDArray[np.float64], start: float = 0.0) -> NDArray[np.bool_]:
    """Return the label frames in which a stem is audible: decays count, silent notes do not.

    These are the frames within [note-on, note-off + 2 s] that are louder than -60 dBFS and less than 40 dB below the
    95th percentile of the frames above -60 dBFS.

    Args:
        notes: float64 [notes, 2], on the clock of the mix.
        levels: Level of each label frame in dBFS, float64 [label frames], from :class:`LevelMeter`.
        start: Seconds of the mix before the first frame.

    Returns:
        bool [label frames].
    """
    if not len(levels):
        return np.zeros(0, np.bool_)
    sounding = levels > AUDIBLE_DB
    if not sounding.any():
        return sounding
    # Frames in which the stem rests do not show how loud it plays.
    loud = float(np.percentile(levels[sounding], 95))
    is_audible = sounding & (levels > loud - _UNDER_LOUD_DB)
    return is_audible & active_frames(notes, len(levels), start, AUDIBLE_TAIL)


class LevelMeter:
    """A meter of the level in each label frame of a signal that passes through."""

    def __init__(self, sample_rate: int) -> None:
        """Prepare for a signal of ``sample_rate`` Hz."""
        self._rate = sample_rate
        self._energies: list[tuple[int, NDArray[np.float64]]] = []
        self._num_samples = 0

    def through(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks [samples] unchanged."""
        for block in blocks:
            first, last = (
                position * LABEL_RATE // self._rate
                for position in (self._num_samples, self._num_samples + len(block) - 1)
            )
            begins = -(np.arange(first, last + 1) * self._rate // -LABEL_RATE) - self._num_samples  # rounded up
            energies = np.add.reduceat(np.square(block, dtype=np.float64), np.maximum(begins, 0))  # [frames]
            self._energies.append((first, energies))
            self._num_samples += len(block)
            yield block

    def levels(self, num_label_frames: int) -> NDArray[np.float64]:
        """Return the RMS of the first label frames in dBFS, float64 [num_label_frames]; -200 for silence."""
        energies = np.zeros(max([num_label_frames, *(first + len(own) for first, own in self._energies)]))
        for first, own in self._energies:
            energies[first : first + len(own)] += own
        return np.asarray(
            10 * np.log10(np.maximum(energies[:num_label_frames] * LABEL_RATE / self._rate, 10 ** (_SILENCE_DB / 10)))
        )
