"""The command line. Only click and rich load here; every verb imports what it needs when it runs."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

import mir_tf
from mir_tf.cli import data, evaluation, export, inference, training
from mir_tf.io.click_errors import report_errors


class _Verbs(click.Group):
    """A group whose commands end with a message and an exit status, not a traceback, on what a person can mend."""

    def invoke(self, context: click.Context) -> Any:
        with report_errors():
            return super().invoke(context)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mir_tf.__version__, prog_name="mir-tf")
def main() -> None:
    """Hear which instruments sound in a music recording, ten times a second, and which one is dominant.

    \b
    With the model that comes with it:
      mir-tf predict SONG.mp3                                which instruments play, and when
      mir-tf app                                             a page to drop recordings on
      mir-tf listen --microphone                             what plays now

    \b
    The way from audio to answers:
      python -m tfrecords_builder --slakh SLAKH --out DATA   audio and MIDI to records
      mir-tf inspect DATA                                    what the records hold
      mir-tf fit --data DATA --model crnn --out RUN          train
      mir-tf evaluate RUN --data DATA                        how good it is on unseen songs
      mir-tf report RUN --data DATA                          the same as a page, with the songs where it fails
      mir-tf predict RUN SONG.mp3                            which instruments play, and when
      mir-tf export RUN --out DIR                            files for servers, phones and browsers
      mir-tf predict DIR/model.float32.tflite SONG.mp3       the same without TensorFlow

    Exit status: 0 fine, 1 failed, 2 wrong usage.
    """
    # TensorFlow's own start-up chatter tells a user nothing; its errors still come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that the terminal has no letters for


for _verb in (
    data.inspect,
    training.fit,
    training.compare,
    training.tune,
    evaluation.evaluate,
    evaluation.report,
    inference.predict,
    inference.listen,
    inference.app,
    export.export,
    export.import_torch,
):
    main.add_command(_verb)
