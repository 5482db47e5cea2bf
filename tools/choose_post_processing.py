"""Whether one event rule for all classes does better on other songs than one for each, by cross-validation.

    python tools/choose_post_processing.py RUN --data DATA

The validation songs are divided into folds; the rule of each fold is chosen on the others, and all folds are measured
together, at the thresholds of the run. No test song is touched. Chosen and measured on the same songs, rules flatter:
these rows stand below.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from mir_tf import bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.errors import MirTfError
from mir_tf.metrics.arithmetic import ratio
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.event_tuning import GRID, choose_index, grid_counts

_FOLDS = 6
_ROUNDS = 8
"""Divisions into folds, each at random; means of all are shown."""


def _of_each_class(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The best rule of each class by its onsets, of those that do not lower F1 over its frames."""
    onsets, frames = (ratio(2 * tp, 2 * tp + fp + fn) for tp, fp, fn, _ in counts)  # [grid, classes]
    return np.where(frames >= frames[0], onsets, -1).argmax(axis=0)


_CHOICES: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "thresholds alone": lambda counts: np.zeros(counts.shape[3], int),
    "one for all": lambda counts: np.full(counts.shape[3], choose_index(counts)),
    "one for each": _of_each_class,
}
"""From counts [2, 4, grid, classes] to the chosen rule of each class."""


@click.command(help=__doc__.partition("\n")[0])
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
def main(run: Path, data: Path) -> None:
    """See the module's docstring."""
    try:
        model = bundle.load(run)
        heard = list(predict_split(model.windowed, model.config, data, "validation"))
    except MirTfError as error:
        raise click.ClickException(str(error)) from error
    answers_of = collections.defaultdict(list)
    for each in heard:
        answers_of[each.song].append((each.probabilities, each.truth))
    if (folds := min(_FOLDS, len(answers_of))) < 2:
        raise click.ClickException(f"{data}: one validation song: there is none to hold out")
    songs = np.stack([grid_counts(answers, model.thresholds) for answers in answers_of.values()])
    click.echo("rule                onsets micro   macro  frames micro   macro")
    for name, choice in _CHOICES.items():
        scores = []
        for seed in range(_ROUNDS):
            found = np.zeros((2, 4, songs.shape[4]), np.int64)
            for fold in np.array_split(np.random.default_rng(seed).permutation(len(songs)), folds):
                others = np.delete(songs, fold, axis=0).sum(axis=0)
                found += _at(songs[fold].sum(axis=0), choice(others))
            scores.append(_f1(found))
        _echo(name, np.mean(scores, axis=0))
    whole = songs.sum(axis=0)
    click.echo(f"{len(songs)} songs, {folds} folds, {_ROUNDS} rounds. Chosen on all of them:")
    for name, choice in _CHOICES.items():
        _echo(name, _f1(_at(whole, choice(whole))))
    share, gap, duration = GRID[choose_index(whole)]
    click.echo(f"One for all: offsets {share:g} of the thresholds, gaps {gap} frames, durations {duration} frames.")


def _at(counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts [2, 4, classes] of the rule of each class."""
    return counts[:, :, chosen, np.arange(len(chosen))]


def _f1(counts: NDArray[np.int64]) -> list[float]:
    """Micro and macro F1 of onsets and of frames."""
    return [
        float(value)
        for columns in counts
        for value in (ConfusionCounts(*columns).micro.f1, ConfusionCounts(*columns).macro_f1)
    ]


def _echo(name: str, scores: NDArray[np.float64] | list[float]) -> None:
    click.echo("{:18s}  {:12.3f}  {:6.3f}  {:12.3f}  {:6.3f}".format(name, *scores))


if __name__ == "__main__":
    main()
