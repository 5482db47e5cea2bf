"""The rehearsal of a build of Slakh2100, on a dozen tracks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mir_tf.data.manifest import read_manifest
from tfrecords_builder.records.verify import find_damage

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads the memory of processes from /proc")
def test_the_rehearsal_runs_whole_on_a_dozen_tracks(tmp_path: Path) -> None:
    words = ("--out", tmp_path, "--tracks", "12", "--songs", "2", "--archives", "2,4")
    command = [sys.executable, ROOT / "tools" / "rehearsal.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    measures = json.loads((tmp_path / "measures.json").read_text())
    assert all(f"| {name} | " in done.stdout for name in measures)
    assert all(row["peak_mb"] > 100 for row in measures.values())
    killed, continued = (measures[f"build, 12 tracks, {how}"] for how in ("killed", "continued"))
    assert 0 < killed["megabytes"] < continued["megabytes"]

    manifest = read_manifest(tmp_path / "data-12")
    assert {name: split.tracks for name, split in manifest.splits.items()} == {"train": 9, "validation": 2, "test": 1}
    assert {split.songs for split in manifest.splits.values()} == {9, 2, 1}  # each track is a song of its own
    assert list(find_damage(tmp_path / "data-12")) == []
    assert manifest.skipped == []
    archived = read_manifest(tmp_path / "archive-data-4")
    assert sum(split.tracks for split in archived.splits.values()) == 4
