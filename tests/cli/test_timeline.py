"""The timeline in a terminal: the right times, colours and widths."""

import dataclasses
import io
import re

import numpy as np
import pytest
from rich.console import Console

from mir_tf.cli.plain import PlainConsole
from mir_tf.cli.timeline import print_line, print_prediction, timeline
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.events import PostProcessing
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.inference.prediction import Prediction
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"].classes


def prediction(
    frames: int, level: float = 1.0, confidence: ConfidenceModel | None = None, **stretches: list[tuple[int, int]]
) -> Prediction:
    """Return a prediction in which the named classes have the probability ``level`` from one frame to another."""
    roll = np.zeros((frames, len(FAMILY)), np.float32)
    for name, pairs in stretches.items():
        for start, end in pairs:
            roll[start:end, FAMILY.index(name.replace("_", " "))] = level
    thresholds = np.full(len(FAMILY), 0.05, np.float32)
    rule = PostProcessing.plain(thresholds)
    return Prediction("song.mp3", frames / 10, {"vocabulary": "family"}, FAMILY, thresholds, rule, roll, confidence)


MEAN_AS_CONFIDENCE = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * len(FAMILY), 0.4)
"""Takes the mean probability of a class as its confidence. From 0.4, the class is detected."""


@pytest.mark.parametrize(("level", "block"), [(0.1, "▁"), (0.12, "▁"), (0.5, "▄"), (0.62, "▅"), (0.9, "█"), (1.0, "█")])
def test_the_height_of_a_block_is_the_probability(level: float, block: str) -> None:
    """A block at 0.1 never looks like one at 0.9."""
    row, _ = timeline(prediction(400, level, Drums=[(200, 400)]), 46)
    assert row.plain == "Drums " + " " * 20 + block * 20


def test_the_height_of_a_block_grows_with_the_probability() -> None:
    drawn = [timeline(prediction(100, level, Drums=[(0, 100)]), 46)[0].plain[-1] for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert drawn == sorted(set(drawn), key=" ▁▂▃▄▅▆▇█".index)


def test_rows_of_classes_that_perhaps_play_are_last_and_have_a_question_mark() -> None:
    found = prediction(400, 1.0, MEAN_AS_CONFIDENCE, Piano=[(0, 120)], Drums=[(0, 200)], Bass=[(0, 400)])
    rows = [line.plain.split("█")[0].strip() for line in timeline(found, 48)[:-1]]
    assert rows == ["Bass", "Drums", "Piano ?"]


def printed(found: Prediction, width: int = 120, **options: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_prediction(console, found, **options)
    return console.file.getvalue().splitlines()


def test_the_table_has_two_groups_and_explains_the_classes() -> None:
    found = prediction(400, 1.0, MEAN_AS_CONFIDENCE, Reed=[(0, 120)], Drums=[(0, 200)])
    title, headline, *lines = printed(found)
    assert title == "song.mp3, 0:40.0"
    assert headline == "Detected: Drums. Perhaps: Reed. Plays longest: Drums."
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines if "%" in line]
    assert rows == [
        ["Drums (drum kit)", "detected", "50 %", "0:20.0", "50.0 %"],
        ["Reed (saxophone, clarinet, oboe)", "perhaps", "30 %", "0:12.0", "30.0 %"],
    ]
    (header,) = [line for line in lines if "instrument" in line]
    assert header.split() == ["instrument", "group", "confidence", "playing", "time", "share"]


def test_the_table_explains_classes_only_where_all_columns_fit() -> None:
    """Playing times matter more than explanations, in a terminal of the usual 80 columns."""
    found = prediction(400, 1.0, MEAN_AS_CONFIDENCE, Chromatic_Percussion=[(0, 120)])
    wide, narrow = ([line for line in printed(found, width) if "0:12.0" in line] for width in (110, 80))
    assert wide[0].split("  ")[1] == "Chromatic Percussion (xylophone, vibraphone, bells)"
    assert narrow[0].split("  ")[1] == "Chromatic Percussion"
    assert not any("too narrow" in line for line in printed(found, 80))
    assert printed(found, 40)[-3] == "This terminal is too narrow to show confidence, playing time, share."


def test_the_table_of_all_classes_has_those_that_are_not_named_at_the_end() -> None:
    found = prediction(400, 1.0, MEAN_AS_CONFIDENCE, Reed=[(0, 120)], Drums=[(0, 200)])
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed(found, show_all=True) if "%" in line]
    assert len(rows) == len(FAMILY)
    assert [row[1] for row in rows] == ["detected", "perhaps"] + ["no"] * 15
    assert ["Piano (piano, electric piano, harpsichord)", "no", "1 %", "0:00.0", "0.0 %"] in rows
    silence = [line for line in printed(prediction(400, 1.0, MEAN_AS_CONFIDENCE), show_all=True) if "%" in line]
    assert len(silence) == len(FAMILY)


def test_silence_has_a_headline_and_no_table() -> None:
    assert printed(prediction(50)) == ["song.mp3, 0:05.0", "No instrument detected."]


def test_a_model_without_confidence_has_a_dash_for_it() -> None:
    (row,) = [line for line in printed(prediction(100, Drums=[(0, 100)])) if "%" in line]
    assert re.split(r"\s{2,}", row.strip()) == ["Drums (drum kit)", "detected", "–", "0:10.0", "100.0 %"]


def test_one_line_has_the_name_and_the_headline_uncut() -> None:
    console = Console(file=io.StringIO(), width=30)
    found = prediction(400, 1.0, MEAN_AS_CONFIDENCE, Reed=[(0, 120)], Drums=[(0, 200)])
    print_line(console, "folder/song.mp3", found)
    assert console.file.getvalue() == f"folder/song.mp3, 0:40.0: {found.headline}\n"


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
    assert console.file.getvalue().startswith("Track00001, 0:10.0\n")


@pytest.mark.parametrize("frames", [100, 4000])
def test_a_pipe_gets_what_rich_would_print(frames: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of other alphabets are twice as wide, or have characters without a width."""
    found = prediction(frames, 0.7, MEAN_AS_CONFIDENCE, Drums=[(0, 50)], Guitar=[(10, 90)], Strings=[(3, 4)])
    names = {"Guitar": "二胡", "Strings": "Cu\u0301 la"}
    found = dataclasses.replace(found, classes=tuple(names.get(name, name) for name in found.classes))
    for show_all in (False, True):
        print_prediction(PlainConsole(), found, show_all)
        assert capsys.readouterr().out.splitlines() == [
            line.rstrip("\n") for line in printed(found, 10_000, show_all=show_all)
        ]
