"""Change JSON files that contain a digest of their own content."""

import json
from pathlib import Path
from typing import Any

from mir_tf.io import stored_json


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file with the right digest."""
    path.write_text(json.dumps(stored_json.sealed(content)), "utf-8")


def change_sealed(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file, with the right digest."""
    write_sealed(path, json.loads(path.read_text("utf-8")) | changes)
