"""Performances of songs that were made from scores, whose notes are on a grid and often equally loud.

All players follow one tempo, which drifts, and one dynamic, which rises and falls. Each has habits: how late or early,
how exact, how detached and how loud. The labels are made from the notes as they are played, so they still fit.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pretty_midi
from numpy.typing import NDArray

from tfrecords_builder.ensembles import expression

_STEP = 0.5
"""Seconds between the points of a curve."""

_TEMPO = 0.05
"""Typical deviation of the tempo, as a share."""

_LATE = 0.012
"""Typical time in seconds by which a player is late or early throughout a song."""

_INEXACT = (0.004, 0.02)
"""Range of the typical error of a player's onsets, in seconds."""

_SHORTEST = 0.03
"""Length in seconds below which no note is shortened."""

_SOFTEST, _LOUDEST = 15, 127
"""Velocities within which notes stay."""


def humanize(song: pretty_midi.PrettyMIDI, seed: str) -> None:
    """Move the notes, controllers and bends of a song in time, and change its velocities, as players would."""
    generator = random.Random(seed)
    end = max(note.end for instrument in song.instruments for note in instrument.notes)
    points = np.arange(0.0, end + 2 * _STEP, _STEP)
    pace = np.exp(_curve(generator, len(points), _TEMPO))
    times = np.concatenate([[0.0], np.cumsum(pace[:-1] * _STEP)])
    dynamic = _curve(generator, len(points), generator.uniform(4, 14))
    for instrument in song.instruments:
        late = generator.gauss(0, _LATE)
        error = generator.uniform(*_INEXACT)
        kept = generator.uniform(0.75, 1.0)
        jitter = generator.uniform(2, 8)
        own = dynamic + _curve(generator, len(points), generator.uniform(2, 8)) + generator.gauss(0, 6)
        for event in (*instrument.control_changes, *instrument.pitch_bends):
            event.time = float(np.interp(event.time, points, times))
        for note in instrument.notes:
            velocity = note.velocity + np.interp(note.start, points, own) + generator.gauss(0, jitter)
            note.velocity = max(_SOFTEST, min(round(velocity), _LOUDEST))
            start, stop = np.interp([note.start, note.end], points, times).tolist()
            # A slip of more than two errors would be heard as a mistake.
            slip = max(-2 * error, min(generator.gauss(0, error), 2 * error))
            note.start = max(start + late + slip, 0.0)
            note.end = note.start + max((stop - start) * kept, min(stop - start, _SHORTEST))
        expression.release(instrument)


def _curve(generator: random.Random, count: int, deviation: float) -> NDArray[np.float64]:
    """Return a curve of slow waves, of 6 to 60 s, around 0 with about the given standard deviation."""
    seconds = np.arange(count) * _STEP
    curve = np.zeros(count)
    for _ in range(4):
        wave = np.sin(math.tau * (seconds / generator.uniform(6, 60) + generator.random()))
        curve += deviation * generator.uniform(0.3, 1) * wave
    return curve
