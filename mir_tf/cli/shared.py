"""Parameter types, tables and progress bars that several commands share."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mir_tf import pretrained
from mir_tf.cli.plain import PlainConsole
from mir_tf.extras import require_training
from mir_tf.io.click_path import PathParameter
from mir_tf.io.console import UNLIMITED, make_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mir_tf.data.manifest import OnShard
    from mir_tf.training.loop import OnEpoch, OnStep


class _ModelParameter(PathParameter):
    """The path of a trained model; a word for a pretrained one stands for what ``pretrained_path`` returns for it."""

    def __init__(self, pretrained_path: Callable[[str], Path], **options: Any) -> None:
        super().__init__(exists=True, **options)
        self._pretrained_path = pretrained_path

    @property
    def _expected(self) -> str:
        kinds = ["a .tflite file made by mir-tf export"] if self.file_okay else []
        kinds += ["the folder of a run of mir-tf fit"] if self.dir_okay else []
        return f"{', '.join(kinds)}, or the word {pretrained.WORDS}"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value in pretrained.SUBFOLDERS:
            return self._pretrained_path(value)
        problem = ""
        if not self.file_okay and Path(value).is_file():
            problem = "is a file"
        elif not self.dir_okay and Path(value).is_dir():
            problem = "is a folder"
        elif value and "://" not in str(value) and not os.path.exists(value):  # Path.exists raises for a long name
            problem = "does not exist"
        if problem:
            self.fail(f"'{value}' {problem}; expected {self._expected}.", parameter, context)
        path = super().convert(value, parameter, context)
        if path.is_dir():  # the errors of a file come as fast when it is read
            from mir_tf.inference.model_files import require_run

            require_run(path, or_tflite=self.file_okay)
        return path


EXISTING_FOLDER = PathParameter(exists=True, file_okay=False)
EXISTING_LOCAL_FOLDER = PathParameter(local=True, exists=True, file_okay=False)
EXISTING_FILE = PathParameter(exists=True, dir_okay=False)
EXISTING_LOCAL_FILE = PathParameter(local=True, exists=True, dir_okay=False)
NEW_FILE = PathParameter(dir_okay=False)
NEW_LOCAL_FILE = PathParameter(local=True, dir_okay=False)
NEW_FOLDER = PathParameter(file_okay=False)
NEW_LOCAL_FOLDER = PathParameter(local=True, file_okay=False)
RECORDING = PathParameter()
RUN = _ModelParameter(pretrained.folder, file_okay=False)
MODEL = _ModelParameter(pretrained.tflite)
LOCAL_MODEL_FILE = _ModelParameter(pretrained.tflite, local=True, dir_okay=False)
THREADS_OPTION = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads that run a .tflite file.  [default: one per core]"
)
SPLIT_OPTION = click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Split to evaluate. Scores on validation are optimistic: thresholds were tuned on it.",
)


class TrainingCommand(click.Command):
    """A command that needs the extra ``train``."""

    def invoke(self, context: click.Context) -> Any:
        """Check that the extra is installed before any work begins."""
        require_training()
        return super().invoke(context)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block, which imports native libraries: some crash if they are interrupted.

    Raises:
        KeyboardInterrupt: At the end, after a Ctrl-C within the block.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    interruptions = []
    signal.signal(signal.SIGINT, lambda number, _: interruptions.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interruptions:
        raise KeyboardInterrupt


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Remember Ctrl-C within the block: native libraries swallow it if it arrives while they call back into Python.

    Yields:
        A function that raises KeyboardInterrupt if there was a Ctrl-C.
    """
    interruptions: list[int] = []

    def on_interrupt(number: int, frame: object) -> None:
        interruptions.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if interruptions:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def announce_pretrained(model: Path) -> None:
    """Print on stderr that a pretrained model is used, if one is."""
    if word := pretrained.word_of(model):
        click.echo(f"Model: {pretrained.display_name(model)}. {pretrained.reliability(word)}", err=True)


def results_folder(model: Path, name: str) -> Path:
    """Return the default folder for results: in a run, beside a file, or for a pretrained model in the current folder.

    Several models share the last two places, so there the folder is also named after the model.
    """
    if word := pretrained.word_of(model):
        return Path(f"{name}-{word}")
    return model / name if model.is_dir() else model.with_name(f"{name}-{model.stem}")


def comma_separated(
    context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]
) -> tuple[str, ...]:
    """Return the distinct names in comma-separated lists; the command itself checks them.

    Raises:
        click.BadParameter: A list is given, but contains no name.
    """
    lists = (value,) if isinstance(value, str) else value
    names = tuple(dict.fromkeys(name.strip() for text in lists for name in text.split(",") if name.strip()))
    if lists and not names:
        raise click.BadParameter("contains no name.", context, parameter)
    return names


@contextlib.contextmanager
def track_progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar of tracks on stderr, with the time left.

    Yields:
        A function to call with the number of tracks done and the number of all tracks. It raises KeyboardInterrupt if
        there was a Ctrl-C that a decoder has swallowed.
    """
    from rich.progress import Progress

    with remembered_interrupt() as check, Progress(console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("tracks", total=None)

        def on_track(done: int, total: int) -> None:
            check()
            progress.update(task, completed=done, total=total)

        yield on_track


@contextlib.contextmanager
def training_progress() -> Iterator[tuple[OnEpoch, OnStep, OnShard]]:
    """Show training as a bar of steps on stderr and a line for each epoch on stdout.

    Yields:
        The callbacks that :func:`mir_tf.training.loop.fit` takes.
    """
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

        def on_check(done: int, total: int) -> None:
            progress.update(task, description=f"checking the data set, {done / max(total, 1):.0%}")

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.update(task, description="training", completed=step, total=steps, loss=loss)
            if step == steps:
                progress.update(task, description="validating")

        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            progress.reset(task, description="training")
            click.echo(
                f"epoch {epoch}: loss {row['loss']:.4f}, validation loss {row['val_loss']:.4f}, "
                f"macro F1 {row['val_macro_f1']:.4f} (constant prediction {row['baseline_macro_f1']:.4f}), "
                f"micro F1 {row['val_micro_f1']:.4f} ({row['baseline_micro_f1']:.4f}), "
                f"learning rate {row['learning_rate']:g}, {row['seconds']:.0f} s"
            )

        yield on_epoch, on_step, on_check


def print_table(console: Console | PlainConsole, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print ``rows``, the first of which is the header, without the last columns if the terminal is too narrow."""
    if isinstance(console, PlainConsole):
        console.print_table(rows)
        return
    for columns in range(len(rows[0]), 0, -1):
        shown = [row[:columns] for row in rows]
        if fits(console, shown):
            break
    console.print(_table(title, shown))
    if skipped := rows[0][columns:]:
        console.print(f"This terminal is too narrow to show {', '.join(skipped)}.", soft_wrap=True)


def fits(console: Console | PlainConsole, rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the terminal is wide enough for a table of ``rows``."""
    if isinstance(console, PlainConsole):
        return True
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=UNLIMITED)  # to measure the full width of the table
    return Measurement.get(console, unbounded, _table("", rows)).maximum <= console.width


def _table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for index, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return table


_DRAWING_WIDTH = 100
"""Width in characters of drawings, which take any width, where the output has none."""


def drawing_width(console: Console | PlainConsole) -> int:
    """Return the width in characters of a drawing that could take any width."""
    return console.width if console.width < UNLIMITED else _DRAWING_WIDTH
