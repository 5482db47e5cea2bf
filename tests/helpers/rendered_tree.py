"""A tree rendered as with --keep-audio, but without records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tfrecords_builder import processes
from tfrecords_builder.processes import Failure
from tfrecords_builder.synthesis.plan import PlannedTrack, plan_tree, write_plan
from tfrecords_builder.synthesis.render import rendered
from tfrecords_builder.synthesis.settings import RenderConfig


class Outcome(NamedTuple):
    """Names of the tracks that were rendered, and of the MIDI files that could not be, with the reasons."""

    tracks: list[str]
    bad: dict[str, str]


def render_tree(
    midi: Path, soundfonts: Sequence[Path], out: Path, rendering: RenderConfig, workers: int = 1
) -> Outcome:
    """Render the MIDI files of a folder into ``out``, except tracks that are there already."""
    with processes.pool(workers) as pool:
        plan, unreadable = plan_tree(midi, soundfonts, rendering, pool)
        write_plan(out, midi, plan)
        outcome = Outcome([], {path.relative_to(midi).as_posix(): reason for path, reason in unreadable})
        missing = [item for item in plan if not (out / item.split / item.id).exists()]
        for item, result in pool.results(_render, [dataclasses.replace(item, tree=out) for item in missing]):
            if isinstance(result, Failure):
                outcome.bad[item.item] = result.reason
            else:
                outcome.tracks.append(item.id)
    return outcome


def _render(item: PlannedTrack) -> None:
    with rendered(item, Path("unused")):
        pass
