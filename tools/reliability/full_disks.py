"""Run the commands with too little room, and check their messages and the files that they leave.

    python tools/reliability/full_disks.py --count 40

Each case gives a command too little room: the disk of its output (a tmpfs, if you may mount one), its largest file
(``ulimit -f``), its folder for temporary files, or its cache. The command must succeed, or exit with status 1 and a
message that names the file, the reason and what to do. Files that people see must be whole. With room, the same command
must then succeed. Anything else is wrong, and the exit status is 1.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from world import Command, World, temporary_world

_KINDS = ("disk", "limit", "temporary", "cache")

_MESSAGE = re.compile(
    r"Error: .*(?:: cannot be written: |: )(?:the disk is full \(No space left on device\); free space, or"
    r"|File too large: .*ulimit -f)"
    r"|Error: \[Errno 2\] No usable temporary directory found"
)

_ROOM = {
    "builder": 80,
    "fit": 90,
    "predict": 60,
    "export": 400,
    "tune": 180,
    "evaluate": 400,
    "report": 900,
    "inspect": 400,
}
"""Roughly how many kB a command writes."""


@click.command()
@click.option("--count", default=6, show_default=True, help="Number of cases.")
@click.option("--seed", default=0, show_default=True, help="Seed of the cases.")
@click.option("--only", default=",".join(_ROOM), show_default=True, help="Commands, separated by commas.")
def main(count: int, seed: int, only: str) -> None:
    """Give the commands too little room, and print how many succeed, are refused by name, or go wrong."""
    names = only.split(",")
    counts: Counter[str] = Counter()
    with temporary_world() as folder:
        world = World(Path(folder))
        world.prepare(names)
        for number in range(count):
            draw = random.Random(f"{seed}:{number}")
            kind, command = _KINDS[number % len(_KINDS)], world.commands()[names[number % len(names)]]
            if kind == "disk" and not _may_mount(world.folder / "probe"):
                counts["skipped, as no disk may be mounted"] += 1
                continue
            case = world.folder / f"case{number}"
            case.mkdir()
            fault = _run(world, command, kind, case, round(_ROOM[command.name] * draw.uniform(0.02, 0.9)))
            shutil.rmtree(case, ignore_errors=True)
            counts[fault if fault in ("fitted", "named") else "wrong"] += 1
            if fault not in ("fitted", "named"):
                click.echo(f"case {number}: {command.name}, {kind}: {fault}")
    figures = {"fitted": 0, "named": 0, "wrong": 0, **counts}
    click.echo("full disks: " + ", ".join(f"{what}: {number}" for what, number in figures.items()))
    if counts["wrong"]:
        raise SystemExit(1)


def _run(world: World, command: Command, kind: str, case: Path, kilobytes: int) -> str:
    """Run a case and return ``fitted``, ``named``, or what is wrong."""
    out = case / "out"
    with contextlib.ExitStack() as stack:
        if kind == "disk":
            out = stack.enter_context(_disk(case / "disk", kilobytes)) / "out"
            result = world.run(command, out)
        elif kind == "limit":
            with _largest_file(kilobytes * 1000):
                result = world.run(command, out)
        else:
            full = stack.enter_context(_disk(case / "full", 4)) if _may_mount(case / "probe") else Path("/dev/null")
            variable = "TMPDIR" if kind == "temporary" else "MIR_TF_CACHE"
            result = world.run(command, out, **{variable: str(full)})
        lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        if "Traceback" in result.stderr:
            return f"a traceback: {result.stderr[-2000:]}"
        if result.returncode not in (0, 1) or (result.returncode == 1) != bool(lines):
            return f"exit status {result.returncode}: {result.stderr[-500:]}"
        if result.returncode and not all(map(_MESSAGE.search, lines)):
            return f"a message that does not name the fault: {lines}"
        if broken := _broken(out):
            return f"broken files: {broken}"
        if not result.returncode:
            return "fitted"
        if kind == "disk":
            subprocess.run(["mount", "-o", "remount,size=50m", str(out.parent)], check=True)
        again = world.run(command, out)
        return f"not resumed: {again.stderr[-500:]}" if again.returncode else "named"


def _broken(out: Path) -> list[str]:
    """Return the files that people see and that are not whole."""
    broken = []
    for path in out.rglob("*"):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(out).parts):
            continue
        content = path.read_bytes()
        if path.suffix == ".json" and "search" not in path.parts:
            with contextlib.suppress(ValueError):
                json.loads(content)
                continue
            broken.append(path.name)
        if path.suffix == ".png" and not content.endswith(b"IEND\xaeB`\x82"):
            broken.append(path.name)
        if path.suffix in (".csv", ".md", ".yaml", ".html") and not content.endswith(b"\n"):
            broken.append(path.name)
    return broken


@contextlib.contextmanager
def _disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of its own at ``folder``."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(options, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _may_mount(folder: Path) -> bool:
    try:
        with _disk(folder, 4):
            pass
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return True


@contextlib.contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Limit the size of files that processes started in the block write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


if __name__ == "__main__":
    main()
