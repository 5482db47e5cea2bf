"""``manifest.json`` of data sets: what the standard parser reads from the undamaged file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from fuzzing.cases import Case
from fuzzing.json_values import JsonCase, JsonKind
from mir_tf.config import FrontEndConfig
from mir_tf.data import manifest
from mir_tf.data.manifest import MANIFEST_FILE, Shard, SplitSummary, shard_name
from mir_tf.vocabulary import VOCABULARIES


class Manifest(JsonKind):
    """Manifests: those in ``--files``, or one of three splits."""

    read: ClassVar[Any] = staticmethod(manifest.read_manifest)

    def __init__(self, files: list[Path], seed: int) -> None:
        """Read the undamaged files, and make a folder for a data set."""
        super().__init__(files, seed)
        self._cleanup = contextlib.ExitStack()
        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        own = [path for path in files if path.name == MANIFEST_FILE]
        if not own:
            manifest.write_manifest(self._folder, made())
        self.contents = [json.loads(path.read_text("utf-8")) for path in own or [self._folder / MANIFEST_FILE]]

    def judge(self, path: Path, case: Case) -> str:
        """Compare the manifest with the fields of the undamaged file."""
        assert isinstance(case, JsonCase)
        (self._folder / MANIFEST_FILE).write_bytes(case.content)
        found = self.read(self._folder, require_shards=False)
        if not found.feature_std > 0:
            return f"wrong: deviation {found.feature_std}"
        if any(count < 0 for split in found.splits.values() for count in (split.tracks, split.songs, split.records)):
            return "wrong: a negative count"
        if case.has_other_values:
            return "unjudged"
        expected, fields = self.contents[case.source], dataclasses.asdict(found)
        fields["front_end"] = found.front_end.to_dict()
        different = ", ".join(name for name in fields if fields[name] != expected[name])
        return f"wrong: another {different}" if different else "right"

    def close(self) -> None:
        """Remove the folder."""
        self._cleanup.close()


def made() -> manifest.Manifest:
    """Return the manifest of a data set of three splits with two shards each."""
    activity = {
        name: {each: 10 * index for index, each in enumerate(vocabulary.classes)}
        for name, vocabulary in VOCABULARIES.items()
    }
    disagreement = {"family": {each: [1, 2, 3] for each in VOCABULARIES["family"].classes}}
    splits = {
        split: SplitSummary(
            tracks=4,
            songs=3,
            records=9,
            seconds=123.4,
            label_frames=5000,
            shards=[Shard(shard_name(split, index, 2), 4 + index, 10_000, f"{index:064x}") for index in range(2)],
            activity=activity,
            disagreement=disagreement,
        )
        for split in ("train", "validation", "test")
    }
    return manifest.Manifest(
        front_end=FrontEndConfig(),
        splits=splits,
        feature_mean=-30.5,
        feature_std=12.25,
        skipped=[{"item": "Track00009", "reason": "größer"}],
        source={"slakh": "tree", "seed": 3},
        labels="audible",
        leaks={"train, test": {"waltz": ["Track00001", "Track00002"]}},
        stem_checks={"Track00001": ["S03: silent while its MIDI plays (100% of 9 notes)"]},
    )
