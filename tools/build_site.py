"""Build the app as a static site, which detects instruments in the browser and which any web host can serve.

    python tools/build_site.py --out site-app

The site has the same page as ``mir-tf app``, except that ``examples/browser/src/api.js`` takes the place of the module
that asks the server. Needs npm.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import numpy as np

from mir_tf import pretrained
from mir_tf.app.server import STATIC, describe_model
from mir_tf.inference.formats import FILE_FORMATS
from mir_tf.inference.metadata import read_tflite
from mir_tf.io.click_errors import report_errors
from mir_tf.lite import LiteModel
from mir_tf.loading import digest

SOURCES = Path(__file__).resolve().parents[1] / "examples" / "browser"

_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_FORMATS = ("json", "csv", "audacity")
_MAX_BYTES = 200_000_000
_MAX_SECONDS = 1800  # browsers decode whole files into memory
_RUNTIME = "litert_wasm_internal", "litert_wasm_compat_internal"
"""LiteRT with and without relaxed SIMD. It also has one with threads, but those need headers (COOP, COEP) that a plain
static server does not send."""


def model_json(path: Path) -> str:
    """Return what the page needs to know about a ``.tflite`` file, as JSON."""
    model = LiteModel(path)
    metadata = read_tflite(path)
    silence = model.predict(np.zeros(metadata.sample_rate, np.float32), metadata.sample_rate)
    content = {
        **describe_model(path, digest(path), silence),
        "max_bytes": _MAX_BYTES,
        "max_seconds": _MAX_SECONDS,
        "suffixes": ["video/*"],  # for the file chooser, beside audio; each browser knows which ones it decodes
        "formats": [
            {"name": each, "suffix": FILE_FORMATS[each].suffix, "description": FILE_FORMATS[each].description}
            for each in _FORMATS
        ],
        "description": silence.model,
        "metadata": json.loads(metadata.to_json()),
    }
    return json.dumps(content, ensure_ascii=False)


def build_worker() -> None:
    """Build ``dist/worker.js`` from the sources and the packages in package-lock.json."""
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=SOURCES, check=True, stdout=subprocess.DEVNULL)


def build_site(model: Path, out: Path) -> None:
    """Write the site into the new folder ``out``.

    Args:
        model: A ``.tflite`` file with a timeline.
        out: The folder; an older site in it is replaced.

    Raises:
        BundleError: The model is missing, damaged, or gives no timeline.
    """
    described = model_json(model)
    build_worker()
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(STATIC, out / "static", ignore=shutil.ignore_patterns("index.html"))
    sources = {path for path in (SOURCES / "src").glob("*.js") if path.name not in ("worker.js", "windows.js")}
    runtime = {
        SOURCES / "node_modules/@litertjs/core/wasm" / f"{each}{suffix}"
        for each in _RUNTIME
        for suffix in (".js", ".wasm")
    }
    for path in {*sources, *runtime, SOURCES / "dist" / "worker.js"}:
        shutil.copy(path, out / "static")
    shutil.copy(model, out / "model.tflite")
    (out / "model.json").write_text(described, "utf-8")
    page = (STATIC / "index.html").read_text("utf-8")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    page = re.sub(r"( *)<title>", lambda found: f"{found[1]}{policy}\n{found[0]}", page, count=1)
    page = page.replace("  </head>", '    <script src="static/opened.js" defer></script>\n  </head>')
    (out / "index.html").write_text(page, "utf-8")


@click.command(help=__doc__.partition("\n")[0])
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Exported .tflite file. [default: the pretrained model]",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
def main(model: Path | None, out: Path) -> None:
    """Build the site."""
    if shutil.which("npm") is None:
        raise click.ClickException("npm is not installed; it comes with Node.js")
    if out.exists() and any(out.iterdir()) and not (out / "model.json").is_file():
        raise click.ClickException(f"{out} contains other files; choose a new folder")
    with report_errors():
        build_site(model or pretrained.tflite(), out)
    click.echo(f"{out}/index.html; to try it: python3 -m http.server --directory {out}")


if __name__ == "__main__":
    main()
