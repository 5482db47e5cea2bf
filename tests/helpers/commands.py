"""Run the commands of both packages in this process, as a user would type them."""

from pathlib import Path
from typing import Any

import click
import click.testing

from mir_tf import cli
from tfrecords_builder.__main__ import main as builder


def invoke(command: click.Command, *words: object, **options: Any) -> click.testing.Result:
    """Run ``command`` with ``words`` as its arguments; ``options`` go to click's test runner."""
    return click.testing.CliRunner().invoke(command, [str(word) for word in words], **options)


def run(*words: str | Path, **options: Any) -> click.testing.Result:
    """Run ``mir-tf`` with ``words``."""
    return invoke(cli.main, *words, **options)


def run_builder(*words: str | Path, **options: Any) -> click.testing.Result:
    """Run ``python -m tfrecords_builder`` with ``words``."""
    return invoke(builder, *words, **options)


def failed(status: int, *words: str | Path) -> str:
    """Run ``mir-tf``, assert that it ends with ``status`` and a message, and return its output as one line."""
    result = run(*words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == status, result.output
    assert "Error: " in result.output
    return " ".join(result.output.split())
