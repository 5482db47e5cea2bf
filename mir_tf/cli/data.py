"""The command that shows what a data set contains: ``inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from mir_tf.cli.shared import (
    EXISTING_FOLDER,
    NEW_FILE,
    NEW_FOLDER,
    TrainingCommand,
    print_table,
    track_progress,
)
from mir_tf.errors import ConfigError
from mir_tf.io import locks
from mir_tf.io.console import make_console


@click.command(cls=TrainingCommand)
@click.argument("data", type=EXISTING_FOLDER)
@click.option("--picture", type=NEW_FILE, help="PNG to write.  [default: DATA/inspection.png]")
@click.option("--report", "wants_report", is_flag=True, help="Also write a page of pictures. Reads all records.")
@click.option("--out", type=NEW_FOLDER, help="Folder for the page of --report.  [default: DATA/report]")
def inspect(data: Path, picture: Path | None, wants_report: bool, out: Path | None) -> None:
    """Print and draw what the data set in DATA contains.

    Prints the hours, songs and tracks of each split, how often each class plays, and which items were left out and
    why. Draws log-mel spectrograms with their labels.

    --report also writes report.html, a single file with all its pictures: hours, class balance, classes that play
    together, classes that play at once, lengths and, if the data set was built with --stems, the mean spectrum of each
    instrument group. Each picture comes with an explanation.

    \b
    Example:
      mir-tf inspect DATA --report
    """
    from mir_tf.data.manifest import read_manifest
    from mir_tf.reports import inspection

    if out is not None and not wants_report:
        raise ConfigError("--out needs --report; without it, name the one picture with --picture")
    manifest = read_manifest(data)
    picture = picture or data / "inspection.png"
    console = make_console()
    for table in inspection.tables(manifest):
        print_table(console, *table)
    inspection.draw(data, manifest, picture)  # last, so that the tables are printed even if this fails
    console.print(f"Pictures: {picture}", soft_wrap=True)
    if wants_report:
        from mir_tf.reports import data_set

        with locks.exclusive(out or data / "report"), track_progress() as on_record:
            path = data_set.write(data, manifest, out or data / "report", on_record)
        console.print(f"Report: {path}", soft_wrap=True)
