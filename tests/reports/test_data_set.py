"""The report of a data set: its counts, the spectra of stems, and what it shows without stems."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run
from helpers.page_reader import read_page
from helpers.stored import write_sealed
from helpers.tiny_data import FRONT_END, PROGRAMS, make_record, stem, write_data, write_split, write_stems

from mir_tf.data import manifest as schema
from mir_tf.data.manifest import Manifest
from mir_tf.errors import DataError
from mir_tf.figures import data_set, spectrograms
from mir_tf.reports import data_set as report
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]


@pytest.fixture
def stems(tmp_path: Path) -> tuple[Path, Manifest]:
    return tmp_path / "stems", write_stems(tmp_path / "stems")


def test_mixes_are_counted_without_their_stems(stems: tuple[Path, Manifest]) -> None:
    seen: list[tuple[int, int]] = []
    found = report.survey(*stems, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]
    assert list(found.mixes) == ["train", "test"]
    train = found.mixes["train"]
    assert train.seconds == [4.0, 6.0]
    truth = np.concatenate([FAMILY.project(make_record(*each).activity) for each in (("Track1", 40), ("Track2", 60))])
    assert train.frames == 100
    for i in range(17):
        for j in range(17):
            assert train.together[i, j] == np.count_nonzero(truth[:, i] & truth[:, j])
    np.testing.assert_array_equal(train.polyphony, np.bincount(truth.sum(axis=1), minlength=18))


def test_a_spectrum_is_the_mean_power_of_the_frames_in_which_the_stem_is_active(stems: tuple[Path, Manifest]) -> None:
    spectra = report.survey(*stems).spectra
    piano, strings = FAMILY.class_of[0], FAMILY.class_of[40]
    np.testing.assert_array_equal(np.flatnonzero(spectra.stems), [piano, strings])
    assert (spectra.stems[piano], spectra.stems[strings]) == (2, 1)
    assert spectra.frames[piano] == (20 + 30) * FRONT_END.subframes
    np.testing.assert_allclose(spectra.decibels(), [[-20] * 2 + [-50] * 6, [-50] * 4 + [-20] * 2 + [-50] * 2], atol=0.1)


def test_power_is_averaged_and_not_decibels() -> None:
    spectra = report.Spectra.empty(17, 2)
    truth = np.zeros((3, 17), bool)
    truth[:2, 5] = True
    spectra.add(np.array([[0, -10], [-10, -10], [50, 50]], np.float32), truth)
    np.testing.assert_allclose(spectra.decibels(), [[10 * np.log10(0.55), -10]])


def test_the_page_has_every_section_and_needs_nothing_else(stems: tuple[Path, Manifest]) -> None:
    folder, manifest = stems
    result = run("inspect", folder, "--report")
    assert result.exit_code == 0, result.output
    out = folder / "report"
    assert result.output.splitlines()[-1] == f"Report: {out / 'report.html'}"
    found = read_page(out / "report.html")
    assert found.headings == [
        "Data set: stems",
        "Hours",
        "Class balance",
        "What plays together",
        "Polyphony",
        "Spectrum of each class",
        "Length",
        "Fine print",
    ]
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {f"{name}.png" for name in ("balance", "together", "polyphony", "spectra", "lengths")}
    assert sorted(found.pictures.values()) == sorted((out / name).read_bytes() for name in pictures)
    assert "3 of 17 classes are active." in found.text
    hours = {row[0]: row[1:] for row in found.tables["Size of each split"]}
    assert hours["train"] == ["0.00", "2", "2", "3", "0.00"]
    balance = {row[0]: row[1:] for row in found.tables["How long each class is active in the mixes"]}
    activity = make_record("Track3", 30).activity
    assert balance["Drums"][-1] == f"{100 * activity[:, PROGRAMS[2]].mean():.1f} %"
    assert found.tables["Length of the tracks in minutes and seconds"][1] == ["train", "0:04.0", "0:05.0", "0:06.0"]
    assert "Activity, vocabulary program, tracks and stems" in found.tables
    assert schema.read_manifest(folder) == manifest


def test_without_stems_no_spectrum_is_drawn_and_the_page_explains_why(tmp_path: Path) -> None:
    write_data(tmp_path / "data", {"train": [[40]], "test": [[30]]})
    result = run("inspect", tmp_path / "data", "--report", "--out", tmp_path / "page")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "page" / "spectra.png").exists()
    assert not (tmp_path / "data" / "report").exists()
    found = read_page(tmp_path / "page" / "report.html")
    assert "python -m tfrecords_builder --stems" in found.text
    assert len(found.pictures) == 4


def test_a_track_named_like_a_stem_is_not_a_stem(tmp_path: Path) -> None:
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    records = [make_record("A", 20), make_record("A-S00", 30)]
    summary = write_split(tmp_path, "train", [records])
    manifest = Manifest(FRONT_END, {"train": summary}, -45.0, 20.0, [], {})
    found = report.survey(tmp_path, manifest)
    assert found.mixes["train"].seconds == [2.0, 3.0]
    assert not found.spectra.stems.any()
    # Beside a stem, names no longer tell which record is the track.
    records.append(stem(records[1], "S00", 0, slice(0, 2)))
    summary = dataclasses.replace(write_split(tmp_path, "train", [records]), tracks=2)
    with pytest.raises(DataError, match="2 records of split 'train' are named like stems, the manifest counts 1"):
        report.survey(tmp_path, dataclasses.replace(manifest, splits={"train": summary}))


def test_errors_are_reported_and_leave_no_files(stems: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, _ = stems
    result = run("inspect", folder, "--out", tmp_path / "page")
    assert result.exit_code == 2
    assert "--out needs --report" in result.output
    (shard,) = folder.glob("*-test.tfrecord-*")
    shard.write_bytes(shard.read_bytes()[:-20])
    result = run("inspect", folder, "--report", "--out", tmp_path / "page", "--picture", tmp_path / "picture.png")
    assert result.exit_code == 1
    assert f"{shard}: damaged" in " ".join(result.output.split())
    content = json.loads((folder / "manifest.json").read_text("utf-8"))
    empty = {name: {**split, "tracks": 0, "songs": 0, "records": 0} for name, split in content["splits"].items()}
    write_sealed(folder / "manifest.json", {**content, "splits": empty})
    with pytest.raises(DataError, match="no split has a track"):
        report.survey(folder, schema.read_manifest(folder))
    assert not (tmp_path / "page").exists()


def test_spectra_are_drawn_from_their_peaks_over_hertz() -> None:
    centres = spectrograms.mel_centres(FRONT_END)
    spectra = np.array([[-30.0] * 7 + [-20], [-70] + [-60] * 7])
    figure = data_set.spectra_figure(spectra, centres, [3, 1], ["Piano", "Bass"], ["#0072b2", "#5c3a1e"], "Spectra")
    piano, bass = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Piano  (3)", "Bass  (1)"]
    for axes, expected in ((piano, [-10.0] * 7 + [0]), (bass, [-10] + [0] * 7)):
        mean, own = axes.lines
        np.testing.assert_allclose(own.get_xdata(), centres)
        np.testing.assert_allclose(own.get_ydata(), expected)
        np.testing.assert_allclose(mean.get_ydata(), [-10] + [-5] * 6 + [0])
