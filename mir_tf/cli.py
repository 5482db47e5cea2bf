"""The command line. Only click and rich load here; every verb imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import mir_tf
from mir_tf.config import ModelConfig, RunConfig, TrainConfig, read_yaml
from mir_tf.errors import ConfigError, MirTfError
from mir_tf.parameters import PathParameter

if TYPE_CHECKING:
    from rich.console import Console

    from mir_tf.batch import Length
    from mir_tf.prediction import Prediction
    from mir_tf.train import OnEpoch, OnStep

_FOLDER = PathParameter(exists=True, file_okay=False)
_LOCAL_FOLDER = PathParameter(local=True, exists=True, file_okay=False)
_FILE = PathParameter(exists=True, dir_okay=False)
_LOCAL_FILE = PathParameter(local=True, exists=True, dir_okay=False)
_LOCAL_FOLDER = PathParameter(local=True, exists=True, file_okay=False)
_NEW_FILE = PathParameter(dir_okay=False)
_NEW_LOCAL_FILE = PathParameter(local=True, dir_okay=False)
_NEW_FOLDER = PathParameter(file_okay=False)
_NEW_LOCAL_FOLDER = PathParameter(local=True, file_okay=False)
_RECORDING = PathParameter()
_MODEL = PathParameter(exists=True)
_THREADS = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of LiteRT, for a .tflite file.  [default: one a core]"
)
_SPLIT = click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Thresholds were tuned on validation: figures from there flatter.",
)


class _Verbs(click.Group):
    """A group whose commands end with a message and an exit status, not a traceback, on what a person can mend."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error  # exit status 2
        except BrokenPipeError:  # `mir-tf inspect DATA | head`; click ends quietly
            raise
        except (MirTfError, OSError) as error:
            raise click.ClickException(str(error)) from error  # exit status 1


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mir_tf.__version__, prog_name="mir-tf")
def main() -> None:
    """Hear which instruments sound in a music recording, ten times a second, and which one is dominant.

    \b
    The way from audio to answers:
      python -m tfrecords_builder --slakh SLAKH --out DATA   audio and MIDI to records
      mir-tf inspect DATA                                    what the records hold
      mir-tf fit --data DATA --model crnn --out RUN          train
      mir-tf evaluate RUN --data DATA                        how good it is on unseen songs
      mir-tf report RUN --data DATA                          the same as a page, with the songs where it fails
      mir-tf predict RUN SONG.mp3                            which instruments play, and when
      mir-tf export RUN --out DIR                            files for servers, phones and browsers
      mir-tf listen DIR/model.float32.tflite --microphone    what plays now
      mir-tf app DIR/model.float32.tflite                    a page to drop recordings on

    Exit status: 0 fine, 1 failed, 2 wrong usage.
    """
    # TensorFlow's own start-up chatter tells a user nothing; its errors still come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@main.command()
@click.argument("data", type=_FOLDER)
@click.option("--picture", type=_NEW_FILE, help="PNG to draw into.  [default: DATA/inspection.png]")
@click.option("--report", "wants_report", is_flag=True, help="Write a page of pictures as well; reads all records.")
@click.option("--out", type=_NEW_FOLDER, help="Folder for that page and its pictures.  [default: DATA/report]")
def inspect(data: Path, picture: Path | None, wants_report: bool, out: Path | None) -> None:
    """Print and draw what the data set in DATA holds.

    Hours, songs and tracks of each split, how much each class sounds, what was left out and why; and a page of
    log-mel pictures with their labels beneath.

    With --report also report.html, which holds all it shows: hours, class balance, what sounds together, how many
    classes sound at once, lengths, and the mean spectrum of each instrument group, where the data set was built with
    --stems. Each picture says how it is read.

    \b
    Example:
      mir-tf inspect DATA --report
    """
    from mir_tf import inspection
    from mir_tf.schema import read_manifest

    if out is not None and not wants_report:
        raise ConfigError("--out belongs to --report; the one picture without it is named by --picture")
    manifest = read_manifest(data)
    picture = picture or data / "inspection.png"
    inspection.draw(data, manifest, picture)
    console = _console()
    for table in inspection.tables(manifest):
        _print_table(console, *table)
    console.print(f"Pictures: {picture}", soft_wrap=True)
    if wants_report:
        from mir_tf import data_report

        with _track_progress() as on_record:
            path = data_report.write(data, manifest, out or data / "report", on_record)
        console.print(f"Report: {path}", soft_wrap=True)


def _defaults(config: type, name: str) -> str:
    """The default of a field, for help texts: it is written in one place."""
    return f"[default: {getattr(config(), name)}]"


@main.command()
@click.option("--data", type=_FOLDER, required=True, help="Folder made by python -m tfrecords_builder.")
@click.option("--out", type=_NEW_FOLDER, required=True, help="Folder of the run; the same command resumes a run in it.")
@click.option(
    "--model",
    "architecture",
    type=click.Choice(ModelConfig.ARCHITECTURES),
    help=f"Network.  {_defaults(ModelConfig, 'architecture')}",
)
@click.option(
    "--config",
    "config_file",
    type=_FILE,
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
@click.option("--data-service", metavar="ADDRESS", help="Batches come from a tf.data service at grpc://HOST:PORT.")
@click.option("--profile", is_flag=True, help="Take a profile of a few steps, for mir-tf board (extra profile).")
def fit(
    data: Path,
    out: Path,
    architecture: str | None,
    config_file: Path | None,
    strategy: str | None,
    data_service: str | None,
    profile: bool,
    **options: Any,
) -> None:
    """Train a network on the data set, tuning a threshold per class on its validation split.

    OUT receives the best model with its thresholds and its rule for intervals (model.keras, bundle.json), history.csv,
    config.yaml and TensorBoard's logs. Killed and run again with the same command, training resumes after the last
    finished epoch. Several devices share every batch; how many, and where batches are made, may change when a run is
    resumed.

    \b
    Examples:
      mir-tf fit --data DATA --model crnn --out runs/crnn
      mir-tf fit --data DATA --config runs/crnn/config.yaml --seed 1 --out runs/crnn-1
      mir-tf board runs/crnn runs/crnn-1
    """
    from mir_tf.schema import read_manifest
    from mir_tf.train import fit as train
    from mir_tf.train import unheard_classes
    from mir_tf.vocabulary import VOCABULARIES

    manifest = read_manifest(data)
    sections = {} if config_file is None else read_yaml(config_file)
    for name, values in {"model": {"architecture": architecture}, "train": options}.items():
        given = {field: value for field, value in values.items() if value is not None}
        if isinstance(sections.setdefault(name, {}), dict):  # anything else, merge refuses
            sections[name] = {**sections[name], **given}
    config = RunConfig.for_front_end(manifest.front_end).merge(sections)
    for sentence in unheard_classes(data, manifest, VOCABULARIES[config.train.vocabulary]):
        click.echo(f"warning: {sentence}", err=True)
    with _training_progress() as (on_epoch, on_step):
        result = train(
            data,
            out,
            config,
            on_epoch=on_epoch,
            on_step=on_step,
            strategy=strategy,
            data_service=data_service,
            profile=profile,
        )
    ended = "early: validation stopped rising" if result.stopped_early else "at its last epoch"
    click.echo(
        f"Ended {ended}. Best macro F1 on validation {result.best_macro_f1:.4f}, epoch {result.best_epoch}; "
        f"model in {result.out}\nNext: mir-tf evaluate {result.out} --data {data}"
    )


@contextlib.contextmanager
def _training_progress() -> Iterator[tuple[OnEpoch, OnStep]]:
    """What :func:`mir_tf.train.fit` calls to show its steps as a bar and its epochs as lines."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, loss {task.fields[loss]:.4f}, left in this epoch"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
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


@main.command()
@click.argument("plan", type=_FILE)
@click.option("--data", type=_FOLDER, multiple=True, required=True, help="Data set; one for each front end of PLAN.")
@click.option("--out", type=_NEW_FOLDER, required=True, help="Folder of runs and tables; the same command resumes.")
@click.option(
    "--config",
    "config_file",
    type=_FILE,
    help="YAML as mir-tf fit --config takes it: holds for all runs, such as a smaller budget of steps.",
)
def compare(plan: Path, data: tuple[Path, ...], out: Path, config_file: Path | None) -> None:
    """Train the runs of PLAN, each with several seeds, and lay them side by side.

    PLAN is YAML: title, seeds, preset (front end), sections as mir-tf fit --config takes them for all runs, and runs: a
    name with a preset and sections of its own. Plans of the PyTorch project's questions are in tools/plans. What is
    finished is not done again, and runs of one configuration are trained once. OUT receives PLAN.md, PLAN.json and
    PLAN.png, and each run as a folder that evaluate, predict and export take; plans may share it.

    \b
    Examples:
      mir-tf compare tools/plans/recurrence.yaml --data DATA --out compared
      mir-tf compare tools/plans/recurrence.yaml --data DATA --config docs/experiments.yaml --out compared
      mir-tf board compared
    """
    from mir_tf.compare import compare as carry_out
    from mir_tf.compare import read_plan

    work = read_plan(plan, data, out, None if config_file is None else read_yaml(config_file))

    def on_run(name: str, number: int, total: int) -> None:
        click.echo(f"Run {number} of {total}: {name}")

    with _training_progress() as (on_epoch, on_step):
        comparison = carry_out(work, out, on_run, on_epoch, on_step)
    console = _console()
    _print_table(console, work.title, comparison.table())
    _print_table(console, "Differences", comparison.difference_table())
    for note in comparison.notes():
        console.print(note)
    console.print(f"Tables and picture: {out}", soft_wrap=True)


@main.command()
@click.option("--data", type=_FOLDER, multiple=True, required=True, help="Data set; several differ in front end.")
@click.option("--out", type=_NEW_LOCAL_FOLDER, required=True, help="Folder of the search; the same command resumes it.")
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
@click.option("--space", "space_file", type=_FILE, help="YAML that narrows the search space.")
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
      mir-tf board search
      mir-tf fit --data DATA --config search/best.yaml --out RUN
    On several machines that share OUT: docs/scaling.md.
    """
    from mir_tf import tune as tuning

    sections = {} if space_file is None else read_yaml(space_file)
    console = _console()

    def on_trial(search: tuning.Search) -> None:
        _print_table(console, "Best trials", tuning.table(search.results()[:10]))

    with _training_progress() as (on_epoch, on_step):
        search, is_through = tuning.search(
            data, out, tuner, trials, epochs, hours, sections, seed, on_trial, on_epoch, on_step
        )
    if tuning.is_worker():
        return
    results = search.results()
    _print_table(console, f"{len(results)} trials", tuning.table(results))
    for result in results:
        if result.message:
            click.echo(f"trial {result.id} failed: {result.message}", err=True)
    if not is_through:
        console.print(f"{hours:g} h are over; the same command goes on.")
    if all(result.macro_f1 is None for result in results):
        click.echo("no trial has ended well", err=True)
        sys.exit(1)
    console.print(f"Next: mir-tf fit --data {data[0]} --config {out / tuning.BEST} --out RUN", soft_wrap=True)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=_LOCAL_FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 lets others in.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at.  [default: the first free from 6006]")
def board(runs: tuple[Path, ...], host: str, port: int | None) -> None:
    """Open TensorBoard on RUNS: folders of mir-tf fit, tune or compare, or folders of these.

    Curves of loss, of F1 of each class, and of time (seconds of a step, and the share of it that waits for data); a
    validation song's log-mel, truth and probabilities; precision-recall curves; the network's graph; hyperparameters
    beside the F1 that they gave; a profile, where mir-tf fit --profile took one. Runs that begin later are shown too.
    Ctrl-C ends it.

    \b
    Examples:
      mir-tf board runs/cnn runs/crnn
      mir-tf board search
    """
    import threading

    from mir_tf.board import board as serve

    with serve(runs, host, port) as (address, names):
        click.echo(f"{address}\n{len(names)} run{'s' if len(names) > 1 else ''}: {', '.join(names)}\nCtrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


@main.command()
@click.argument("model", type=_MODEL)
@click.option("--data", type=_FOLDER, help="Folder made by python -m tfrecords_builder; MODEL is then a run.")
@_SPLIT
@click.option("--references", type=_LOCAL_FOLDER, help="Instead: folder of SONG.jams or SONG.csv, for your recordings.")
@click.option("--audio", type=_LOCAL_FOLDER, help="Folder of these recordings.")
@click.option("--out", type=_NEW_FOLDER, help="Folder for tables and pictures.  [default: evaluation-... in the run]")
@click.pass_context
def evaluate(
    context: click.Context,
    model: Path,
    data: Path | None,
    split: str,
    references: Path | None,
    audio: Path | None,
    out: Path | None,
) -> None:
    """Measure MODEL on unseen songs: of a data set, or your own with references.

    Precision, recall, F1, average precision and ROC AUC of frames; F1 of segments and intervals, with the event rule
    and without; presence per track; the dominant instrument; 95 % bootstrap intervals over tracks; all beside the best
    constant answers. OUT receives evaluation.json, evaluation.md and pictures.

    Your own: MODEL is a run or a .tflite file. A reference goes with the recording of its name: SONG.csv or SONG.jams
    with SONG.mp3. CSV has the columns start, end (seconds) and instrument, JAMS one annotation of tag_open or
    segment_open; names are those of classes or of General MIDI programs. A file that has no partner or cannot be read
    is named, the rest goes on, and the exit status is 1.

    \b
    Examples:
      mir-tf evaluate runs/crnn --data DATA
      mir-tf evaluate model.float32.tflite --references REFERENCES --audio SONGS
    """
    problems: list[str] = []

    def on_problem(problem: str) -> None:
        problems.append(problem)
        click.echo(f"Error: {problem}", err=True)

    if data is not None:
        if references or audio:
            raise ConfigError("--data excludes --references and --audio: measure them apart")
        if model.is_file():
            raise ConfigError(f"{model}: a data set is measured by a run; this file takes --references and --audio")
        from mir_tf import bundle
        from mir_tf.evaluate import evaluate as measure

        with _track_progress() as on_track:
            result = measure(bundle.load(model), data, split, on_track)
    elif references is None or audio is None:
        raise ConfigError("give --data, or --references and --audio")
    else:
        if context.get_parameter_source("split") is not ParameterSource.DEFAULT:
            raise ConfigError("--split is of --data: all references are measured")
        from mir_tf import references as own
        from mir_tf.loading import load

        with _track_progress() as on_track:
            result = own.evaluate(load(model), references, audio, on_problem, on_track)
    name = f"evaluation-{split if references is None else references.resolve().name}"
    out = out or (model if model.is_dir() else model.parent) / name
    result.save(out)
    console = _console()
    for title, table in (
        (result.title, result.headline_table()),
        ("Intervals", result.interval_table()),
        ("Classes", result.class_table()),
    ):
        _print_table(console, title, table)
    for note in result.notes():
        console.print(note)
    console.print(f"Tables and pictures: {out}", soft_wrap=True)
    if problems:
        click.echo(f"{len(problems)} problems: what they name was left out.", err=True)
        sys.exit(1)


@main.command()
@click.argument("run", type=_FOLDER)
@click.option("--data", type=_FOLDER, required=True, help="Folder made by python -m tfrecords_builder.")
@_SPLIT
@click.option("--out", type=_NEW_FOLDER, help="Folder for the page and its pictures.  [default: RUN/report-SPLIT]")
def report(run: Path, data: Path, split: str, out: Path | None) -> None:
    """Write a page that shows what the model in RUN hears in unseen songs, and where it fails.

    OUT receives report.html, which holds all it shows (mail it, print it, open it on a phone), the same pictures as
    files, and evaluation.json, the measures of mir-tf evaluate. On the page: F1 per class with intervals, precision,
    recall and F1 by threshold, confusion, the dominant instrument and playing time, calibration, the best and the worst
    songs as timelines beside the truth, training, and the model. Each picture says how it is read.

    \b
    Example:
      mir-tf report runs/crnn --data DATA
    """
    from mir_tf import bundle, run_report

    model = bundle.load(run)
    with _track_progress() as on_track:
        path = run_report.write(model, run, data, split, out or run / f"report-{split}", on_track)
    _console().print(f"Report: {path}", soft_wrap=True)


@contextlib.contextmanager
def _track_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar of tracks on stderr, with the time left.

    Yields:
        what to call with the tracks done and all tracks.
    """
    from rich.progress import Progress

    with Progress(console=_console(stderr=True), transient=True) as progress:
        task = progress.add_task("tracks", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _names(context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]) -> tuple[str, ...]:
    """The different names in comma-separated lists; which are allowed, the verb itself says."""
    lists = (value,) if isinstance(value, str) else value
    return tuple(dict.fromkeys(name.strip() for text in lists for name in text.split(",") if name.strip()))


_FEW = 5
"""Recordings up to which each is shown by a table and a timeline; of more, each is a line."""


@main.command()
@click.argument("model", type=_MODEL)
@click.argument("audio", nargs=-1, required=True, type=_RECORDING, metavar="AUDIO|FOLDER...")
@click.option(
    "--format",
    "formats",
    multiple=True,
    callback=_names,
    help="Of json, csv, jams, audacity, png, svg: a file of each for every recording; comma-separated or repeated.  "
    "[default: json; with --into none]",
)
@click.option(
    "--out",
    type=_NEW_FOLDER,
    help="Folder for these files, in the tree of each FOLDER.  [default: beside the recording]",
)
@click.option("--into", type=_NEW_LOCAL_FILE, help="One file of all recordings: songs.csv, songs.json, songs.parquet.")
@click.option("--again", is_flag=True, help="Hear what is done as well.")
@_THREADS
def predict(
    model: Path,
    audio: tuple[Path, ...],
    formats: tuple[str, ...],
    out: Path | None,
    into: Path | None,
    again: bool,
    threads: int | None,
) -> None:
    """Name the instruments in recordings, with a run, or with a .tflite file that mir-tf export made of it.

    AUDIO is any file that libsndfile reads (wav, flac, mp3, ogg and more), of any length; in a FOLDER and below, all
    of them are heard. Instruments, their playing time and the dominant one are printed, with a timeline; of more than
    five recordings, a line for each. SONG.mp3.json is written with the probability of every frame, or other --format.

    What was written by this model, of a recording that has not changed since, is not done again. A recording that
    cannot be read is named, the rest goes on, and the exit status is 1.

    \b
    Examples:
      mir-tf predict MODEL song.mp3
      mir-tf predict MODEL song.mp3 --format csv,audacity,png
      mir-tf predict MODEL music --out answers --format jams
      mir-tf predict MODEL music --into music.parquet
    """
    from mir_tf.audio import probe
    from mir_tf.batch import Batch, Length, find
    from mir_tf.errors import AudioError
    from mir_tf.loading import digest, load

    if out is not None and into is not None and not formats:
        raise ConfigError("--out is for a file each, which --format names; with --into alone there are none")
    hear = load(model, threads).predict
    found = find(audio)
    names = formats or (() if into else ("json",))
    failed = 0
    for fault in found.faults:
        click.echo(f"Error: {fault}", err=True)
    with Batch(found.songs, digest(model), names, out, into, again) as batch:
        length = Length([job.song for job in batch.jobs])
        with _song_progress(len(batch.jobs)) as (console, on_progress):
            for number, job in enumerate(batch.jobs):
                seconds = 0.0
                try:
                    length.begin(job.song, probe(job.song.path).seconds)
                    result = hear(job.song.path, progress=functools.partial(on_progress, number, length))
                    seconds = result.seconds
                except AudioError as error:
                    failed += 1
                    click.echo(f"Error: {error}", err=True)
                    continue
                finally:
                    length.end(job.song, seconds)
                written = batch.write(job, result)
                if len(found.songs) <= _FEW:
                    _print_prediction(console, result)
                    for path in written:
                        console.print(f"Written: {path}", soft_wrap=True)
                else:
                    _print_line(console, str(job.song.place), result)
        if count := batch.write_all():
            _console().print(f"Written: {into}, of {count} recordings", soft_wrap=True)
    left_out = {
        "recordings that this model has heard before (--again hears them too)": batch.num_done,
        "files that are no audio": found.others,
        "hidden files and folders": found.hidden,
    }
    for what, count in left_out.items():
        if count:
            click.echo(f"Left out: {count} {what}.", err=True)
    if failed:
        click.echo(f"{failed} of {len(found.songs)} recordings could not be read.", err=True)
    if failed or found.faults:
        sys.exit(1)


@contextlib.contextmanager
def _song_progress(songs: int) -> Iterator[tuple[Console, Callable[[int, Length, float], None]]]:
    """A bar of seconds of audio on stderr, with the time left.

    Yields:
        the console for results; what to call with the songs done, the length of all, and the seconds heard of this one.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]} of {task.fields[songs]} recordings, {task.fields[speed]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, done=0, songs=songs, speed="")
        began = time.monotonic()

        def on_progress(done: int, length: Length, seconds: float) -> None:
            heard = length.heard + seconds
            speed = f"{heard / max(time.monotonic() - began, 1e-3):.0f} times as fast as they play"
            progress.update(task, completed=heard, total=length.total, done=done, speed=speed)

        # In a terminal, the one who draws the bar must print the rest, above it.
        yield progress.console if sys.stdout.isatty() else _console(), on_progress


@main.command()
@click.argument("model", type=_LOCAL_FILE)
@click.option(
    "--format", "audio_format", type=click.Choice(["wav", "s16le", "f32le"]), help="Of standard input.  [default: wav]"
)
@click.option("--rate", type=int, help="Sample rate of raw audio in Hz.")
@click.option("--channels", type=click.IntRange(min=1), help="Channels of raw audio.  [default: 1]")
@click.option("--microphone", is_flag=True, help="Hear the microphone instead (extra listen).")
@_THREADS
def listen(
    model: Path,
    audio_format: str | None,
    rate: int | None,
    channels: int | None,
    microphone: bool,
    threads: int | None,
) -> None:
    """Hear audio as it comes, on standard input or from a microphone, with a .tflite file of mir-tf export.

    In a terminal a meter for each instrument shows what is heard now, with a mark at its threshold, and how long it has
    played. Elsewhere each frame is printed as a line of JSON as soon as it is final, up to the length of a window later
    (stated at the start): these are the frames that mir-tf predict gives of the same audio. The end of the audio, or
    Ctrl-C, ends it.

    \b
    Examples:
      mir-tf listen model.float32.tflite --microphone
      ffmpeg -i http://radio/stream -f wav - | mir-tf listen model.float32.tflite
      arecord -f S16_LE -r 44100 -t raw | mir-tf listen model.float32.tflite --format s16le --rate 44100 | jq .active
    """
    from mir_tf.listen import Microphone, RawSource, hear, lines
    from mir_tf.lite import LiteModel
    from mir_tf.meter import Meter

    if microphone and (audio_format, rate, channels) != (None, None, None):
        raise ConfigError("--format, --rate and --channels are of standard input: leave them or --microphone out")
    if not microphone and (sys.stdin is None or sys.stdin.isatty()):
        raise ConfigError("nothing is piped into standard input: pipe audio into it, or give --microphone")
    lite = LiteModel(model, threads or os.cpu_count() or 1)
    source: Microphone | RawSource
    if microphone:
        source = Microphone()
    else:
        source = RawSource.of_format(sys.stdin.buffer, audio_format, rate, channels)
    stream = lite.stream(source.rate)
    click.echo(f"{source.rate} Hz; a frame is final after {stream.latency:.1f} s at most; Ctrl-C ends it", err=True)
    console, frames = _console(), hear(stream, source)
    if console.is_terminal:
        with Meter(console, lite.metadata, stream) as meter:
            for final in frames:
                meter.add(final)
    else:
        for line in lines(frames, lite.metadata):
            click.echo(line)


@main.command()
@click.argument("model", type=_MODEL)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others than this reach it.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen at; 0: a free one."
)
@click.option(
    "--max-mb",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Size of the largest file taken, in MB.",
)
@click.option(
    "--max-minutes", type=click.IntRange(min=1), default=60, show_default=True, help="Length of the longest recording."
)
@click.option(
    "--browser/--no-browser", default=True, show_default=True, help="Open the page in this machine's browser."
)
def app(model: Path, host: str, port: int, max_mb: int, max_minutes: int, browser: bool) -> None:
    """Serve a page on which people drop recordings and see which instruments play when, heard by MODEL.

    MODEL is a .tflite file of mir-tf export, which starts in a second, or a run. The page plays the recording above a
    lane for each instrument, has a slider for each threshold, and saves what it shows as JSON, CSV, JAMS, labels for
    Audacity or a picture. Nothing leaves this machine, and recordings are removed from its disk as soon as they have
    been heard. Several people may use it at once. Ctrl-C ends it.

    
    Examples:
      mir-tf app exported/model.float32.tflite
      mir-tf app exported/model.float32.tflite --host 0.0.0.0 --no-browser   for a class in one network
    """
    from mir_tf.app import server
    from mir_tf.app.recordings import Limits

    listener = server.bind(host, port)
    if not server.is_local(listener):
        click.echo(
            f"Warning: whoever reaches {host} can use this page; it has no passwords and no encryption.", err=True
        )
    server.serve(
        model,
        listener,
        host,
        Limits(max_mb * 1_000_000, max_minutes * 60.0),
        browser,
        lambda address: click.echo(f"{address}   Ctrl-C ends it"),
    )


@main.command()
@click.argument("run", type=_FOLDER)
@click.option("--out", type=_NEW_FOLDER, required=True, help="Folder for the files; older ones there are replaced.")
@click.option(
    "--formats",
    default="savedmodel,tflite",
    show_default=True,
    callback=_names,
    help="Of savedmodel, tflite, onnx; comma-separated.",
)
@click.option(
    "--quantize",
    default="none,float16,dynamic",
    show_default=True,
    callback=_names,
    help="A .tflite file for each of none, float16, dynamic, int8 (int8: networks without GRU, with --data).",
)
@click.option(
    "--audio",
    multiple=True,
    type=_RECORDING,
    help="Recording to compare the files on; may be repeated.  [default: a made-up signal]",
)
@click.option("--data", type=_FOLDER, help="Data set: F1 on its test split; examples for int8 from its train split.")
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
    from mir_tf.export import export as write

    model = bundle.load(run)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
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
    console = _console()
    _print_table(console, f"Export of {run}", report.table())
    for note in report.notes():
        console.print(note, soft_wrap=True)
    console.print(f"Files and report: {out}", soft_wrap=True)
    if report.failed:
        sys.exit(1)


@main.command("import-torch")
@click.argument("checkpoint", type=_LOCAL_FILE)
@click.option(
    "--thresholds", type=_LOCAL_FILE, help="NumPy file (.npy) of a threshold a class.  [default: 0.5 for all]"
)
@click.option(
    "--preset",
    type=click.Choice(["seed_44k", "seed_22k"]),
    default="seed_44k",
    show_default=True,
    help="Front end that the checkpoint was trained with; nothing in it tells.",
)
@click.option("--out", type=_NEW_FOLDER, required=True, help="Folder of the bundle.")
def import_torch(checkpoint: Path, thresholds: Path | None, preset: str, out: Path) -> None:
    """Make a model of a CHECKPOINT of the PyTorch project that this one reimplements.

    CHECKPOINT is the state dict of a CNN, CRNN or CRNN + MHA with 17 or 129 classes: .pth (PyTorch reads it without
    running code in it) or .npz of the same arrays. Evaluate, predict and export treat the result like any other.

    \b
    Example:
      mir-tf import-torch crnn.pth --thresholds thresholds.npy --out runs/original
      mir-tf predict runs/original song.mp3
    """
    from mir_tf.import_torch import import_checkpoint

    bundle = import_checkpoint(checkpoint, thresholds, preset)
    bundle.save(out)
    model = bundle.config.model
    click.echo(
        f"{model.architecture}, {len(bundle.classes)} classes, {bundle.model.count_params()} parameters: {out}\n"
        f"Next: mir-tf predict {out} SONG.mp3"
    )


def _print_prediction(console: Console, prediction: Prediction) -> None:
    from mir_tf.prediction import clock
    from mir_tf.timeline import timeline

    rows = [["instrument", "playing time", "share"]]
    seconds, share = prediction.playing_time, prediction.share
    for index in prediction.heard:
        rows.append([prediction.classes[index], clock(seconds[index]), f"{100 * share[index]:.1f} %"])
    title = f"{Path(prediction.path).name}, {clock(prediction.seconds)}: "
    if prediction.dominant is None:
        console.print(title + "no instrument heard", soft_wrap=True)
        return
    _print_table(console, title + f"dominant {prediction.dominant}", rows)
    for line in timeline(prediction, console.width, ascii_only=console.options.ascii_only):
        console.print(line)


def _print_line(console: Console, name: str, prediction: Prediction) -> None:
    """Prints a recording in one line: the instruments by their share of it, the dominant one first."""
    from mir_tf.prediction import clock

    share = prediction.share
    heard = ", ".join(f"{prediction.classes[index]} {100 * share[index]:.0f} %" for index in prediction.heard)
    console.print(f"{name}, {clock(prediction.seconds)}: {heard or 'no instrument heard'}", soft_wrap=True)


def _print_table(console: Console, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Prints ``rows``, the first of which is the header, leaving out the last columns where the terminal is narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.measure import Measurement
    from rich.table import Table

    unbounded = console.options.update(max_width=10_000)  # what the table would take
    for columns in range(len(rows[0]), 0, -1):
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for index, name in enumerate(rows[0][:columns]):
            table.add_column(name, justify="right" if index else "left", no_wrap=True)
        for row in rows[1:]:
            table.add_row(*row[:columns])
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
    console.print(table)
    if left_out := rows[0][columns:]:
        console.print(f"For {', '.join(left_out)} this terminal is too narrow.", soft_wrap=True)


def _console(stderr: bool = False) -> Console:
    """A console that prints names of files as they are: brackets in them are no markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False)
