"""A plan of training runs, carried out and laid side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf import bundle
from mir_tf.bundle import Bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.config import FRONT_ENDS, SPLITS, RunConfig, read_yaml
from mir_tf.data.manifest import Manifest, read_manifest
from mir_tf.errors import ConfigError
from mir_tf.figures import evaluation, style
from mir_tf.io import markdown
from mir_tf.io.files import as_path, write_text
from mir_tf.metrics import bootstrap
from mir_tf.metrics.counts import ConfusionCounts, track_micro_f1
from mir_tf.models.cost import macs, parameters
from mir_tf.training import loop

PLAN_KEYS = ("title", "split", "seeds", "preset", "runs")

OnRun = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a plan with one seed.

    Attributes:
        name: of the run in the plan.
        config: all that defines it.
        data: folder of the data set that was built with its front end.
        folder: where it is trained. Runs of the same configuration, whatever their names, share it.
    """

    name: str
    config: RunConfig
    data: Path
    folder: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        name: of its file, without the suffix.
        title: of the tables.
        split: whose tracks are scored.
        jobs: in its order, a run's seeds one after another.
    """

    name: str
    title: str
    split: str
    jobs: tuple[PlannedRun, ...]


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a trained run gets right in each track of a split.

    Attributes:
        epoch: of the run that was scored.
        tracks: ids of the tracks.
        songs: that they are of.
        counts: of frames [tracks, classes].
    """

    epoch: int
    tracks: tuple[str, ...]
    songs: tuple[str, ...]
    counts: ConfusionCounts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished job.

    Attributes:
        job: what was to be done.
        history: a row an epoch, as :class:`mir_tf.training.loop.FitResult` has it.
        scores: of the best epoch.
        parameters: trained ones.
        macs: for a second of audio.
    """

    job: PlannedRun
    history: list[dict[str, float]]
    scores: Scores
    parameters: int
    macs: float

    @property
    def minutes(self) -> float:
        """Time of training, validation included."""
        return sum(row["seconds"] for row in self.history) / 60


Measure = Callable[[ConfusionCounts, NDArray[np.int64]], NDArray[np.float64]]
"""From counts [tracks, classes] and how often each track is drawn [samples, tracks] to a value of each sample."""


def _track_averaged(values: Callable[[ConfusionCounts], NDArray[np.float64]]) -> Measure:
    """The mean over tracks of a measure of each, as the PyTorch project reported it."""
    return lambda counts, weights: weights @ values(counts) / weights.sum(axis=1)


MEASURES: dict[str, Measure] = {
    "F1": _track_averaged(track_micro_f1),
    "precision": _track_averaged(lambda counts: counts.micro.precision),
    "recall": _track_averaged(lambda counts: counts.micro.recall),
    "micro F1": lambda counts, weights: counts.resampled(weights).micro.f1,
    "macro F1": lambda counts, weights: counts.resampled(weights).macro_f1,
}
"""What is compared. The first three are micro measures of each track, averaged over tracks: the PyTorch project's."""

_TESTED = ("F1", "micro F1", "macro F1")


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much one run is better than another, and whether more songs might tell otherwise.

    Attributes:
        first: name of a run.
        second: name of another.
        measure: key of :data:`MEASURES`.
        value: first less second, each the mean over its seeds.
        low: 2.5 % of the resamples of the songs, the same for both runs, have less.
        high: 2.5 % have more.
        songs: that were resampled.
    """

    first: str
    second: str
    measure: str
    value: float
    low: float
    high: float
    songs: int

    @property
    def is_real(self) -> bool:
        """Whether the interval leaves out zero, and is of songs enough to mean it."""
        return self.songs >= bootstrap.FEWEST_SONGS and (self.low > 0 or self.high < 0)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A plan that was carried out.

    Attributes:
        plan: the plan.
        outcomes: of each run, by name, one a seed.
    """

    plan: Plan
    outcomes: dict[str, list[Outcome]]

    def values(self, name: str, measure: str) -> NDArray[np.float64]:
        """A measure of a run [seeds]."""
        return np.concatenate([_values(outcome, measure) for outcome in self.outcomes[name]])

    def table(self) -> list[list[str]]:
        """The runs as rows of text, the first one the header."""
        rows = [["run", *MEASURES, "parameters", "M multiply-adds/s", "minutes", "epochs"]]
        for name, outcomes in self.outcomes.items():
            first = outcomes[0]
            rows.append(
                [
                    name,
                    *(_with_spread(self.values(name, measure)) for measure in MEASURES),
                    f"{first.parameters:,}",
                    f"{first.macs / 1e6:.1f}",
                    f"{np.mean([outcome.minutes for outcome in outcomes]):.1f}",
                    ", ".join(f"{outcome.scores.epoch} of {len(outcome.history)}" for outcome in outcomes),
                ]
            )
        return rows

    def differences(self) -> list[Difference]:
        """Of all pairs of runs that answer for the same classes in the same tracks."""
        found = []
        for first, second in itertools.combinations(self.outcomes, 2):
            pair = self.outcomes[first] + self.outcomes[second]
            if len({(outcome.job.config.train.vocabulary, outcome.scores.tracks) for outcome in pair}) > 1:
                continue
            songs = pair[0].scores.songs
            weights = bootstrap.bootstrap_weights(songs)
            for measure in _TESTED:
                drawn = self._mean(first, measure, weights) - self._mean(second, measure, weights)  # [samples]
                value = self.values(first, measure).mean() - self.values(second, measure).mean()
                low, high = bootstrap.interval(drawn).tolist()
                found.append(Difference(first, second, measure, float(value), low, high, len(set(songs))))
        return found

    def _mean(self, name: str, measure: str, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the seeds, in each resample [samples]."""
        counts = [outcome.scores.counts for outcome in self.outcomes[name]]
        return np.mean([MEASURES[measure](each, weights) for each in counts], axis=0)

    def difference_table(self) -> list[list[str]]:
        """The differences as rows of text, the first one the header."""
        rows = [["first − second", *(f"{measure} (95 % interval)" for measure in _TESTED), "real"]]
        found = self.differences()
        for (first, second), group in itertools.groupby(found, key=lambda each: (each.first, each.second)):
            each = list(group)
            real = [difference.measure for difference in each if difference.is_real]
            cells = [
                f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})" if one.songs > 1 else f"{one.value:+.3f} (–)"
                for one in each
            ]
            rows.append([f"{first} − {second}", *cells, ", ".join(real) or "none"])
        return rows

    def notes(self) -> list[str]:
        """What a reader of the tables must know."""
        scores = next(iter(self.outcomes.values()))[0].scores
        seeds = max(map(len, self.outcomes.values()))
        tuned_on_it = ", on these very tracks" if self.plan.split == "validation" else ""
        return [
            f"On the {self.plan.split} split, {len(scores.tracks)} tracks of {len(set(scores.songs))} songs, at "
            f"thresholds tuned on validation{tuned_on_it}. F1, precision and recall: micro, of each track, averaged "
            "over tracks; micro and macro F1: of all frames together. "
            f"Mean of {seeds} seed{'s' if seeds > 1 else ''}, ± half their range.",
            f"Differences: the middle 95 % of {bootstrap.BOOTSTRAP_SAMPLES} resamples of the songs, drawn for both "
            f"runs alike; real where that leaves out zero, of {bootstrap.FEWEST_SONGS} songs at least. "
            "Other seeds are not in the interval. Runs of different classes "
            "are not compared.",
            "Minutes of training hold on one machine with the same load alone.",
        ]

    def figure(self) -> Figure:
        """Validation loss and macro F1 by epoch, of all runs and seeds."""
        curves = {
            name: [(outcome.history, outcome.scores.epoch) for outcome in outcomes]
            for name, outcomes in self.outcomes.items()
        }
        return evaluation.curves_figure(curves, self.plan.title)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it."""
        return {
            "title": self.plan.title,
            "split": self.plan.split,
            "runs": {
                name: [
                    {
                        "folder": str(outcome.job.folder),
                        "data": str(outcome.job.data),
                        "config": outcome.job.config.to_dict(),
                        "measures": {measure: float(_values(outcome, measure)[0]) for measure in MEASURES},
                        "parameters": outcome.parameters,
                        "multiply_adds_per_second": outcome.macs,
                        "minutes": outcome.minutes,
                        "best_epoch": outcome.scores.epoch,
                        "history": outcome.history,
                    }
                    for outcome in outcomes
                ]
                for name, outcomes in self.outcomes.items()
            },
            "differences": [
                dataclasses.asdict(difference) | {"is_real": difference.is_real} for difference in self.differences()
            ],
        }

    def to_markdown(self) -> str:
        """The tables and notes, with the picture of :meth:`save` below them."""
        page = markdown.markdown(self.plan.title, (self.table(), self.difference_table()), self.notes())
        return f"{page}\n![Validation by epoch]({self.plan.name}.png)\n"

    def save(self, folder: Path) -> None:
        """Writes tables and picture as ``.md``, ``.json`` and ``.png`` of the plan's name: each whole or not at all."""
        style.save_png(self.figure(), folder / f"{self.plan.name}.png")
        write_text(folder / f"{self.plan.name}.md", self.to_markdown())
        write_text(folder / f"{self.plan.name}.json", json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _values(outcome: Outcome, measure: str) -> NDArray[np.float64]:
    """A measure of an outcome [1]."""
    counts = outcome.scores.counts
    return MEASURES[measure](counts, np.ones((1, len(counts.tp)), np.int64))


def _with_spread(values: NDArray[np.float64]) -> str:
    spread = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def read_plan(
    path: str | Path, data: Sequence[str | Path], out: str | Path, budget: dict[str, Any] | None = None
) -> Plan:
    """Reads a plan and finds the data set of every run.

    A plan is YAML: ``title``, ``split`` (whose tracks are scored: test, or validation where a recipe is still to be
    chosen), ``seeds``, ``preset`` (name of a front end), sections as :meth:`RunConfig.merge` takes
    them, which hold for all runs, and ``runs``, from a name to what is its own: ``preset`` and sections.

    Args:
        path: of the plan.
        data: folders of data sets, one for each front end of the plan.
        out: folder of the comparison; plans that share it share the runs of equal names and configurations.
        budget: sections that hold for all runs too, but win over the plan's: what of it is affordable here.

    Raises:
        ConfigError: the plan or a configuration in it is wrong, or no data set has the front end of a run.
        DataError: a data set is missing or damaged.
    """
    plan = read_yaml(path)
    runs, seeds = plan.get("runs"), plan.get("seeds", [0])
    if not isinstance(runs, dict) or not runs:
        raise ConfigError(f"{path}: runs is {runs!r}; it must map the names of runs to what is their own")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"{path}: seeds is {seeds!r}; it must be a list of whole numbers")
    split = plan.get("split", "test")
    if split not in SPLITS:
        raise ConfigError(f"{path}: split is {split!r}; it must be {' or '.join(SPLITS)}")
    common = [{key: value for key, value in plan.items() if key not in PLAN_KEYS}, budget or {}]
    manifests = {as_path(folder): read_manifest(folder) for folder in data}
    folders: dict[str, Path] = {}
    jobs = []
    for name, own in runs.items():
        for seed in sorted(set(seeds)):
            try:
                config = _config(str(plan.get("preset", "default")), common, {} if own is None else own, seed)
            except ConfigError as error:
                raise ConfigError(f"{path}: run {name!r}: {error}") from error
            matching = [folder for folder, manifest in manifests.items() if manifest.front_end == config.front_end]
            if not matching:
                raise ConfigError(f"{path}: run {name!r}: {_no_data(config, manifests)}")
            identity = json.dumps([config.to_dict(), str(matching[0])], sort_keys=True)
            folder = folders.setdefault(identity, as_path(out) / "runs" / f"{_slug(str(name))}-seed{seed}")
            jobs.append(PlannedRun(str(name), config, matching[0], folder))
    if len(set(folders.values())) < len(folders):
        raise ConfigError(f"{path}: names of runs must differ in letters or digits: {', '.join(map(str, runs))}")
    name = as_path(path).stem
    return Plan(name, str(plan.get("title", name)), split, tuple(jobs))


def _config(preset: str, common: list[dict[str, Any]], own: Any, seed: int) -> RunConfig:
    """The configuration of a run: its preset, what all runs share, what is its own, and the seed; the last one wins."""
    if not isinstance(own, dict):
        raise ConfigError(f"it is {own!r}; it must hold sections and their fields")
    preset = str(own.get("preset", preset))
    if preset not in FRONT_ENDS:
        raise ConfigError(f"preset is {preset!r}; it must be one of {', '.join(FRONT_ENDS)}")
    sections = {key: value for key, value in own.items() if key != "preset"}
    parts = [*common, sections, {"train": {"seed": seed}}]
    front_end = RunConfig(FRONT_ENDS[preset])
    if isinstance(sections.get("train"), dict) and "seed" in sections["train"]:
        raise ConfigError("train.seed: a plan's seeds, which hold for all its runs, stand in seeds")
    for part in parts:
        front_end = front_end.merge({key: value for key, value in part.items() if key == "front_end"})
    return functools.reduce(RunConfig.merge, parts, RunConfig.for_front_end(front_end.front_end))


def _no_data(config: RunConfig, manifests: dict[Path, Manifest]) -> str:
    preset = next((name for name, front_end in FRONT_ENDS.items() if front_end == config.front_end), None)
    differences = "; ".join(
        f"{folder}: {', '.join(config.front_end.differences(manifest.front_end))}"
        for folder, manifest in manifests.items()
    )
    remedy = f"build one with python -m tfrecords_builder --preset {preset}" if preset else "build one"
    return f"no data set has its front end ({differences}); {remedy} and name it with --data"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"


def compare(
    plan: Plan,
    out: str | Path,
    on_run: OnRun | None = None,
    on_epoch: loop.OnEpoch | None = None,
    on_step: loop.OnStep | None = None,
) -> Comparison:
    """Carries out a plan, going on where it was stopped, and writes the comparison into ``out``.

    Args:
        plan: as :func:`read_plan` gives it.
        out: folder of the comparison; made if need be.
        on_run: called before each job with its name, its number from 1, and how many there are.
        on_epoch: as :func:`mir_tf.training.loop.fit` takes it.
        on_step: likewise.

    Raises:
        DataError: a data set is damaged or has nothing to learn from.
        TrainingError: a run cannot start or go on; what is finished stays, and the same call goes on with it.
    """
    outcomes: dict[str, list[Outcome]] = {}
    done: dict[Path, Outcome] = {}
    for number, job in enumerate(plan.jobs, start=1):
        if on_run:
            on_run(job.name, number, len(plan.jobs))
        if job.folder not in done:
            done[job.folder] = _carry_out(job, plan.split, on_epoch, on_step)
        outcomes.setdefault(job.name, []).append(dataclasses.replace(done[job.folder], job=job))
    comparison = Comparison(plan, outcomes)
    comparison.save(as_path(out))
    return comparison


def _carry_out(job: PlannedRun, split: str, on_epoch: loop.OnEpoch | None, on_step: loop.OnStep | None) -> Outcome:
    """Trains and scores a run; what is finished is not done again."""
    result = loop.fit(job.data, job.folder, job.config, on_epoch, on_step)
    model = bundle.load(job.folder)
    frames = job.config.window.window_frames * job.config.front_end.subframes
    return Outcome(
        job=job,
        history=result.history,
        scores=_score(model, result.best_epoch, job, split),
        parameters=parameters(model.model),
        macs=macs(model.model, frames) / job.config.window.window_seconds,
    )


def _score(model: Bundle, epoch: int, job: PlannedRun, split: str) -> Scores:
    """The scores of a run's best epoch, kept beside it for the next time."""
    path = job.folder / f"scores-{split}.json"
    digest = bundle.describe(job.folder).model_sha256
    # Those that are missing, damaged or of another model are made anew.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["model_sha256"] == digest:
            counts = ConfusionCounts(*(np.array(column) for column in kept["counts"]))
            return Scores(epoch, tuple(kept["tracks"]), tuple(kept["songs"]), counts)
    scores = Scores(epoch, *count_frames(model, job.data, split))
    columns = [getattr(scores.counts, field.name).tolist() for field in dataclasses.fields(ConfusionCounts)]
    kept = {"model_sha256": digest, "tracks": scores.tracks, "songs": scores.songs, "counts": columns}
    write_text(path, json.dumps(kept) + "\n")
    return scores


def count_frames(
    model: Bundle, data: str | Path, split: str
) -> tuple[tuple[str, ...], tuple[str, ...], ConfusionCounts]:
    """What a model gets right in each track of a split, at its thresholds.

    Args:
        model: a trained model.
        data: folder of a data set.
        split: of it.

    Returns:
        Ids of the tracks, their songs, and counts of frames [tracks, classes].

    Raises:
        DataError: The data set is damaged or has another front end, or nothing sounds in the split.
    """
    names, songs, counts = [], [], []
    for track in predict_split(model.windowed, model.config, data, split):
        names.append(track.id)
        songs.append(track.song)
        counts.append(ConfusionCounts.of(track.probabilities >= model.thresholds, track.truth))
    return tuple(names), tuple(songs), ConfusionCounts.stack(counts)
