"""The verbs that train, and show how: ``fit``, ``compare``, ``tune``."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mir_tf import pretrained
from mir_tf.cli.shared import FILE, FOLDER, NEW_FOLDER, NEW_LOCAL_FOLDER, RUN, make_console, print_table
from mir_tf.config import MODELS, ModelConfig, RunConfig, TrainConfig, read_yaml
from mir_tf.errors import ConfigError

if TYPE_CHECKING:
    from mir_tf.training.loop import OnEpoch, OnStep


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Puts the name of ``file`` before what is wrong with its fields."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def _defaults(config: type, name: str) -> str:
    """The default of a field, for help texts: it is written in one place."""
    return f"[default: {getattr(config(), name)}]"


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Folder made by python -m tfrecords_builder.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the run; the same command resumes a run in it.")
@click.option(
    "--model",
    "architecture",
    type=click.Choice(list(MODELS)),
    help=f"Network.  {_defaults(ModelConfig, 'architecture')}",
)
@click.option(
    "--config",
    "config_file",
    type=FILE,
    help="YAML with sections model, train and window; a run's config.yaml is one. Options win over it.",
)
@click.option(
    "--vocabulary",
    help=f"Classes: family (17), slakh (35), program (129).  {_defaults(TrainConfig, 'vocabulary')}",
)
@click.option("--epochs", type=int, help=f"Epochs at most.  {_defaults(TrainConfig, 'epochs')}")
@click.option("--steps-per-epoch", type=int, help="Steps in an epoch.  [default: one pass over the train split]")
@click.option("--batch-size", type=int, help=f"Examples in a step.  {_defaults(TrainConfig, 'batch_size')}")
@click.option(
    "--crop-seconds",
    type=float,
    help=f"Length of an example.  {_defaults(TrainConfig, 'crop_seconds')[:-1]}; 100.0 for the seed presets]",
)
@click.option("--learning-rate", type=float, help=f"At the start.  {_defaults(TrainConfig, 'learning_rate')}")
@click.option("--seed", type=int, help=f"Of weights, crops, masks, dropout.  {_defaults(TrainConfig, 'seed')}")
@click.option("--mixed-precision/--no-mixed-precision", default=None, help="Compute in 16 bits.  [default: no]")
@click.option("--jit/--no-jit", default=None, help="Compile the step with XLA: slow on CPUs.  [default: no]")
@click.option("--deterministic/--no-deterministic", default=None, help="The same bits on every run.  [default: no]")
@click.option(
    "--strategy",
    type=click.Choice(["mirrored", "multiworker"]),
    help="Train on all GPUs of this machine, or of all machines in TF_CONFIG.  [default: one device]",
)
@click.option(
    "--init",
    type=RUN,
    help="Start from the weights of a run, or of the model that comes with mir-tf: the word pretrained.",
)
@click.option("--profile", is_flag=True, help="Take a profile of a few steps, for TensorBoard (extra profile).")
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
    """Train a network on the data set, tuning a threshold per class on its validation split.

    OUT receives the best model with its thresholds and its rule for intervals (model.keras, bundle.json), history.csv,
    config.yaml and TensorBoard's logs. Killed and run again with the same command, training resumes after the last
    finished epoch. Several devices share every batch; how many may change when a run is resumed.

    With --init the network is that of the run which is named, but for its dropout and masks; DATA must have its front
    end. Features are normalised as there. With another vocabulary the layer of the classes starts anew.

    \b
    Examples:
      mir-tf fit --data DATA --model crnn --out runs/crnn
      mir-tf fit --data DATA --config runs/crnn/config.yaml --seed 1 --out runs/crnn-1
      tensorboard --logdir runs
      mir-tf fit --data DATA --init pretrained --learning-rate 1e-4 --out runs/tuned
    """
    from mir_tf import bundle
    from mir_tf.data.manifest import read_manifest
    from mir_tf.training.loop import fit as train
    from mir_tf.training.loop import missing_classes
    from mir_tf.vocabulary import VOCABULARIES

    manifest = read_manifest(data)
    sections = {} if config_file is None else read_yaml(config_file)
    for name, values in {"model": {"architecture": architecture}, "train": options}.items():
        given = {field: value for field, value in values.items() if value is not None}
        if isinstance(sections.setdefault(name, {}), dict):  # anything else, merge refuses
            sections[name] = {**sections[name], **given}
    config = RunConfig.for_front_end(manifest.front_end)
    if init is not None:
        trained = bundle.describe(init).config
        config = dataclasses.replace(config, model=trained.model)
    try:
        config = config.merge(sections)
    except ConfigError:
        if config_file is not None:  # is it to blame, or an option?
            with _named(config_file):
                config.merge(read_yaml(config_file))
        raise
    if init is not None:
        anew = trained.train.vocabulary != config.train.vocabulary
        click.echo(f"Starts from the weights of {pretrained.name(init)}{', the classes anew' if anew else ''}")
    for sentence in missing_classes(data, manifest, VOCABULARIES[config.train.vocabulary]):
        click.echo(f"warning: {sentence}", err=True)
    with _training_progress() as (on_epoch, on_step):
        result = train(
            data,
            out,
            config,
            on_epoch=on_epoch,
            on_step=on_step,
            strategy=strategy,
            profile=profile,
            init=init,
        )
    if profile and not result.epochs_trained:
        click.echo(
            "warning: no profile was taken: this run was finished before. Train it further (--epochs), or a new one "
            "(--out), to take one",
            err=True,
        )
    ended = "early: validation stopped rising" if result.stopped_early else "at its last epoch"
    click.echo(
        f"Ended {ended}. Best macro F1 on validation {result.best_macro_f1:.4f}, epoch {result.best_epoch}; "
        f"model in {result.out}\nNext: mir-tf evaluate {result.out} --data {data}"
    )


@click.command()
@click.argument("plan", type=FILE)
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set; one for each front end of PLAN.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of runs and tables; the same command resumes.")
@click.option(
    "--config",
    "config_file",
    type=FILE,
    help="YAML as mir-tf fit --config takes it: holds for all runs, such as a smaller budget of steps.",
)
def compare(plan: Path, data: tuple[Path, ...], out: Path, config_file: Path | None) -> None:
    """Train the runs of PLAN, each with several seeds, and lay them side by side.

    PLAN is YAML: title, split (whose tracks are scored: test, or validation while a recipe is chosen), seeds, preset
    (front end), sections as mir-tf fit --config takes them for all runs, and runs: a name with a preset and sections
    of its own. Plans of the PyTorch project's questions are in tools/plans. What is finished is not done again, and
    runs of one configuration are trained once. OUT receives PLAN.md, PLAN.json and PLAN.png, and each run as a folder
    that evaluate, predict and export take; plans may share it.

    \b
    Examples:
      mir-tf compare tools/plans/recurrence.yaml --data DATA --out compared
      mir-tf compare tools/plans/recurrence.yaml --data DATA --config docs/experiments.yaml --out compared
      tensorboard --logdir compared
    """
    from mir_tf.experiments.compare import compare as carry_out
    from mir_tf.experiments.compare import read_plan

    work = read_plan(plan, data, out, None if config_file is None else read_yaml(config_file))

    def on_run(name: str, number: int, total: int) -> None:
        click.echo(f"Run {number} of {total}: {name}")

    with _training_progress() as (on_epoch, on_step):
        comparison = carry_out(work, out, on_run, on_epoch, on_step)
    console = make_console()
    print_table(console, work.title, comparison.table())
    print_table(console, "Differences", comparison.difference_table())
    for note in comparison.notes():
        console.print(note)
    console.print(f"Tables and picture: {out}", soft_wrap=True)


@click.command()
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set; several differ in front end.")
@click.option("--out", type=NEW_LOCAL_FOLDER, required=True, help="Folder of the search; the same command resumes it.")
@click.option(
    "--tuner",
    type=click.Choice(["random", "hyperband", "bayesian"]),
    default="random",
    show_default=True,
    help="How trials are chosen.",
)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Trials at most.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Epochs of a trial at most; hyperband gives most trials fewer.",
)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Stop after so long.  [default: never]")
@click.option(
    "--space", "space_file", type=FILE, help="YAML that narrows the search; epochs in it give way to --epochs."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choices.")
def tune(
    data: tuple[Path, ...],
    out: Path,
    tuner: str,
    trials: int,
    epochs: int,
    hours: float | None,
    space_file: Path | None,
    seed: int,
) -> None:
    """Search for the configuration of the best macro F1 on validation, at tuned thresholds.

    Architecture, widths, dropout, masks, loss and optimiser are searched, and the front end where several data sets are
    given. A YAML file narrows that: a value fixes a field, a list names its choices, min and max (and log: true) bound
    it. A trial that fails is marked so, and the search goes on. OUT receives best.yaml, for mir-tf fit --config, and
    each trial as a run. Stopped and started again with the same command, the search goes on within the trial.

    \b
    Example of a space:
      model: {architecture: crnn, conv_dropout: {min: 0.0, max: 0.3}}
      train: {steps_per_epoch: 100, learning_rate: {min: 0.0003, max: 0.003, log: true}, pos_weight_max: [1.0, 10.0]}

    \b
    Examples:
      mir-tf tune --data DATA --out search --trials 30 --space space.yaml
      tensorboard --logdir search
      mir-tf fit --data DATA --config search/best.yaml --out RUN
    On several machines that share OUT: docs/scaling.md.
    """
    from mir_tf.experiments import tune as tuning

    sections = {} if space_file is None else read_yaml(space_file)
    with contextlib.nullcontext() if space_file is None else _named(space_file):
        tuning.Space.of(sections)
    console = make_console()

    def on_trial(search: tuning.Search) -> None:
        print_table(console, "Best trials", tuning.table(search.results()[:10]))

    with _training_progress() as (on_epoch, on_step):
        search, is_through = tuning.search(
            data, out, tuner, trials, epochs, hours, sections, seed, on_trial, on_epoch, on_step
        )
    if tuning.is_worker():
        return
    results = search.results()
    print_table(console, f"{len(results)} trials", tuning.table(results))
    for result in results:
        if result.message:
            click.echo(f"trial {result.id} failed: {result.message}", err=True)
    if not is_through:
        console.print(f"{hours:g} h are over; the same command goes on.")
    if all(result.macro_f1 is None for result in results):
        click.echo("no trial has ended well", err=True)
        sys.exit(1)
    folder, _ = search.config(results[0].values)
    console.print(f"Next: mir-tf fit --data {folder} --config {out / tuning.BEST} --out RUN", soft_wrap=True)


@contextlib.contextmanager
def _training_progress() -> Iterator[tuple[OnEpoch, OnStep]]:
    """What :func:`mir_tf.training.loop.fit` calls to show its steps as a bar and its epochs as lines."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, loss {task.fields[loss]:.4f}, left in this epoch"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("training", total=None, loss=float("nan"))

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.update(task, completed=step, total=steps, loss=loss)
            if step == steps:
                progress.update(task, description="validating")

        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            progress.reset(task, description="training")
            click.echo(
                f"epoch {epoch}: loss {row['loss']:.4f}, validation loss {row['val_loss']:.4f}, "
                f"macro F1 {row['val_macro_f1']:.4f}, micro F1 {row['val_micro_f1']:.4f}, "
                f"learning rate {row['learning_rate']:g}, {row['seconds']:.0f} s"
            )

        yield on_epoch, on_step
