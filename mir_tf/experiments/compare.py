"""Train the runs of a plan and compare their scores."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from mir_tf import bundle
from mir_tf.bundle import Bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.experiments.plan import Plan, PlannedRun
from mir_tf.figures import run as run_figures
from mir_tf.figures import style
from mir_tf.io import locks, stored_json
from mir_tf.io.files import as_path, write_text
from mir_tf.io.markdown import markdown
from mir_tf.metrics import bootstrap
from mir_tf.metrics.counts import ConfusionCounts, track_micro_f1
from mir_tf.metrics.text import format_count
from mir_tf.models.cost import macs, parameters
from mir_tf.training import loop

OnRun = Callable[[str, int, int], None]
"""Called with the name of a run, its number from 1, and the number of all runs."""


class TrackCounts(NamedTuple):
    """The confusion counts of a model in each track of a split.

    Attributes:
        tracks: Ids of the tracks.
        songs: Song of each track.
        counts: Counts of frames [tracks, classes].
    """

    tracks: tuple[str, ...]
    songs: tuple[str, ...]
    counts: ConfusionCounts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A run that was trained and evaluated.

    Attributes:
        run: The run as planned.
        history: A row per epoch, as in :class:`mir_tf.training.loop.FitResult`.
        best_epoch: Number of the epoch that was evaluated.
        scores: Confusion counts of this epoch.
        parameters: Number of trained parameters.
        macs: Multiply-accumulate operations for a second of audio.
    """

    run: PlannedRun
    history: list[dict[str, float]]
    best_epoch: int
    scores: TrackCounts
    parameters: int
    macs: float

    @property
    def minutes(self) -> float:
        """Minutes of training, with validation."""
        return sum(row["seconds"] for row in self.history) / 60

    @property
    def is_converged(self) -> bool:
        """Whether training stopped early, or no epoch of its last fifth was better than those before."""
        epochs = self.run.config.train.epochs
        return len(self.history) < epochs or self.best_epoch <= math.floor(0.8 * epochs)

    @property
    def epochs(self) -> str:
        """The best epoch and the number of epochs as text."""
        return f"{self.best_epoch} of {len(self.history)}{'' if self.is_converged else ', not converged'}"


Measure = Callable[[ConfusionCounts, NDArray[np.int64]], NDArray[np.float64]]
"""From counts [tracks, classes] and how often each track is drawn [samples, tracks] to a value per sample [samples]."""


def _track_averaged(values: Callable[[ConfusionCounts], NDArray[np.float64]]) -> Measure:
    """Average a measure per track over the tracks, as the PyTorch project did."""
    return lambda counts, weights: weights @ values(counts) / weights.sum(axis=1)


MEASURES: dict[str, Measure] = {
    "F1": _track_averaged(track_micro_f1),
    "precision": _track_averaged(lambda counts: counts.micro.precision),
    "recall": _track_averaged(lambda counts: counts.micro.recall),
    "micro F1": lambda counts, weights: counts.resampled(weights).micro.f1,
    "macro F1": lambda counts, weights: counts.resampled(weights).macro_f1,
}
"""The measures to compare. The first three, from the PyTorch project, are micro measures per track, averaged."""

_TESTED = ("F1", "micro F1", "macro F1")
"""The measures whose differences between runs are tested."""

FEWEST_SEEDS = 4
"""Smallest number of seeds of each run from which a difference can stand out from the noise of training at 95 %.

With 4 seeds, all values of one run are above all of the other by chance with a probability of 2 / C(8, 4) = 0.03. With
3 seeds, it is 2 / C(6, 3) = 0.1.
"""

_SIGNIFICANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference of two runs in a measure, with its bootstrap interval over songs.

    Attributes:
        first: Name of a run.
        second: Name of another run.
        measure: Key of :data:`MEASURES`.
        value: Value of the first minus value of the second, each the mean over its seeds.
        low: 2.5 % quantile over resamples of the songs, which are the same for both runs.
        high: 97.5 % quantile.
        songs: Number of songs that were resampled.
        seeds: Number of seeds of the run that has fewer.
        p_seeds: Probability of seeds that differ as much or more if both runs are equally good: the exact rank-sum test
            of Mann and Whitney (1947), two-sided.
    """

    first: str
    second: str
    measure: str
    value: float
    low: float
    high: float
    songs: int
    seeds: int
    p_seeds: float

    @property
    def is_known(self) -> bool:
        """Whether there are enough songs and seeds for a difference to be real."""
        return self.songs >= bootstrap.FEWEST_SONGS and self.seeds >= FEWEST_SEEDS

    @property
    def is_real(self) -> bool:
        """Whether neither the choice of songs nor the noise of training explains the difference."""
        return self.is_known and (self.low > 0 or self.high < 0) and self.p_seeds < _SIGNIFICANCE


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The results of a plan.

    Attributes:
        plan: The plan.
        outcomes: The outcomes of each run by its name, one for each seed.
    """

    plan: Plan
    outcomes: dict[str, list[Outcome]]

    def values(self, name: str, measure: str) -> NDArray[np.float64]:
        """Return a measure of a run for each seed [seeds]."""
        return np.concatenate([_values(outcome, measure) for outcome in self.outcomes[name]])

    def table(self) -> list[list[str]]:
        """Return the runs as rows of text with a header."""
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
                    "; ".join(outcome.epochs for outcome in outcomes),
                ]
            )
        return rows

    @functools.cached_property
    def differences(self) -> list[Difference]:
        """The differences of all pairs of runs with the same classes and tracks."""
        found = []
        for first, second in itertools.combinations(self.outcomes, 2):
            pair = self.outcomes[first] + self.outcomes[second]
            if len({(outcome.run.config.train.vocabulary, outcome.scores.tracks) for outcome in pair}) > 1:
                continue
            songs = pair[0].scores.songs
            weights = bootstrap.bootstrap_weights(songs)
            for measure in _TESTED:
                values = [self.values(name, measure) for name in (first, second)]
                drawn = self._mean(first, measure, weights) - self._mean(second, measure, weights)  # [samples]
                low, high = bootstrap.interval(drawn).tolist()
                found.append(
                    Difference(
                        first,
                        second,
                        measure,
                        value=float(values[0].mean() - values[1].mean()),
                        low=low,
                        high=high,
                        songs=len(set(songs)),
                        seeds=min(map(len, values)),
                        p_seeds=float(stats.mannwhitneyu(*values, method="exact").pvalue),
                    )
                )
        return found

    def _mean(self, name: str, measure: str, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean of a measure over the seeds in each resample [samples]."""
        counts = [outcome.scores.counts for outcome in self.outcomes[name]]
        return np.mean([MEASURES[measure](each, weights) for each in counts], axis=0)

    def difference_table(self) -> list[list[str]]:
        """Return the differences as rows of text with a header."""
        rows = [["first − second", *(f"{measure} (95 % interval)" for measure in _TESTED), "real"]]
        for (first, second), group in itertools.groupby(self.differences, key=lambda each: (each.first, each.second)):
            of_measures = list(group)
            real = [each.measure for each in of_measures if each.is_real]
            cells = [
                f"{each.value:+.3f} (" + (f"{each.low:+.3f} to {each.high:+.3f})" if each.songs > 1 else "–)")
                for each in of_measures
            ]
            verdict = ", ".join(real) or "none" if of_measures[0].is_known else "unknown"
            rows.append([f"{first} − {second}", *cells, verdict])
        return rows

    def notes(self) -> list[str]:
        """Return sentences that explain the tables."""
        scores = next(iter(self.outcomes.values()))[0].scores
        seeds = max(map(len, self.outcomes.values()))
        tuned_on_it = ", on these very tracks" if self.plan.split == "validation" else ""
        return [
            f"On the {self.plan.split} split, {len(scores.tracks)} tracks of {len(set(scores.songs))} songs, with "
            f"thresholds tuned on validation{tuned_on_it}. F1, precision and recall are micro measures per track, "
            "averaged over tracks; micro F1 and macro F1 are computed on all frames together. "
            f"Mean of {seeds} seed{'s' if seeds > 1 else ''}, ± half their range.",
            f"Differences: the 95 % interval of {bootstrap.BOOTSTRAP_SAMPLES} bootstrap samples of the songs, the same "
            "for both runs. A difference is real if this interval excludes zero and the seeds differ more than by the "
            f"noise of training (rank-sum test, p < {_SIGNIFICANCE:g}). Runs with different classes are not compared.",
            *self._missing(),
            "Not converged: the best epoch is in the last fifth of training, so longer training may raise the scores.",
            "Minutes of training are comparable only between runs on the same machine with the same load.",
        ]

    def _missing(self) -> list[str]:
        """Return sentences that say which data differences lack to be real."""
        sentences = []
        if differences := self.differences:
            seeds, songs = (min(getattr(each, name) for each in differences) for name in ("seeds", "songs"))
            if seeds < FEWEST_SEEDS:
                sentences.append(
                    f"With {format_count(seeds, 'seed')}, no difference can be told from the noise of training: train "
                    f"at least {FEWEST_SEEDS} seeds."
                )
            if songs < bootstrap.FEWEST_SONGS:
                sentences.append(
                    f"With {format_count(songs, 'song')}, no difference can be told from the choice of songs: evaluate "
                    f"at least {bootstrap.FEWEST_SONGS}."
                )
        return sentences

    def figure(self) -> Figure:
        """Draw validation loss and macro F1 by epoch, for all runs and seeds."""
        curves = {
            name: [(outcome.history, outcome.best_epoch) for outcome in outcomes]
            for name, outcomes in self.outcomes.items()
        }
        return run_figures.comparison_figure(curves, self.plan.title)

    def to_dict(self) -> dict[str, Any]:
        """Return all results as JSON types."""
        return {
            "title": self.plan.title,
            "split": self.plan.split,
            "runs": {
                name: [
                    {
                        "folder": str(outcome.run.folder),
                        "data": str(outcome.run.data),
                        "config": outcome.run.config.to_dict(),
                        "measures": {measure: float(_values(outcome, measure)[0]) for measure in MEASURES},
                        "parameters": outcome.parameters,
                        "macs_per_second": outcome.macs,
                        "minutes": outcome.minutes,
                        "best_epoch": outcome.best_epoch,
                        "is_converged": outcome.is_converged,
                        "history": outcome.history,
                    }
                    for outcome in outcomes
                ]
                for name, outcomes in self.outcomes.items()
            },
            "differences": [
                dataclasses.asdict(difference) | {"is_known": difference.is_known, "is_real": difference.is_real}
                for difference in self.differences
            ],
        }

    def to_markdown(self) -> str:
        """Return the tables and notes as Markdown, with the picture that :meth:`save` writes."""
        page = markdown(self.plan.title, self.table(), self.difference_table(), *self.notes())
        return f"{page}\n![Validation by epoch]({self.plan.name}.png)\n"

    def save(self, folder: Path) -> None:
        """Write tables and picture as ``.md``, ``.json`` and ``.png`` files with the plan's name, each atomically."""
        style.save_png(self.figure(), folder / f"{self.plan.name}.png")
        write_text(folder / f"{self.plan.name}.md", self.to_markdown())
        write_text(folder / f"{self.plan.name}.json", json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _values(outcome: Outcome, measure: str) -> NDArray[np.float64]:
    """Return a measure of an outcome [1]."""
    counts = outcome.scores.counts
    return MEASURES[measure](counts, np.ones((1, len(counts.tp)), np.int64))


def _with_spread(values: NDArray[np.float64]) -> str:
    spread = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def compare(
    plan: Plan,
    out: str | Path,
    on_run: OnRun | None = None,
    on_epoch: loop.OnEpoch | None = None,
    on_step: loop.OnStep | None = None,
) -> Comparison:
    """Train and evaluate the runs of a plan, resuming where it was interrupted, and write the comparison to ``out``.

    Args:
        plan: A plan, as :func:`mir_tf.experiments.plan.read_plan` returns it.
        out: Folder of the comparison; created if needed.
        on_run: Called before each run.
        on_epoch: Called after each epoch, as in :func:`mir_tf.training.loop.fit`.
        on_step: Called after each step, likewise.

    Raises:
        DataError: A data set is damaged or has nothing to learn from.
        TrainingError: A run cannot start or resume. Finished runs are kept; the same call resumes after them.
    """
    with locks.exclusive(as_path(out), plan.name):
        comparison = _compare(plan, on_run, on_epoch, on_step)
        comparison.save(as_path(out))
    return comparison


def _compare(
    plan: Plan, on_run: OnRun | None, on_epoch: loop.OnEpoch | None, on_step: loop.OnStep | None
) -> Comparison:
    """Train and evaluate the runs of a plan."""
    outcomes: dict[str, list[Outcome]] = {}
    done: dict[Path, Outcome] = {}
    for number, run in enumerate(plan.runs, start=1):
        if on_run:
            on_run(run.name, number, len(plan.runs))
        if run.folder not in done:
            done[run.folder] = _train_and_score(run, plan.split, on_epoch, on_step)
        outcomes.setdefault(run.name, []).append(dataclasses.replace(done[run.folder], run=run))
    return Comparison(plan, outcomes)


def _train_and_score(
    run: PlannedRun, split: str, on_epoch: loop.OnEpoch | None, on_step: loop.OnStep | None
) -> Outcome:
    """Train and evaluate a run, except for the parts that are finished already."""
    result = loop.fit(run.data, run.folder, run.config, on_epoch, on_step)
    model = bundle.load(run.folder)
    frames = run.config.window.window_frames * run.config.front_end.subframes
    return Outcome(
        run=run,
        history=result.history,
        best_epoch=result.best_epoch,
        scores=_score(model, run, split),
        parameters=parameters(model.model),
        macs=macs(model.model, frames) / run.config.window.window_seconds,
    )


def _score(model: Bundle, run: PlannedRun, split: str) -> TrackCounts:
    """Return the counts of a run's best epoch, from the file in its folder if it is of the same model."""
    path = run.folder / f"scores-{split}.json"
    digest = bundle.describe(run.folder).model_sha256
    # A file that is missing, damaged or of another model is written again.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept, has_digest = stored_json.unsealed(stored_json.parse_object(path.read_bytes()))
        if has_digest and kept["model_sha256"] == digest:
            counts = ConfusionCounts(*(np.array(column) for column in kept["counts"]))
            return TrackCounts(tuple(kept["tracks"]), tuple(kept["songs"]), counts)
    scores = count_frames(model, run.data, split)
    columns = [column.tolist() for column in dataclasses.astuple(scores.counts)]
    kept = {"model_sha256": digest, "tracks": scores.tracks, "songs": scores.songs, "counts": columns}
    write_text(path, json.dumps(stored_json.sealed(kept)) + "\n")
    return scores


def count_frames(model: Bundle, data: str | Path, split: str) -> TrackCounts:
    """Count true and false frames of a model in each track of a split, at its thresholds.

    Args:
        model: A trained model.
        data: Folder of a data set.
        split: Name of a split.

    Raises:
        DataError: The data set is damaged or has another front end, or nothing sounds in the split.
    """
    names, songs, counts = [], [], []
    for track in predict_split(model.windowed, model.config, data, split):
        names.append(track.id)
        songs.append(track.song)
        counts.append(ConfusionCounts.of(track.probabilities >= model.thresholds, track.truth))
    return TrackCounts(tuple(names), tuple(songs), ConfusionCounts.stack(counts))
