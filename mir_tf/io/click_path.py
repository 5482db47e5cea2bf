"""The type of path options on the command line: local paths, checked by click, and remote ones, checked alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mir_tf.errors import ConfigError, MirTfError
from mir_tf.io.files import as_path, printable
from mir_tf.io.remote import RemotePath
from mir_tf.io.write_errors import describe


class PathParameter(click.Path):
    """A ``click.Path`` that returns :class:`pathlib.Path` and also accepts URIs, unless ``local`` forbids them."""

    def __init__(self, *, local: bool = False, **options: Any) -> None:
        """Take the options of ``click.Path``; with ``local``, URIs are rejected."""
        super().__init__(path_type=Path, **options)
        self._local = local

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the path; raise a usage error if it is of the wrong kind, another error if it cannot be checked."""
        if value == "":  # for pathlib, this is the current folder
            self.fail("the path is empty, as from a variable of the shell that is not set.", parameter, context)
        try:
            path = as_path(value)
            if not isinstance(path, RemotePath):
                found = super().convert(value, parameter, context)
                if not self.exists and not (self.file_okay and self.dir_okay):
                    new = Path(os.fsdecode(found))
                    self._check_new_folder(new.parent if self.file_okay else new, parameter, context)
                return found
            if self._local:
                self.fail(f"{value}: must be a local path.", parameter, context)
            # This loads TensorFlow: keep it as quiet as the commands themselves do.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            if self.exists and not path.exists():
                self.fail(f"{self.name.title()} '{value}' does not exist.", parameter, context)
            if self.exists and not self.file_okay and path.is_file():
                self.fail(f"{self.name.title()} '{value}' is a file.", parameter, context)
            if self.exists and not self.dir_okay and path.is_dir():
                self.fail(f"{self.name.title()} '{value}' is a directory.", parameter, context)
        except ConfigError as error:
            self.fail(str(error), parameter, context)
        except MirTfError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(printable(describe(error) or str(error))) from error
        return path

    def _check_new_folder(self, path: Path, parameter: click.Parameter | None, context: click.Context | None) -> None:
        """Raise a usage error if the folder cannot be created or written, before the work whose results go there."""
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            self.fail(f"{path}: cannot be created, because {nearest} is a file.", parameter, context)
        if not os.access(nearest, os.W_OK | os.X_OK):
            self.fail(f"{path}: {nearest} is not writable.", parameter, context)
