"""The records of a track: log-mel frames of the mix, and activity of the stems on the same clock."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_POLICIES, FrontEndConfig
from mir_tf.data import frontend
from mir_tf.data.records import Record, stem_id
from mir_tf.errors import ConfigError
from mir_tf.io import audio
from mir_tf.vocabulary import NUM_PROGRAMS
from tfrecords_builder.records import labels
from tfrecords_builder.records.stem_checks import check_stem
from tfrecords_builder.slakh.tree import Track


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """Configuration of the records of a track.

    Attributes:
        front_end: Front end of the log-mel frames.
        labels: Label policy, one of ``config.LABEL_POLICIES``.
        stems: Whether each stem of a train track becomes a record of its own.
    """

    front_end: FrontEndConfig
    labels: str = "midi"
    stems: bool = False

    def __post_init__(self) -> None:
        """Check the policy."""
        if self.labels not in LABEL_POLICIES:
            raise ConfigError(f"labels is {self.labels!r}; it must be {' or '.join(LABEL_POLICIES)}")

    @property
    def uses_stems(self) -> bool:
        """Whether the audio of the stems is read. If so, records have both kinds of labels, and stems are checked."""
        return self.stems or self.labels == "audible"


_SHORTEST = 1e-3
"""Fewest seconds of a stem to read."""


def make_records(track: Track, config: RecordConfig) -> list[Record]:
    """Return the record of a track's mix and, for a train track with ``config.stems``, one for each stem after it.

    Levels are measured at the front end's sample rate, so that sound above its band does not count as audible.

    Raises:
        AudioError: The mix, or a stem that must be read, cannot be decoded.
        DataError: The MIDI of a stem cannot be read.
    """
    front_end = config.front_end
    start, seconds = front_end.segment(audio.probe(track.mix).seconds)
    log_mel, num_samples = _log_mel(audio.read_blocks(track.mix, front_end.sample_rate, start, seconds), front_end)
    num_label_frames = front_end.num_label_frames(num_samples)
    activity = np.zeros((num_label_frames, NUM_PROGRAMS), np.bool_)
    audible = np.zeros_like(activity) if config.uses_stems else None
    stem_checks: list[str] = []
    stems: list[Record] = []
    for stem in track.stems:
        notes = labels.stem_notes(stem.midi)
        active = labels.active_frames(notes, num_label_frames, start)
        own = np.arange(NUM_PROGRAMS) == stem.program  # [129]; all False for a stem without a label
        own_activity = active[:, np.newaxis] & own
        activity |= own_activity
        if audible is None:
            continue
        meter = labels.LevelMeter(front_end.sample_rate)
        # A stem may end before the mix, and even before the segment begins.
        available = min(seconds, audio.probe(stem.audio).seconds - start)
        has_audio = available >= _SHORTEST
        read = audio.read_blocks(stem.audio, front_end.sample_rate, start, available) if has_audio else iter(())
        blocks = meter.through(read)
        is_item = config.stems and track.split == "train" and has_audio
        if is_item:
            stem_log_mel, stem_samples = _log_mel(blocks, front_end)
        else:
            collections.deque(blocks, maxlen=0)  # for the meter
        levels = meter.levels(num_label_frames)
        audible_now = labels.audible_frames(notes, levels, start)
        own_audible = audible_now[:, np.newaxis] & own
        audible |= own_audible
        stem_checks += (f"{stem.name}: {text}" for text in check_stem(notes, levels, start))
        if is_item:
            length = front_end.num_label_frames(stem_samples)
            stems.append(
                Record(
                    id=stem_id(track.id, stem.name),
                    song=track.song,
                    num_samples=stem_samples,
                    sample_rate=front_end.sample_rate,
                    log_mel=stem_log_mel,
                    activity=own_activity[:length],
                    audible=own_audible[:length],
                )
            )
    mix = Record(
        id=track.id,
        song=track.song,
        num_samples=num_samples,
        sample_rate=front_end.sample_rate,
        log_mel=log_mel,
        activity=activity,
        audible=audible,
        stem_checks=tuple(stem_checks),
    )
    return [mix, *stems]


def _log_mel(blocks: Iterator[NDArray[np.float32]], front_end: FrontEndConfig) -> tuple[NDArray[np.float16], int]:
    """Return the log-mel [frames, mels] of a signal, and its number of samples."""
    counted = audio.CountedBlocks(blocks)
    pieces = [piece.astype(np.float16) for piece in frontend.log_mel_blocks(counted, front_end)]
    return np.concatenate(pieces), counted.num_samples
