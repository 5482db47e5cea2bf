"""The attacks and the soak of tools/reliability: short runs against a running app."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools" / "reliability"), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize(
    "name",
    [
        "half-open headers",
        "few files",
        "slow uploads",
        "endless bodies",
        "chunks of one byte",
        "never reading",
        "thousands of tiny uploads",
    ],
)
def test_visitors_are_served_during_an_attack(name: str) -> None:
    import attacks

    outcome = attacks.withstand(name, seconds=3, seed=1)
    # Times are for the command: other tests may run at the same time. But nobody waits in vain, and little is taken.
    assert not outcome.problem
    assert outcome.visits > 0
    assert outcome.log_bytes <= attacks.MAX_LOG_BYTES
    assert outcome.grown <= attacks.MAX_MEGABYTES


def test_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    import soak

    monkeypatch.setattr(soak, "WARM_ROUNDS", 200)
    assert soak.soak_app(60, seed=0)
    assert soak.soak_model(100)
