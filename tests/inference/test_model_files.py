"""Paths that are no model: each is refused with the true reason and a remedy, before TensorFlow loads."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run

import mir_tf
from mir_tf import lite
from mir_tf.config import BUNDLE_FILE, MODEL_FILE
from mir_tf.errors import BundleError

RUN_OR_TFLITE = r"give the folder of a run, which mir-tf fit writes, or a \.tflite file"
TFLITE = r"give the \.tflite file that mir-tf export writes"

PATHS = {
    "nowhere": f"no such file or folder; {RUN_OR_TFLITE}",
    "nowhere.tflite": "no such file or folder",
    "empty": f"not a trained model: the folder has no bundle.json; {RUN_OR_TFLITE}",
    "saved_model": f"a SavedModel, which TensorFlow itself loads; {TFLITE}",
    "saved_model/saved_model.pb": f"a SavedModel, .*; {TFLITE}",
    "data": "but a data set; train a model with mir-tf fit --data .*data$",
    "my data": "but a data set; train a model with mir-tf fit --data '/.*my data'$",
    "started": "its first epoch is not finished: run the same mir-tf fit command again",
    "half": "model.keras is missing; copy it too",
    "runs": r"but it contains 4; give one of them: .*model\.tflite, .*one, .*three, \.\.\.",
    "runs/one/model.keras": "a part of a run: give its folder, .*one$",
    "runs/one/bundle.json": "a part of a run: give its folder, .*one$",
    "empty.tflite": "the file is empty; copy or export it again",
    "text.tflite": rf"does not begin like a \.tflite file; {RUN_OR_TFLITE}",
    "model.keras": f"a Keras model without bundle.json; {RUN_OR_TFLITE}",
    "model.h5": "a Keras model without bundle.json",
    "model.onnx": f"an ONNX model, which ONNX Runtime loads; {TFLITE}",
    "model.pt": "a PyTorch checkpoint; convert it with mir-tf import-torch",
    "song.MP3": "a recording; load a model first",
    "x" * 300: "cannot be read: File name too long",
}
"""Name of a path in the folder → the error."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paths")
    for name in ("empty", "data", "my data", "started", "half", "saved_model"):
        (folder / name).mkdir()
    for run_name in ("one", "two", "three"):
        (folder / "runs" / run_name).mkdir(parents=True)
        for name in (BUNDLE_FILE, MODEL_FILE):
            (folder / "runs" / run_name / name).write_text("content")
    for name in (
        *("data/manifest.json", "my data/manifest.json", "started/config.yaml"),
        *("half/bundle.json", "runs/model.tflite"),
        *(name for name in PATHS if "." in name and len(name) < 255 and not name.startswith(("runs", "nowhere"))),
    ):
        (folder / name).write_text("" if name == "empty.tflite" else "content")
    return folder


@pytest.mark.parametrize("name", PATHS)
def test_a_path_without_a_model_is_refused_with_the_reason(folder: Path, name: str) -> None:
    with pytest.raises(BundleError, match=PATHS[name]) as caught:
        mir_tf.load(folder / name)
    assert str(caught.value).startswith(f"{folder / name}: ")


def test_the_reason_comes_without_tensorflow(folder: Path) -> None:
    code = f"""if True:
        import pathlib, sys, mir_tf
        for name in {list(PATHS)}:
            try:
                mir_tf.load(pathlib.Path({str(folder)!r}, name))
            except mir_tf.errors.BundleError:
                print(name)
        print(*{{"tensorflow", "keras"}} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*PATHS, ""]


def test_commands_give_the_reason_at_once(folder: Path) -> None:
    """A command that takes runs only offers no ``.tflite`` file."""
    for words, remedy in (
        (("export", folder / "empty", "--out", folder / "out"), "which mir-tf fit writes\n"),
        (("fit", "--data", folder, "--init", folder / "empty", "--out", folder / "out"), "which mir-tf fit writes\n"),
        (("evaluate", folder / "empty", "--data", folder), "or a .tflite file of mir-tf export\n"),
        (("app", folder / "empty", "--no-browser"), "or a .tflite file of mir-tf export\n"),
    ):
        result = run(*words)
        assert result.exit_code == 1, result.output
        assert result.output.startswith(
            f"Error: {folder / 'empty'}: not a trained model: the folder has no bundle.json"
        )
        assert result.output.endswith(remedy)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (5, "a path of type int is not a trained model; give the folder of a run"),
        (b"", "a path of type bytes is not a trained model"),
        (b"model.tflite", "a path of type bytes"),
        (io.BytesIO(b"TFL3"), "a path of type BytesIO"),
        ([], "a path of type list"),
        ("", "an empty path is not a trained model"),
        ("\0", "no such file or folder"),
        ("model\0.tflite", "no such file or folder"),
    ],
)
def test_what_is_no_path_is_refused(path: Any, message: str) -> None:
    for load in (mir_tf.load, lite.LiteModel):
        with pytest.raises(BundleError, match=f"{message}|cannot be read: embedded null byte"):
            load(path)


def test_any_object_with_a_path_is_one(folder: Path) -> None:
    class Entry:
        def __fspath__(self) -> str:
            return str(folder / "text.tflite")

    with pytest.raises(BundleError, match="does not begin like"):
        mir_tf.load(Entry())  # type: ignore[arg-type]
