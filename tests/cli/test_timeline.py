"""The timeline in a terminal: the right times, colours and widths."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from mir_tf.cli.timeline import print_prediction, timeline
from mir_tf.events import PostProcessing
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.inference.prediction import Prediction
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"].classes


def prediction(frames: int, **stretches: list[tuple[int, int]]) -> Prediction:
    """Return a prediction in which the named classes are active from one frame to another."""
    roll = np.zeros((frames, len(FAMILY)), np.float32)
    for name, pairs in stretches.items():
        for start, end in pairs:
            roll[start:end, FAMILY.index(name.replace("_", " "))] = 0.9
    thresholds = np.full(len(FAMILY), 0.5, np.float32)
    rule = PostProcessing.plain(thresholds)
    return Prediction("song.mp3", frames / 10, {"vocabulary": "family"}, FAMILY, thresholds, rule, roll)


def test_rows_stand_over_their_time_the_longest_playing_first() -> None:
    found = prediction(400, Piano=[(0, 100)], Drums=[(100, 105), (200, 400)])
    lines = [line.plain for line in timeline(found, 46)]  # 40 characters, one for each second
    assert lines == [
        "Drums " + " " * 10 + "▄" + " " * 9 + "█" * 20,
        "Piano " + "█" * 10 + " " * 30,
        "      ╵0:00     ╵0:10     ╵0:20     ╵0:30",
    ]


def test_a_moment_in_an_hour_is_seen() -> None:
    moment, axis = timeline(prediction(36000, Reed=[(18000, 18001)]), 65)
    assert moment.plain == "Reed " + " " * 30 + "▁" + " " * 29
    assert axis.plain.split() == ["╵0:00", "╵10:00", "╵20:00", "╵30:00", "╵40:00", "╵50:00"]


def test_a_short_recording_fills_the_width() -> None:
    bar, axis = timeline(prediction(1, Bass=[(0, 1)]), 85)
    assert bar.plain == "Bass " + "█" * 80
    assert axis.plain.split() == ["╵0:00"]


@pytest.mark.parametrize("width", [20, 33, 34, 40, 80, 300])
@pytest.mark.parametrize("frames", [1, 37, 2400, 36000])
def test_lines_are_as_wide_as_the_terminal_or_there_are_none(frames: int, width: int) -> None:
    found = prediction(frames, Chromatic_Percussion=[(0, frames)], Organ=[(0, 1)])
    lines = timeline(found, width)
    assert bool(lines) == (width >= 33)
    *rows, axis = lines or [None]
    assert {len(row.plain) for row in rows} <= {width}
    assert axis is None or len(axis.plain) <= width


def test_silence_has_none() -> None:
    assert timeline(prediction(50), 80) == []


def drawn(width: int, ascii_only: bool = False, **options: object) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    for line in timeline(prediction(100, Guitar=[(50, 100)]), width, ascii_only):
        console.print(line)
    return console.file.getvalue()


def test_a_row_has_the_colour_of_its_class_where_there_are_colours() -> None:
    red, green, blue = (int(CLASS_COLORS["Guitar"][index : index + 2], 16) for index in (1, 3, 5))
    assert f"38;2;{red};{green};{blue};48;2;" in drawn(60, force_terminal=True, color_system="truecolor")
    assert drawn(60).splitlines()[0] == "Guitar " + " " * 26 + "▄" + "█" * 26


def test_a_terminal_without_such_characters_gets_others() -> None:
    text = drawn(60, ascii_only=True)
    assert text.isascii()
    assert text.splitlines()[0] == "Guitar " + " " * 26 + "=" + "#" * 26


def test_a_track_of_slakh_gives_the_table_its_title() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_prediction(console, dataclasses.replace(prediction(100), path="test/Track00001/mix.flac"))
    assert console.file.getvalue().startswith("Track00001, 0:10.0: ")
