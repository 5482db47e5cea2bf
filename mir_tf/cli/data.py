"""The verb that looks at a data set: ``inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from mir_tf.cli.shared import FOLDER, NEW_FILE, NEW_FOLDER, make_console, print_table, track_progress
from mir_tf.errors import ConfigError


@click.command()
@click.argument("data", type=FOLDER)
@click.option("--picture", type=NEW_FILE, help="PNG to draw into.  [default: DATA/inspection.png]")
@click.option("--report", "wants_report", is_flag=True, help="Write a page of pictures as well; reads all records.")
@click.option("--out", type=NEW_FOLDER, help="Folder for that page and its pictures.  [default: DATA/report]")
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
    from mir_tf.data.manifest import read_manifest
    from mir_tf.reports import inspection

    if out is not None and not wants_report:
        raise ConfigError("--out belongs to --report; the one picture without it is named by --picture")
    manifest = read_manifest(data)
    picture = picture or data / "inspection.png"
    console = make_console()
    for table in inspection.tables(manifest):
        print_table(console, *table)
    inspection.draw(data, manifest, picture)  # last: what cannot be written has been shown
    console.print(f"Pictures: {picture}", soft_wrap=True)
    if wants_report:
        from mir_tf.reports import data_set

        with track_progress() as on_record:
            path = data_set.write(data, manifest, out or data / "report", on_record)
        console.print(f"Report: {path}", soft_wrap=True)
