"""Tables and figure of the contents of a data set."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_data import FRONT_END, PROGRAMS, make_record, write_data, write_stems
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from mir_tf.data.manifest import Manifest
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.io.write_errors import WriteError
from mir_tf.reports import inspection
from mir_tf.vocabulary import VOCABULARIES


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Write a data set in ``tmp_path`` with tracks in train and test and no track in validation."""
    return write_data(tmp_path, {"train": [[40, 50], [60]], "validation": [], "test": [[37]]})


def test_the_tables_count_the_records(manifest: Manifest) -> None:
    tables = dict(inspection.tables(manifest))
    assert tables["Splits, labels midi"] == [
        ["split", "tracks", "stems", "songs", "hours", "shards"],
        ["train", "3", "0", "3", "0.00", "2"],
        ["validation", "0", "0", "0", "0.00", "0"],
        ["test", "1", "0", "1", "0.00", "1"],
    ]
    family = {name: shares for name, *shares in tables["Activity, vocabulary family"]}
    assert family["class"] == ["train", "test"]
    activity = make_record("test-0-0", 37).activity
    assert family["Drums"][1] == f"{100 * activity[:, 128].mean():.1f} %"
    assert family["14 others, each"] == ["0.0 %", "0.0 %"]
    assert len(tables["Activity, vocabulary program"]) == 1 + len(PROGRAMS) + 1
    assert "Skipped" not in tables


def test_skipped_items_are_counted_by_reason(manifest: Manifest) -> None:
    reasons = ["mix.flac: missing", "set apart", "set apart"]
    manifest.skipped.extend({"item": f"Track{i}", "reason": reason} for i, reason in enumerate(reasons))
    tables = dict(inspection.tables(manifest))
    assert tables["Skipped"] == [["reason", "items"], ["mix.flac: missing", "1"], ["set apart", "2"]]


def test_leaks_and_warnings_are_counted(manifest: Manifest) -> None:
    assert not {"Songs in two splits", "Suspicious stems"} & dict(inspection.tables(manifest)).keys()
    manifest = dataclasses.replace(
        manifest,
        leaks={"train/test": {"a": ["Track00001"], "b": ["Track00002"]}},
        stem_checks={"Track00001": ["S01: silent"]},
    )
    tables = dict(inspection.tables(manifest))
    assert tables["Songs in two splits"] == [["splits", "songs"], ["train/test", "2"]]
    assert tables["Suspicious stems"] == [["track", "warnings"], ["Track00001", "1"]]


def test_the_figure_shows_two_tracks_of_each_split(tmp_path: Path, manifest: Manifest) -> None:
    pictures = inspection.figure(tmp_path, manifest).axes[::2]
    titles = [axes.get_title(loc="left") for axes in pictures]
    assert titles == [
        f"{name.partition('-')[0]}: {name} (song song of {name})" for name in ("train-0-0", "train-0-1", "test-0-0")
    ]


def test_stems_are_counted_apart_and_not_drawn(tmp_path: Path) -> None:
    manifest = write_stems(tmp_path / "stems")
    titles = [title for title, _ in inspection.tables(manifest)]
    assert titles[1] == "Activity, vocabulary family, tracks and stems"
    pictures = inspection.figure(tmp_path / "stems", manifest).axes[::2]
    titles = [axes.get_title(loc="left").partition(" (")[0] for axes in pictures]
    assert titles == ["train: Track1", "train: Track2", "test: Track3"]


def test_labels_are_drawn_below_their_spectrogram(tmp_path: Path, manifest: Manifest) -> None:
    picture, labels = inspection.figure(tmp_path, manifest).axes[-2:]
    record = make_record("test-0-0", 37)
    family = VOCABULARIES["family"]
    lanes = {text.get_text(): lane for lane, text in zip(labels.get_yticks(), labels.get_yticklabels(), strict=True)}
    assert list(lanes) == ["Drums", "Strings", "Piano"]
    (image,) = picture.images
    assert image.origin == "lower"
    assert image.get_extent() == [0, 3.7, -0.5, FRONT_END.n_mels - 0.5]
    np.testing.assert_array_equal(image.get_array(), record.log_mel.astype(np.float32).T)
    assert labels.get_xlim() == (0, 3.7)
    for name, lane in lanes.items():
        assert (
            drawn_frames(labels, lane, CLASS_COLORS[name], 37)
            == np.flatnonzero(family.project(record.activity)[:, family.classes.index(name)]).tolist()
        )


def drawn_frames(axes: Axes, lane: float, color: str, count: int) -> list[int]:
    """Return the label frames whose middle is covered by a bar of ``color`` in ``lane``."""
    (bars,) = (bars for bars in axes.collections if to_hex(bars.get_facecolor()[0]) == color)
    boxes = [path.get_extents() for path in bars.get_paths()]
    assert all(box.y0 < lane < box.y1 for box in boxes)
    return [k for k in range(count) if any(box.x0 < (k + 0.5) / 10 < box.x1 for box in boxes)]


def test_the_figure_is_written_as_a_png(tmp_path: Path, manifest: Manifest) -> None:
    inspection.draw(tmp_path, manifest, tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(WriteError, match=r"page\.png: cannot be written: No such file"):
        inspection.draw(tmp_path, manifest, tmp_path / "nowhere" / "page.png")


def test_a_long_track_is_averaged_into_fewer_columns(tmp_path: Path) -> None:
    manifest = write_data(tmp_path, {"train": [[2001]]})
    picture, labels = inspection.figure(tmp_path, manifest).axes
    (image,) = picture.images
    columns = image.get_array()
    assert columns.shape == (FRONT_END.n_mels, 1334)  # of 4002 frames, three at once
    frames = make_record("train-0-0", 2001).log_mel.astype(np.float32)
    np.testing.assert_allclose(columns[:, 7], frames[21:24].mean(axis=0), rtol=1e-5)
    assert image.get_extent()[1] == pytest.approx(labels.get_xlim()[1]) == 200.1


def test_frequencies_are_labelled_at_their_bands(tmp_path: Path) -> None:
    manifest = write_data(tmp_path, {"train": [[10]]}, FRONT_END.replace(n_mels=100, mel_scale="htk", f_min=100.0))
    picture = inspection.figure(tmp_path, manifest).axes[0]
    bands = dict(zip([text.get_text() for text in picture.get_yticklabels()], picture.get_yticks(), strict=True))

    def mel(hertz: float) -> float:
        return 2595 * np.log10(1 + hertz / 700)  # the HTK formula

    for hertz in (200, 1000, 2000):
        expected = (mel(hertz) - mel(100)) / (mel(4000) - mel(100)) * 101 - 1
        assert bands[str(hertz)] == pytest.approx(expected, abs=0.05)
