"""The verbs that say how good a model is: ``evaluate``, ``report``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from mir_tf import pretrained
from mir_tf.cli.shared import (
    FOLDER,
    LOCAL_FOLDER,
    MODEL,
    NEW_FOLDER,
    RUN,
    SPLIT,
    make_console,
    print_table,
    results_folder,
    say_model,
    track_progress,
)
from mir_tf.errors import ConfigError


@click.command()
@click.argument("model", type=MODEL, default=pretrained.WORD)
@click.option("--data", type=FOLDER, help="Folder made by python -m tfrecords_builder; MODEL is then a run.")
@SPLIT
@click.option("--references", type=LOCAL_FOLDER, help="Instead: folder of SONG.jams or SONG.csv, for your recordings.")
@click.option("--audio", type=LOCAL_FOLDER, help="Folder of these recordings.")
@click.option(
    "--out", type=NEW_FOLDER, help="Folder for the results.  [default: evaluation-... in a run, beside a file]"
)
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

    MODEL is a run; without one, it is the model that comes with mir-tf, whose results go into the current folder.

    Precision, recall, F1, average precision and ROC AUC of frames; F1 of segments and intervals, with the event rule
    and without; presence per track; the dominant instrument; 95 % bootstrap intervals over songs; all beside the best
    constant answers. OUT receives evaluation.json, evaluation.md and pictures.

    Your own: MODEL may be a .tflite file too. A reference goes with the recording of its name: SONG.csv or SONG.jams
    with SONG.mp3. CSV has the columns start, end (seconds) and instrument, JAMS one annotation of tag_open or
    segment_open; names are those of classes or of General MIDI programs. A file that has no partner or cannot be read
    is named, the rest goes on, and the exit status is 1.

    \b
    Examples:
      mir-tf evaluate runs/crnn --data DATA
      mir-tf evaluate model.float32.tflite --references REFERENCES --audio SONGS
      mir-tf evaluate --references REFERENCES --audio SONGS
    """
    problems: list[str] = []

    def on_problem(problem: str) -> None:
        problems.append(problem)
        click.echo(f"Error: {problem}", err=True)

    say_model(model)
    if data is not None:
        if references or audio:
            raise ConfigError("--data excludes --references and --audio: measure them apart")
        if pretrained.is_own(model):
            model = pretrained.folder()
        if model.is_file():
            raise ConfigError(f"{model}: a data set is measured by a run; this file takes --references and --audio")
        from mir_tf import bundle
        from mir_tf.evaluation.evaluate import evaluate as measure

        with track_progress() as on_track:
            result = measure(bundle.load(model), data, split, on_track)
    elif references is None or audio is None:
        raise ConfigError("give --data, or --references and --audio")
    else:
        if context.get_parameter_source("split") is not ParameterSource.DEFAULT:
            raise ConfigError("--split is of --data: all references are measured")
        from mir_tf.evaluation import references as own
        from mir_tf.loading import load

        with track_progress() as on_track:
            result = own.evaluate(load(model), references, audio, on_problem, on_track)
    name = f"evaluation-{split if references is None else references.resolve().name}"
    out = out or results_folder(model, name)
    console = make_console()
    for title, table in (
        (result.title, result.headline_table()),
        ("Intervals", result.interval_table()),
        ("Classes", result.class_table()),
    ):
        print_table(console, title, table)
    for note in result.notes():
        console.print(note)
    result.save(out)  # last: what cannot be written has been shown
    console.print(f"Tables and pictures: {out}", soft_wrap=True)
    if problems:
        click.echo(f"{len(problems)} problems: what they name was left out.", err=True)
        sys.exit(1)


@click.command()
@click.argument("run", type=RUN)
@click.option("--data", type=FOLDER, required=True, help="Folder made by python -m tfrecords_builder.")
@SPLIT
@click.option("--out", type=NEW_FOLDER, help="Folder for the page and its pictures.  [default: report-SPLIT in RUN]")
def report(run: Path, data: Path, split: str, out: Path | None) -> None:
    """Write a page that shows what the model in RUN hears in unseen songs, and where it fails.

    RUN is a folder of mir-tf fit, or the word pretrained for the model that comes with mir-tf, of which the page goes
    into the current folder.

    OUT receives report.html, which holds all it shows (mail it, print it, open it on a phone), the same pictures as
    files, and evaluation.json, the measures of mir-tf evaluate. On the page: F1 per class with intervals, precision,
    recall and F1 by threshold, confusion, the dominant instrument and playing time, calibration, the best and the worst
    songs as timelines beside the truth, training, and the model. Each picture says how it is read.

    \b
    Example:
      mir-tf report runs/crnn --data DATA
    """
    from mir_tf import bundle
    from mir_tf.reports import run as run_report

    say_model(run)
    model = bundle.load(run)
    with track_progress() as on_track:
        path = run_report.write(model, run, data, split, out or results_folder(run, f"report-{split}"), on_track)
    make_console().print(f"Report: {path}", soft_wrap=True)
