"""The mapping from errors to messages and exit statuses."""

import click
import click.testing
import pytest

from mir_tf.errors import AudioError, ConfigError
from mir_tf.io.click_errors import report_errors


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigError("rate is 0"), 2, "Error: rate is 0\n"),
        (AudioError("song.mp3: not audio"), 1, "Error: song.mp3: not audio\n"),
        (OSError("disk full"), 1, "Error: disk full\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_an_error_becomes_a_message_and_an_exit_status(error: BaseException, status: int, message: str) -> None:
    @click.command()
    def command() -> None:
        with report_errors():
            raise error

    result = click.testing.CliRunner().invoke(command)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == status
    assert result.stderr.endswith(message)


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), report_errors():
        raise ZeroDivisionError
    with pytest.raises(BrokenPipeError), report_errors():
        raise BrokenPipeError
