"""Estimate of a build's size and duration, from the length of every track and the work on a few."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mir_tf.data.records import encode
from mir_tf.errors import DataError, MirTfError
from mir_tf.io import audio
from tfrecords_builder import processes
from tfrecords_builder.build import TrackSource
from tfrecords_builder.processes import Failure
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.tree import Skipped, Track
from tfrecords_builder.synthesis import plan, render
from tfrecords_builder.synthesis.midi_edits import TAIL
from tfrecords_builder.synthesis.settings import RenderConfig

MEASURED = 3
"""Number of tracks that are built for the measurement."""


@dataclasses.dataclass(frozen=True)
class TrackEstimate:
    """A track that would be built.

    Attributes:
        song: Its song.
        split: Its split.
        seconds: Audio of its mix that would be used.
        records: Number of its records.
    """

    song: str
    split: str
    seconds: float
    records: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of the measured tracks.

    Attributes:
        audio: Seconds of their mixes.
        items: Seconds of all their records.
        work: Seconds of work of one core.
        num_bytes: Size of their records.
        rendered_bytes: Size of their rendered audio, if that is kept.
    """

    audio: float
    items: float
    work: float
    num_bytes: int
    rendered_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class BuildEstimate:
    """Estimate of a build.

    Attributes:
        tracks: Tracks that would be built.
        skipped: Tracks and stems that would be skipped, as far as is known without building.
        cost: Cost of the measured part of the audio.
    """

    tracks: list[TrackEstimate]
    skipped: list[Skipped]
    cost: Cost

    def of_split(self, split: str) -> list[TrackEstimate]:
        """Return the tracks of a split."""
        return [track for track in self.tracks if track.split == split]

    @property
    def scale(self) -> float:
        """Audio of all tracks, as a multiple of the measured part."""
        return sum(track.seconds for track in self.tracks) / self.cost.audio

    @property
    def num_bytes(self) -> float:
        """Size of the data set."""
        return self.cost.num_bytes * sum(track.seconds * track.records for track in self.tracks) / self.cost.items


def of_tracks(
    tracks: Sequence[Track],
    skipped: list[Skipped],
    config: RecordConfig,
    track_source: TrackSource[Track],
    is_stream: bool = False,
) -> BuildEstimate:
    """Estimate a build from audio.

    Args:
        tracks: Tracks that would be built.
        skipped: Tracks skipped before.
        config: Configuration of the records.
        track_source: Source of the tracks' files.
        is_stream: Whether to open the measured tracks only, and assume that the others are as long.

    Raises:
        DataError: No track can be built.
    """
    planned = []
    bad = []
    measured: list[Cost] = []
    waiting = {track.id: track for track in tracks}
    for track in track_source.open(tracks):
        del waiting[track.id]
        try:
            _, seconds = config.front_end.segment(audio.probe(track.mix).seconds)
            if len(measured) < MEASURED:
                measured.append(_measure(track, seconds, config))
            planned.append(_planned(track, len(track.stems), seconds, config))
        except MirTfError as error:
            bad.append(Skipped(track.id, track_source.shown(str(error))))
        track_source.close(track)
        if is_stream and len(measured) == MEASURED:
            break
    if waiting:  # in a stream
        seconds = statistics.fmean(track.seconds for track in planned)
        planned += (_planned(track, len(track.stems), seconds, config) for track in waiting.values())
    skipped = skipped + bad
    if not planned:
        causes = "".join(f"\n  {item.item}: {item.reason}" for item in skipped[:10])
        raise DataError(f"no track can be used:{causes}")
    return BuildEstimate(planned, skipped, _sum(measured))


def of_midi(
    midi: Path,
    soundfonts: Sequence[Path],
    rendering: RenderConfig,
    config: RecordConfig,
    workers: int,
    keeps_audio: bool,
) -> BuildEstimate:
    """Estimate a build from MIDI files, a few of which are rendered into a temporary folder.

    Raises:
        DataError: There is no MIDI file, a SoundFont cannot be read, or no file can be rendered.
    """
    with processes.pool(workers) as pool:
        tracks, bad = plan.plan_tree(midi, soundfonts, rendering, pool)
        extents = dict(pool.results(plan.track_extent, sorted({item.job.midi for item in tracks})))
    planned = []
    measured: list[Cost] = []
    for item in tracks:
        extent = extents[item.job.midi]
        if isinstance(extent, Failure):
            bad.append((item.job.midi, extent.reason))
            continue
        length = extent.seconds if rendering.excerpt is None else min(extent.seconds, rendering.excerpt + TAIL)
        if length > plan.MAX_SECONDS:
            bad.append((item.job.midi, plan.too_long(item.job.midi, length)))
            continue
        seconds = config.front_end.segment(length)[1]
        if len(measured) < MEASURED:
            cost = processes.outcome(functools.partial(_measure_rendered, item, seconds, config))
            if isinstance(cost, Failure):
                bad.append((item.job.midi, cost.reason))
                continue
            measured.append(cost if keeps_audio else dataclasses.replace(cost, rendered_bytes=0))
        augmentation = item.job.augmentation
        voices = augmentation is not None and augmentation.singer() is not None
        planned.append(_planned(item, extent.stems + voices, seconds, config))
    skipped = plan.skipped_files(midi, sorted(bad), len(planned))
    return BuildEstimate(planned, skipped, _sum(measured))


def _planned(track: Track | plan.PlannedTrack, stems: int, seconds: float, config: RecordConfig) -> TrackEstimate:
    has_stems = config.stems and track.split == "train"
    return TrackEstimate(track.song, track.split, seconds, 1 + stems * has_stems)


def _measure(track: Track, seconds: float, config: RecordConfig) -> Cost:
    make_records(track, config)  # warm-up: TensorFlow builds its graphs in the first run
    began = time.perf_counter()
    records = make_records(track, config)
    size = sum(len(encode(record)) for record in records)
    return Cost(seconds, seconds * len(records), time.perf_counter() - began, size)


def _measure_rendered(item: plan.PlannedTrack, seconds: float, config: RecordConfig) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with render.rendered(item, Path(folder)) as track:
            work = time.perf_counter() - began
            size = sum(path.stat().st_size for path in track.mix.parent.rglob("*") if path.is_file())
            cost = _measure(track, seconds, config)
        return dataclasses.replace(cost, work=cost.work + work, rendered_bytes=size)


def _sum(costs: list[Cost]) -> Cost:
    return Cost(
        audio=sum(cost.audio for cost in costs),
        items=sum(cost.items for cost in costs),
        work=sum(cost.work for cost in costs),
        num_bytes=sum(cost.num_bytes for cost in costs),
        rendered_bytes=sum(cost.rendered_bytes for cost in costs),
    )
