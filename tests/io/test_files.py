"""Titles of recordings."""

from pathlib import Path

import pytest

from mir_tf.io.files import as_path, printable, recording_title


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("slakh/test/Track00001/mix.flac", "Track00001"),
        ("babyslakh_16k/Track00001/mix.wav", "Track00001"),
        ("slakh/Track00001/stems/S03.flac", "Track00001/S03"),
        ("gs://bucket/test/Track00001/mix.flac", "Track00001"),
        ("all/train/Track00001-shuffled-2/mix.flac", "Track00001-shuffled-2"),
        ("music/mix.flac", "mix.flac"),
        ("Tracks/mix.wav", "mix.wav"),
        ("Track00001/mix.mp3", "mix.mp3"),
        ("Track00001/song.flac", "song.flac"),
        ("stems/S03.flac", "S03.flac"),
        ("song.mp3", "song.mp3"),
        ("gs://bucket/song.mp3", "song.mp3"),
        ("", ""),
    ],
)
def test_a_slakh_file_has_the_title_of_its_track(path: str, title: str) -> None:
    assert recording_title(path) == title
    if path:
        assert recording_title(as_path(path)) == title


def test_the_track_is_found_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Track00007" / "stems").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "Track00007")
    assert recording_title("mix.flac") == "Track00007"
    monkeypatch.chdir("stems")
    assert (recording_title("S01.flac"), recording_title("../mix.flac")) == ("Track00007/S01", "Track00007")


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A file from elsewhere may be named after a command that retitles or recolours the terminal, or turns its text."""
    assert (
        printable("a\x1b]0;b\x07\n\u202e\x9bc\udcff é\u200d🎻.mp3")
        == r"a\x1b]0;b\x07\n\u202e\x9bc\udcff é" + "\u200d🎻.mp3"
    )
    assert recording_title("music/a\x1bb\n.mp3") == r"a\x1bb\n.mp3"
