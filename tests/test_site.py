"""The site: it builds without a warning, and reads well in a browser that has no network.

Needs the docs extra to build (or a built site, MOEFM_SITE=site) and Chromium to look.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "MOEFM_SITE" in os.environ:
        return Path(os.environ["MOEFM_SITE"]).resolve()
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        if importlib.util.find_spec(module.split(".")[0]) is None:
            pytest.skip("needs the docs extra")
    folder = tmp_path_factory.mktemp("built") / "site"
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return folder


def test_the_site_builds(site: Path) -> None:
    assert (site / "how-it-works.html").stat().st_size > 10_000


class Handler(SimpleHTTPRequestHandler):
    """Serves the site, the page that looks at it, and takes the report."""

    def __init__(
        self, *args: Any, script: str, reports: queue.Queue[list[str]], missing: list[str], **kwargs: Any
    ) -> None:
        self.script, self.reports, self.missing = script, reports, missing
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if self.path != "/look":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        page = f"<!doctype html><link rel=icon href=data:,><iframe height=900></iframe><script>{self.script}</script>"
        self.wfile.write(page.encode())

    def do_POST(self) -> None:
        self.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def send_error(self, code: int, *args: Any, **kwargs: Any) -> None:
        self.missing.append(f"{code} {self.path}")
        super().send_error(code, *args, **kwargs)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def browser() -> str:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("needs Chromium")
    return path


def addresses(site: Path) -> list[str]:
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    return [page for page in pages if page != "404.html"]


@pytest.fixture
def findings(site: Path, browser: str, tmp_path: Path) -> Iterator[list[str]]:
    script = (ROOT / "tests" / "site_check.js").read_text(encoding="utf-8")
    script = script.replace("check(PAGES)", f"check({json.dumps(addresses(site))})")
    reports: queue.Queue[list[str]] = queue.Queue()
    missing: list[str] = []
    handler = partial(Handler, script=script, reports=reports, missing=missing, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}"]
    no_network = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    window = subprocess.Popen(
        [browser, *flags, no_network, "--window-size=1400,1000", f"http://127.0.0.1:{server.server_port}/look"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = reports.get(timeout=900)
        yield found + [f"not there: {address}" for address in missing]
    finally:
        window.terminate()
        window.wait(30)
        server.shutdown()
        server.server_close()


def test_every_page_reads_well_offline(findings: list[str]) -> None:
    """No raw TeX, nothing wider than its box or the screen, no faint text, no other host asked, no file missing."""
    assert not findings, "\n".join(findings)
