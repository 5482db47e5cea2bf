"""What a build would give, how large and how long: from the length of every track, and the work on a few."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mir_tf import audio, schema
from mir_tf.config import FrontEndConfig
from mir_tf.errors import DataError, MirTfError
from tfrecords_builder import processes, render
from tfrecords_builder.build import Supply
from tfrecords_builder.processes import Failure
from tfrecords_builder.record import make_record
from tfrecords_builder.slakh import LeftOut, Track, find_tracks

MEASURED = 3
"""Tracks that are really built."""


@dataclasses.dataclass(frozen=True)
class PlannedTrack:
    """A track that would be built, with the seconds of audio that would be used of it."""

    song: str
    split: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """What audio costs.

    Attributes:
        audio: seconds that were measured.
        work: seconds that they took one core.
        num_bytes: size of their records.
        rendered_bytes: size of their rendered audio, kept until the data set is finished.
    """

    audio: float
    work: float
    num_bytes: int
    rendered_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a build would give.

    Attributes:
        tracks: those that would be built.
        left_out: what would not be in the data set, as far as can be told without building it.
        cost: of a part of the audio, for the whole.
    """

    tracks: list[PlannedTrack]
    left_out: list[LeftOut]
    cost: Cost

    def of_split(self, split: str) -> list[PlannedTrack]:
        """The tracks of a split."""
        return [track for track in self.tracks if track.split == split]

    @property
    def scale(self) -> float:
        """The audio of all tracks, as a multiple of the measured part."""
        return sum(track.seconds for track in self.tracks) / self.cost.audio


def of_tracks(tracks: Sequence[Track], left_out: list[LeftOut], front_end: FrontEndConfig, supply: Supply) -> Estimate:
    """The estimate of a build from audio.

    Raises:
        DataError: not one track can be built.
    """
    planned = []
    bad = []
    measured: list[Cost] = []
    for track in supply.open(tracks):
        try:
            _, seconds = front_end.segment(audio.probe(track.mix).seconds)
            if len(measured) < MEASURED:
                measured.append(_measure(track, seconds, front_end))
            planned.append(PlannedTrack(track.song, track.split, seconds))
        except MirTfError as error:
            bad.append(LeftOut(track.id, str(error)))
        supply.close(track)
    left_out = left_out + bad
    if not planned:
        causes = "".join(f"\n  {item.item}: {item.reason}" for item in left_out[:10])
        raise DataError(f"no track can be used:{causes}")
    return Estimate(planned, left_out, _sum(measured))


def of_midi(
    midi: Path,
    soundfonts: Sequence[Path],
    seed: int,
    shuffle_programs: int | None,
    front_end: FrontEndConfig,
    workers: int,
) -> Estimate:
    """The estimate of a build from MIDI files, a few of which are rendered into a folder for temporary files.

    Raises:
        DataError: there is no MIDI file, a SoundFont cannot be read, or not one file can be rendered.
    """
    with processes.pool(workers) as pool:
        plan, bad = render.plan_tree(midi, soundfonts, seed, pool)
        length = dict(pool.results(render.track_seconds, [item.job.midi for item in plan]))
    planned = []
    measured: list[Cost] = []
    for item in plan:
        seconds = length[item.job.midi]
        if isinstance(seconds, Failure):
            bad.append((item.job.midi, seconds.reason))
            continue
        seconds = front_end.segment(seconds)[1]
        if len(measured) < MEASURED:
            try:
                measured.append(_measure_rendered(item.job, seconds, shuffle_programs, front_end))
            except DataError as error:
                bad.append((item.job.midi, str(error)))
                continue
        planned.append(PlannedTrack(item.song, item.split, seconds))
    if not planned:
        causes = "".join(f"\n  {reason}" for _, reason in bad[:10])
        raise DataError(f"{midi}: not one file could be rendered:{causes}")
    left_out = [LeftOut(str(path.relative_to(midi)), reason) for path, reason in sorted(bad)]
    return Estimate(planned, left_out, _sum(measured))


def _measure(track: Track, seconds: float, front_end: FrontEndConfig) -> Cost:
    make_record(track, front_end)  # once for nothing: TensorFlow's first run builds its graphs
    began = time.perf_counter()
    size = len(schema.encode(make_record(track, front_end)))
    return Cost(seconds, time.perf_counter() - began, size)


def _measure_rendered(
    job: render.RenderJob, seconds: float, shuffle_programs: int | None, front_end: FrontEndConfig
) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        render.render_track(job, Path(folder), shuffle_programs=shuffle_programs)
        work = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        (track,), _ = find_tracks(folder)
        cost = _measure(track, seconds, front_end)
        return dataclasses.replace(cost, work=cost.work + work, rendered_bytes=size)


def _sum(costs: list[Cost]) -> Cost:
    return Cost(
        audio=sum(cost.audio for cost in costs),
        work=sum(cost.work for cost in costs),
        num_bytes=sum(cost.num_bytes for cost in costs),
        rendered_bytes=sum(cost.rendered_bytes for cost in costs),
    )
