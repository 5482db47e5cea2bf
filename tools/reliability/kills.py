"""Kill commands at random times with SIGKILL, and check that nothing is lost and that they end as if undisturbed.

    python tools/reliability/kills.py --count 20

Each command is run once undisturbed. Then it is started again and again in one folder and killed after a random time,
up to the time that it takes. After each kill, every file of the result must be whole: absent, or with the bytes of the
undisturbed result. The best.yaml of tune, which it writes after each trial, must be a configuration. Then the command
runs to its end, and its result must be the undisturbed one. For fit, the result is the variables, the thresholds and
the history; for tune, the scores too. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import csv
import json
import random
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from world import Command, World, digests, kill, temporary_world


@click.command()
@click.option("--count", default=3, show_default=True, help="Number of kills of each command.")
@click.option("--seed", default=0, show_default=True, help="Seed of the times.")
@click.option(
    "--only", default="builder,fit,predict,export,tune", show_default=True, help="Commands, separated by commas."
)
def main(count: int, seed: int, only: str) -> None:
    """Kill commands at random times, and print how many files were broken and how many results differ."""
    figures = {"kills": 0, "ended before": 0, "broken": 0, "different": 0}
    with temporary_world() as folder:
        world = World(Path(folder))
        world.prepare(only.split(","))
        for name in only.split(","):
            command, began = world.commands()[name], time.monotonic()
            expected_folder = world.folder / f"{name}-undisturbed"
            world.run(command, expected_folder).check_returncode()
            seconds = time.monotonic() - began
            expected = _result(command, expected_folder)
            _kill_often(world, command, random.Random(f"{seed}:{name}"), seconds, count, expected, figures)
    click.echo("kills: " + ", ".join(f"{what}: {number}" for what, number in figures.items()))
    if figures["broken"] or figures["different"]:
        raise SystemExit(1)


def _may_differ(command: Command, path: Path) -> bool:
    """Return whether a file may differ from its last version: those of fit and tune improve meanwhile."""
    if command.name == "tune":
        return isinstance(yaml.safe_load(path.read_text("utf-8")), dict)
    return command.name == "fit"  # the command that goes on loads it


def _kill_often(
    world: World,
    command: Command,
    draw: random.Random,
    seconds: float,
    count: int,
    expected: Any,
    figures: dict[str, int],
) -> None:
    """Kill a command ``count`` times, in a new folder whenever it has ended before."""
    killed, attempt = 0, 0
    while killed < count:
        out = world.folder / f"{command.name}-{attempt}"
        attempt += 1
        is_over = False
        while killed < count and not is_over:
            process = world.start(command, out)
            time.sleep(draw.uniform(0.1, 1) * seconds)
            is_over = process.poll() is not None
            if is_over:
                process.communicate()
                figures["ended before"] += 1
                break
            kill(process)
            killed += 1
            figures["kills"] += 1
            found = digests(out, command.result)
            changed = [name for name, digest in found.items() if digest != expected["files"].get(name)]
            if odd := [name for name in changed if not _may_differ(command, out / name)]:
                figures["broken"] += 1
                click.echo(f"{command.name}: not whole after a kill: {', '.join(odd)}")
        if not is_over:
            result = world.run(command, out)
            if result.returncode:
                figures["different"] += 1
                click.echo(f"{command.name}: not resumed: {result.stderr[-1000:]}")
                continue
        if (found := _result(command, out)) != expected:
            figures["different"] += 1
            click.echo(f"{command.name}: another result in {out.name}: {_difference(found, expected)}")
        if litter := [path.name for path in out.rglob(".*")]:
            figures["different"] += 1
            click.echo(f"{command.name}: left over: {', '.join(litter)}")


def _result(command: Command, out: Path) -> dict[str, Any]:
    """Return the result of a command in a form that can be compared."""
    result: dict[str, Any] = {"files": digests(out, command.result)}
    runs = [out] if command.name == "fit" else sorted((out / "trials").glob("[0-9]*")) if command.name == "tune" else []
    for run in runs:
        with np.load(run / "checkpoint.npz") as content:
            result[f"{run.name if command.name == 'tune' else ''} variables"] = {
                name: content[name].tobytes().hex() for name in content.files if name != "state"
            }
        with (run / "history.csv").open(newline="") as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        bundle = json.loads((run / "bundle.json").read_text())
        result[f"{run.name if command.name == 'tune' else ''} scores"] = [rows, bundle["thresholds"]]
    return result


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    parts = [
        f"{section}: {key}"
        for section in found | expected
        if isinstance(found.get(section), dict) and isinstance(expected.get(section), dict)
        for key in found[section] | expected[section]
        if found[section].get(key) != expected[section].get(key)
    ]
    return ", ".join(parts) or ", ".join(key for key in found | expected if found.get(key) != expected.get(key))


if __name__ == "__main__":
    main()
