"""Keeps the line that LiteRT logs when a process runs its first model out of standard error."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

_LINE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
_STDERR = 2  # LiteRT writes to the file descriptor, not to Python's sys.stderr

_lock = threading.Lock()
_was_logged = False  # LiteRT logs the line once in a process


@contextlib.contextmanager
def hide_xnnpack_line() -> Iterator[None]:
    """Run the block, which prepares a model, without LiteRT's line about XNNPACK on standard error.

    LiteRT's Python package has no setting for this log, and ``TF_CPP_MIN_LOG_LEVEL`` does not apply to it. So standard
    error goes to a temporary file until the block ends, which takes 20 ms for the pretrained model. All else that is
    written to it meanwhile, in any thread, follows when the block ends.
    """
    global _was_logged
    if _was_logged:
        yield
        return
    with _lock, contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(_STDERR)
        except OSError:  # closed, as in a program without a console
            yield
            return
        stack.callback(os.close, stderr)
        kept = stack.enter_context(tempfile.TemporaryFile())
        os.dup2(kept.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, _STDERR)
            kept.seek(0)
            text = kept.read()
            _was_logged = _LINE in text
            with contextlib.suppress(OSError), open(_STDERR, "wb", closefd=False) as file:
                file.write(text.replace(_LINE, b""))
