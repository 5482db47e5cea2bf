"""The output of the command: progress bars, the summary of a build, and its estimate."""

from __future__ import annotations

import collections
import contextlib
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mir_tf.config import SPLITS
from mir_tf.io.console import make_console
from mir_tf.vocabulary import PROGRAM_NAMES, VOCABULARIES

if TYPE_CHECKING:
    from mir_tf.data.manifest import Manifest
    from tfrecords_builder.build import BuildReport
    from tfrecords_builder.estimate import BuildEstimate
    from tfrecords_builder.processes import TrackProgress
    from tfrecords_builder.slakh.tree import Skipped


@contextlib.contextmanager
def reading_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while a file is read.

    Yields:
        A function that takes the bytes read and the bytes in all.
    """
    from rich import progress

    columns = ("Listing {task.description}", progress.BarColumn(), progress.DownloadColumn())
    with progress.Progress(*columns, progress.TimeRemainingColumn(), console=make_console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def track_bar(title: str) -> Iterator[TrackProgress]:
    """Show a bar on stderr: tracks, hours of audio, speed as a multiple of real time, time left.

    Yields:
        A function to call after each track.
    """
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("tracks, {task.fields[hours]:.2f} h of audio"),
        progress.TextColumn("{task.fields[speed]:.0f} × real time, left"),
        progress.TimeRemainingColumn(),
    )
    began = time.monotonic()
    seconds_done = 0.0
    with progress.Progress(*columns, console=make_console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, hours=0.0, speed=0.0)

        def advance(total: int, seconds: float) -> None:
            nonlocal seconds_done
            seconds_done += seconds
            speed = seconds_done / (time.monotonic() - began)
            bar.update(task, advance=1, total=total, hours=seconds_done / 3600, speed=speed)

        yield advance


def print_unknown_songs(tracks: Sequence[str]) -> None:
    """Print that the songs of some tracks are not known, so that leaks may stay unnoticed."""
    named = ", ".join(tracks[:5]) + ", ..." * (len(tracks) > 5)
    click.echo(
        f"no UUID in metadata.yaml of {len(tracks)} tracks ({named}): the builder cannot tell whether their songs are "
        "in other splits too"
    )


def print_split_by_song(root: Path, seed: int) -> None:
    """Print that the splits are new ones."""
    click.echo(
        f"{root} has no folders train, validation and test: its songs are split 80/10/10 by --seed {seed}. For Slakh's "
        "own splits, choose a --split-scheme"
    )


def print_no_tracks(root: Path, absent: Sequence[str]) -> None:
    """Print which splits stay empty."""
    click.echo(f"no track for {' and '.join(absent)}: {root} has none, or none that can be used")


def print_summary(report: BuildReport, out: Path) -> None:
    """Print the outcome of a build."""
    if report.resumed:
        click.echo(f"resumed: {report.resumed} tracks were finished by an interrupted build")
    manifest = report.manifest
    _print_splits(
        (name, split.tracks, split.records - split.tracks, split.songs, split.seconds)
        for name, split in manifest.splits.items()
    )
    for pair, songs in manifest.leaks.items():
        both = pair.replace(", ", " and ")
        click.echo(f"leak: songs in {both}: {len(songs)} (--drop-leaks removes them from train). Their tracks:")
        for tracks in songs.values():
            click.echo(f"  {', '.join(tracks)}")
    if any(split.disagreement for split in manifest.splits.values()):
        click.echo("Share of active label frames on which the policies midi and audible disagree:")
        for name, share in _disagreement(manifest).items():
            click.echo(f"  {name:<24}{share:>7.1%}")
    for track, warnings in manifest.stem_checks.items():
        for warning in warnings:
            click.echo(f"suspect stem: {track}/{warning}")
    for name, vocabulary in VOCABULARIES.items():
        if programs := _program_shares(manifest, vocabulary.unmapped()):
            click.echo(f"programs without a class in vocabulary {name} (share of label frames): {', '.join(programs)}")
            click.echo(f"  A model with vocabulary {name} ignores them. To detect them, choose another vocabulary.")
    _print_skipped(report.skipped)
    data = shlex.quote(str(out))
    if all(manifest.splits[split].tracks for split in ("train", "validation")):
        click.echo(f"The data set is in {out}. Next, look at it and train on it:")
        click.echo(f"  mir-tf inspect {data}\n  mir-tf fit --data {data} --model crnn --out RUN")
    else:
        click.echo(f"The data set is in {out}. Training needs tracks in train and validation. Next, look at it:")
        click.echo(f"  mir-tf inspect {data}")


def print_estimate(result: BuildEstimate, workers: int, is_archive: bool) -> None:
    """Print the estimate of a build by ``workers`` processes."""
    splits = {split: result.of_split(split) for split in SPLITS}
    _print_splits(
        (
            split,
            len(tracks),
            sum(track.records - 1 for track in tracks),
            len({track.song for track in tracks}),
            sum(track.seconds * track.records for track in tracks),
        )
        for split, tracks in splits.items()
    )
    _print_skipped(result.skipped)
    cost, scale = result.cost, result.scale
    click.echo(f"About {format_size(result.num_bytes)}, and as much again during the build", nl=False)
    click.echo(f", and {format_size(cost.rendered_bytes * scale)} of rendered audio." if cost.rendered_bytes else ".")
    minutes = cost.work * scale / workers / 60
    click.echo(
        f"About {minutes:.1f} minutes with {workers} workers, if each has a core of its own, after they have started. "
        f"Estimated from {cost.audio:.0f} s of audio, which took {cost.work:.1f} s."
    )
    if is_archive:
        click.echo("The archive was not unpacked: all tracks are assumed to be as long as the measured ones.")


def format_size(num_bytes: float) -> str:
    """Return a size in MB or GB."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.2f} MB"


def _print_splits(rows: Iterable[tuple[str, int, int, int, float]]) -> None:
    """Print a row for each split: its name, tracks, stems, songs, and seconds of all items."""
    click.echo(f"{'split':<12}{'tracks':>8}{'stems':>8}{'songs':>8}{'hours':>9}")
    for name, tracks, stems, songs, seconds in rows:
        click.echo(f"{name:<12}{tracks:>8}{stems:>8}{songs:>8}{seconds / 3600:>9.3f}")


def _print_skipped(skipped: Iterable[Skipped]) -> None:
    for item in skipped:
        if item.is_bad:
            click.echo(f"skipped: {item.item}: {item.reason}")
    unused = collections.Counter(item.reason for item in skipped if not item.is_bad)
    for reason, count in unused.items():
        click.echo(f"not used: {count} items: {reason}")


def _disagreement(manifest: Manifest) -> dict[str, float]:
    """Return, for each class of families, the share of the mixes' active frames on which the policies disagree."""
    shares: dict[str, float] = {}
    for name in VOCABULARIES["family"].classes:
        counts = [split.disagreement["family"][name] for split in manifest.splits.values() if split.disagreement]
        either = sum(map(sum, counts))
        if either:
            shares[name] = sum(midi + audible for midi, audible, _ in counts) / either
    return shares


def _program_shares(manifest: Manifest, programs: list[int]) -> list[str]:
    """Return the names of those programs that sound somewhere, each with its share of all label frames."""
    splits = manifest.splits.values()
    label_frames = sum(split.label_frames for split in splits)
    names = [PROGRAM_NAMES[program] for program in programs]
    frames = [sum(split.activity["program"][name] for split in splits) for name in names]
    return [f"{name} ({count / label_frames:.1%})" for name, count in zip(names, frames, strict=True) if count]
