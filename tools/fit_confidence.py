"""Fit the confidence of a model to validation songs of several data sets together, and store it with the model.

    python tools/fit_confidence.py RUN --data DATA --data MORE [--tflite FILE]

``mir-tf fit`` fits the confidence to the validation songs of its data set. This script adds songs of other kinds, which
the run was not trained on. It prints how many names are right, with confidences from a fit to other songs, and
replaces the confidence in RUN's bundle.json and in the metadata of FILE, which was exported from RUN.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
import numpy as np

from mir_tf import bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import MirTfError
from mir_tf.export.tflite import with_metadata
from mir_tf.inference.metadata import read_tflite
from mir_tf.io.files import write_bytes
from mir_tf.metrics import confidence
from mir_tf.metrics.confidence import TrackTable

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(help=__doc__.partition("\n")[0])
@click.argument("run", type=_FOLDER)
@click.option("--data", multiple=True, required=True, type=_FOLDER, help="Data set with validation songs; repeatable.")
@click.option("--tflite", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File exported from RUN.")
def main(run: Path, data: tuple[Path, ...], tflite: Path | None) -> None:
    """Fit, print and store."""
    try:
        model = bundle.load(run)
        tables = []
        for folder in data:
            predictions = list(predict_split(model.windowed, model.config, folder, "validation"))
            tables.append(TrackTable.of(predictions, model.thresholds))
            click.echo(f"{folder}: {len(predictions)} tracks of {len({each.song for each in predictions})} songs")
        every = TrackTable.joined(tables)
        fitted, held_out = confidence.fit(every)
        click.echo("data set                   named  right  detected  right  precision  recall   Brier")
        for name, table, values in zip(
            [*(folder.name for folder in data), "all"],
            [*tables, every],
            [*np.split(held_out, np.cumsum([len(table.songs) for table in tables])[:-1]), held_out],
            strict=True,
        ):
            is_detected = fitted.detects(values, table.is_named)
            right = (is_detected & table.plays).sum()
            click.echo(
                f"{name:25s} {table.is_named.sum():6d} {(table.is_named & table.plays).sum():6d} "
                f"{is_detected.sum():9d} {right:6d} {right / max(is_detected.sum(), 1):10.3f} "
                f"{right / table.plays.sum():7.3f} {np.mean((values - table.plays) ** 2):7.4f}"
            )
        click.echo(f"Cut: {fitted.cut:.3f}")
        if tflite is not None:
            metadata = dataclasses.replace(read_tflite(tflite), confidence=fitted)
            write_bytes(tflite, with_metadata(tflite.read_bytes(), metadata))
    except MirTfError as error:
        raise click.ClickException(str(error)) from error
    path = run / BUNDLE_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    bundle.write_description(run, content | {"format": bundle.BUNDLE_FORMAT, "confidence": fitted.to_dict()})


if __name__ == "__main__":
    main()
