"""References in JAMS and CSV, errors in them, and the evaluation of a model with them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run
from helpers.recordings import write_song

from mir_tf.errors import DataError
from mir_tf.evaluation import references
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.inference.formats import FILE_FORMATS
from mir_tf.lite import LiteModel
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import PROGRAM_NAMES, VOCABULARIES

FAMILY = VOCABULARIES["family"]


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_jams(path: Path, *namespaces: str, data: object = None) -> Path:
    annotations = [{"namespace": name, "data": [] if data is None else data} for name in namespaces]
    path.write_text(json.dumps({"annotations": annotations, "file_metadata": {"duration": 9}}), encoding="utf-8")
    return path


def observation(start: float, duration: float, value: object) -> dict[str, object]:
    return {"time": start, "duration": duration, "value": value, "confidence": None}


def test_csv_and_jams_are_read_alike(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "a.csv", "start,end,instrument\n0.5,2,Piano\n1.25,1.5, drums\n")
    notes = [observation(0.5, 1.5, "Piano"), observation(1.25, 0.25, "Drums")]
    jams = write_jams(tmp_path / "a.jams", "tag_open", "beat", data=notes)
    for path in (table, jams):
        assert references.read(path, FAMILY).intervals == ((0.5, 2.0, 0), (1.25, 1.5, 16))


def test_columns_may_be_in_any_order_among_others_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffinstrument,confidence,start,end\r\nBass,0.9,0,1\r\n\r\n".encode())
    assert references.read(path, FAMILY).intervals == ((0.0, 1.0, 4),)


def test_a_file_without_intervals_means_silence(tmp_path: Path) -> None:
    for path in (
        write_csv(tmp_path / "a.csv", "start,end,instrument\n"),
        write_jams(tmp_path / "a.jams", "segment_open"),
    ):
        assert not references.read(path, FAMILY).activity(1.0, 10, 17).any()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_names_of_programs_stand_for_their_class(name: str) -> None:
    vocabulary = VOCABULARIES[name]
    for index, label in enumerate(vocabulary.classes):
        assert vocabulary.index_of(label) == vocabulary.index_of(label.upper()) == index
    for program, index in enumerate(vocabulary.class_of):
        if PROGRAM_NAMES[program] not in vocabulary.classes:
            assert vocabulary.index_of(PROGRAM_NAMES[program]) == index
    assert vocabulary.index_of("Guitarr") is None


@pytest.mark.parametrize("name", ["csv", "jams"])
def test_files_that_mir_tf_writes_are_read(exported_cnn: Path, tmp_path: Path, name: str) -> None:
    """The file of a prediction, which people may correct, gives back the same frames."""
    if name == "jams":
        pytest.importorskip("jams")
    song = write_song(tmp_path / "song.wav", 4.03)
    prediction = LiteModel(exported_cnn / "model.float32.tflite").predict(song)
    cut = float(np.median(prediction.confidence[prediction.smoothed.any(axis=0)]))  # half of them perhaps play
    model = dataclasses.replace(prediction.confidence_model, cut=cut)
    prediction = dataclasses.replace(prediction, confidence_model=model)
    path = tmp_path / f"song.wav.{name}"
    path.write_bytes(FILE_FORMATS[name].encode(prediction))
    found = references.read(path, FAMILY).activity(prediction.seconds, *prediction.probabilities.shape)
    np.testing.assert_array_equal(found, prediction.smoothed)
    for group in (prediction.detected, prediction.perhaps):
        assert found[:, [FAMILY.classes.index(label) for label in group]].any(), "both groups are read"


def test_the_two_annotations_of_a_prediction_are_one_reference_and_those_of_two_people_are_not(tmp_path: Path) -> None:
    path = write_jams(tmp_path / "a.jams", "tag_open", "tag_open", data=[observation(0, 1, "Piano")])
    content = json.loads(path.read_text())
    detected, perhaps = content["annotations"]
    perhaps["data"] = [observation(2, 1, "Drums")]
    for groups, message in (
        (("detected", "perhaps"), ""),
        (("detected", "detected"), "2 annotations of namespace .*; there must be exactly one"),
        ((None, None), "2 annotations of namespace"),
    ):
        for annotation, group in zip((detected, perhaps), groups, strict=True):
            annotation["sandbox"] = {"group": group} if group else {}
        path.write_text(json.dumps(content))
        if message:
            with pytest.raises(DataError, match=message):
                references.read(path, FAMILY)
        else:
            assert references.read(path, FAMILY).intervals == ((0, 1, 0), (2, 3, 16))
    detected["sandbox"], perhaps["sandbox"] = {"group": "detected"}, {"group": "perhaps"}
    perhaps["data"] = [observation("late", 1, "Drums")]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="observation 1 of group perhaps: 'late' is not a valid time"):
        references.read(path, FAMILY)


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0.0, 0.1, [0]),
        (0.3, 0.6, [3, 4, 5]),
        (0.35, 0.41, [3, 4]),
        (0.32, 0.33, [3]),
        (0.7, 1.9, [7, 8, 9]),
        (0.1, 0.1 + 0.2, [1, 2]),
        (1.5 - 1.1, 0.6, [4, 5]),
    ],
)
def test_every_frame_that_an_interval_touches_is_active(start: float, end: float, frames: list[int]) -> None:
    reference = references.Reference(Path("a.csv"), ((start, end, 1),))
    active = reference.activity(0.95, 10, 2)
    assert np.flatnonzero(active[:, 1]).tolist() == frames
    assert not active[:, 0].any()


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.01), (2.0, 2.5)])
def test_a_reference_of_another_recording_is_refused(start: float, end: float) -> None:
    with pytest.raises(
        DataError,
        match=r"a\.csv: .* is outside of the recording, which lasts 2\.00 s; is this",
    ):
        references.Reference(Path("a.csv"), ((start, end, 0),)).activity(2.0, 20, 1)


HEADER = "start,end,instrument\n"
BAD_CSV = {
    "": "no column start, end, instrument; the first line must have the columns start,end,instrument, separated by",
    "begin,end,instrument\n0,1,Piano\n": "no column start",
    HEADER + "0,1\n": "line 2: the number of values differs from the number of columns",
    HEADER + "0,1,Piano,loud\n": "line 2: the number of values differs from the number of columns",
    HEADER + "0,1,Piano\n1:30,1:40,Piano\n": "line 3: '1:30' is not a valid time in seconds",
    HEADER + "nan,1,Piano\n": "'nan' is not a valid time",
    HEADER + "0,inf,Piano\n": "'inf' is not a valid time",
    HEADER + "2,1,Piano\n": "line 2: 2 to 1 s: the start must be at least 0, and the end later",
    HEADER + "1,1,Piano\n": "1 to 1 s",
    HEADER + "-1,1,Piano\n": "-1 to 1 s",
    HEADER + "0,1,Gitarre\n0,1,Bass\n0,2,Kazoo\n": r"'Gitarre' \(line 2\), 'Kazoo' \(line 4\); .* classes are Piano, ",
    HEADER + '0,1,"Piano\n': "damaged: ",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_a_bad_csv_is_reported_with_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a\.csv: .*{BAD_CSV[text]}"):
        references.read(write_csv(tmp_path / "a.csv", text), FAMILY)


BAD_JAMS = {
    "": "damaged: ",
    "{": "damaged: ",
    "[" * 100_000: "damaged: ",
    "[]": "not a JAMS file",
    "{}": "not a JAMS file with intervals: KeyError",
    '{"annotations": [1]}': "not a JAMS file",
    '{"annotations": [{"namespace": "tag_open", "sandbox": 1, "data": []}]}': "not a JAMS file with intervals: Attr",
    '{"annotations": []}': "0 annotations of namespace tag_open or segment_open; there must be exactly one",
    '{"annotations": [{"namespace": "tag_open", "data": {"time": [0]}}]}': "not a JAMS file",
    '{"annotations": [{"namespace": "tag_open", "data": [{"time": 0, "value": "Piano"}]}]}': "KeyError.*duration",
    '{"annotations": [{"namespace": "tag_open"}, {"namespace": "segment_open"}]}': "2 annotations",
}


@pytest.mark.parametrize("text", BAD_JAMS)
def test_a_bad_jams_is_reported(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.jams").write_text(text)
    with pytest.raises(DataError, match=rf"a\.jams: .*{BAD_JAMS[text]}"):
        references.read(tmp_path / "a.jams", FAMILY)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (observation(0, None, "Piano"), "observation 2: None is not a valid time"),
        (observation(0, True, "Piano"), "observation 2: True is not a valid time"),
        (observation(0, 0, "Piano"), "observation 2: 0 to 0 s"),
        (observation(0, 1, 5), r"not a class of the model: 5 \(observation 2\)"),
    ],
)
def test_a_bad_observation_is_reported(bad: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write_jams(tmp_path / "a.jams", "segment_open", data=[observation(0, 1, "Piano"), bad])
    with pytest.raises(DataError, match=message):
        references.read(path, FAMILY)


def test_labels_without_a_class_are_listed_once(tmp_path: Path) -> None:
    """Sitar is a General MIDI program, but belongs to no class of Slakh."""
    path = write_csv(tmp_path / "a.csv", HEADER + "0,1,Violin\n" + "0,1,Sitar\n" * 300 + "0,1,Gitarre\n")
    with pytest.raises(DataError) as found:
        references.read(path, VOCABULARIES["slakh"])
    message = str(found.value)
    assert "a.csv: not a class of the model: 'Sitar' (line 3), 'Gitarre' (line 303); use the names" in message
    assert "and remove what it has no class for; the classes are Acoustic Piano, " in message
    assert references.read(write_csv(path, HEADER + "0,1,Sitar\n"), FAMILY).intervals == ((0.0, 1.0, 13),)


def test_a_file_that_is_not_text_is_damaged(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jams"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match=rf"{name}: damaged: "):
            references.read(tmp_path / name, FAMILY)


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_names_pair_references_with_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "a.jams", "a.MP3", "b.wav.csv", "b.wav", "b.mp3", "b.mp3.csv", "c.flac", "c.CSV", "c.txt", ".d.csv")
    pairs, problems = references.pair(tmp_path, tmp_path)
    names = {(reference.name, recording.name) for reference, recording in pairs}
    assert names == {("a.jams", "a.MP3"), ("b.wav.csv", "b.wav"), ("b.mp3.csv", "b.mp3"), ("c.CSV", "c.flac")}
    assert problems == []


def test_files_without_a_partner_or_with_several_are_reported(tmp_path: Path) -> None:
    touch(tmp_path / "audio", "a.mp3", "a.wav", "b.mp3", "c.mp3", "notes.txt")
    touch(tmp_path / "references", "a.csv", "b.csv", "b.jams", "d.csv")
    pairs, problems = references.pair(tmp_path / "references", tmp_path / "audio")
    assert pairs == []
    text = "\n".join(problems)
    assert len(problems) == 4
    assert "a.csv: could belong to a.mp3, a.wav; add the recording's suffix, as in a.mp3.csv" in text
    assert "b.mp3: several references, b.csv, b.jams; keep one" in text
    assert "c.mp3: no reference of this name" in text
    assert "d.csv: no recording of this name" in text


def test_a_folder_without_references_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no reference found: put files named \*\.jams or \*\.csv there"):
        references.pair(tmp_path, tmp_path)


def test_a_model_is_evaluated_with_references(exported_cnn: Path, tmp_path: Path) -> None:
    """Bad files are reported and counted; the others are evaluated as the tracks of a data set are."""
    songs, texts = tmp_path / "songs", tmp_path / "references"
    texts.mkdir()
    model = LiteModel(exported_cnn / "model.float32.tflite")
    predictions = []
    for seed, name in enumerate(("a", "b")):
        predicted = model.predict(write_song(songs / f"{name}.wav", 4 + seed, seed))
        truth = np.zeros(predicted.probabilities.shape, bool)
        truth[5:20, 3] = truth[:, 16] = True
        predictions.append(TrackPrediction(name, name, predicted.probabilities, truth))
        end = len(truth) / 10
    write_csv(texts / "a.csv", HEADER + "0.5,2,Guitar\n0,4,Drums\n")
    write_jams(texts / "b.jams", "tag_open", data=[observation(0.5, 1.5, "Banjo"), observation(0, end, "drums")])
    # Banjo belongs to the family Ethnic, whose index is 13.
    predictions[1].truth[:, 13], predictions[1].truth[:, 3] = predictions[1].truth[:, 3].copy(), False
    write_song(songs / "alone.wav")
    write_song(songs / "bad.wav")
    write_csv(texts / "bad.csv", HEADER + "0,1,Gitarre\n")
    (songs / "noise.mp3").write_text("no song\n" * 200)
    write_csv(texts / "noise.csv", HEADER)

    words = ("evaluate", exported_cnn / "model.float32.tflite", "--references", texts, "--audio", songs)
    outcome = run(*words, "--out", tmp_path / "out")
    assert outcome.exit_code == 1, outcome.output
    for problem in ("alone.wav: no reference", "bad.csv: not a class of the model: 'Gitarre'", "noise.mp3: "):
        assert problem in outcome.output
    assert "3 problems; the files they name were skipped." in outcome.output
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    expected = evaluate_predictions(
        predictions,
        model.thresholds,
        model.metadata.post_processing,
        FAMILY,
        str(texts),
        None,
        model.metadata.confidence,
    )
    assert expected.confidence is not None
    assert found == json.loads(json.dumps(expected.to_dict()))
    assert "".join(f"recordings and references in {texts}".split()) in "".join(outcome.output.split())

    for path in (songs / "alone.wav", songs / "bad.wav", texts / "bad.csv", songs / "noise.mp3", texts / "noise.csv"):
        path.unlink()
    fine = run("evaluate", exported_cnn / "run", "--references", texts, "--audio", songs, "--out", tmp_path / "run")
    assert fine.exit_code == 0, fine.output
    by_run = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert by_run["tracks"] == 2
    assert by_run["overall_metrics"]["macro_f1"]["value"] == pytest.approx(
        found["overall_metrics"]["macro_f1"]["value"], abs=1e-3
    )


def test_results_of_two_files_in_one_folder_are_kept_apart(exported_cnn: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "songs" / "a.wav")
    (tmp_path / "truth").mkdir()
    write_csv(tmp_path / "truth" / "a.csv", HEADER + "0,1,Piano\n")
    for name in ("one", "two.float16"):
        model = shutil.copy(exported_cnn / "model.float32.tflite", tmp_path / f"{name}.tflite")
        outcome = run("evaluate", model, "--references", tmp_path / "truth", "--audio", tmp_path / "songs")
        assert outcome.exit_code == 0, outcome.output
        assert (tmp_path / f"evaluation-truth-{name}" / "evaluation.json").is_file()


def test_nothing_to_evaluate_is_reported(exported_cnn: Path, tmp_path: Path) -> None:
    model = exported_cnn / "model.float32.tflite"
    write_song(tmp_path / "a.wav")
    write_csv(tmp_path / "a.csv", HEADER)
    for name, message in (
        ("a.csv", "no reference contains an instrument"),
        ("b.csv", "no reference and recording can be used together"),
    ):
        outcome = run("evaluate", model, "--references", tmp_path, "--audio", tmp_path, "--out", tmp_path / "out")
        assert outcome.exit_code == 1
        assert message in outcome.output
        (tmp_path / name).rename(tmp_path / "b.csv")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --data, or --references and --audio"),
        (("--references", "."), "give --data, or --references and --audio"),
        (("--data", ".", "--audio", "."), "--data cannot be combined with --references and --audio"),
        (("--data", "."), "--data needs a run; evaluate this file with --references and --audio"),
        (("--references", ".", "--audio", ".", "--split", "test"), "--split requires --data"),
    ],
)
def test_options_that_do_not_go_together_are_refused(exported_cnn: Path, words: tuple[str, ...], message: str) -> None:
    outcome = run("evaluate", exported_cnn / "model.float32.tflite", *words)
    assert outcome.exit_code == 2
    assert message in " ".join(outcome.output.split())
