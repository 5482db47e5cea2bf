"""Compare values of threshold_shrinkage on songs that the thresholds are not tuned on, by cross-validation.

    python tools/choose_shrinkage.py RUN --data DATA

The validation songs are divided into folds. The thresholds of each fold are tuned on the other folds, as in training,
and the counts of all folds are added. Test songs are not used. The last line shows scores of thresholds that are tuned
and evaluated on the same songs, which are optimistic.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from mir_tf import bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.errors import MirTfError
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.thresholds import ScoreHistogram, shrink, tune

_SHARES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_FOLDS = 6
"""With fewer songs, each song is a fold."""

_ROUNDS = 8
"""Random divisions into folds; the table shows the means over them."""

Song = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Probabilities and truth [label frames, classes]."""


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
    renditions: dict[str, list[Song]] = collections.defaultdict(list)
    for each in predictions:
        renditions[each.song].append((each.probabilities, each.truth))
    if (num_folds := min(_FOLDS, len(renditions))) < 2:
        raise click.ClickException(f"{data}: cross-validation needs at least two validation songs")
    # All renditions of a song belong to the same fold.
    songs = []
    for tracks in renditions.values():
        probabilities, truth = zip(*tracks, strict=True)
        songs.append((np.concatenate(probabilities), np.concatenate(truth)))
    scores: dict[float, list[tuple[float, float]]] = {share: [] for share in _SHARES}
    for seed in range(_ROUNDS):
        folds = np.array_split(np.random.default_rng(seed).permutation(len(songs)), num_folds)
        counts: dict[float, list[ConfusionCounts]] = {share: [] for share in _SHARES}
        for fold in folds:
            others = [song for index, song in enumerate(songs) if index not in fold]
            for share, thresholds in _tuned(others).items():
                counts[share] += [_counts(songs[index], thresholds) for index in fold]
        for share, tracked in counts.items():
            scores[share].append(_f1(tracked))
    click.echo("shrinkage  micro F1  macro F1")
    for share, found in scores.items():
        micro, macro = np.mean(found, axis=0)
        click.echo(f"{share:9.2f}  {micro:8.3f}  {macro:8.3f}")
    micro, macro = _f1([_counts(song, _tuned(songs)[0.0]) for song in songs])
    click.echo(f"{len(songs)} songs, {num_folds} folds, {_ROUNDS} rounds.")
    click.echo(f"Tuned and evaluated on all of them: {micro:.3f}, {macro:.3f}")


def _tuned(songs: Sequence[Song]) -> dict[float, NDArray[np.float32]]:
    """Tune thresholds [classes] for every shrinkage."""
    histogram = ScoreHistogram(songs[0][1].shape[1])
    for probabilities, truth in songs:
        histogram.update(probabilities, truth)
    best = tune(histogram)
    return {share: shrink(best, histogram, share) for share in _SHARES}


def _counts(song: Song, thresholds: NDArray[np.float32]) -> ConfusionCounts:
    probabilities, truth = song
    return ConfusionCounts.of(probabilities >= thresholds, truth)


def _f1(tracks: list[ConfusionCounts]) -> tuple[float, float]:
    """Return micro and macro F1."""
    counts = ConfusionCounts.stack(tracks).resampled(np.ones((1, len(tracks)), np.int64))
    return float(counts.micro.f1[0]), float(counts.macro_f1[0])


if __name__ == "__main__":
    main()
