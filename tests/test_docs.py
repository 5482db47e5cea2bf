"""The documentation: its commands and options exist, its code runs, its site builds and loads without a network."""

import concurrent.futures
import functools
import html.parser
import http.server
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import click
import numpy as np
import pretty_midi
import pytest
import soundfile
import yaml
from helpers import page_shell, tiny_data

from mir_tf import lite
from mir_tf.cli import main as mir_tf_command
from mir_tf.export.exporter import probe_signal
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.__main__ import main as builder_command
from tfrecords_builder.ensembles.__main__ import main as ensembles_command
from tfrecords_builder.records import tfds_metadata

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

COMMAND = re.compile(r"(?:\bmir-tf ([a-z]+(?:-[a-z]+)*)|python -m (tfrecords_builder(?:\.ensembles)?))\b([^`\n|;&#]*)")
FENCE = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)\n```", re.DOTALL)
CODE = re.compile(r"^```\w*\n((?:.|\n)*?)^```|^    (.*)|`([^`]+)`", re.MULTILINE)
UNLIKE_OPTIONS = re.compile(r" -- .*| --$")
"""The end of a command from ``--`` on; the options there are Apache Beam's."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[tuple[str, click.Command, list[str]]]:
    """Yield the name of each command on a page, the command, and the options that the page gives it."""
    code = "\n".join(map("".join, CODE.findall(text.replace("\\\n", " "))))
    for verb, builder, rest in COMMAND.findall(code):
        modules = {"tfrecords_builder": builder_command, "tfrecords_builder.ensembles": ensembles_command}
        command = modules[builder] if builder else mir_tf_command.get_command(click.Context(mir_tf_command), verb)
        assert command is not None, f"there is no command mir-tf {verb}"
        yield verb or builder, command, re.findall(r"(?<![\w-])--?[a-z][\w-]*", UNLIKE_OPTIONS.sub("", rest))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_exists(page: Path) -> None:
    for name, command, options in commands(page.read_text("utf-8")):
        known = {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
        unknown = set(options) - known - {"--help", "-h"}
        assert not unknown, f"{name} has no {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(
        r"(?<![\w./-])(?:mir_tf|tfrecords_builder|tests|tools|examples)/[\w./-]*\w", page.read_text("utf-8")
    )
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_tables_of_classes_are_complete() -> None:
    readme, page = (path.read_text("utf-8") for path in (ROOT / "README.md", ROOT / "docs" / "pretrained.md"))
    families = re.findall(r"\| ([A-Z][A-Za-z ]+) \| [a-z, -]+ (?=\|)", readme.split("## What it detects")[1])
    assert sorted(families) == sorted(VOCABULARIES["family"].classes)
    table = page.split("| instruments | classes |\n|---|---|\n")[1].split("\n\n")[0]
    cells = [re.sub(r" \([^)]*\)", "", row.split(" | ")[1].removesuffix(" |")) for row in table.splitlines()]
    classes = [name for cell in cells for name in cell.split(", ")]
    assert sorted(classes) == sorted(VOCABULARIES["slakh"].classes)


def test_unknown_options_are_seen() -> None:
    [(_, _, options)] = commands("`mir-tf fit --data DATA --modell crnn -x` and --other")
    assert options == ["--data", "--modell", "-x"]


@pytest.fixture(scope="module")
def place(exported_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the pages mention: a run, an exported model, a data set, a song."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "runs").mkdir()
    shutil.copytree(exported_cnn / "run", folder / "runs" / "crnn")
    tfds_metadata.write(folder / "DATA", tiny_data.write_data(folder / "DATA", {"train": [[50, 30]]}))
    for exported in (folder, folder / "exported"):
        exported.mkdir(exist_ok=True)
        shutil.copy(exported_cnn / "model.float32.tflite", exported)
    signal = probe_signal(22050, 12.0)
    for name in ("song.wav", "song.mp3", "song.flac"):
        soundfile.write(folder / name, signal, 22050)
    (folder / "music").mkdir()
    shutil.copy(folder / "song.mp3", folder / "music")
    return folder


def with_python() -> list[Path]:
    return [page for page in PAGES if any(m["language"] == "python" for m in FENCE.finditer(page.read_text("utf-8")))]


@pytest.mark.parametrize("page", with_python(), ids=name_of)
def test_python_in_the_pages_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks of a page one after another, as a reader would type them."""
    monkeypatch.chdir(place)
    if "import tensorflow_datasets" in page.read_text("utf-8"):
        with warnings.catch_warnings():  # it warns when it is imported
            warnings.simplefilter("ignore")
            pytest.importorskip("tensorflow_datasets", reason="the extra tfds")
    signal = np.float32(probe_signal(22050, 12.0))
    names = {"waveform": signal, "rate": 22050, "blocks": np.array_split(signal, 9)}
    ran = 0
    for block in FENCE.finditer(page.read_text("utf-8")):
        if block["language"] == "python" and not block["reason"]:
            exec(compile(block["code"], str(page), "exec"), names)
            ran += 1
    assert ran or "not run" in page.read_text("utf-8")


def undocumented(name: str) -> list[str]:
    """Return the public members of ``name`` that have neither a docstring nor an entry in ``Attributes``."""
    griffe = pytest.importorskip("griffe", reason="the extra docs")
    package, _, rest = name.partition(".")
    thing = griffe.load(package, search_paths=[str(ROOT)])[rest]
    missing = [] if thing.has_docstring else [name]
    if thing.is_class:
        listed = set(re.findall(r"^    (\w+): ", thing.docstring.value if thing.docstring else "", re.MULTILINE))
        for member in thing.members.values():
            if not (member.name.startswith("_") or member.is_alias or member.has_docstring or member.name in listed):
                missing.append(member.path)
    return missing


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "reference").glob("*.md")), ids=name_of)
def test_every_public_name_of_the_reference_is_explained(page: Path) -> None:
    missing = [part for name in re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.M) for part in undocumented(name)]
    assert not missing


class _Addresses(html.parser.HTMLParser):
    """Collects the addresses that a browser loads when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "src" in values:
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(values.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, without warnings, and return its folder."""
    pytest.importorskip("mkdocs", reason="the extra docs")
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_all_pages_and_names_no_other_machine(site: Path) -> None:
    assert {"index.html", "tutorial"} <= {path.name for path in site.iterdir()}
    for page in site.rglob("*.html"):
        addresses = _Addresses()
        addresses.feed(page.read_text("utf-8"))
        assert not [address for address in addresses.loaded if re.match(r"(https?:)?//", address)], page
    commands_page = (site / "reference" / "command-line" / "index.html").read_text("utf-8")
    for verb in mir_tf_command.commands:
        assert f"mir-tf {verb}" in commands_page


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """Serve the site on the loopback interface, and yield its address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["", "reference/python/"])
def test_a_browser_that_shows_the_site_asks_no_other_machine(chromium: Any, site: Path, served: str, page: str) -> None:
    """Load a page by HTTP and as a file; markup, styles and scripts may name no other address."""
    for start in (served, f"{site.as_uri()}/"):
        tab = chromium.new_page()
        asked: list[str] = []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(start + page + ("index.html" if start.startswith("file:") else ""), wait_until="networkidle")
        if start == served:  # scripts run: the search has results
            tab.click("[data-md-component=search-query]")
            tab.keyboard.type("thresholds")
            tab.wait_for_selector(".md-search-result__item")
        tab.close()
        assert any(address.endswith(".js") for address in asked)
        assert not [address for address in asked if not address.startswith((start, "data:", "blob:"))]


@pytest.mark.slow
def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """Run its commands in order in a shell, except for the installation."""
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    blocks = [block["code"] for block in FENCE.finditer(text) if block["language"] == "sh"]
    assert blocks[0].startswith("make install")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "set -e\n" + "\n".join(blocks[1:])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    followed = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert followed.returncode == 0, f"{shlex.quote(script)}\n{followed.stdout[-2000:]}\n{followed.stderr[-2000:]}"
    assert "micro F1" in followed.stdout
    prediction = lite.LiteModel(tmp_path / "exported" / "model.float32.tflite").predict(probe_signal(22050, 5.0), 22050)
    assert prediction.probabilities.shape == (50, 17)
    predictions = tmp_path / "predictions"
    assert {path.name for path in predictions.glob("song*")} == {"song.flac.json", "song.flac.png"}
    assert (predictions / "shipped" / "song.flac.json").is_file()
    assert (tmp_path / "exported" / "song.flac.json").is_file()


NOT_RUN = {
    r"^make ": "installs packages; .ci/run does that",
    r"^\. \.venv/bin/activate": "the tests run in such an environment",
    r"^pip (install|wheel|download)": "installs packages; test_install.py does so",
    r"^python3 -m venv|^pipx |^uvx |^docker ": "installs packages; test_install.py follows the Dockerfile",
    r"tools/build_site": "npm fetches packages; app/test_site.py builds the site",
    r"http\.server": "serves until Ctrl-C, and is not part of mir-tf",
    r"^mir-tf app\b": "serves until Ctrl-C; app/test_server.py starts and ends it",
    r"^tensorboard ": "serves until Ctrl-C, and is not part of mir-tf",
    r"--microphone": "needs a microphone",
    r"tools/reliability/attacks": "takes minutes; tools/test_attacks.py runs a part of it",
    r"tools/fuzz\.py": "needs ffmpeg; tools/test_fuzz.py runs it",
    r"tools/sample_soundfont": "needs recordings; tools/test_sample_soundfont.py synthesises some",
    r"tools/picture_app": "needs chromium; app/test_page.py opens the page in it",
    r"TF_CONFIG|--strategy multiworker": "needs two machines; test_distribution.py uses two processes",
    r"^export KERASTUNER|^KERASTUNER": "needs three machines; test_tune.py uses three processes",
    r"--runner beam": "needs a cluster; builder/test_dask.py uses processes of this machine",
    r"^dask (scheduler|worker)": "serves until it is stopped; builder/test_dask.py starts both",
    r"--synthesizer fluidsynth": "needs FluidSynth; builder/synthesis/test_render.py uses it if it is installed",
    r"tools/pretrained\.py": "takes hours; other tests run each of its commands",
    r"tools/choose_": "needs several validation songs; test_recipe.py has them",
    r"tools/pretrained/ablations": "trains ten runs; test_recipe.py reads the plan",
    r"tools/bench_models\.py": "takes minutes",
    r"tools/bench_gpu\.py": "needs JAX; tools/test_bench_gpu.py runs it if JAX is installed",
    r"s3://": "needs a bucket; test_remote.py runs a server",
}
"""Patterns of the commands that are not run, and the reason."""

INSTEAD = {
    "/mnt/archive": "archive",  # outside the test's folder
    "compared/runs/$run-seed0": "runs/$run",  # trained by the commands of another page
    "--songs 400": "--songs 3",  # rendering them takes a quarter of an hour
    "mir_tf/pretrained/model.tflite": "exported/model.float32.tflite",  # pages run elsewhere
    "crnn.pth": "crnn.npz",  # the extra dev does not include torch
}

SMALL: dict[str, dict[str, Any]] = {
    "model": {"conv_filters": [4], "gru_units": 4, "gru_layers": 1},
    "train": {"batch_size": 2, "epochs": 1, "steps_per_epoch": 2, "image_every": 0},
}
"""Overrides every configuration in the repository, to make networks and budgets small; other keys stay."""

SHORT: dict[str, dict[str, Any]] = {
    **SMALL,
    "train": {**SMALL["train"], "crop_seconds": 2.0},
    "window": {"window_seconds": 3.0, "overlap_seconds": 1.0},
}

SAME = {
    "tree": ["slakh2100_flac_redux", "TREE", "SLAKH"],
    "DATA": ["data", "data44"],
    "RUN": ["MODEL", "run", "runs/crnn", "runs/cnn"],
    "songs": ["MIDI"],
    "TimGM6mb.sf2": ["FluidR3_GM.sf2"],
    "music": ["recordings", "SONGS"],
    "references": ["REFERENCES"],
    "mix.flac": ["song.flac", "SONG.flac"],
    "exported/model.float32.tflite": ["model.float32.tflite"],
}
"""Maps files and folders that :func:`furnish` finds or makes to other names that the pages use for them."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    return {**base, **{key: {**base.get(key, {}), **values} for key, values in over.items()}}


def furnish(world: Path) -> None:
    """Add all other files that the pages mention to the results of the builder, training and export in ``world``."""
    song = next((world / "tree" / "test").iterdir()) / "mix.flac"
    shutil.copy(song, world / "mix.flac")
    signal, rate = soundfile.read(song)
    for folder in ("songs", "music", "archive", "references", "tools/plans", "docs", "examples", "slakh2100"):
        (world / folder).mkdir(parents=True)
    for name in ("song.mp3", "song.wav", "music/song.mp3", "archive/song.wav"):
        soundfile.write(world / name, np.stack([signal, signal], axis=1), rate)
    (world / "references" / "song.csv").write_text("start,end,instrument\n0,12.5,Piano\n", "utf-8")
    shutil.copy(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2", world)
    tracks = sorted((world / "tree").glob("*/Track*"))
    numbers = (1, 2, 3, 4, 1501, 1876)  # in train, validation and test of the original split
    for track, number in zip(tracks, numbers, strict=True):
        shutil.copy(track / "all_src.mid", world / "songs" / f"{number}.mid")
        (world / "slakh2100" / f"Track{number:05}").symlink_to(f"../{track.relative_to(world)}")
    with tarfile.open(world / "slakh2100_flac_redux.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(world / "tree", "slakh2100_flac_redux")
    with np.load(ROOT / "tests" / "golden" / "torch_cnn.npz") as golden:
        state = {name.removeprefix("state/"): golden[name] for name in golden if name.startswith("state/")}
    np.savez(world / "crnn.npz", **state)
    np.save(world / "thresholds.npy", np.full(17, 0.5, np.float32))
    for script in (*(ROOT / "tools").glob("*.py"), *(ROOT / "examples").glob("*.py")):
        shutil.copy(script, world / script.parent.name)
    for path in (*(ROOT / "tools").rglob("*.yaml"), *(ROOT / "docs").glob("*.yaml")):
        config = merged(yaml.safe_load(path.read_text("utf-8")), SMALL)
        if "seeds" in config:  # a plan
            config["seeds"] = [0]
        target = world / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        target.write_text(yaml.safe_dump(config), "utf-8")
    for name, others in SAME.items():
        for other in others:
            (world / other).parent.mkdir(parents=True, exist_ok=True)
            (world / other).symlink_to(os.path.relpath(world / name, (world / other).parent))


def run_of(page: Path) -> list[str]:
    """Return the commands of a page that the test runs, after the replacements in :data:`INSTEAD`."""
    commands = page_shell.shell_commands(page.read_text("utf-8"))
    run = [command for command in commands if not any(re.search(pattern, command) for pattern in NOT_RUN)]
    return [re.sub("|".join(map(re.escape, INSTEAD)), lambda found: INSTEAD[found[0]], command) for command in run]


SHELL_PAGES = [page for page in PAGES if page.name != "tutorial.md" and run_of(page)]
"""The pages with commands to run, without the tutorial, which has a test of its own."""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, "Future[list[page_shell.Outcome]]"]]:
    """Run the commands of each selected page in its own copy of the files, two pages at a time."""
    folder = tmp_path_factory.mktemp("pages")
    world, defaults = folder / "world", folder / "defaults"
    world.mkdir()
    defaults.mkdir()
    (defaults / "fit.yaml").write_text(yaml.safe_dump(SHORT), "utf-8")
    start = [
        "python -m tfrecords_builder --demo 6 --keep-audio tree --out DATA\n",
        "mir-tf fit --data DATA --model cnn --out RUN\n",
        "mir-tf export RUN --out exported --formats tflite\n",
    ]
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, spawn) as pool:
        made = pool.submit(page_shell.run_commands, start, world, defaults).result()
        assert not any(outcome.status for outcome in made), made
        furnish(world)
        for place in (defaults / "pretrained", defaults / "pretrained" / "35_classes"):
            shutil.copytree(world / "RUN", place)
            shutil.copy(world / "exported" / "model.float32.tflite", place / "model.tflite")
        chosen = {item.nodeid.partition("::")[2] for item in request.session.items}
        pages = {}
        for page in SHELL_PAGES:
            if f"test_shell_commands_in_the_pages_run[{name_of(page)}]" not in chosen:
                continue
            place = folder / name_of(page).replace("/", "-").removesuffix(".md")
            shutil.copytree(world, place, symlinks=True, copy_function=os.link)
            pages[page] = pool.submit(page_shell.run_commands, run_of(page), place, defaults)
        yield pages
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", SHELL_PAGES, ids=name_of)
def test_shell_commands_in_the_pages_run(page: Path, outcomes: dict[Path, "Future[list[page_shell.Outcome]]"]) -> None:
    found = outcomes[page].result()
    failed = [outcome for outcome in found if outcome.status]
    assert not failed, "\n".join(f"{command}exit status {status}\n{output}" for command, status, output in failed)
    assert len(found) == len(run_of(page))


def test_what_is_not_run_is_there() -> None:
    commands = [command for page in PAGES for command in page_shell.shell_commands(page.read_text("utf-8"))]
    assert len(commands) > 80
    assert not [pattern for pattern in NOT_RUN if not any(re.search(pattern, command) for command in commands)]
    texts = "\n".join(commands)
    assert not [word for word in INSTEAD if word not in texts]
