"""What several verbs use: types of their parameters, tables, a progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mir_tf import pretrained
from mir_tf.io.click_path import PathParameter

if TYPE_CHECKING:
    from rich.console import Console


class _ModelParameter(PathParameter):
    """A path of a trained model; the word ``pretrained`` stands for that of this package, which ``own`` gives."""

    def __init__(self, own: Callable[[], Path], **options: Any) -> None:
        super().__init__(exists=True, **options)
        self._own = own

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == pretrained.WORD:
            return self._own()
        if not self.file_okay and Path(value).is_file():
            remedy = f"this takes the folder of a run of mir-tf fit, or the word {pretrained.WORD}"
            self.fail(f"'{value}' is a file; {remedy}.", parameter, context)
        if not self.dir_okay and Path(value).is_dir():
            self.fail(f"'{value}' is a folder; this takes a .tflite file, as mir-tf export makes.", parameter, context)
        return super().convert(value, parameter, context)


FOLDER = PathParameter(exists=True, file_okay=False)
LOCAL_FOLDER = PathParameter(local=True, exists=True, file_okay=False)
FILE = PathParameter(exists=True, dir_okay=False)
LOCAL_FILE = PathParameter(local=True, exists=True, dir_okay=False)
NEW_FILE = PathParameter(dir_okay=False)
NEW_LOCAL_FILE = PathParameter(local=True, dir_okay=False)
NEW_FOLDER = PathParameter(file_okay=False)
NEW_LOCAL_FOLDER = PathParameter(local=True, file_okay=False)
RECORDING = PathParameter()
RUN = _ModelParameter(pretrained.folder, file_okay=False)
MODEL = _ModelParameter(pretrained.tflite)
LOCAL_MODEL_FILE = _ModelParameter(pretrained.tflite, local=True, dir_okay=False)
THREADS = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of LiteRT, for a .tflite file.  [default: one a core]"
)
SPLIT = click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Thresholds were tuned on validation: figures from there flatter.",
)


def say_model(model: Path) -> None:
    """Says on stderr that it is the model of this package that answers, where it is."""
    if pretrained.is_own(model):
        click.echo(f"Model: the one of this package, {pretrained.name(model)}", err=True)


def results_folder(model: Path, name: str) -> Path:
    """Where results go that were given no place: beside the model, but those of this package's here."""
    if pretrained.is_own(model):
        return Path(name)
    return (model if model.is_dir() else model.parent) / name


def comma_separated(
    context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]
) -> tuple[str, ...]:
    """The different names in comma-separated lists; which are allowed, the verb itself says."""
    lists = (value,) if isinstance(value, str) else value
    return tuple(dict.fromkeys(name.strip() for text in lists for name in text.split(",") if name.strip()))


@contextlib.contextmanager
def track_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar of tracks on stderr, with the time left.

    Yields:
        what to call with the tracks done and all tracks.
    """
    from rich.progress import Progress

    with Progress(console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("tracks", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_table(console: Console, title: str, rows: Sequence[Sequence[str]]) -> None:
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
    if skipped := rows[0][columns:]:
        console.print(f"For {', '.join(skipped)} this terminal is too narrow.", soft_wrap=True)


def make_console(stderr: bool = False) -> Console:
    """A console that prints names of files as they are: brackets in them are no markup, colons no emoji."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
