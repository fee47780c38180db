"""Take docs/images/serving.png again: the page of `yanlm serve` with a text that the shipped model has filled.

    python scripts/serving_picture.py [--out docs/images/serving.png] [--width 900] [--dark]

Needs the extras serve and browser, and Chromium. The server listens on a free port of this machine.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TEXT = (
    "She opened the <mask> and looked out. It was a dark and stormy <mask>. "
    "The little girl was so tired that she fell <mask> at once."
)
FIELDS = {"samples": "3", "length": "1", "candidates": "4"}
PASSES, SHOWN = 4, 2


def started() -> tuple[subprocess.Popen[str], str]:
    """A server, and its address."""
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    address = re.search(r"http://\S+", line)
    if address is None:
        raise SystemExit(f"the server did not start: {line}")
    return process, address[0]


def take(address: str, out: Path, width: int, dark: bool) -> None:
    """Fill the text by the flow, go back to the pass that is shown, and photograph."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=120_000)
        scheme = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        page.set_default_timeout(120_000)
        page.goto(address)
        page.fill("#text", TEXT)
        page.select_option("#sampler", "flow")
        for name, value in FIELDS.items():
            page.fill(f"#{name}", value)
        page.fill("#steps", str(PASSES))
        page.press("#text", "Control+Enter")
        page.locator(f"#settle tr:nth-child({PASSES})").wait_for()  # choosing the way has filled it once already
        page.locator(f"#samples-row button:nth-child({FIELDS['samples']})").wait_for()
        page.locator(f"#settle tr:nth-child({SHOWN}) td:nth-of-type(2) button").click()
        page.mouse.move(0, 0)
        page.screenshot(path=out, full_page=True)
        browser.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/serving.png"))
    parser.add_argument("--width", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    process, address = started()
    try:
        take(address, given.out, given.width, given.dark)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


if __name__ == "__main__":
    main()
