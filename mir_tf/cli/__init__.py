"""The command line. Only click and rich load here; each command imports what it needs when it runs."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

import mir_tf
from mir_tf.cli import data, evaluation, experiments, export, inference, training
from mir_tf.io.click_errors import SafeCommand, report_errors

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Use a model": (inference.predict, inference.listen, inference.app),
    "Train a model": (data.inspect, training.fit, training.import_torch),
    "Evaluate a model": (evaluation.evaluate, evaluation.report),
    "Compare and tune": (experiments.compare, experiments.tune),
    "Deploy a model": (export.export,),
}
"""The commands under the headings that ``mir-tf --help`` prints."""


class _Commands(SafeCommand, click.Group):
    """A group that lists its commands in sections and reports errors without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        with report_errors():
            return super().invoke(context)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and _is_path(args[0]):
            command = shlex.join(["mir-tf", "predict", *args[:3]]) + (" ..." if args[3:] else "")
            context.fail(f"{args[0]!r} is not a command. To detect its instruments: {command}")
        return super().resolve_command(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the sections, not of the alphabet

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(command.name), command.get_short_help_str(64)) for command in commands])


def _is_path(word: str) -> bool:
    """Return whether a word is a path rather than a misspelled command."""
    return any(character in word for character in "./\\") or os.path.exists(word)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mir_tf.__version__, prog_name="mir-tf")
def main() -> None:
    """Detect which instruments play in a music recording, ten times a second.

    \b
    With the pretrained model:
      mir-tf predict SONG.mp3                               which instruments play
      mir-tf app                                            the same on a web page
      mir-tf listen --microphone                            what plays now

    \b
    With a model of your own:
      python -m tfrecords_builder --slakh SLAKH --out DATA  build a data set
      mir-tf inspect DATA                                   what it contains
      mir-tf fit --data DATA --out RUN                      train
      mir-tf evaluate RUN --data DATA                       score on unseen songs
      mir-tf report RUN --data DATA                         a page with pictures
      mir-tf predict RUN SONG.mp3                           which instruments play
      mir-tf export RUN --out DIR                           servers, phones, web
      mir-tf predict DIR/model.float32.tflite SONG.mp3      without TensorFlow

    Exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
    """
    # TensorFlow logs its start-up, which tells you nothing; its errors still come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


for _commands in _SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
