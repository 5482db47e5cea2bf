"""Files of an earlier version, with other names of fields and modules, still give the same numbers.

``golden/before_packages`` contains a data set, a run trained on it (its loss exponents and weight averaging differ from
the defaults), the ``.tflite`` file exported from that run, and the probabilities that both gave in that version.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_data
from helpers.tiny_model import make_signal, predict_signal

from mir_tf import bundle, lite
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import MirTfWarning
from mir_tf.training import loop

EARLIER = Path(__file__).parent / "golden" / "before_packages"
SIGNAL_SECONDS = 7.3


@pytest.fixture(autouse=True)
def every_file_warns() -> Iterator[None]:
    """Expect the warning that the files of these tests have no digests."""
    with pytest.warns(MirTfWarning, match=r"(bundle\.json|manifest\.json|\.tflite): without a digest"):
        yield


def test_a_run_gives_the_same_numbers() -> None:
    model = bundle.load(EARLIER / "run")
    expected = np.load(EARLIER / "expected_run.npz")
    np.testing.assert_allclose(
        predict_signal(model, make_signal(model, SIGNAL_SECONDS)), expected["probabilities"], atol=1e-5
    )
    np.testing.assert_array_equal(model.thresholds, expected["thresholds"])
    assert model.confidence is None


def test_an_exported_file_gives_the_same_numbers() -> None:
    run = bundle.load(EARLIER / "run")
    model = lite.LiteModel(EARLIER / "model.float32.tflite")
    prediction = model.predict(make_signal(run, SIGNAL_SECONDS), tiny_data.FRONT_END.sample_rate)
    expected = np.load(EARLIER / "expected_tflite.npz")["probabilities"]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
    assert model.metadata.confidence is None
    assert np.isnan(prediction.confidence).all()
    assert len(prediction.detected) == np.count_nonzero(prediction.playing_time) > 0
    assert prediction.perhaps == []


def test_a_data_set_is_read() -> None:
    manifest = read_manifest(EARLIER / "data")
    assert manifest.front_end == tiny_data.FRONT_END
    assert (manifest.feature_mean, manifest.feature_std) == (-45.0, 20.0)


def test_training_continues_from_a_checkpoint(tmp_path: Path, determinism_ends_with_the_module: None) -> None:
    shutil.copytree(EARLIER / "run", tmp_path / "run")
    config = bundle.load(tmp_path / "run").config.merge({"train": {"epochs": 3}})
    result = loop.fit(EARLIER / "data", tmp_path / "run", config)
    history = (tmp_path / "run" / "history.csv").read_text("utf-8").splitlines()
    assert history[:3] == (EARLIER / "run" / "history.csv").read_text("utf-8").splitlines()
    assert len(history) == 4
    assert result.history[-1]["epoch"] == 3
    assert result.epochs_trained == 1
    is_best = result.best_epoch == 3
    assert (bundle.load(tmp_path / "run").confidence is not None) == is_best  # the checkpoint has none for its best


def test_the_best_epoch_of_a_checkpoint_without_confidence_is_saved_again(
    tmp_path: Path, determinism_ends_with_the_module: None
) -> None:
    """The files of the run are lost; nothing but its checkpoint is left."""
    shutil.copytree(EARLIER / "run", tmp_path / "run")
    config = bundle.load(tmp_path / "run").config
    result = loop.fit(EARLIER / "data", tmp_path / "run", config)
    assert result.epochs_trained == 0
    assert bundle.load(tmp_path / "run").confidence is None
