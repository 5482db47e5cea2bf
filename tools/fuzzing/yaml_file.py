"""YAML files: metadata of tracks and configurations, as PyYAML's loader in Python reads them."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from fuzzing.cases import Case, Kind, damage
from mir_tf.config import RunConfig, read_yaml
from mir_tf.errors import DataError, MirTfError
from mir_tf.experiments.plan import read_plan
from mir_tf.experiments.search_space import SearchSpace
from tfrecords_builder.slakh.tree import find_tracks

STEMS = ("S00", "S01", "S02")
METADATA = ".metadata.yaml"
"""Suffix of a case that is the metadata of a track; other cases are configurations."""


class YamlFiles(Kind):
    """Files that are damaged, changed or made to exhaust; every fourth is only written in another style instead."""

    suffix = ".yaml"
    gigabytes = 6.0  # TensorFlow, which the search space needs, has taken most of that address space
    find: ClassVar[Callable[..., Any]] = staticmethod(find_tracks)
    read: ClassVar[Callable[..., Any]] = staticmethod(read_yaml)

    def __init__(self, files: list[Path], seed: int) -> None:
        """Write a tree of two tracks."""
        super().__init__(files, seed)
        self._scratch = tempfile.TemporaryDirectory()
        self._tree = Path(self._scratch.name, "tree")
        for track in ("Track00001", "Track00002"):
            folder = self._tree / "train" / track
            for name in (
                "mix.flac",
                *(f"stems/{stem}.flac" for stem in STEMS),
                *(f"MIDI/{stem}.mid" for stem in STEMS),
            ):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).touch()
            (folder / "metadata.yaml").write_text(yaml.safe_dump(random_metadata(random.Random(0))))

    def close(self) -> None:
        """Remove the tree."""
        self._scratch.cleanup()

    def case(self, number: int) -> Case:
        """Return a file and what is done to it."""
        draw = self.draw(number)
        is_metadata = number % 2 == 0
        data = random_metadata(draw) if is_metadata else random_config(draw)
        suffix = METADATA if is_metadata else ".yaml"
        if number % 4 < 2:
            original = yaml.safe_dump(data, sort_keys=False).encode()
            return Case(restyle(data, draw), original, suffix)
        if draw.random() < 0.1:
            return Case(draw.choice(EXHAUSTING)(draw), None, suffix)
        if draw.random() < 0.4:
            replace_some(data, draw)
            return Case(restyle(data, draw), None, suffix)
        return Case(damage(restyle(data, draw), draw), None, suffix)

    def judge(self, path: Path, case: Case) -> str:
        """Compare the stems of a track, or the sections of a configuration, with those that PyYAML reads."""
        if path.name.endswith(METADATA):
            return self.judge_metadata(case)
        sections = self.read(path)
        if case.original is not None and sections != yaml.safe_load(case.original):
            return "wrong: the sections are others"
        # What they mean may be refused.
        for use in (
            lambda: RunConfig().merge(sections),
            lambda: SearchSpace.of(sections),
            lambda: read_plan(path, [self._tree], self._tree / "out"),
        ):
            with contextlib.suppress(MirTfError):
                use()
        if (theirs := load(case.content)) is None:
            return "unjudged"
        return "right" if repr(sections) == repr(theirs[0] or {}) else "wrong: PyYAML reads something else"

    def judge_metadata(self, case: Case) -> str:
        """Put the metadata into a tree, and compare the track's stems."""
        (self._tree / "train" / "Track00001" / "metadata.yaml").write_bytes(case.content)
        tracks, skipped = self.find(self._tree)
        found = {track.id: {stem.name: stem.program for stem in track.stems} for track in tracks}
        if "Track00002" not in found:
            return "wrong: another track is gone"
        if "Track00001" not in found:
            raise DataError(f"{skipped}")
        theirs = (yaml.safe_load(case.original),) if case.original is not None else load(case.content)
        if theirs is None:
            return "unjudged"
        expected = {name: 128 if stem["is_drum"] else stem["program_num"] for name, stem in theirs[0]["stems"].items()}
        expected = {name: program for name, program in expected.items() if name in STEMS}
        return "right" if found["Track00001"] == expected else f"wrong: {found['Track00001']} for {expected}"


def load(content: bytes) -> tuple[Any] | None:
    """Return what PyYAML's loader in Python reads; None if it fails."""
    try:
        return (yaml.load(content.decode("utf-8"), yaml.SafeLoader),)
    except Exception:  # it fails in any way
        return None


def random_metadata(draw: random.Random) -> dict[str, Any]:
    """Return the metadata of a track."""
    stems = {
        name: {
            "program_num": draw.randrange(128),
            "is_drum": draw.random() < 0.3,
            "plugin_name": draw.choice(["a.nkm", "ü: #x", "null"]),
            "audio_rendered": True,
            "integrated_loudness": -draw.random() * 30,
        }
        for name in STEMS
    }
    return {"UUID": f"{draw.getrandbits(128):032x}", "audio_dir": "stems", "normalized": True, "stems": stems}


def random_config(draw: random.Random) -> dict[str, Any]:
    """Return a configuration, a search space or a plan."""
    model = {"architecture": draw.choice(["cnn", "crnn"]), "conv_filters": [32, 64, 64], "conv_dropout": 0.1}
    train = {"epochs": draw.randrange(1, 50), "learning_rate": 0.002, "crop_seconds": 10.0}
    kind = draw.randrange(3)
    if kind == 0:
        return {"model": model, "train": train}
    if kind == 1:
        ranges = {"learning_rate": {"min": 0.0001, "max": 0.01, "log": True}, "batch_size": [8, 16]}
        return {"model": {"architecture": ["cnn", "crnn"]}, "train": ranges}
    return {"title": "A: b", "seeds": [0, 1], "preset": "default", "train": train, "runs": {"one": {"model": model}}}


def restyle(data: dict[str, Any], draw: random.Random) -> bytes:
    """Return the data as YAML in any style that means the same."""
    if draw.random() < 0.1:
        return json.dumps(data, default=str).encode()  # bytes become text
    # Lists and mappings that are the same object become aliases.
    shared = data if draw.random() < 0.7 else {**data, "same": [data, data]} if "stems" in data else data
    text = yaml.safe_dump(
        shared,
        sort_keys=draw.random() < 0.5 and "runs" not in data,
        default_flow_style=draw.choice([None, False, True]),
        default_style=None,
        allow_unicode=draw.random() < 0.5,
        width=draw.choice([20, 80, 10_000]),
        indent=draw.choice([2, 4, 8]),
        explicit_start=draw.random() < 0.3,
        explicit_end=draw.random() < 0.3,
    )
    if draw.random() < 0.3:
        text = "# a comment\n" + text + "\n# another\n"
    if draw.random() < 0.3:
        text = text.replace("\n", "\r\n")
    return ("\ufeff" if draw.random() < 0.2 else "").encode() + text.encode()


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 129, 2**70, 1e308, float("nan"), float("inf"), "", "x" * 300, "\ud7ff", [], {}, [[[]]],
    {"a": {"b": 1}}, {1: 2}, ["S00", 5], b"bytes",
)  # fmt: skip


def replace_some(data: Any, draw: random.Random) -> None:
    """Replace, remove, rename or repeat a few values, wherever they are."""
    for _ in range(draw.randrange(1, 4)):
        place = data
        while isinstance(place, (dict, list)) and place:
            key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
            if isinstance(place[key], (dict, list)) and place[key] and draw.random() < 0.7:
                place = place[key]
                continue
            if draw.random() < 0.7:
                place[key] = copy.deepcopy(draw.choice(ODD))  # later steps may alter it
            elif isinstance(place, dict):
                value = place.pop(key)
                if draw.random() < 0.5:
                    place[draw.choice([0, None, True, "S9", "../x", "é", 1.5])] = value
            break


def bomb(draw: random.Random) -> bytes:
    """Return a few hundred bytes that stand for many values."""
    lines = [f"a0: &a0 [{','.join('x' * draw.randrange(1, 10))}]"]
    for level in range(1, draw.randrange(2, 12)):
        lines.append(f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * draw.randrange(1, 10))}]")
    use = f"program_num: *a{len(lines) - 1}"
    return "\n".join([*lines, f"stems: {{S00: {{{use}, is_drum: false}}}}"]).encode()


def deep(draw: random.Random) -> bytes:
    """Return a document that is nested deeply."""
    start, end = draw.choice([("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("!!set {", "}")])
    count = draw.choice([10, 45, 500, 20_000, 100_000])
    return b"stems: " * draw.randrange(2) + (start * count + end * count).encode()


def long(draw: random.Random) -> bytes:
    """Return a document with a long value, many values, or a number that takes long to compute."""
    size = draw.choice([3000, 5000, 200_000, 1_100_000])
    value = draw.choice(["9", "1:", "x", "0x9", "1_", "a b ", "[1],", "'", '"\\x41'])
    return ("stems: " + (value * size)[:size]).encode()


def merges(draw: random.Random) -> bytes:
    """Return a document of merged mappings that refer to each other, some in a circle."""
    lines = ["m0: &m0 {a: 1, b: 2}"]
    for level in range(1, draw.randrange(2, 40)):
        inner = ", ".join(f"*m{draw.randrange(level)}" for _ in range(draw.randrange(1, 9)))
        lines.append(f"m{level}: &m{level} {{<<: [{inner}], c{level}: 1}}")
    lines.append(draw.choice(["r: &r [*r]", "r: &r {<<: *r}", "r: &r {a: *r}", "stems: *m0", "&k k: *k"]))
    return "\n".join(lines).encode()


EXHAUSTING = (bomb, deep, long, merges)
