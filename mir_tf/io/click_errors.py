"""The one mapping from errors to messages and exit statuses of the command lines."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from mir_tf.errors import ConfigError, MirTfError, MirTfWarning
from mir_tf.io.environment import prepare
from mir_tf.io.files import printable
from mir_tf.io.write_errors import WriteError, describe

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it: 128 plus the number of SIGINT."""


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turn errors that a person can fix into a message and an exit status instead of a traceback.

    Warnings of the project become lines on standard error.

    Raises:
        click.UsageError: For a :class:`ConfigError`; click exits with status 2.
        click.ClickException: For any other :class:`MirTfError` and for :class:`OSError`; click exits with status 1.
        click.exceptions.Exit: After Ctrl-C, with status 130.
    """
    show = warnings.showwarning
    warnings.showwarning = functools.partial(_show_warning, show)
    try:
        yield
    except ConfigError as error:
        raise click.UsageError(_printable(str(error))) from error
    except BrokenPipeError:  # `mir-tf inspect DATA | head`: click ends without a message
        raise
    except MirTfError as error:
        raise click.ClickException(_printable(str(error))) from error
    except OSError as error:
        raise click.ClickException(_printable(describe(error) or str(error))) from error
    except KeyboardInterrupt as interruption:
        click.echo(f"\n{_printable(str(interruption)) or 'Interrupted.'}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        warnings.showwarning = show


def _show_warning(show: Any, message: Warning | str, category: type[Warning], *others: Any, **options: Any) -> None:
    """Print a warning of the project as a line; leave others to ``show``."""
    if issubclass(category, MirTfWarning):
        click.echo(f"warning: {printable(str(message))}", err=True)
    else:
        show(message, category, *others, **options)


class SafeCommand(click.Command):
    """A command whose process does not depend on the settings of other projects, and that notices lost output."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line, by default that of this process."""
        if args is None:
            prepare()
        with _report_lost_output():
            return super().main(args, *rest, **options)


@contextlib.contextmanager
def _report_lost_output() -> Iterator[None]:
    """Report that standard output cannot be written, because its disk is full for example, and exit with status 1.

    Without this, whether text that still waits in a buffer is lost would only show when Python ends.
    """
    ending: BaseException | None = None
    try:
        yield
    except SystemExit as error:
        ending = error
    except WriteError as error:
        _end(str(error))
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass
        except OSError as error:
            _end(str(error))
    if ending is not None:
        raise ending


def _end(message: str) -> NoReturn:
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # or Python would try again when it ends
    click.echo(f"Error: {_printable(message)}", err=True)
    sys.exit(1)


def _printable(text: str) -> str:
    """Return the message of an error, whose lines may contain file names."""
    return "\n".join(map(printable, text.split("\n")))
