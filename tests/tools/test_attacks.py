"""The attacks and the soak of tools/reliability: short runs against a running app."""

import multiprocessing
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


def test_every_attack_begins_and_goes_on(tmp_path: Path) -> None:
    import attacks
    from running_app import RunningApp

    app = RunningApp(tmp_path, None)
    context = multiprocessing.get_context("spawn")
    try:
        for name in attacks.ATTACKS:
            begins = context.Event()
            process = context.Process(target=attacks.run_attack, args=(name, app.port, 0, begins))
            process.start()
            assert begins.wait(60), name
            process.join(0.5)
            assert process.is_alive(), name
            process.kill()
            process.join()
    finally:
        app.close()


def test_nothing_grows() -> None:
    import soak

    assert soak.soak_app(60, seed=0)
    assert soak.soak_model(100)
