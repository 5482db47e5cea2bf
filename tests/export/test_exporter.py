"""Exported files, each in its runtime, predict what the model predicts."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers.commands import run
from helpers.tiny_data import CONFIG, write_data
from helpers.tiny_model import make_bundle, make_signal, predict_signal

from mir_tf import bundle
from mir_tf.config import FRONT_ENDS, RunConfig
from mir_tf.data.frontend import log_mel_blocks
from mir_tf.errors import BundleError, ConfigError, ExportError
from mir_tf.export import conversion, exporter
from mir_tf.export.graphs import Pieces
from mir_tf.export.report import TOLERANCES
from mir_tf.inference.metadata import LABELS_FILE, METADATA_FILE, Metadata, read_tflite
from mir_tf.lite import LiteModel
from mir_tf.stream import windows

SEED_44K = RunConfig.for_front_end(FRONT_ENDS["seed_44k"]).merge(
    {"model": {"conv_filters": [4, 4], "gru_units": 4, "gru_layers": 1}}
)


@pytest.fixture(scope="module")
def crnn():
    return make_bundle("crnn")


@pytest.fixture(scope="module")
def exported(crnn, tmp_path_factory):
    """Export all formats; return the folder and the report."""
    out = tmp_path_factory.mktemp("exported")
    steps = []
    report = exporter.export(
        crnn, out, tuple(exporter.EXPORT_FORMATS), ("none", "dynamic"), license_name="CC0", progress=steps.append
    )
    assert "model.onnx" in steps
    return out, report


def test_every_file_passes_and_the_report_says_so(exported):
    out, report = exported
    assert not report.failed
    names = {"saved_model", "model.float32.tflite", "model.dynamic.tflite", "clip.tflite", "model.onnx"}
    assert {path.name for path in out.iterdir()} == names | {"report.json", "report.md"}
    assert {file.name for file in report.files} == names
    for file in report.files:
        assert 0 <= file.difference < 1e-4 or file.quantization != "none"
        if file.name.endswith(".tflite"):
            assert file.speed[1].seconds > 0
    content = json.loads((out / "report.json").read_text("utf-8"))
    assert [file["failure"] for file in content["files"]] == [""] * 5
    assert "| saved_model |" in (out / "report.md").read_text("utf-8")


LENGTHS = (0.0, 0.01, 0.1, 2.95, 3.0, 3.05, 5.0, 5.013, 20.02)
"""Seconds. The windows of the tiny model last 3 s and overlap by 1 s."""


@pytest.mark.parametrize("seconds", LENGTHS)
def test_tflite_gives_the_windowed_inference_of_any_length(crnn, exported, seconds):
    signal = make_signal(crnn, 21.0)[: round(seconds * 8000)]
    found = LiteModel(exported[0] / "model.float32.tflite").probabilities(signal)
    if not len(signal):
        assert found.shape == (0, 17)
        return
    np.testing.assert_allclose(found, predict_signal(crnn, signal), atol=1e-4)


def test_the_end_of_the_signal_is_told_from_silence(crnn, exported):
    """With zeros after the end, the log-mel there would still contain the last samples of the signal."""
    signal = np.random.default_rng(0).normal(0, 0.3, 16000).astype(np.float32)
    model = LiteModel(exported[0] / "model.float32.tflite")
    (window,) = windows(signal, model.metadata)
    np.testing.assert_allclose(model.predict_window(window)[:20], predict_signal(crnn, signal), atol=1e-4)
    assert np.abs(model.predict_window(np.nan_to_num(window))[:20] - predict_signal(crnn, signal)).max() > 1e-4


_PLAIN = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
signal = np.load(sys.argv[2])
found = loaded.signatures["serving_default"](waveform=tf.constant(signal))
np.savez(sys.argv[3], classes=loaded.classes.numpy().astype(bytes),
         labels=loaded.labels_file.asset_path.numpy().decode(),
         dominant=found.pop("dominant").numpy().astype(bytes),
         **{name: value.numpy() for name, value in found.items()})
assert not any(name.startswith("mir_tf") for name in sys.modules)
"""


def test_saved_model_runs_in_a_plain_tensorflow(crnn, exported, tmp_path):
    signal = make_signal(crnn, 9.0)
    batch = np.stack([signal, np.zeros_like(signal), signal[::-1]])
    np.save(tmp_path / "signal.npy", batch)
    arguments = [exported[0] / "saved_model", tmp_path / "signal.npy", tmp_path / "found.npz"]
    subprocess.run([sys.executable, "-c", _PLAIN, *map(str, arguments)], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    assert [name.decode() for name in found["classes"]] == list(crnn.classes)
    assert Path(found["labels"].item()).read_text("utf-8").split("\n")[:-1] == list(crnn.classes)
    for index, waveform in enumerate(batch):
        expected = predict_signal(crnn, waveform)
        np.testing.assert_allclose(found["probabilities"][index], expected, atol=1e-4)
        active = found["probabilities"][index] >= crnn.thresholds
        np.testing.assert_array_equal(found["active"][index], active)
        np.testing.assert_allclose(found["playing_time"][index], active.sum(axis=0) / 10, rtol=1e-6)
        assert found["dominant"][index].decode() == crnn.classes[active.sum(axis=0).argmax()]


def test_saved_model_runs_by_its_command_line(crnn, exported, tmp_path):
    signal = make_signal(crnn, 5.0)
    np.save(tmp_path / "signal.npy", signal[np.newaxis])
    program = Path(sys.executable).with_name("saved_model_cli")
    where = ["--dir", exported[0] / "saved_model", "--tag_set", "serve", "--signature_def", "serving_default"]
    command = [program, "run", *where, "--inputs", f"waveform={tmp_path / 'signal.npy'}", "--outdir", tmp_path]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy")[0], predict_signal(crnn, signal), atol=1e-4)


def test_saved_model_takes_any_length_and_log_mel(crnn, exported):
    signatures = tf.saved_model.load(str(exported[0] / "saved_model")).signatures
    for seconds in LENGTHS:
        signal = make_signal(crnn, 21.0)[: round(seconds * 8000)]
        found = signatures["serving_default"](waveform=tf.constant(signal[np.newaxis]))
        frames = list(log_mel_blocks([signal], crnn.config.front_end))
        frames = np.concatenate(frames) if frames else np.zeros((0, 8), np.float32)
        expected = crnn.windowed.predict_track(frames)
        np.testing.assert_allclose(found["probabilities"][0], expected, atol=1e-4)
        from_frames = signatures["log_mel"](log_mel=tf.constant(frames[np.newaxis]))
        np.testing.assert_allclose(from_frames["probabilities"][0], expected, atol=1e-5)
    assert found["dominant"].dtype == tf.string


def test_saved_model_names_no_instrument_where_none_is_heard(crnn, tmp_path):
    silent = dataclasses.replace(crnn, thresholds=np.full(17, 1.1, np.float32))
    (file,) = exporter.export(silent, tmp_path, ("savedmodel",), ("none",)).files
    assert not file.failure
    serve = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    assert serve(waveform=tf.zeros([1, 8000]))["dominant"].numpy().tolist() == [b""]


def test_saved_model_refuses_what_is_no_number(crnn, exported):
    serve = tf.saved_model.load(str(exported[0] / "saved_model")).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="waveform contains NaN or infinity"):
        serve(waveform=tf.constant(np.full((1, 8000), np.nan, np.float32)))


@pytest.mark.parametrize("name", ["model.float32.tflite", "model.dynamic.tflite", "clip.tflite"])
def test_tflite_has_one_waveform_in_one_answer_out_and_built_in_operators(exported, name):
    interpreter = Interpreter(str(exported[0] / name))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["shape"].tolist() == [1, exported[1].metadata.input_samples]
    assert target["shape"].tolist() == ([1, 17] if name == "clip.tflite" else [1, 30, 17])
    assert source["dtype"] == target["dtype"] == np.float32
    (signature,) = interpreter.get_signature_list().values()
    assert signature == {"inputs": ["waveform"], "outputs": ["probabilities"]}
    assert not [
        operator["op_name"] for operator in interpreter._get_ops_details() if operator["op_name"].startswith("Flex")
    ]


def test_a_zip_tool_shows_labels_and_metadata(crnn, exported):
    path = exported[0] / "model.float32.tflite"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [LABELS_FILE, METADATA_FILE]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert archive.read(LABELS_FILE).decode().splitlines() == list(crnn.classes)
    # Android's MetadataExtractor requires offsets that count from the start of the file.
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    directory = int.from_bytes(content[end + 16 : end + 20], "little")
    assert content[directory:].startswith(b"PK\x01\x02")
    assert content[int.from_bytes(content[directory + 42 : directory + 46], "little") :].startswith(b"PK\x03\x04")
    metadata = read_tflite(path)
    digest = hashlib.sha256(content[: int.from_bytes(content[directory + 42 : directory + 46], "little")]).hexdigest()
    assert metadata == dataclasses.replace(exported[1].metadata, model_sha256=digest)
    assert (metadata.license, metadata.classes, metadata.untuned) == ("CC0", crnn.classes, ("Organ",))
    np.testing.assert_array_equal(np.array(metadata.thresholds, np.float32), crnn.thresholds)
    assert metadata.post_processing == crnn.post_processing
    assert Metadata.from_json(metadata.to_json(), "here") == metadata
    assert metadata.front_end == crnn.config.front_end.to_dict()


def test_mediapipe_classifies_with_the_clip_file(exported, crnn):
    pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.audio import AudioClassifier, AudioClassifierOptions
    from mediapipe.tasks.python.components.containers import AudioData

    path = exported[0] / "clip.tflite"
    signal = make_signal(crnn, 3.5)[: exported[1].metadata.input_samples]
    options = AudioClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
    with AudioClassifier.create_from_options(options) as classifier:
        (result, *_) = classifier.classify(AudioData.create_from_array(signal, 8000))
    found = {category.category_name: category.score for category in result.classifications[0].categories}
    expected = LiteModel(path).predict_window(signal[np.newaxis])
    assert found == pytest.approx(dict(zip(crnn.classes, expected.tolist(), strict=True)), abs=1e-4)


def test_onnx_takes_one_waveform_and_carries_its_metadata(exported, crnn):
    session = pytest.importorskip("onnxruntime").InferenceSession(exported[0] / "model.onnx")
    metadata = exported[1].metadata
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("waveform", [1, metadata.input_samples])
    assert (target.name, target.shape) == ("probabilities", [1, 30, 17])
    properties = session.get_modelmeta().custom_metadata_map
    assert properties[LABELS_FILE].splitlines() == list(crnn.classes)
    assert Metadata.from_json(properties[METADATA_FILE], "model.onnx") == metadata


def test_the_clip_is_the_greatest_answer_of_the_window(crnn, exported):
    signal = make_signal(crnn, 3.0)
    clip, frames = (LiteModel(exported[0] / name) for name in ("clip.tflite", "model.float32.tflite"))
    (window,) = windows(signal, clip.metadata)
    assert clip.metadata.output == "clip"
    np.testing.assert_allclose(clip.predict_window(window), frames.predict_window(window).max(axis=0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["cnn", "crnn_mha"])
def test_the_other_architectures(architecture, tmp_path):
    model = make_bundle(architecture)
    report = exporter.export(model, tmp_path, ("tflite",), ("none", "float16"))
    assert not report.failed


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[60, 80], [45]], "validation": [[30]], "test": [[70, 33]]})
    return folder


def test_int8_is_judged_by_its_f1(data, tmp_path):
    report = exporter.export(make_bundle("cnn"), tmp_path, ("tflite",), ("int8",), data=data)
    file = report.files[0]
    assert file.name == "model.int8.tflite"
    assert file.f1 is not None
    assert report.keras_f1 is not None
    assert file.f1_loss == max(report.keras_f1.macro - file.f1.macro, report.keras_f1.micro - file.f1.micro)
    assert bool(file.failure) == (file.f1_loss > 0.01) != (tmp_path / file.name).is_file()
    assert "F1 on the test split" in report.to_markdown()
    if not file.failure:
        types = {item["dtype"] for item in Interpreter(str(tmp_path / file.name)).get_tensor_details()}
        assert np.int8 in types


@pytest.mark.parametrize(
    ("architecture", "formats", "quantizations", "has_data", "message"),
    [
        ("crnn", ("tflite",), ("int8",), True, "int8: crnn has recurrent layers .* dynamic or float16, or train"),
        ("cnn", ("tflite",), ("int8",), False, "int8: its scales .* give --data"),
        ("cnn", ("tflight",), ("none",), False, "unknown format tflight; choose from savedmodel, tflite, onnx"),
        ("cnn", ("tflite",), ("int4",), False, "unknown quantization int4"),
        ("cnn", (), ("none",), False, "no format; choose from"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(architecture, formats, quantizations, has_data, message):
    with pytest.raises(ConfigError, match=message):
        exporter.check_exportable(make_bundle(architecture), formats, quantizations, has_data)


def test_segments_and_windows_of_other_lengths_are_refused():
    front_end = dataclasses.replace(CONFIG.front_end, segment_seconds=10.0)
    model = make_bundle("cnn", dataclasses.replace(CONFIG, front_end=front_end))
    with pytest.raises(ConfigError, match="segments of 10 s and windows are 3 s"):
        exporter.check_exportable(model, ("tflite", "savedmodel"), ("none",), False)
    exporter.check_exportable(model, ("savedmodel",), ("none",), False)


def test_a_converter_that_fails_is_an_error_with_its_words(crnn, tmp_path):
    pieces = Pieces(crnn, exporter.metadata_of(crnn, "tiny", ""))
    tf.saved_model.save(pieces, str(tmp_path / "pieces"), {"network": pieces.network})
    examples = np.zeros((2, 30, 8), np.float32)
    with pytest.raises(ExportError, match=r"converter, on the network with quantization int8, (crashed|failed)"):
        conversion.to_tflite(tmp_path / "pieces", [("network", "none"), ("network", "int8")], examples)


def test_a_file_that_fails_is_not_left_in_place(crnn, tmp_path, monkeypatch):
    model = make_bundle("cnn")
    model.save(tmp_path / "run")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("model.float32.tflite", "model.dynamic.tflite"):
        (out / name).write_text("of an older export")
    monkeypatch.setitem(TOLERANCES, "none", 1e-12)
    arguments = [
        "export",
        str(tmp_path / "run"),
        "--out",
        str(out),
        "--formats",
        "tflite",
        "--quantize",
        "none,float16",
    ]
    result = run(*arguments)
    assert result.exit_code == 1
    assert "model.float32.tflite was not kept: difference" in result.output
    assert "Left by an earlier export, and not measured now: model.dynamic.tflite." in result.output
    kept = ["model.dynamic.tflite", "model.float16.tflite", "report.json", "report.md"]
    assert sorted(path.name for path in out.iterdir()) == kept


@pytest.mark.parametrize("bad", ["truncated", "text", "other"])
def test_a_file_that_is_not_ours_is_refused(exported, tmp_path, bad):
    whole = (exported[0] / "model.float32.tflite").read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "text": b"no model at all",
        "other": whole[: whole.rfind(b"PK\3\4")],
    }
    (tmp_path / "model.tflite").write_bytes(content[bad])
    with pytest.raises(
        BundleError, match=r"model\.tflite: (not a trained model: the file does not begin|no mir_tf\.json)"
    ):
        LiteModel(tmp_path / "model.tflite")


def test_running_a_file_imports_no_tensorflow():
    code = "import sys, mir_tf.export.benchmark; assert not {'tensorflow', 'keras', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["cnn", "crnn", "crnn_mha"])
@pytest.mark.parametrize("preset", ["default", "seed_44k"])
def test_presets(architecture, preset, tmp_path):
    config = SEED_44K if preset == "seed_44k" else RunConfig()
    model = make_bundle(architecture, config)
    # No 8 bits: their error with random weights says nothing about trained ones.
    report = exporter.export(model, tmp_path, tuple(exporter.EXPORT_FORMATS), ("none", "float16"))
    assert not report.failed
    lite = LiteModel(tmp_path / "model.float32.tflite")
    short = make_signal(model, 7.03)
    np.testing.assert_allclose(lite.probabilities(short), predict_signal(model, short), atol=1e-4)


def test_a_bundle_comes_back_and_exports(crnn, tmp_path):
    crnn.save(tmp_path / "run")
    report = exporter.export(bundle.load(tmp_path / "run"), tmp_path / "out", ("savedmodel",), ("none",))
    assert not report.failed
