"""MkDocs hooks: add the help of every command, and remove Sphinx's roles from docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from mir_tf.cli import main as mir_tf_command
from tfrecords_builder.__main__ import main as builder_command
from tfrecords_builder.ensembles.__main__ import main as ensembles_command

COMMANDS_PAGE = "reference/command-line.md"

_ROLE = re.compile(r":(?:func|class|meth|attr|data|mod):(?=<code>)")


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yield the name and the help text of a command, then those of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=78, max_content_width=78)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            child = command.get_command(context, verb)
            assert child is not None
            yield from helps(child, verb, context)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Append the help texts to the page of the commands."""
    if page.file.src_uri != COMMANDS_PAGE:
        return markdown
    commands = [
        *helps(mir_tf_command, "mir-tf"),
        *helps(builder_command, "python -m tfrecords_builder"),
        *helps(ensembles_command, "python -m tfrecords_builder.ensembles"),
    ]
    return markdown + "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in commands)


def on_page_content(html: str, **_: Any) -> str:
    """Remove ``:func:`` and the other roles from docstrings; the site has links instead."""
    return _ROLE.sub("", html)
