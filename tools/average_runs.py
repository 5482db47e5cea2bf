"""Average the weights of training runs, and tune the result on the validation songs of several data sets together.

    python tools/average_runs.py RUN MORE --data DATA --data OTHER --out OUT

Runs that continue one another differ in the noise of their last steps, and in what they have forgotten. The mean of
their weights is often better than each of them (M. Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
Give a run twice to count it twice. The result has the settings of the last run. With a single run, only the tuning is
done again: thresholds, post-processing and confidence.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import numpy as np

from mir_tf import bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.errors import MirTfError
from mir_tf.metrics import confidence
from mir_tf.metrics.confidence import TrackTable
from mir_tf.metrics.event_tuning import choose, grid_counts
from mir_tf.metrics.thresholds import ScoreHistogram, shrink, tune

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(help=__doc__.partition("\n")[0])
@click.argument("runs", nargs=-1, required=True, type=_FOLDER)
@click.option("--data", multiple=True, required=True, type=_FOLDER, help="Data set with validation songs; repeatable.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the new model.")
def main(runs: tuple[Path, ...], data: tuple[Path, ...], out: Path) -> None:
    """Average, tune and store."""
    try:
        models = [bundle.load(run) for run in runs]
        last = models[-1]
        shapes = [[weight.shape for weight in model.model.weights] for model in models]
        for run, model, shape in zip(runs, models, shapes, strict=True):
            if shape != shapes[-1] or model.classes != last.classes:
                raise click.ClickException(f"{run}: its network or classes differ from those of {runs[-1]}")
            if differences := model.config.front_end.differences(last.config.front_end):
                raise click.ClickException(f"{run}: its front end differs from {runs[-1]}: {'; '.join(differences)}")
        weights = [model.model.get_weights() for model in models]
        last.model.set_weights([np.mean(each, axis=0) for each in zip(*weights, strict=True)])
        predictions = []
        for folder in data:
            predictions += predict_split(last.windowed, last.config, folder, "validation")
    except MirTfError as error:
        raise click.ClickException(str(error)) from error
    histogram = ScoreHistogram(len(last.classes))
    for each in predictions:
        histogram.update(each.probabilities, each.truth)
    tuned = tune(histogram)
    thresholds = shrink(tuned, histogram, last.config.train.threshold_shrinkage)
    counts = grid_counts([(each.probabilities, each.truth) for each in predictions], thresholds)
    fitted, _ = confidence.fit(TrackTable.of(predictions, thresholds))
    untuned = tuple(name for name, has in zip(last.classes, tuned.has_positives, strict=True) if not has)
    made = dataclasses.replace(
        last,
        thresholds=thresholds,
        post_processing=choose(counts, thresholds),
        untuned=untuned,
        confidence=fitted,
        info={"val_macro_f1": tuned.macro_f1, "val_micro_f1": tuned.micro_f1},
    )
    try:
        made.save(out)
    except MirTfError as error:
        raise click.ClickException(str(error)) from error
    songs = len({each.song for each in predictions})
    click.echo(
        f"{out}: mean of {len(runs)} runs, tuned on {len(predictions)} tracks of {songs} songs: "
        f"macro F1 {tuned.macro_f1:.4f}, micro F1 {tuned.micro_f1:.4f}"
    )


if __name__ == "__main__":
    main()
