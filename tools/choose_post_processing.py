"""Compare post-processing with one setting for all classes and with one for each class, by cross-validation.

    python tools/choose_post_processing.py RUN --data DATA

The validation songs are divided into folds. The setting of each fold is chosen on the other folds, and the counts of
all folds are added, at the thresholds of the run. Test songs are not used. The last rows show scores of settings that
are chosen and evaluated on the same songs, which are optimistic.
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
"""Random divisions into folds; the table shows the means over them."""


def _of_each_class(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the setting of each class with the best onset F1 among those that do not lower its frame F1."""
    onsets, frames = (ratio(2 * tp, 2 * tp + fp + fn) for tp, fp, fn, _ in counts)  # [grid, classes]
    return np.where(frames >= frames[0], onsets, -1).argmax(axis=0)


_CHOICES: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "thresholds alone": lambda counts: np.zeros(counts.shape[3], int),
    "same for all classes": lambda counts: np.full(counts.shape[3], choose_index(counts)),
    "separate for each class": _of_each_class,
}
"""Functions from counts [2, 4, grid, classes] to the index of each class's setting in the grid."""


@click.command(help=__doc__.partition("\n")[0])
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Data set of the validation songs.",
)
def main(run: Path, data: Path) -> None:
    """Run the rounds and print the table."""
    try:
        model = bundle.load(run)
        predictions = list(predict_split(model.windowed, model.config, data, "validation"))
    except MirTfError as error:
        raise click.ClickException(str(error)) from error
    renditions = collections.defaultdict(list)
    for each in predictions:
        renditions[each.song].append((each.probabilities, each.truth))
    if (folds := min(_FOLDS, len(renditions))) < 2:
        raise click.ClickException(f"{data}: cross-validation needs at least two validation songs")
    songs = np.stack([grid_counts(tracks, model.thresholds) for tracks in renditions.values()])
    click.echo("settings                 onsets micro   macro  frames micro   macro")
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
    click.echo(f"{len(songs)} songs, {folds} folds, {_ROUNDS} rounds. Chosen and evaluated on all of them:")
    for name, choice in _CHOICES.items():
        _echo(name, _f1(_at(whole, choice(whole))))
    share, gap, duration = GRID[choose_index(whole)]
    click.echo(
        f"Same for all classes: offset thresholds {share:g} times the thresholds, "
        f"gaps of {gap} frames, durations of {duration} frames."
    )


def _at(counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts [2, 4, classes] at each class's setting."""
    return counts[:, :, chosen, np.arange(len(chosen))]


def _f1(counts: NDArray[np.int64]) -> list[float]:
    """Return micro and macro F1 of onsets, then of frames."""
    return [
        float(value)
        for columns in counts
        for value in (ConfusionCounts(*columns).micro.f1, ConfusionCounts(*columns).macro_f1)
    ]


def _echo(name: str, scores: NDArray[np.float64] | list[float]) -> None:
    click.echo("{:23s}  {:12.3f}  {:6.3f}  {:12.3f}  {:6.3f}".format(name, *scores))


if __name__ == "__main__":
    main()
