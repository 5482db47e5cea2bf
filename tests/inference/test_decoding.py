"""Blocks that are decoded ahead: equal, in order, with their errors, and bounded in number."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from mir_tf.errors import AudioError
from mir_tf.inference import decoding
from mir_tf.io.audio import read_blocks


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decoder")]


def write(path: Path, seconds: float, bad: float | None = None) -> Path:
    signal = np.random.default_rng(0).normal(0, 0.1, round(seconds * 8000)).astype(np.float32)
    if bad is not None:
        signal[round(bad * 8000)] = np.nan
    soundfile.write(path, signal, 8000, subtype="FLOAT")
    return path


def test_a_file_gives_the_blocks_of_its_decoder_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", 333)  # more blocks than are decoded ahead
    found = list(decoding.blocks(path, None, 11025))
    expected = list(read_blocks(path, 11025))
    assert len(found) == len(expected) > decoding._BLOCKS_AHEAD
    for block, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(block, other)
    assert not threads()


def test_an_error_comes_after_the_blocks_before_it(tmp_path: Path) -> None:
    blocks = decoding.blocks(write(tmp_path / "song.wav", 45, bad=25), None, 8000)
    lengths: list[int] = []
    with pytest.raises(AudioError, match=r"song\.wav: contains NaN"):
        lengths.extend(map(len, blocks))
    assert lengths == [80000, 80000]
    assert not threads()


def test_the_thread_ends_with_the_one_who_listens(tmp_path: Path) -> None:
    blocks = decoding.blocks(write(tmp_path / "song.wav", 333), None, 8000)
    for _ in range(decoding._FIRST_BLOCKS):
        next(blocks)
        assert not threads()  # a model has no whole window yet
    next(blocks)
    assert threads()
    blocks.close()
    assert not threads()


def test_it_works_while_the_model_does_and_not_further_ahead_than_it_may() -> None:
    made: list[int] = []

    def endless() -> Iterator[NDArray[np.float32]]:
        while True:
            made.append(len(made))
            yield np.full(1, made[-1], np.float32)

    blocks = decoding._ahead(endless())
    alone = decoding._FIRST_BLOCKS
    assert [next(blocks)[0] for _ in range(alone)] == [*range(alone)] == made
    for expected in range(alone, alone + 3):
        assert next(blocks)[0] == expected
        deadline = time.monotonic() + 60
        while len(made) < expected + 1 + decoding._BLOCKS_AHEAD:  # not requested yet
            assert time.monotonic() < deadline
            time.sleep(0.001)
    time.sleep(0.05)
    assert len(made) == alone + 3 + decoding._BLOCKS_AHEAD
    blocks.close()
