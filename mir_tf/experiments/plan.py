"""Plans of training runs: a YAML file becomes configurations, data sets and folders."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mir_tf.config import FRONT_ENDS, SPLITS, RunConfig, read_yaml
from mir_tf.data.manifest import Manifest, read_manifest
from mir_tf.errors import ConfigError
from mir_tf.io.files import as_path

_KEYS = ("title", "split", "seeds", "preset", "runs")
"""The keys of a plan that are not sections of a configuration."""


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run of a plan with one seed.

    Attributes:
        name: Name of the run in the plan.
        config: Its configuration.
        data: Folder of the data set that was built with its front end.
        folder: Folder to train it in. Runs with the same configuration share it, whatever their names.
    """

    name: str
    config: RunConfig
    data: Path
    folder: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs to train and compare.

    Attributes:
        name: Name of the plan's file, without the suffix.
        title: Title of the tables.
        split: Split to evaluate on.
        runs: The runs in the order of the plan, with the seeds of a run one after another.
    """

    name: str
    title: str
    split: str
    runs: tuple[PlannedRun, ...]


def read_plan(
    path: str | Path, data: Sequence[str | Path], out: str | Path, budget: dict[str, Any] | None = None
) -> Plan:
    """Read a plan and find the data set of every run.

    A plan is a YAML file with ``title``, ``split`` (the split to evaluate: test, or validation while a recipe is being
    chosen), ``seeds``, ``preset`` (name of a front end), sections for all runs as :meth:`RunConfig.merge` takes them,
    and ``runs``, which maps a name to the ``preset`` and sections of that run.

    Args:
        path: The plan.
        data: Folders of data sets, one for each front end in the plan.
        out: Folder of the comparison. Plans with the same folder share runs of equal names and configurations.
        budget: Further sections for all runs, which override those of the plan for all runs; for example fewer steps.

    Raises:
        ConfigError: The plan or a configuration in it is wrong, or no data set has the front end of a run.
        DataError: A data set is missing or damaged.
    """
    content = read_yaml(path)
    named, seeds = content.get("runs"), content.get("seeds", [0])
    if not isinstance(named, dict) or not named:
        raise ConfigError(f"{path}: runs is {named!r}; it must map the name of each run to its own sections")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"{path}: seeds is {seeds!r}; it must be a list of whole numbers")
    split = content.get("split", "test")
    if split not in SPLITS:
        raise ConfigError(f"{path}: split is {split!r}; it must be {' or '.join(SPLITS)}")
    common = [{key: value for key, value in content.items() if key not in _KEYS}, budget or {}]
    manifests = {as_path(folder): read_manifest(folder) for folder in data}
    folders: dict[str, Path] = {}
    runs = []
    for name, own in named.items():
        for seed in sorted(set(seeds)):
            try:
                config = _config(str(content.get("preset", "default")), common, {} if own is None else own, seed)
            except ConfigError as error:
                raise ConfigError(f"{path}: run {name!r}: {error}") from error
            matching = [folder for folder, manifest in manifests.items() if manifest.front_end == config.front_end]
            if not matching:
                raise ConfigError(f"{path}: run {name!r}: {_no_matching_data(config, manifests)}")
            identity = json.dumps([config.to_dict(), str(matching[0])], sort_keys=True)
            folder = folders.setdefault(identity, as_path(out) / "runs" / f"{_slug(str(name))}-seed{seed}")
            runs.append(PlannedRun(str(name), config, matching[0], folder))
    if len(set(folders.values())) < len(folders):
        raise ConfigError(f"{path}: names of runs must differ in letters or digits: {', '.join(map(str, named))}")
    name = as_path(path).stem
    return Plan(name, str(content.get("title", name)), split, tuple(runs))


def _config(preset: str, common: list[dict[str, Any]], own: Any, seed: int) -> RunConfig:
    """Return a run's configuration: preset, common sections, its own sections, and seed, each overriding the former."""
    if not isinstance(own, dict):
        raise ConfigError(f"it is {own!r}; it must contain sections with their fields")
    preset = str(own.get("preset", preset))
    if preset not in FRONT_ENDS:
        raise ConfigError(f"preset is {preset!r}; it must be one of {', '.join(FRONT_ENDS)}")
    sections = {key: value for key, value in own.items() if key != "preset"}
    if isinstance(sections.get("train"), dict) and "seed" in sections["train"]:
        raise ConfigError("train.seed: remove it; the seeds of all runs are listed under seeds")
    parts = [*common, sections, {"train": {"seed": seed}}]
    # The defaults of the other sections depend on the front end, so it must be known first.
    front_end = RunConfig(FRONT_ENDS[preset])
    for part in parts:
        front_end = front_end.merge({key: value for key, value in part.items() if key == "front_end"})
    return functools.reduce(RunConfig.merge, parts, RunConfig.for_front_end(front_end.front_end))


def _no_matching_data(config: RunConfig, manifests: dict[Path, Manifest]) -> str:
    """Return a message about a run whose front end no data set has."""
    preset = next((name for name, front_end in FRONT_ENDS.items() if front_end == config.front_end), None)
    differences = "; ".join(
        f"{folder}: {', '.join(config.front_end.differences(manifest.front_end))}"
        for folder, manifest in manifests.items()
    )
    remedy = f"build one with python -m tfrecords_builder --preset {preset}" if preset else "build one"
    return f"no data set has its front end ({differences}); {remedy} and name it with --data"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
