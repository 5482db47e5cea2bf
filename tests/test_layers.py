"""The order of the modules: which of them load TensorFlow, their layers, and public names that mean one thing."""

import ast
import collections
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mir_tf import cli

ROOT = Path(__file__).parents[1]
TENSORFLOW = {"tensorflow", "tensorflow_io", "keras"}
MIR_TF = ("-c", "from mir_tf.cli import main; main(prog_name='mir-tf')")


def run(*words: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run Python; return the finished process and the modules that it imported."""
    result = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, timeout=300)
    # import time:       109 |        109 |   package.module
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return result, {line.rpartition("|")[2].strip() for line in lines}


def top_level(modules: set[str]) -> set[str]:
    """Return the first part of each module's name."""
    return {module.partition(".")[0] for module in modules}


def test_the_probe_sees_imports() -> None:
    _, modules = run("-c", "import json.decoder")
    assert {"json", "json.decoder"} <= modules


@pytest.mark.parametrize(
    "words",
    [
        (*MIR_TF, "--help"),
        ("-m", "mir_tf", "--help"),
        *((*MIR_TF, verb, "--help") for verb in cli.main.commands),
        ("-m", "tfrecords_builder", "--help"),
    ],
    ids=["mir-tf", "python -m mir_tf", *cli.main.commands, "tfrecords_builder"],
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


def contract(name: str) -> configparser.SectionProxy:
    """Return one of the import contracts in setup.cfg."""
    contracts = configparser.ConfigParser(interpolation=None)
    contracts.read(ROOT / "setup.cfg", encoding="utf-8")
    return contracts[f"importlinter:contract:{name}"]


def test_what_the_contract_names_loads_without_tensorflow() -> None:
    named = contract("no-tensorflow")["source_modules"].split()
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


def test_completion_shows_the_public_names_alone() -> None:
    """Also after modules were imported, which makes them attributes of the package."""
    shown = "[name for name in dir(mir_tf) if name[0] != '_']"
    result, modules = run("-c", f"import mir_tf; from mir_tf import *; print({shown}, load, errors, lite)")
    assert result.returncode == 0
    assert result.stdout.startswith("['errors', 'lite', 'load'] <function load ")
    assert "mir_tf.config" in modules
    assert not top_level(modules) & TENSORFLOW


def test_contributing_lists_the_layers_of_the_contract() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("\n## The house\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\|\n)+", section, re.M)  # the first one; the second is the builder's
    assert table, "CONTRIBUTING.md has no table in its section The house"
    _header, _rule, *rows = ([cell.strip() for cell in row.split("|")[1:-1]] for row in table[0].splitlines())
    assert all(re.fullmatch(r"`\w+`(?:,? `\w+`)*", packages) for packages, *_ in rows), rows
    listed = [set(re.findall(r"`(\w+)`", packages)) for packages, *_ in rows]
    assert listed == [set(re.findall(r"\w+", layer)) for layer in contract("layers")["layers"].strip().splitlines()]
    assert not [packages for packages, description, *_ in rows if not description]


def names_of_types(module: ast.Module) -> Iterator[str]:
    """Yield the public classes, aliases of types and UPPER_CASE constants that a module defines at its top level."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if name[0].isupper())


def test_names_of_types_are_found() -> None:
    code = "A = Callable[[], int]\nB: str = ''\nclass C: D = 1\n_E = 1\nf = 2\nimport G\nfrom H import I"
    assert list(names_of_types(ast.parse(code))) == ["A", "B", "C"]


def test_a_public_name_is_defined_in_one_module() -> None:
    places = collections.defaultdict(list)
    for package in ("mir_tf", "tfrecords_builder"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in names_of_types(ast.parse(path.read_text("utf-8"))):
                places[name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 100
    shared = [f"{name}: {', '.join(paths)}" for name, paths in places.items() if len(paths) > 1]
    assert not shared, "\n".join(["the same name for different things:", *shared])
