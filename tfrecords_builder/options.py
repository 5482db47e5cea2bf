"""Options that belong to some sources only, declared with their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mir_tf.io.click_errors import SafeCommand
from mir_tf.io.click_path import PathParameter
from mir_tf.io.files import display_path, is_remote, is_utf8

BUILDS = ("slakh", "midi", "demo")
"""Sources of a build. The command's fourth source, a data set to verify, builds nothing."""


class SourceOption(click.Option):
    """An option of :class:`SourceCommand`.

    Args:
        names: Flags and, if it is not the first flag's, the name of the parameter.
        of: Sources that the option belongs to, by the names of their parameters. Empty for a source itself.
        required_by: Those of the sources that require it.
        check: Called with the context, once all values are known; raises a UsageError for values that exclude others.
        attributes: Further arguments of ``click.Option``.
    """

    def __init__(
        self,
        names: Sequence[str],
        of: Sequence[str] = (),
        required_by: Sequence[str] = (),
        check: Callable[[click.Context], None] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(names, **attributes)
        self.of, self.required_by, self.check = tuple(of), tuple(required_by), check

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return self.opts[0]


class SourceCommand(SafeCommand):
    """A command with one of several sources, each with its own options."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, then check that its options fit the source."""
        rest = super().parse_args(context, args)
        if not context.resilient_parsing:
            self._check(context)
        return rest

    def _check(self, context: click.Context) -> None:
        options = {option.name: option for option in self.params if isinstance(option, SourceOption)}
        given = {
            name
            for name in options
            if context.get_parameter_source(str(name)) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        }
        sources = [name for name, option in options.items() if not option.of]
        chosen = [name for name in sources if name in given]
        if len(chosen) != 1:
            raise click.UsageError(f"give exactly one of {_flags(options[name] for name in sources)}", context)
        source = chosen[0]
        for name, option in options.items():
            if name in given and option.of and source not in option.of:
                owners = _flags(options[owner] for owner in option.of)
                raise click.UsageError(f"{option.flag} belongs to {owners}, not to {options[source].flag}", context)
            if name not in given and source in option.required_by:
                raise click.UsageError(f"{options[source].flag} needs {option.flag}", context)
        for option in options.values():
            if option.check is not None:
                option.check(context)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options into the help, grouped by the sources that they belong to."""
        flags = {option.name: option for option in self.params if isinstance(option, SourceOption)}
        groups: dict[str, list[tuple[str, str]]] = {"Sources (give exactly one)": []}
        for parameter in self.get_params(context):
            row = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
            if row is None:
                continue
            if not isinstance(parameter, SourceOption):
                title = "Other options"
            elif not parameter.of:
                title = "Sources (give exactly one)"
            elif parameter.of == BUILDS:
                title = "Options of every build"
            else:
                title = f"Options of {_flags(flags[owner] for owner in parameter.of)}"
            groups.setdefault(title, []).append(row)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _flags(options: Iterable[SourceOption]) -> str:
    *others, last = [option.flag for option in options]
    return f"{', '.join(others)} and {last}" if others else str(last)


class RecordedPath(PathParameter):
    """A path that the data set records: its name must be UTF-8."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the path."""
        path = super().convert(value, parameter, context)
        if not is_utf8(path):
            self.fail(f"{display_path(path)}: rename it: the data set records its name, which must be UTF-8")
        return path


def require_apart(context: click.Context) -> None:
    """Raise a UsageError if the folder of ``--keep-audio`` overlaps with the data set or with the MIDI files."""
    kept = context.params["keep_audio"]
    for flag, folder in (("--out", context.params["out"]), ("--midi", context.params["midi"])):
        if kept is not None and folder is not None and _overlap(kept, folder):
            raise click.UsageError(f"--keep-audio and {flag} must be two folders, neither within the other", context)


def _overlap(first: Path, second: Path) -> bool:
    """Return whether one of two folders is, or lies within, the other."""
    first, second = first.resolve(), second.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def require_runner(context: click.Context) -> None:
    """Raise a UsageError for options that the runner cannot follow."""
    options = context.params
    slakh: Path | None = options["slakh"]
    if options["runner"] == "local":
        if options["beam_options"]:
            words = " ".join(options["beam_options"])
            raise click.UsageError(f"{words}: arguments after the options are for --runner beam", context)
        return
    if options["dry_run"]:
        raise click.UsageError("--dry-run has no --runner: it builds a few tracks in this process", context)
    if slakh is not None and slakh.is_file():
        raise click.UsageError("--runner beam cannot read an archive, which is one stream; unpack it first", context)
    if context.get_parameter_source("workers") == ParameterSource.COMMANDLINE:
        raise click.UsageError("--workers does not apply to --runner beam; Beam has options of its own", context)
    for name in ("slakh", "midi", "soundfonts", "validation_soundfonts", "keep_audio", "out"):
        value = options[name]
        for path in value if isinstance(value, tuple) else [value]:
            if path is not None and not is_remote(path) and not path.is_absolute():
                flag = f"--{name.removesuffix('s').replace('_', '-')}"
                raise click.UsageError(f"{flag} {path}: must be absolute, because workers run elsewhere", context)
