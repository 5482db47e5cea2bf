"""What an installation without the extra ``train`` is asked to do."""

from pathlib import Path

import numpy as np
import soundfile

REMEDY = "this needs the package tensorflow; to install it, run: pip install 'mir-tf[train]'"

TRAINING_COMMANDS = {
    "inspect": ("data",),
    "fit": ("--data", "data", "--out", "new"),
    "import-torch": ("song.wav", "--out", "new"),
    "evaluate": ("pretrained", "--data", "data"),
    "report": ("pretrained", "--data", "data", "--out", "new"),
    "compare": ("plan.yaml", "--data", "data", "--out", "new"),
    "tune": ("--data", "data", "--out", "new"),
    "export": ("pretrained", "--out", "new"),
}
"""Command of ``mir-tf`` that needs the extra → valid arguments, in the folder of :func:`write_inputs`."""


def write_inputs(folder: Path) -> None:
    """Write a recording, and files that look like those that the commands take."""
    (folder / "data").mkdir()
    (folder / "run").mkdir()
    for name in ("bundle.json", "model.keras"):
        (folder / "run" / name).write_text("{}", "utf-8")
    (folder / "plan.yaml").write_text("{}", "utf-8")
    time = np.arange(6 * 22050) / 22050
    soundfile.write(folder / "song.wav", 0.3 * np.sin(440 * np.pi * time), 22050)
