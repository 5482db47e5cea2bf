"""The documentation: its commands and options exist, its code runs, its site is whole and needs no network."""

import functools
import html.parser
import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile

from mir_tf import lite
from mir_tf.cli import main as mir_tf_command
from mir_tf.export import probe_signal
from tfrecords_builder.__main__ import main as builder_command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

COMMAND = re.compile(r"(?:\bmir-tf ([a-z]+(?:-[a-z]+)*)|python -m (tfrecords_builder))\b([^`\n|;&#]*)")
FENCE = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)\n```", re.DOTALL)
CODE = re.compile(r"^```\w*\n((?:.|\n)*?)^```|^    (.*)|`([^`]+)`", re.MULTILINE)
UNLIKE_OPTIONS = re.compile(r" -- .*| --$")
"""What follows belongs to Apache Beam."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[tuple[str, click.Command, list[str]]]:
    """Each command in a page, with the options it is given."""
    code = "\n".join(map("".join, CODE.findall(text.replace("\\\n", " "))))
    for verb, builder, rest in COMMAND.findall(code):
        command = builder_command if builder else mir_tf_command.get_command(click.Context(mir_tf_command), verb)
        assert command is not None, f"there is no command mir-tf {verb}"
        yield verb or builder, command, re.findall(r"(?<![\w-])--?[a-z][\w-]*", UNLIKE_OPTIONS.sub("", rest))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_exists(page: Path) -> None:
    for name, command, options in commands(page.read_text("utf-8")):
        known = {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
        unknown = set(options) - known - {"--help", "-h"}
        assert not unknown, f"{name} has no {', '.join(sorted(unknown))}"


def test_unknown_options_are_seen() -> None:
    [(_, _, options)] = commands("`mir-tf fit --data DATA --modell crnn -x` and --other")
    assert options == ["--data", "--modell", "-x"]


@pytest.fixture(scope="module")
def place(exported_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: a run, an exported file, a song."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "runs").mkdir()
    shutil.copytree(exported_cnn / "run", folder / "runs" / "crnn")
    for exported in (folder, folder / "exported"):
        exported.mkdir(exist_ok=True)
        shutil.copy(exported_cnn / "model.float32.tflite", exported)
    signal = probe_signal(22050, 12.0)
    for name in ("song.wav", "song.mp3"):
        soundfile.write(folder / name, signal, 22050)
    return folder


def with_python() -> list[Path]:
    return [page for page in PAGES if any(m["language"] == "python" for m in FENCE.finditer(page.read_text("utf-8")))]


@pytest.mark.parametrize("page", with_python(), ids=name_of)
def test_python_in_the_pages_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page, one after another, as a reader would type them."""
    monkeypatch.chdir(place)
    signal = np.float32(probe_signal(22050, 12.0))
    names = {"waveform": signal, "rate": 22050, "blocks": np.array_split(signal, 9)}
    ran = 0
    for block in FENCE.finditer(page.read_text("utf-8")):
        if block["language"] == "python" and not block["reason"]:
            exec(compile(block["code"], str(page), "exec"), names)
            ran += 1
    assert ran or "not run" in page.read_text("utf-8")


def undocumented(name: str) -> list[str]:
    """The public parts of ``name`` without a docstring, or without an entry in the ``Attributes`` of their class."""
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
    """What a browser loads by itself when it shows a page."""

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
    """The site, built without warnings."""
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
    """The site's address on this machine."""
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
    """By HTTP, and by opening the file; whatever names the address: markup, styles, scripts."""
    for start in (served, f"{site.as_uri()}/"):
        tab = chromium.new_page()
        asked: list[str] = []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(start + page + ("index.html" if start.startswith("file:") else ""), wait_until="networkidle")
        if start == served:  # scripts run: the search finds, and shows where
            tab.click("[data-md-component=search-query]")
            tab.keyboard.type("thresholds")
            tab.wait_for_selector(".md-search-result__item")
        tab.close()
        assert any(address.endswith(".js") for address in asked)
        assert not [address for address in asked if not address.startswith((start, "data:", "blob:"))]


@pytest.mark.slow
def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """Its commands, in order, by a shell, but for the installation."""
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
    heard = lite.LiteModel(tmp_path / "exported" / "model.float32.tflite").predict(probe_signal(22050, 5.0), 22050)
    assert heard.probabilities.shape == (50, 17)
    assert {path.name for path in (tmp_path / "answers").glob("mix*")} == {"mix.flac.json", "mix.flac.png"}
    assert (tmp_path / "exported" / "mix.flac.json").is_file()
