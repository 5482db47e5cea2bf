"""Start commands side by side in one folder, and check that the second one is refused and told who writes there.

    python tools/reliability/locks.py --count 8

Each case starts a command, stops it (SIGSTOP) while it writes, and starts the same command again: it must end with
status 1 and name the process of the first. In half of the cases, the first one is then killed with SIGKILL, and the
same command must take over and succeed; in the others, the first one must succeed. The exit status is 1 if anything is
otherwise.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import click
from world import Command, World, kill, temporary_world

_COMMANDS = "builder,fit,predict,export,tune,evaluate,report,inspect"
_LONGEST_START_SECONDS = 120.0


@click.command()
@click.option("--count", default=4, show_default=True, help="Number of cases.")
@click.option("--seed", default=0, show_default=True, help="Seed of the cases.")
@click.option("--only", default=_COMMANDS, show_default=True, help="Commands, separated by commas.")
def main(count: int, seed: int, only: str) -> None:
    """Start commands side by side, and print how many were refused, ended undisturbed, or took over."""
    figures = {"refused": 0, "undisturbed": 0, "took over": 0, "wrong": 0}
    names = only.split(",")
    with temporary_world() as folder:
        world = World(Path(folder))
        world.prepare(names)
        for number in range(count):
            command = world.commands()[names[number % len(names)]]
            is_killed = bool((number + seed) % 2)
            draw = random.Random(f"{seed}:{number}")
            for fault in _run(world, command, world.folder / f"case{number}", is_killed, draw, figures):
                figures["wrong"] += 1
                click.echo(f"case {number}: {command.name}: {fault}")
    click.echo("locks: " + ", ".join(f"{what}: {number}" for what, number in figures.items()))
    if figures["wrong"]:
        raise SystemExit(1)


def _run(
    world: World, command: Command, out: Path, is_killed: bool, draw: random.Random, figures: dict[str, int]
) -> list[str]:
    """Run a case and return what is wrong."""
    faults = []
    first = world.start(command, out)
    try:
        if not _wait_for_lock(out):
            return ["the first process ended, or took no lock"]
        os.killpg(first.pid, signal.SIGSTOP)  # it may need less time than the second one to start
        second = world.run(command, out)
        os.killpg(first.pid, signal.SIGCONT)
        if second.returncode == 1 and f"process {first.pid} on " in second.stderr:
            figures["refused"] += 1
        else:
            faults.append(f"the second process: status {second.returncode}: {second.stderr[-500:]}")
        time.sleep(draw.uniform(0, 1))
        if is_killed and first.poll() is None:
            kill(first)
            third = world.run(command, out)
            if third.returncode:
                faults.append(f"not taken over: {third.stderr[-500:]}")
            else:
                figures["took over"] += 1
        else:
            _, errors = first.communicate()
            if first.returncode:
                faults.append(f"the first process was disturbed: {errors[-500:]}")
            else:
                figures["undisturbed"] += 1
    finally:
        if first.poll() is None:
            kill(first)
    if left := [str(path) for path in out.rglob(".mir-tf*")]:
        faults.append(f"left over: {', '.join(left)}")
    return faults


def _wait_for_lock(out: Path) -> bool:
    began = time.monotonic()
    while time.monotonic() < began + _LONGEST_START_SECONDS:
        if any(path.stat().st_size for path in out.glob(".mir-tf*")):
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    main()
