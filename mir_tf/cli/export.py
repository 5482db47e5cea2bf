"""The command that exports a model to other runtimes: ``export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mir_tf import pretrained
from mir_tf.cli.shared import (
    EXISTING_FOLDER,
    NEW_FOLDER,
    RECORDING,
    RUN,
    TrainingCommand,
    announce_pretrained,
    comma_separated,
    print_table,
)
from mir_tf.io.console import make_console


@click.command(cls=TrainingCommand)
@click.argument("run", type=RUN)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for the files. Earlier exports are replaced.")
@click.option(
    "--formats",
    default="savedmodel,tflite",
    show_default=True,
    callback=comma_separated,
    help="Formats to write: savedmodel, tflite, onnx; comma-separated.",
)
@click.option(
    "--quantize",
    default="none,float16,dynamic",
    show_default=True,
    callback=comma_separated,
    help="Quantizations, a .tflite file for each: none, float16, dynamic, int8; comma-separated. int8 needs --data and "
    "a network without GRU.",
)
@click.option(
    "--audio",
    multiple=True,
    type=RECORDING,
    help="Recording to compare the files on; repeatable.  [default: a synthetic signal]",
)
@click.option(
    "--data", type=EXISTING_FOLDER, help="Data set: F1 is measured on its test split, int8 calibrated on train."
)
@click.option("--license", "license_name", default="", help="Licence of the model, stored in the files.")
def export(
    run: Path,
    out: Path,
    formats: tuple[str, ...],
    quantize: tuple[str, ...],
    audio: tuple[Path, ...],
    data: Path | None,
    license_name: str,
) -> None:
    """Export the model in RUN to files that run without this package.

    RUN is a folder made by mir-tf fit, or one of the words pretrained and pretrained-35.

    OUT receives saved_model (TensorFlow, whole songs), model.*.tflite (LiteRT, window by window), clip.tflite
    (MediaPipe AudioClassifier, one prediction per window) and model.onnx. The files take audio and contain class names,
    thresholds and the front end.

    Each file is compared with the Keras model; report.md and report.json state difference, size, speed and memory. A
    file that differs by more than its tolerance is deleted, and the exit status is 1.

    \b
    Examples:
      mir-tf export runs/crnn --out exported --audio song.flac
      mir-tf export runs/cnn --out exported --quantize none,int8 --data DATA
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mir_tf import bundle
    from mir_tf.export.exporter import export as export_model

    announce_pretrained(run)
    model = bundle.load(run)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("export", total=None)
        report = export_model(
            model,
            out,
            formats,
            quantize,
            audio,
            data,
            name=pretrained.word_of(run) or run.resolve().name,
            license_name=license_name,
            progress=lambda step: progress.update(task, description=step),
        )
    console = make_console()
    print_table(console, f"Export of {pretrained.display_name(run)}", report.table())
    for note in report.notes():
        console.print(note, soft_wrap=True)
    console.print(f"Files and report: {out}", soft_wrap=True)
    if report.failed:
        sys.exit(1)
