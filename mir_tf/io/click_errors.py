"""The one mapping from errors to messages and exit statuses of the command lines."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import click

from mir_tf.errors import ConfigError, MirTfError, MirTfWarning
from mir_tf.io.files import printable

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
        raise click.UsageError(_printable(error)) from error
    except BrokenPipeError:  # `mir-tf inspect DATA | head`: click ends without a message
        raise
    except (MirTfError, OSError) as error:
        raise click.ClickException(_printable(error)) from error
    except KeyboardInterrupt as interruption:
        click.echo(f"\n{_printable(interruption) or 'Interrupted.'}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        warnings.showwarning = show


def _show_warning(show: Any, message: Warning | str, category: type[Warning], *others: Any, **options: Any) -> None:
    """Print a warning of the project as a line; leave others to ``show``."""
    if issubclass(category, MirTfWarning):
        click.echo(f"warning: {printable(str(message))}", err=True)
    else:
        show(message, category, *others, **options)


def _printable(error: BaseException) -> str:
    """Return the message of an error, whose lines may contain file names."""
    return "\n".join(map(printable, str(error).split("\n")))
