"""A small search space and a small plan of runs."""

from pathlib import Path

import yaml
from helpers.tiny_data import CONFIG, FRONT_END

SECTIONS = {
    "model": {
        **CONFIG.model.to_dict(),
        "architecture": "cnn",
        "conv_filters": [[2], [4]],
        "conv_dropout": {"min": 0.0, "max": 0.4},
    },
    "train": {
        **CONFIG.train.to_dict(),
        "steps_per_epoch": 1,
        "learning_rate": {"min": "1e-3", "max": 1e-2, "log": True},
        "image_every": 0,
    },
    "window": CONFIG.window.to_dict(),
}

PLAN = {
    "title": "Narrow and wide",
    "seeds": [1, 0],
    "front_end": FRONT_END.to_dict(),
    "model": {**CONFIG.model.to_dict(), "architecture": "cnn", "conv_filters": [2]},
    "train": {**CONFIG.train.to_dict(), "epochs": 1, "steps_per_epoch": 1, "image_every": 0},
    "window": CONFIG.window.to_dict(),
    "runs": {
        "Narrow": {},
        "Wide": {"model": {"conv_filters": [6]}},
        "Narrow again": {"model": {"conv_filters": [2]}},
    },
}


def write_plan(folder: Path, **changes: object) -> Path:
    """Write :data:`PLAN` with ``changes`` into ``folder``."""
    path = folder / "widths.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}, sort_keys=False))
    return path
