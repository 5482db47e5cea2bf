"""tools/bench_gpu.py: it runs where JAX is installed, and the networks that it compares are the same."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mir_tf.config import FRONT_ENDS, MODELS, RunConfig

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "bench_gpu.py"
HAS_JAX = importlib.util.find_spec("jax") is not None


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_JAX, reason="JAX is absent: the extra dev does not include it")
@pytest.mark.parametrize(("precision", "networks"), [("float32", list(MODELS)), ("bfloat16", ["tcn"])])
def test_every_network_has_a_row(precision: str, networks: list[str]) -> None:
    chosen = [word for network in networks for word in ("--network", network)]
    result = bench(
        "--batch-size", "2", "--seconds", "1", "--rounds", "1", "--steps", "1", "--precision", precision, *chosen
    )
    assert result.returncode == 0, result.stderr
    device, _versions, header, *rows, _note = result.stdout.splitlines()
    assert re.fullmatch("device: .+", device)
    assert header.split()[:2] == ["network", "precision"]
    assert [row.split()[:2] for row in rows] == [[network, precision] for network in networks]
    for row in rows:
        _network, _precision, *cells = re.split(r" {2,}", row.strip())
        assert len(cells) == (9 if importlib.util.find_spec("torch") else 7)
        assert all(float(value) > 0 for value in re.findall(r"\d+\.\d+", row))


@pytest.mark.skipif(not HAS_JAX, reason="JAX is absent: the extra dev does not include it")
def test_what_was_not_measured_in_time_is_named() -> None:
    result = bench("--minutes", "0", "--network", "tcn", "--network", "cnn", "--precision", "float32")
    assert result.returncode == 1
    assert result.stderr == (
        "Error: 0 minutes are over; not measured: tcn in float32, cnn in float32. Raise --minutes\n"
    )


@pytest.mark.skipif(HAS_JAX, reason="JAX is installed")
def test_without_jax_it_says_what_to_install() -> None:
    result = bench("--help")
    assert result.returncode == 1
    assert "needs jax, which is not installed" in result.stderr
    assert "pip install jax keras" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_tcn_in_pytorch_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    import keras

    from mir_tf.models import build_model

    monkeypatch.syspath_prepend(ROOT / "tools")
    from torch_tcn import TCN

    config = RunConfig.for_front_end(FRONT_ENDS["default"]).merge(
        {"model": {"architecture": "tcn", "stage_filters": [3, 4, 5], "temporal_filters": 6, "dilations": [1, 3]}}
    )
    front_end = config.front_end
    keras.utils.set_random_seed(0)
    ours = build_model(config.model, front_end, 7)
    rng = np.random.default_rng(0)
    for weight in ours.weights:
        if "seed" not in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) if "variance" in weight.name else 0.3 * weight + 0.1)
    theirs = TCN(config.model, front_end.subframes, front_end.n_mels, 7).eval()
    layers = [layer for layer in ours.layers if layer.weights and layer.name not in ("normalization", "spec_augment")]
    convolutions = [layer for layer in layers if "norm" not in layer.name]
    norms = [layer for layer in layers if "norm" in layer.name]
    transposed = {4: (3, 2, 0, 1), 3: (2, 1, 0), 2: (1, 0)}
    their_linear = [*theirs.convolutions, theirs.projection, *theirs.dilated, theirs.fc]
    with torch.no_grad():
        for layer, target in zip(convolutions, their_linear, strict=True):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            target.weight.copy_(torch.from_numpy(kernel.transpose(transposed[kernel.ndim]).copy()))
        theirs.fc.bias.copy_(torch.from_numpy(keras.ops.convert_to_numpy(convolutions[-1].bias)))
        for layer, target in zip(norms, [*theirs.norms, theirs.projection_norm, *theirs.dilated_norms], strict=True):
            for name, value in zip(("weight", "bias", "running_mean", "running_var"), layer.weights, strict=True):
                getattr(target, name).copy_(torch.from_numpy(keras.ops.convert_to_numpy(value).copy()))
        log_mel = rng.normal(size=(2, 40 * front_end.subframes, front_end.n_mels)).astype(np.float32)
        expected = keras.ops.convert_to_numpy(ours(log_mel))
        np.testing.assert_allclose(theirs(torch.from_numpy(log_mel)).numpy(), expected, rtol=1e-3, atol=1e-4)
