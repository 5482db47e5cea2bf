"""Live prediction on audio from standard input or a microphone, until the audio ends or Ctrl-C."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterable, Iterator
from types import FrameType

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import AudioError
from mir_tf.inference.metadata import Metadata
from mir_tf.inference.prediction import DIGITS
from mir_tf.io.capture import Microphone, RawSource
from mir_tf.stream import Stream


def predict_live(stream: Stream, source: RawSource | Microphone) -> Iterator[NDArray[np.float32]]:
    """Yield the frames that each block of audio makes final, and at the end all remaining frames.

    Yields:
        Probabilities, float32 [label frames, classes]; often zero frames.

    Raises:
        AudioError: The audio is invalid; the frames before the fault are yielded first.
    """
    failure: AudioError | None = None
    try:
        for block in _until_interrupted(source):
            yield stream.feed(block)
    except AudioError as error:
        failure = error
    yield stream.finish()
    if failure is not None:
        raise failure


def lines(pieces: Iterable[NDArray[np.float32]], metadata: Metadata) -> Iterator[str]:
    """Yield each frame as JSON: start and end in seconds, the active classes, and the probability of each class."""
    thresholds = np.array(metadata.thresholds, np.float32)
    for index, frame in enumerate(itertools.chain.from_iterable(pieces)):  # [classes]
        content = {
            "start": index / metadata.label_rate,
            "end": (index + 1) / metadata.label_rate,
            "active": [metadata.classes[active] for active in np.flatnonzero(frame >= thresholds)],
            "probabilities": dict(zip(metadata.classes, frame.astype(float).round(DIGITS).tolist(), strict=True)),
        }
        yield json.dumps(content, ensure_ascii=False)


def _until_interrupted(source: RawSource | Microphone) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks of a source until Ctrl-C.

    Ctrl-C interrupts the wait for a block, but never the processing of one.
    """
    is_interrupted = is_waiting = False

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_interrupted
        is_interrupted = True
        if is_waiting:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    blocks = source.blocks()
    try:
        while True:
            is_waiting = True
            if is_interrupted or (block := next(blocks, None)) is None:
                return
            is_waiting = False
            yield block
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, before)
