"""The commands that train many runs: ``compare``, ``tune``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from mir_tf.cli.shared import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    NEW_FOLDER,
    NEW_LOCAL_FOLDER,
    TrainingCommand,
    print_table,
    training_progress,
)
from mir_tf.config import read_yaml
from mir_tf.errors import ConfigError
from mir_tf.io.console import make_console


@click.command(cls=TrainingCommand)
@click.argument("plan", type=EXISTING_FILE)
@click.option(
    "--data", type=EXISTING_FOLDER, multiple=True, required=True, help="Data set, one for each front end in PLAN."
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for runs and tables. The same command resumes.")
@click.option(
    "--config",
    "config_file",
    type=EXISTING_FILE,
    help="YAML file as for mir-tf fit --config, applied to all runs; for example a smaller number of steps.",
)
def compare(plan: Path, data: tuple[Path, ...], out: Path, config_file: Path | None) -> None:
    """Train the runs of a PLAN and compare their scores.

    Each run is trained with several seeds. PLAN is a YAML file with a title, the split to evaluate (test, or validation
    while you choose a recipe), seeds, a preset (the front end), sections for all runs as mir-tf fit --config takes
    them, and runs: names with a preset and sections of their own. tools/plans contains the plans for the questions of
    the PyTorch project.

    A difference is real if at least four seeds of each run and six songs show it; with fewer, it is unknown.

    Finished runs are not trained again, and runs with the same configuration are trained once. OUT receives PLAN.md,
    PLAN.json and PLAN.png, and each run as a folder for mir-tf evaluate, predict and export. Several plans may share
    OUT.

    \b
    Examples:
      mir-tf compare tools/plans/recurrence.yaml --data DATA --out compared
      mir-tf compare PLAN --data DATA --config budget.yaml --out compared
      tensorboard --logdir compared
    """
    from mir_tf.experiments.compare import compare as train_and_compare
    from mir_tf.experiments.plan import read_plan

    work = read_plan(plan, data, out, None if config_file is None else read_yaml(config_file))

    def on_run(name: str, number: int, total: int) -> None:
        click.echo(f"Run {number} of {total}: {name}")

    with training_progress() as (on_epoch, on_step, _):
        comparison = train_and_compare(work, out, on_run, on_epoch, on_step)
    console = make_console()
    print_table(console, work.title, comparison.table())
    print_table(console, "Differences", comparison.difference_table())
    for note in comparison.notes():
        console.print(note)
    console.print(f"Tables and picture: {out}", soft_wrap=True)


@click.command(cls=TrainingCommand)
@click.option(
    "--data", type=EXISTING_FOLDER, multiple=True, required=True, help="Data set; give several to try front ends."
)
@click.option("--out", type=NEW_LOCAL_FOLDER, required=True, help="Folder of the search. The same command resumes it.")
@click.option(
    "--tuner",
    type=click.Choice(["random", "hyperband", "bayesian"]),
    default="random",
    show_default=True,
    help="How to choose trials.",
)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of trials.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Maximum number of epochs per trial; hyperband gives most trials fewer.",
)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Stop after this time.  [default: never]")
@click.option(
    "--space",
    "space_file",
    type=EXISTING_FILE,
    help="YAML file that narrows the search space. --epochs overrides epochs in it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for the choice of trials.")
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
    """Search for the best configuration.

    The best is the one with the highest macro F1 on validation. The search covers architecture, widths, dropout, masks,
    loss and optimiser, and the front end if you give several data sets. A trial has only the hyperparameters of its
    architecture: a CNN has no GRU units. A YAML file narrows it: a value fixes a field, a list names its choices, and
    min and max (with log: true for a logarithmic scale) bound it.

    A trial that fails is marked as failed, and the search continues. OUT receives best.yaml, for mir-tf fit --config,
    and each trial as a run. If the search is interrupted, rerun the same command to continue within the trial.
    docs/scaling.md describes searches on several machines.

    \b
    Example of a search space:
      model:
        architecture: crnn
        conv_dropout: {min: 0.0, max: 0.3}
      train:
        steps_per_epoch: 100
        learning_rate: {min: 0.0003, max: 0.003, log: true}
        pos_weight_max: [1.0, 10.0]

    \b
    Examples:
      mir-tf tune --data DATA --out search --trials 30 --space space.yaml
      mir-tf fit --data DATA --config search/best.yaml --out RUN
      tensorboard --logdir search
    """
    from mir_tf.experiments import tune as tuning
    from mir_tf.experiments.search_space import SearchSpace

    sections = {} if space_file is None else read_yaml(space_file)
    try:
        SearchSpace.of(sections)
    except ConfigError as error:
        raise ConfigError(f"{space_file}: {error}") from error
    console = make_console()

    def on_trial(search: tuning.Search) -> None:
        print_table(console, "Best trials", tuning.table(search.results()[:10]))

    with training_progress() as (on_epoch, on_step, _):
        search, is_complete = tuning.search(
            data, out, tuner, trials, epochs, hours, sections, seed, on_trial, on_epoch, on_step
        )
    if tuning.is_worker():
        return
    results = search.results()
    print_table(console, f"{len(results)} trials", tuning.table(results))
    for result in results:
        if result.message:
            click.echo(f"trial {result.id} failed: {result.message}", err=True)
    if not is_complete:
        console.print(f"Stopped after {hours:g} h; rerun the same command to continue.")
    if all(result.macro_f1 is None for result in results):
        click.echo("no trial has completed", err=True)
        sys.exit(1)
    folder, _ = search.config(results[0].values)
    options = shlex.join(["--data", str(folder), "--config", str(out / tuning.BEST)])
    console.print(f"Next: mir-tf fit {options} --out RUN", soft_wrap=True)
