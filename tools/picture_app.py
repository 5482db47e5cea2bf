"""Take the screenshot of docs/app.md: the page of ``mir-tf app``, one third into one of its examples.

    python tools/picture_app.py --out docs/images/app.png

Uses the system's chromium through playwright (extra ``dev``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
from playwright import sync_api

_WIDTH, _HEIGHT = 1120, 820  # CSS pixels
_SCALE = 1.5
_PATIENCE = 600_000  # ms; a busy machine may need that long


@click.command(help=__doc__.partition("\n")[0])
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="PNG file to write.")
def main(out: Path) -> None:
    """Start the app, open its page and take the screenshot."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise click.ClickException("chromium is not installed")
    command = [str(Path(sys.executable).with_name("mir-tf")), "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app, sync_api.sync_playwright() as playwright:
        try:
            assert app.stdout is not None
            address = app.stdout.readline().split()[0]
            browser = playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=_PATIENCE
            )
            page = browser.new_page(
                viewport={"width": _WIDTH, "height": _HEIGHT}, device_scale_factor=_SCALE, color_scheme="light"
            )
            page.set_default_timeout(_PATIENCE)
            page.goto(address)
            page.wait_for_selector("[data-state=empty]")
            page.click("[data-example='jazz.mp3']")
            page.wait_for_selector("[data-state=done]")
            lane = page.locator("#lanes .lane").nth(2).bounding_box()
            assert lane is not None
            page.mouse.click(lane["x"] + lane["width"] / 3, lane["y"] + lane["height"] / 2)
            page.mouse.move(lane["x"] + 0.45 * lane["width"], lane["y"] + lane["height"] / 2)
            page.wait_for_timeout(500)
            page.screenshot(path=out)
            browser.close()
        finally:
            app.terminate()


if __name__ == "__main__":
    main()
