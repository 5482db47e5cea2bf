"""Audio that is still being made: from standard input or a microphone, block by block, until it ends or Ctrl-C."""

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
    """The frames [label frames, classes] that each block makes final, often none; at last those that are left.

    Raises:
        AudioError: something is wrong with the audio; the frames before that are given first.
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
    """Each frame as JSON: its start and end in seconds, the classes that are heard, the probability of each class."""
    thresholds = np.array(metadata.thresholds, np.float32)
    for index, frame in enumerate(itertools.chain.from_iterable(pieces)):  # [classes]
        content = {
            "start": index / metadata.label_rate,
            "end": (index + 1) / metadata.label_rate,
            "active": [metadata.classes[heard] for heard in np.flatnonzero(frame >= thresholds)],
            "probabilities": dict(zip(metadata.classes, frame.astype(float).round(DIGITS).tolist(), strict=True)),
        }
        yield json.dumps(content, ensure_ascii=False)


def _until_interrupted(source: RawSource | Microphone) -> Iterator[NDArray[np.float32]]:
    """The blocks of a source, ending at Ctrl-C.

    It interrupts the waiting for a block, and never what is done with one.
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
