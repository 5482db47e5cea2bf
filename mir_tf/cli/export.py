"""The verbs that take models elsewhere, and in: ``export``, ``import-torch``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mir_tf.cli.shared import (
    FOLDER,
    LOCAL_FILE,
    NEW_FOLDER,
    RECORDING,
    RUN,
    comma_separated,
    make_console,
    print_table,
    say_model,
)
from mir_tf.errors import ConfigError


@click.command()
@click.argument("run", type=RUN)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for the files; older ones there are replaced.")
@click.option(
    "--formats",
    default="savedmodel,tflite",
    show_default=True,
    callback=comma_separated,
    help="Of savedmodel, tflite, onnx; comma-separated.",
)
@click.option(
    "--quantize",
    default="none,float16,dynamic",
    show_default=True,
    callback=comma_separated,
    help="A .tflite file for each of none, float16, dynamic, int8 (int8: networks without GRU, with --data).",
)
@click.option(
    "--audio",
    multiple=True,
    type=RECORDING,
    help="Recording to compare the files on; may be repeated.  [default: a made-up signal]",
)
@click.option("--data", type=FOLDER, help="Data set: F1 on its test split; examples for int8 from its train split.")
@click.option("--license", "license_name", default="", help="Licence of the model, to be named in the files.")
def export(
    run: Path,
    out: Path,
    formats: tuple[str, ...],
    quantize: tuple[str, ...],
    audio: tuple[Path, ...],
    data: Path | None,
    license_name: str,
) -> None:
    """Write the model in RUN as files that take audio and name instruments without this package.

    RUN is a folder of mir-tf fit, or the word pretrained for the model that comes with mir-tf.

    OUT receives saved_model (any TensorFlow, whole songs), model.*.tflite (LiteRT, window by window), clip.tflite
    (MediaPipe's AudioClassifier, one answer a window) and model.onnx, with class names, thresholds and front end
    inside. Each is compared with the Keras model; report.md and report.json tell difference, size, speed and memory.
    A file beyond its tolerance is not left there, and the exit status is 1.

    \b
    Examples:
      mir-tf export runs/crnn --out exported --audio song.flac
      mir-tf export runs/cnn --out exported --formats tflite --quantize none,int8 --data DATA
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mir_tf import bundle
    from mir_tf.export.exporter import export as write

    say_model(run)
    model = bundle.load(run)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("export", total=None)
        report = write(
            model,
            out,
            formats,
            quantize,
            audio,
            data,
            name=run.resolve().name,
            license_name=license_name,
            progress=lambda step: progress.update(task, description=step),
        )
    console = make_console()
    print_table(console, f"Export of {run}", report.table())
    for note in report.notes():
        console.print(note, soft_wrap=True)
    console.print(f"Files and report: {out}", soft_wrap=True)
    if report.failed:
        sys.exit(1)


@click.command("import-torch")
@click.argument("checkpoint", type=LOCAL_FILE)
@click.option("--thresholds", type=LOCAL_FILE, help="NumPy file (.npy) of a threshold a class.  [default: 0.5 for all]")
@click.option(
    "--preset",
    type=click.Choice(["seed_44k", "seed_22k"]),
    default="seed_44k",
    show_default=True,
    help="Front end that the checkpoint was trained with; nothing in it tells.",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the bundle: new, or empty.")
def import_torch(checkpoint: Path, thresholds: Path | None, preset: str, out: Path) -> None:
    """Make a model of a CHECKPOINT of the PyTorch project that this one reimplements.

    CHECKPOINT is the state dict of a CNN, CRNN or CRNN + MHA with 17 or 129 classes: .pth (PyTorch reads it without
    running code in it) or .npz of the same arrays. Evaluate, predict and export treat the result like any other.

    \b
    Example:
      mir-tf import-torch crnn.pth --thresholds thresholds.npy --out runs/original
      mir-tf predict runs/original song.mp3
    """
    from mir_tf.bundle.import_torch import import_checkpoint

    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty; choose another folder, so that no trained model is replaced")
    bundle = import_checkpoint(checkpoint, thresholds, preset)
    bundle.save(out)
    model = bundle.config.model
    click.echo(
        f"{model.architecture}, {len(bundle.classes)} classes, {bundle.model.count_params()} parameters: {out}\n"
        f"Next: mir-tf predict {out} SONG.mp3"
    )
