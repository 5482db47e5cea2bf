"""Rehearse a build of Slakh2100 at its true size, without its 100 GB, and print what each step takes.

    python tools/rehearsal.py --out rehearsal

Composes and renders 60 songs that last as long as Slakh's, about four minutes, in Slakh's layout. Each of 2,100 tracks
is one of them: its audio is linked, its MIDI has other pitches, so that all tracks are different songs with true
labels. The splits have Slakh's sizes. Then the commands that a researcher types run on it: a dry run, a build that is
killed and continued, inspect, an epoch of fit, and evaluate. Builds of a quarter and of half of the tracks, and builds
from archives, show what grows with the number of tracks.

The table has the time, the peak memory of all processes of a command (memory that they share counts once), and the size
of what it wrote. Finished steps are skipped, so that you can stop the script and start it again. Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import click
import mido
import numpy as np
import pretty_midi
import yaml
from demo import run

SHARES = {"train": 1500, "validation": 375, "test": 225}
"""Tracks of each split of Slakh2100."""

LENGTHS = (120, 380)
"""Shortest and longest song in seconds; the mean is Slakh's, 250."""

KILLED_AT = 0.4
"""Share of the tracks that are finished when the build is killed."""

_DRUM_CHANNEL = 9
_SAMPLE_SECONDS = 0.25
"""Time between two measurements of the memory."""


def lengthen(path: Path, seconds: float) -> None:
    """Play a song of a MIDI file again and again, until it lasts at least ``seconds``, and cut it there."""
    song = pretty_midi.PrettyMIDI(str(path))
    length = song.get_end_time()
    for instrument in song.instruments:
        instrument.notes = [
            pretty_midi.Note(note.velocity, note.pitch, start, min(seconds, note.end + start - note.start))
            for again in range(int(seconds // length) + 1)
            for note in instrument.notes
            if (start := note.start + again * length) < seconds
        ]
    song.write(str(path))


def change_pitches(source: Path, target: Path, seed: str) -> None:
    """Copy a MIDI file, with its pitches permuted: each pitch becomes another one, the same throughout the song."""
    pitches = list(range(128))
    random.Random(seed).shuffle(pitches)
    song = mido.MidiFile(source)
    for track in song.tracks:
        for message in track:
            if message.type in ("note_on", "note_off") and message.channel != _DRUM_CHANNEL:
                message.note = pitches[message.note]
    song.save(target)


def write_base(out: Path, songs: int) -> list[Path]:
    """Compose and render the songs, and return their folders in Slakh's layout."""
    tree, midi = out / "base", out / "songs"
    if not (out / "base-data" / "manifest.json").exists():
        shutil.rmtree(midi, ignore_errors=True)
        run("python", "-m", "tfrecords_builder.ensembles", "--songs", str(songs), "--seed", "99", "--out", midi)
        draw = random.Random(0)
        for path in sorted(midi.glob("*.mid")):
            lengthen(path, draw.uniform(*LENGTHS))
        from tfrecords_builder.synthesis.synthesizers import default_soundfont

        rendering = ("--midi", midi, "--soundfont", default_soundfont(), "--split", "train", "--keep-audio", tree)
        run("python", "-m", "tfrecords_builder", *rendering, "--out", out / "base-data")
    return sorted((tree / "train").iterdir())


def write_tree(base: list[Path], out: Path, tracks: int) -> Path:
    """Write a tree of ``tracks`` tracks in three splits, whose audio is linked to that of ``base``, and return it."""
    tree = out / f"tree-{tracks}"
    if (tree / "complete").exists():
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    splits = np.repeat(list(SHARES), list(SHARES.values()))  # [2100]
    for index in range(tracks):
        source = base[index % len(base)]
        folder = tree / str(splits[(2 * index + 1) * len(splits) // (2 * tracks)]) / f"Track{index + 1:05d}"
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".mid":
                change_pitches(path, target, f"{index}")
            elif path.suffix == ".flac":
                os.link(path, target)
            else:
                metadata = yaml.safe_load(path.read_text(encoding="utf-8"))
                metadata |= {"UUID": f"{index:032x}", "lmd_midi_dir": f"{index}.mid"}  # what songs are told apart by
                target.write_text(yaml.safe_dump(metadata), encoding="utf-8")
    (tree / "complete").touch()
    return tree


def write_archive(tree: Path, out: Path, tracks: int) -> Path:
    """Pack the first ``tracks`` tracks of a tree into a .tar.gz, with whole files instead of links, and return it."""
    archive = out / f"archive-{tracks}.tar.gz"
    if not archive.exists():
        part = archive.with_suffix(".part")
        with tarfile.open(part, "w:gz", compresslevel=1, dereference=True) as file:
            for folder in sorted(tree.glob("*/Track*"), key=lambda each: each.name)[:tracks]:
                file.add(folder, f"slakh/{folder.relative_to(tree)}")
        part.rename(archive)
    return archive


def processes_of(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def memory(pid: int) -> float:
    """Return the memory of a process and its children in MB; memory that several share is divided among them."""
    total = 0
    for each in processes_of(pid):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return total / 1000


def measured(out: Path, name: str, words: list[str | Path], written: Path | None = None, until: int = 0) -> None:
    """Run a command, and append its time, peak memory and the size of ``written`` to measures.json.

    Args:
        out: Folder of measures.json. If it has a measure of this name, nothing is done.
        name: Name of the step.
        words: The command.
        written: File or folder that the command writes.
        until: Kill the command when this number of tracks is finished; 0 lets it end.

    Raises:
        click.ClickException: The command failed.
    """
    table = out / "measures.json"
    measures = json.loads(table.read_text("utf-8")) if table.exists() else {}
    if name in measures:
        return
    click.secho(f"\n$ {shlex.join(map(str, words))}", bold=True)
    program = {"mir-tf": [str(Path(sys.executable).with_name("mir-tf"))], "python": [sys.executable]}[str(words[0])]
    began, peak = time.monotonic(), 0.0
    process = subprocess.Popen([*program, *map(str, words[1:])], start_new_session=True)
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        if until and written and len(list((written / ".unfinished").glob("**/*.json"))) >= until:
            os.killpg(process.pid, 9)
        time.sleep(_SAMPLE_SECONDS)
    if process.returncode and not until:
        raise click.ClickException(f"{name}: the command failed with status {process.returncode}")
    size = sum(path.stat().st_size for path in [written, *written.rglob("*")] if path.is_file()) if written else 0
    measures[name] = {"minutes": (time.monotonic() - began) / 60, "peak_mb": peak, "megabytes": size / 1e6}
    table.write_text(json.dumps(measures, indent=1), encoding="utf-8")


@click.command(help=__doc__)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
@click.option("--tracks", default=2100, show_default=True, help="Number of tracks.")
@click.option("--songs", default=60, show_default=True, help="Number of songs that are rendered.")
@click.option("--archives", default="50,100,200", show_default=True, help="Tracks of the archives.")
def main(out: Path, tracks: int, songs: int, archives: str) -> None:
    """Run all steps."""
    out.mkdir(parents=True, exist_ok=True)
    base = write_base(out, songs)
    builder = ["python", "-m", "tfrecords_builder"]
    for count in (tracks // 4, tracks // 2):
        tree = write_tree(base, out, count)
        data = out / f"data-{count}"
        measured(out, f"build, {count} tracks", [*builder, "--slakh", tree, "--out", data], data)
    tree, data = write_tree(base, out, tracks), out / f"data-{tracks}"
    build = [*builder, "--slakh", tree, "--out", data]
    measured(out, f"dry run, {tracks} tracks", [*build, "--dry-run"])
    measured(out, f"build, {tracks} tracks, killed", build, data, until=round(KILLED_AT * tracks))
    measured(out, f"build, {tracks} tracks, continued", build, data)
    measured(out, f"inspect, {tracks} tracks", ["mir-tf", "inspect", data])
    model = out / "run"
    fit = ["mir-tf", "fit", "--data", data, "--model", "tcn", "--epochs", "1", "--out", model]
    measured(out, f"one epoch of fit, {tracks} tracks", fit, model)
    evaluate = ["mir-tf", "evaluate", model, "--data", data, "--out", out / "evaluation"]
    measured(out, f"evaluate, {tracks} tracks", evaluate, out / "evaluation")
    for count in map(int, archives.split(",")):
        archive, built = write_archive(tree, out, count), out / f"archive-data-{count}"
        measured(out, f"build, archive of {count} tracks", [*builder, "--slakh", archive, "--out", built], built)
    measures = json.loads((out / "measures.json").read_text("utf-8"))
    hours = sum(
        split["seconds"] / 3600 for split in json.loads((data / "manifest.json").read_text("utf-8"))["splits"].values()
    )
    click.echo(f"\n{tracks} tracks, {hours:.1f} h of audio\n\n| step | minutes | peak memory, MB | written, MB |")
    click.echo("|---|---:|---:|---:|")
    for name, row in measures.items():
        click.echo(f"| {name} | {row['minutes']:.1f} | {row['peak_mb']:.0f} | {row['megabytes']:.0f} |")


if __name__ == "__main__":
    main()
