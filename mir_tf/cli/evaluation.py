"""The commands that measure how good a model is: ``evaluate``, ``report``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from mir_tf import pretrained
from mir_tf.cli.shared import (
    EXISTING_FOLDER,
    EXISTING_LOCAL_FOLDER,
    MODEL,
    NEW_FOLDER,
    RUN,
    SPLIT_OPTION,
    TrainingCommand,
    announce_pretrained,
    print_table,
    results_folder,
    track_progress,
)
from mir_tf.errors import ConfigError
from mir_tf.io import locks
from mir_tf.io.console import make_console


@click.command(cls=TrainingCommand)
@click.argument("model", type=MODEL, default=pretrained.PRETRAINED_WORD)
@click.option("--data", type=EXISTING_FOLDER, help="Data set to evaluate on, made by python -m tfrecords_builder.")
@SPLIT_OPTION
@click.option(
    "--references", type=EXISTING_LOCAL_FOLDER, help="Folder of SONG.jams or SONG.csv to evaluate on instead."
)
@click.option("--audio", type=EXISTING_LOCAL_FOLDER, help="Folder of the recordings that --references describe.")
@click.option("--out", type=NEW_FOLDER, help="Folder for the results.  [default: evaluation-... in or beside MODEL]")
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
    """Measure MODEL on songs it has not seen.

    With --data, MODEL is a run. With --references, MODEL is a run or a .tflite file. MODEL may also be one of the words
    pretrained (the default) and pretrained-35; then the results go into the current folder.

    Scores: precision, recall, F1, average precision and ROC AUC of frames; F1 of segments and intervals, with and
    without post-processing; presence per track; the dominant instrument; how many of the instruments that predictions
    list as detected and as perhaps do play. Scores have 95 % confidence intervals over songs, and the best constant
    prediction as a baseline. OUT receives evaluation.json, evaluation.md and pictures.

    References have the names of their recordings: SONG.csv or SONG.jams for SONG.mp3. A CSV file has the columns start,
    end (seconds) and instrument; a JAMS file has one annotation of tag_open or segment_open. Instruments are classes or
    General MIDI programs. Unmatched or unreadable files are reported and skipped, and the exit status is 1.

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

    announce_pretrained(model)
    if data is not None:
        if references or audio:
            raise ConfigError("--data cannot be combined with --references and --audio; evaluate on each separately")
        if word := pretrained.word_of(model):
            model = pretrained.folder(word)
        if model.is_file():
            raise ConfigError(f"{model}: --data needs a run; evaluate this file with --references and --audio")
        out = out or results_folder(model, f"evaluation-{split}")
        context.with_resource(locks.exclusive(out))
        from mir_tf import bundle
        from mir_tf.evaluation.evaluate import evaluate_split

        with track_progress() as on_track:
            result = evaluate_split(bundle.load(model), data, split, on_track)
    elif references is None or audio is None:
        raise ConfigError("give --data, or --references and --audio")
    else:
        if context.get_parameter_source("split") is not ParameterSource.DEFAULT:
            raise ConfigError("--split requires --data; with --references, every reference file is evaluated")
        out = out or results_folder(model, f"evaluation-{references.resolve().name}")
        context.with_resource(locks.exclusive(out))
        from mir_tf.evaluation.references import evaluate_references
        from mir_tf.loading import load

        with track_progress() as on_track:
            result = evaluate_references(load(model), references, audio, on_problem, on_track)
    console = make_console()
    opening, *details = result.summary()
    console.print(opening)
    print_table(console, f"In short: {result.title}", result.main_table())
    for sentence in details:
        console.print(sentence)
    for title, table in (
        ("Detected and perhaps", result.names_table()),
        ("All metrics", result.overall_table()),
        ("Effect of post-processing", result.post_processing_table()),
        ("Classes in frames", result.class_table()),
        ("Classes in tracks", result.class_presence_table()),
    ):
        if table:
            print_table(console, title, table)
    for note in (*result.notes(), *result.names_notes()):
        console.print(note)
    result.save(out)  # last, so that the tables are printed even if this fails
    console.print(f"Tables and pictures: {out}", soft_wrap=True)
    if problems:
        click.echo(f"{len(problems)} problems; the files they name were skipped.", err=True)
        sys.exit(1)


@click.command(cls=TrainingCommand)
@click.argument("run", type=RUN)
@click.option("--data", type=EXISTING_FOLDER, required=True, help="Data set made by python -m tfrecords_builder.")
@SPLIT_OPTION
@click.option("--out", type=NEW_FOLDER, help="Folder for the page and its pictures.  [default: RUN/report-SPLIT]")
def report(run: Path, data: Path, split: str, out: Path | None) -> None:
    """Write a page on how well the model in RUN does on unseen songs.

    RUN is a folder made by mir-tf fit, or one of the words pretrained and pretrained-35, whose reports go into the
    current folder.

    OUT receives report.html (a single file that you can mail, print or open on a phone), its pictures as files, and
    evaluation.json with all scores. The page shows F1 per class with intervals, precision, recall and F1 by threshold,
    confusion, the dominant instrument and playing time, calibration, timelines of the best and the worst songs beside
    the ground truth, the course of training, and the model. Each picture comes with an explanation.

    \b
    Example:
      mir-tf report runs/crnn --data DATA
    """
    from mir_tf import bundle
    from mir_tf.reports import run as run_report

    announce_pretrained(run)
    model = bundle.load(run)
    with track_progress() as on_track:
        path = run_report.write(model, run, data, split, out or results_folder(run, f"report-{split}"), on_track)
    make_console().print(f"Report: {path}", soft_wrap=True)
