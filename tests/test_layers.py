"""What loads when: help texts and the lowest layer without TensorFlow, the package alone without anything."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from mir_tf import cli

ROOT = Path(__file__).parents[1]
TENSORFLOW = {"tensorflow", "tensorflow_io", "keras"}
MIR_TF = ("-c", "from mir_tf.cli import main; main(prog_name='mir-tf')")


def run(*words: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Runs Python; gives what it said and the modules that it imported."""
    result = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, timeout=300)
    # import time:       109 |        109 |   package.module
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return result, {line.rpartition("|")[2].strip() for line in lines}


def top_level(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_the_probe_sees_imports() -> None:
    _, modules = run("-c", "import json.decoder")
    assert {"json", "json.decoder"} <= modules


@pytest.mark.parametrize(
    "words",
    [
        (*MIR_TF, "--help"),
        *((*MIR_TF, verb, "--help") for verb in cli.main.commands),
        ("-m", "tfrecords_builder", "--help"),
    ],
    ids=["mir-tf", *cli.main.commands, "tfrecords_builder"],
)
def test_help_comes_without_tensorflow(words: tuple[str, ...]) -> None:
    result, modules = run(*words)
    assert result.returncode == 0
    assert "Usage: " in result.stdout
    assert "mir_tf.config" in modules
    assert not top_level(modules) & TENSORFLOW


def modules_in(name: str) -> list[str]:
    """Return a module's name or, for a package, its name and those of all modules in it."""
    place = ROOT.joinpath(*name.split("."))
    found = [path.relative_to(ROOT).with_suffix("").parts for path in place.rglob("*.py")]
    return [name, *(".".join(parts) for parts in found if parts[-1] not in ("__init__", "__main__"))]


def test_what_the_contract_names_loads_without_tensorflow() -> None:
    contracts = configparser.ConfigParser(interpolation=None)
    contracts.read(ROOT / "setup.cfg", encoding="utf-8")
    named = contracts["importlinter:contract:no-tensorflow"]["source_modules"].split()
    expected = [module for name in named for module in modules_in(name)]
    assert len(expected) > 50
    _, modules = run("-c", f"import {', '.join(expected)}")
    assert set(expected) <= modules
    assert not top_level(modules) & TENSORFLOW


def test_the_package_alone_loads_nothing() -> None:
    _, modules = run("-c", "import mir_tf; print(mir_tf.__version__)")
    assert {module for module in modules if module.startswith("mir_tf")} == {"mir_tf"}
    assert not top_level(modules) & {"numpy", "click", "yaml", *TENSORFLOW}


def test_load_is_found_at_its_first_use() -> None:
    result, modules = run("-c", "import mir_tf; print(mir_tf.load.__module__, hasattr(mir_tf, 'unload'))")
    assert result.stdout == "mir_tf.loading False\n"
    assert not top_level(modules) & TENSORFLOW
