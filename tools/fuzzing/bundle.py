"""``bundle.json`` of runs: what the standard parser reads from the undamaged file."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fuzzing.cases import Case
from fuzzing.json_values import JsonCase, JsonKind
from mir_tf import bundle, pretrained
from mir_tf.config import BUNDLE_FILE, MODEL_FILE


class Bundle(JsonKind):
    """Descriptions of runs."""

    describe: ClassVar[Any] = staticmethod(bundle.describe)

    def __init__(self, files: list[Path], seed: int) -> None:
        """Read the undamaged files, and make a folder for a run."""
        super().__init__(files, seed)
        own = [pretrained.FOLDER / BUNDLE_FILE]
        self.contents = [
            json.loads(path.read_text("utf-8")) for path in [f for f in files if f.name == BUNDLE_FILE] or own
        ]
        self._cleanup = contextlib.ExitStack()
        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        (self._folder / MODEL_FILE).write_bytes(b"")

    def judge(self, path: Path, case: Case) -> str:
        """Compare the description with the fields of the undamaged file."""
        assert isinstance(case, JsonCase)
        (self._folder / BUNDLE_FILE).write_bytes(case.content)
        found = self.describe(self._folder)
        if not ((found.thresholds >= 0) & (found.thresholds <= 1)).all():
            return f"wrong: thresholds {found.thresholds}"
        if case.has_other_values:
            return "unjudged"
        expected = self.contents[case.source]
        fields = {
            "thresholds": found.thresholds.tolist() == np.float32(expected["thresholds"]).tolist(),
            "untuned": list(found.untuned) == expected["untuned"],
            "info": found.info == expected["info"],
            "model_sha256": found.model_sha256 == expected["model_sha256"],
            "post_processing": found.post_processing.to_dict() == expected["post_processing"],
            "confidence": (found.confidence and found.confidence.to_dict()) == expected["confidence"],
        } | {name: section == expected[name] for name, section in found.config.to_dict().items()}
        different = ", ".join(name for name, is_same in fields.items() if not is_same)
        return f"wrong: another {different}" if different else "right"

    def close(self) -> None:
        """Remove the folder."""
        self._cleanup.close()
