"""The commands that make a run: ``fit`` trains one, ``import-torch`` converts a PyTorch checkpoint into one."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import click

from mir_tf import pretrained
from mir_tf.cli.shared import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    EXISTING_LOCAL_FILE,
    NEW_FOLDER,
    RUN,
    TrainingCommand,
    training_progress,
)
from mir_tf.config import MODELS, ModelConfig, RunConfig, TrainConfig, read_yaml
from mir_tf.errors import ConfigError
from mir_tf.io import locks

_MODEL, _TRAIN = ModelConfig(), TrainConfig()  # the defaults that help texts state


@click.command(cls=TrainingCommand)
@click.option("--data", type=EXISTING_FOLDER, required=True, help="Data set made by python -m tfrecords_builder.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the run. The same command resumes it.")
@click.option(
    "--model",
    "architecture",
    type=click.Choice(MODELS),
    help=f"Architecture of the network.  [default: {_MODEL.architecture}]",
)
@click.option(
    "--config",
    "config_file",
    type=EXISTING_FILE,
    help="YAML file with the sections model, train and window, such as config.yaml of a run. Options override it.",
)
@click.option(
    "--vocabulary",
    help=f"Classes: family (17), slakh (35) or program (129).  [default: {_TRAIN.vocabulary}, or those of --init]",
)
@click.option("--epochs", type=int, help=f"Maximum number of epochs.  [default: {_TRAIN.epochs}]")
@click.option("--steps-per-epoch", type=int, help="Steps per epoch.  [default: one pass over the train split]")
@click.option("--batch-size", type=int, help=f"Examples per step.  [default: {_TRAIN.batch_size}]")
@click.option(
    "--crop-seconds",
    type=float,
    help=f"Length of an example.  [default: {_TRAIN.crop_seconds}; 100.0 for the seed presets]",
)
@click.option("--learning-rate", type=float, help=f"Initial learning rate.  [default: {_TRAIN.learning_rate}]")
@click.option("--seed", type=int, help=f"Seed for weights, crops, masks and dropout.  [default: {_TRAIN.seed}]")
@click.option("--mixed-precision/--no-mixed-precision", default=None, help="Compute in 16 bits.  [default: no]")
@click.option("--jit/--no-jit", default=None, help="Compile the step with XLA; slow on CPUs.  [default: no]")
@click.option(
    "--deterministic/--no-deterministic", default=None, help="Give bit-identical results on every run.  [default: no]"
)
@click.option(
    "--strategy",
    type=click.Choice(["mirrored", "multiworker"]),
    help="Train on all GPUs of this machine, or of all machines in TF_CONFIG.  [default: one device]",
)
@click.option(
    "--init",
    type=RUN,
    help=f"Start from the weights of a run, or of a pretrained model: {pretrained.WORDS}.",
)
@click.option("--profile", is_flag=True, help="Profile a few steps for TensorBoard (extra profile).")
def fit(
    data: Path,
    out: Path,
    architecture: str | None,
    config_file: Path | None,
    strategy: str | None,
    profile: bool,
    init: Path | None,
    **options: Any,
) -> None:
    """Train a network and tune its thresholds.

    A threshold per class is tuned on the validation split. Each epoch prints the F1 there beside that of the best
    constant prediction, which ignores the audio: a model that has learnt something is above it.

    OUT receives the best model with its thresholds and post-processing (model.keras, bundle.json), history.csv,
    config.yaml and TensorBoard logs. If training is interrupted, rerun the same command to resume after the last
    completed epoch. The number of devices, which share every batch, may change when a run is resumed.

    With --init, the architecture and the feature normalisation are taken from that run; only dropout and masking
    settings may differ, and DATA must have the same front end. If you choose another --vocabulary, the class layer
    starts from new weights.

    \b
    Examples:
      mir-tf fit --data DATA --model crnn --out runs/crnn
      mir-tf fit --data DATA --config runs/crnn/config.yaml --seed 1 --out runs/2
      mir-tf fit --data DATA --init pretrained --learning-rate 1e-4 --out runs/3
      tensorboard --logdir runs
    """
    from mir_tf import bundle
    from mir_tf.data.manifest import read_manifest
    from mir_tf.metrics.confidence import FEW_SONGS
    from mir_tf.metrics.text import format_count
    from mir_tf.training.loop import fit as train
    from mir_tf.training.loop import missing_classes
    from mir_tf.vocabulary import VOCABULARIES

    manifest = read_manifest(data)
    base = RunConfig.for_front_end(manifest.front_end)
    if init is not None:
        initial = bundle.describe(init).config
        settings = base.train.replace(vocabulary=initial.train.vocabulary)
        base = dataclasses.replace(base, model=initial.model, train=settings)
    config = _configure(base, config_file, {"model": {"architecture": architecture}, "train": options})
    if init is not None:
        change = "" if initial.train.vocabulary == config.train.vocabulary else ", with a new class layer"
        click.echo(f"Starting from the weights of {pretrained.display_name(init)}{change}")
    for sentence in missing_classes(data, manifest, VOCABULARIES[config.train.vocabulary]):
        click.echo(f"warning: {sentence}", err=True)
    with training_progress() as (on_epoch, on_step, on_check):
        result = train(
            data,
            out,
            config,
            on_epoch=on_epoch,
            on_step=on_step,
            on_check=on_check,
            strategy=strategy,
            profile=profile,
            init=init,
        )
    if profile and not result.epochs_trained:
        click.echo(
            "warning: no profile was taken, because this run was already finished. Train it for more --epochs, or "
            "choose another --out",
            err=True,
        )
    ending = "early, as validation stopped improving" if result.stopped_early else "after the last epoch"
    constant = "" if result.baseline is None else f" (constant prediction {result.baseline.macro_f1:.4f})"
    click.echo(
        f"Training ended {ending}. Best macro F1 on validation: {result.best_macro_f1:.4f}{constant} in epoch "
        f"{result.best_epoch}; model in {result.out}"
    )
    if result.baseline is not None and result.best_macro_f1 <= result.baseline.macro_f1:
        click.echo(
            "warning: the model is no better than the constant prediction, which ignores the audio. Train it for more "
            "epochs or on more songs",
            err=True,
        )
    confidence = bundle.describe(result.out).confidence
    if (songs := manifest.splits["validation"].songs) < FEW_SONGS:
        click.echo(
            f"warning: thresholds and confidence were chosen on only {format_count(songs, 'validation song')}, so that "
            "instruments listed as detected may often be wrong. Build the data set from more songs",
            err=True,
        )
    if confidence is not None and confidence.cut == 1:
        click.echo(
            "warning: on the validation songs, too few names were right at any confidence, so this model lists every "
            "instrument as perhaps. Train it for more epochs or on more songs",
            err=True,
        )
    click.echo(f"Next: mir-tf evaluate {shlex.quote(str(result.out))} --data {shlex.quote(str(data))}")


def _configure(base: RunConfig, file: Path | None, options: dict[str, dict[str, Any]]) -> RunConfig:
    """Return ``base`` with the fields of a YAML file and then the given options (not None), both by section.

    Raises:
        ConfigError: A field is wrong; the message names the file if the field comes from there.
    """
    sections = {} if file is None else read_yaml(file)
    merged = dict(sections)
    for name, fields in options.items():
        given = {field: value for field, value in fields.items() if value is not None}
        if isinstance(merged.setdefault(name, {}), dict):  # merge reports anything else
            merged[name] = {**merged[name], **given}
    try:
        return base.merge(merged)
    except ConfigError:
        try:
            base.merge(sections)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        raise


@click.command("import-torch", cls=TrainingCommand)
@click.argument("checkpoint", type=EXISTING_LOCAL_FILE)
@click.option(
    "--thresholds", type=EXISTING_LOCAL_FILE, help="NumPy file (.npy) with a threshold per class.  [default: all 0.5]"
)
@click.option(
    "--preset",
    type=click.Choice(["seed_44k", "seed_22k"]),
    default="seed_44k",
    show_default=True,
    help="Front end that the checkpoint was trained with; the checkpoint itself does not state it.",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the run, new or empty.")
def import_torch(checkpoint: Path, thresholds: Path | None, preset: str, out: Path) -> None:
    """Convert a PyTorch CHECKPOINT into a run.

    CHECKPOINT is a state dict of the original PyTorch project: a CNN, CRNN or CRNN + MHA with 17 or 129 classes, as a
    .pth file, which PyTorch reads without running code in it, or as an .npz file of the same arrays. You can evaluate,
    export and predict with the result as with any other run.

    \b
    Examples:
      mir-tf import-torch crnn.pth --thresholds thresholds.npy --out runs/original
      mir-tf predict runs/original song.mp3
    """
    from mir_tf.bundle.import_torch import import_checkpoint

    with locks.exclusive(out):
        if not all(map(locks.is_lock, out.iterdir())):
            raise ConfigError(f"{out}: the folder is not empty; choose another, so that no trained model is replaced")
        bundle = import_checkpoint(checkpoint, thresholds, preset)
        bundle.save(out)
    model = bundle.config.model
    click.echo(
        f"{model.architecture}, {len(bundle.classes)} classes, {bundle.model.count_params()} parameters: {out}\n"
        f"Next: mir-tf predict {shlex.quote(str(out))} SONG.mp3"
    )
