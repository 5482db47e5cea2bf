"""From a track to its record: log-mel frames of the mix, and activity of the stems on the same clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mir_tf import audio, frontend
from mir_tf.config import FrontEndConfig
from mir_tf.schema import Record
from tfrecords_builder.labels import track_activity
from tfrecords_builder.slakh import Track


def make_record(track: Track, front_end: FrontEndConfig) -> Record:
    """Reads a track: log-mel frames of its mix, and the activity of its stems on the same clock.

    Raises:
        AudioError: the mix cannot be decoded.
        DataError: the MIDI of a stem cannot be read.
    """
    start, seconds = front_end.segment(audio.probe(track.mix).seconds)
    num_samples = 0

    def counted_blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal num_samples
        for block in audio.read_blocks(track.mix, front_end.sample_rate, start, seconds):
            num_samples += len(block)
            yield block

    pieces = [piece.astype(np.float16) for piece in frontend.log_mel_blocks(counted_blocks(), front_end)]
    return Record(
        id=track.id,
        song=track.song,
        num_samples=num_samples,
        sample_rate=front_end.sample_rate,
        log_mel=np.concatenate(pieces),  # [frames, mels]
        activity=track_activity(track, front_end.num_label_frames(num_samples), start),
    )
