"""What the command lines take for paths: local ones, checked by click, and remote ones, checked alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mir_tf.errors import ConfigError, MirTfError
from mir_tf.io.files import as_path
from mir_tf.io.remote import RemotePath


class PathParameter(click.Path):
    """``click.Path`` that gives a :class:`pathlib.Path`, and takes URIs as well unless ``local`` forbids them."""

    def __init__(self, *, local: bool = False, **options: Any) -> None:
        """Takes the options of ``click.Path``; ``local`` refuses URIs."""
        super().__init__(path_type=Path, **options)
        self._local = local

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The path; a usage error where it is of the wrong kind, an error where nothing can be said of it."""
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
            # TensorFlow, which loads now, is to be as quiet as in the commands themselves.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            if self.exists and not path.exists():
                self.fail(f"{self.name.title()} '{value}' does not exist.", parameter, context)
            if self.exists and not self.file_okay and path.is_file():
                self.fail(f"{self.name.title()} '{value}' is a file.", parameter, context)
            if self.exists and not self.dir_okay and path.is_dir():
                self.fail(f"{self.name.title()} '{value}' is a directory.", parameter, context)
        except ConfigError as error:
            self.fail(str(error), parameter, context)
        except (MirTfError, OSError) as error:
            raise click.ClickException(str(error)) from error
        return path

    def _check_new_folder(self, path: Path, parameter: click.Parameter | None, context: click.Context | None) -> None:
        """A usage error where it cannot be made or written: now, not after the work whose results it is for."""
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            self.fail(f"{path}: cannot be made, for {nearest} is a file.", parameter, context)
        if not os.access(nearest, os.W_OK | os.X_OK):
            self.fail(f"{path}: nothing can be written into {nearest}.", parameter, context)
