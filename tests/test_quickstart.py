"""The notebook in examples/, executed in Jupyter's kernel as a user does with "Run all"."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

PATH = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    found = nbformat.read(PATH, as_version=4)
    nbformat.validate(found)
    return found


def test_it_is_stored_without_outputs(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert not [cell.source for cell in cells if cell.outputs or cell.execution_count is not None]


def outputs_of(notebook: Any, start: str) -> list[Any]:
    """Return the outputs of the cell whose code contains ``start``."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and start in cell.source]
    return list(cell.outputs)


def text_of(outputs: list[Any]) -> str:
    """Return what the outputs print and show as plain text."""
    return "".join(output.get("text", output.get("data", {}).get("text/plain", "")) for output in outputs)


@pytest.mark.slow
def test_it_runs(notebook: Any, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": tmp_path}}).execute()
    errors = [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"]
    # tqdm, which librosa loads where it is installed, asks for ipywidgets, which this environment lacks.
    assert not [output for output in errors if "TqdmWarning" not in output.text]
    printed = text_of([output for cell in notebook.cells for output in cell.get("outputs", ())])
    assert "\x1b" not in printed  # no progress bars, drawn again and again
    shown = [outputs_of(notebook, start)[-1].data for start in ("mir_tf.load()", "mir_tf.load(run)")]
    for data in shown:
        assert data["text/plain"].startswith("<Prediction quickstart/audio/test/")
        assert "<b>Detected:</b>" in data["text/html"]
        assert "data:image/png;base64," in data["text/html"]
    assert shown[0]["text/html"] != shown[1]["text/html"]
    assert "image/png" in outputs_of(notebook, "prediction.plot()")[-1].data
    seconds = [float(line.split()[-2]) for line in text_of(outputs_of(notebook, "with_thresholds")).splitlines()]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] > seconds[-1]
    many = outputs_of(notebook, "progress=True")
    assert "<progress" in many[0].data["text/html"]
    assert many[-1].data["text/plain"].count("<Prediction ") == len(list(tmp_path.glob("quickstart/audio/test/*")))
    assert "epoch 2: " in text_of(outputs_of(notebook, "--init pretrained"))
