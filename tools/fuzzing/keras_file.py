"""``model.keras`` of runs: what Keras predicts from the undamaged file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from fuzzing.cases import Case, Kind, damage
from fuzzing.json_values import VALUES
from mir_tf import bundle
from mir_tf.config import BUNDLE_FILE, MODEL_FILE, FrontEndConfig, RunConfig
from mir_tf.events import PostProcessing
from mir_tf.io.files import sha256
from mir_tf.models import build_model

_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"

_CONFIGURATION = RunConfig(FrontEndConfig(sample_rate=8000, n_fft=512, hop_length=400, n_mels=8)).merge(
    {"model": {"architecture": "cnn", "conv_filters": [4], "time_padding": 2}}
)


@dataclass(frozen=True)
class KerasCase(Case):
    """A file.

    Attributes:
        has_digest: Whether ``bundle.json`` states the digest of the altered file, as somebody would who made it.
        has_other_network: Whether the network in it may be another one.
    """

    has_digest: bool = False
    has_other_network: bool = False


class KerasFile(Kind):
    """Networks: damaged bytes; other weights and values within, with the right digest; and repacked archives."""

    suffix = ".keras"
    gigabytes = 16.0  # of addresses, which TensorFlow reserves
    load: ClassVar[Any] = staticmethod(bundle.load)

    def __init__(self, files: list[Path], seed: int) -> None:
        """Save a small run, and predict with its network."""
        super().__init__(files, seed)
        warnings.simplefilter("ignore")
        self._cleanup = contextlib.ExitStack()
        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        keras.utils.set_random_seed(0)
        model = build_model(_CONFIGURATION.model, _CONFIGURATION.front_end, 17, -45.0, 20.0)
        thresholds = np.full(17, 0.5, np.float32)
        bundle.Bundle(model, _CONFIGURATION, thresholds, PostProcessing.plain(thresholds), (), {}).save(self._folder)
        self._content = (self._folder / MODEL_FILE).read_bytes()
        self._description = json.loads((self._folder / BUNDLE_FILE).read_text("utf-8"))
        self._log_mel = np.random.default_rng(0).normal(-45, 20, (1, 60, 8)).astype(np.float32)
        self._expected = np.asarray(model(self._log_mel))

    def case(self, number: int) -> Case:
        """Return an altered file. Every fourth is repacked, which means nothing."""
        draw = self.draw(number)
        with zipfile.ZipFile(io.BytesIO(self._content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if number % 4 == 0:
            return KerasCase(packed(members, draw), self._content, has_digest=True)
        if number % 4 == 1:
            return KerasCase(damage(self._content, draw))
        if number % 4 == 2:
            return KerasCase(damage(self._content, draw), has_digest=True, has_other_network=True)
        kind = draw.randrange(4)
        if kind == 0:
            members[draw.choice(list(members))] = draw.choice([b"", b"{}", b"null", b"[" * 100_000, bytes(10**8)])
        elif kind == 1:
            del members[draw.choice(list(members))]
        elif kind == 2:
            members[_WEIGHTS] = damage(members[_WEIGHTS], draw)
        else:
            members[_CONFIG] = json.dumps(with_another_value(json.loads(members[_CONFIG]), draw)).encode()
        return KerasCase(packed(members, draw), has_digest=True, has_other_network=True)

    def judge(self, path: Path, case: Case) -> str:
        """Compare the prediction with that of the undamaged file."""
        assert isinstance(case, KerasCase)
        (self._folder / MODEL_FILE).write_bytes(case.content)
        digest = {"model_sha256": sha256(path)} if case.has_digest else {}
        bundle.write_description(self._folder, self._description | digest)
        loaded = self.load(self._folder)
        if case.has_other_network:
            return "unjudged"
        found = np.asarray(loaded.model(self._log_mel))
        return "right" if np.array_equal(found, self._expected) else "wrong: another prediction"

    def close(self) -> None:
        """Remove the folder."""
        self._cleanup.close()


def packed(members: dict[str, bytes], draw: random.Random) -> bytes:
    """Return an archive of files, in any order, compressed or not."""
    names = list(members)
    draw.shuffle(names)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name in names:
            archive.writestr(name, members[name])
    return content.getvalue()


def with_another_value(content: Any, draw: random.Random) -> Any:
    """Return JSON with one value replaced, anywhere in it."""
    places = []
    pending = [content]
    while pending:
        holder = pending.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])
    holder, key = draw.choice(places)
    holder[key] = draw.choice([*VALUES, "Lambda", "builtins", 10**6])
    return content
