"""The page in Chromium: typed, filled, walked through by keyboard, hostile text as text, no wider than a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yanlm.generation.options import GenerationOptions
from yanlm.modeling.sequences import SlotGenerationMixin
from yanlm.serving.served import Served
from yanlm.serving.trace_file import traced

OWN = r"http://127\.0\.0\.1:|file:"
HOSTILE = "<img src=x onerror=alert(1)> <mask> </script><b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as running:
        try:
            own = running.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=120_000)
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start: {error}")
        yield own
        own.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must not complain, nor open a dialogue, nor ask anybody else."""
    context = browser.new_context(viewport={"width": 400, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    own, wrong = context.new_page(), []
    own.on("pageerror", lambda error: wrong.append(str(error)))
    own.on("console", lambda told: wrong.append(told.text) if told.type == "error" and "of 400" not in told.text else 0)
    own.on("dialog", lambda dialog: (wrong.append("a dialogue"), dialog.dismiss()))
    own.on("request", lambda request: None if re.match(OWN, request.url) else wrong.append(request.url))
    yield own
    context.close()
    assert not wrong


def fill(page: Any, port: int, text: str, **fields: str) -> None:
    page.goto(f"http://127.0.0.1:{port}/")
    page.fill("#text", text)
    for name, value in {"length": "2", **fields}.items():
        page.fill(f"#{name}", value)
    page.press("#text", "Control+Enter")
    page.wait_for_selector("#result:not([hidden])")


def test_a_text_is_filled_and_walked_through_by_keyboard(page: Any, listening: Callable[..., int]) -> None:
    fill(page, listening(), "the <mask> sat", steps="4", samples="2")
    assert page.locator("#settle tr").count() == 4 and page.locator("#stage .chip").count() == 2
    assert page.locator("#samples-row button").count() == 2
    assert "after pass 4 of 4" in page.inner_text("#where")
    page.focus("#pass")
    page.keyboard.press("Home")
    assert "before the first pass: noise" in page.inner_text("#where")
    assert page.locator("#stage .noise").count() == 2
    page.keyboard.press("ArrowRight")
    assert page.locator("#settle tr.now th").inner_text().startswith("pass 1")
    page.locator("#stage .chip").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#slot-title").lower().startswith("slot 2, pass 2, expert")
    assert page.evaluate("document.activeElement.classList.contains('chosen')")
    assert page.locator("#others li").count() >= 5
    assert "4 passes" in page.inner_text("#time") and "in the model" in page.inner_text("#time")
    with page.expect_response("**/v1/infill") as answer:
        page.click("#another")
    assert answer.value.json()["results"][0]["seed"] == 1


def test_the_way_begins_with_the_models_own(
    page: Any, listening: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlotGenerationMixin, "defaults", GenerationOptions(sampler="diffusion", steps=1))
    fill(page, listening(), "the <mask> sat")
    assert page.locator("#settle tr").count() == 1 and "1 pass of" in page.inner_text("#time")
    assert page.is_disabled("#another") and not page.is_visible("#candidates") and not page.is_visible("#reread")
    page.fill("#temperature", "0.5")
    assert page.is_enabled("#another")
    with page.expect_response("**/v1/infill") as answer:
        page.select_option("#sampler", "flow")
    assert len(answer.value.json()["results"][0]["trace"]["passes"]) == 3, "one pass was chosen for the other way"
    page.locator("#settle tr:nth-child(3)").wait_for()
    assert page.is_visible("#candidates") and page.is_visible("#reread")
    assert "--sampler flow --temperature 0.5" in page.text_content("#command")


def test_what_is_hostile_is_text(page: Any, listening: Callable[..., int]) -> None:
    fill(page, listening(), HOSTILE, length="1")
    assert page.inner_text("#stage").startswith("<img src=x onerror=alert(1)> ")
    assert page.locator("main img, main b:not(#others b)").count() == 0
    page.click("#again summary")
    assert "<img" in page.inner_text("#command") and "<img" in page.inner_text("#request")


def test_what_the_server_refuses_is_said(page: Any, listening: Callable[..., int]) -> None:
    page.goto(f"http://127.0.0.1:{listening()}/")
    page.fill("#text", " ")
    with page.expect_response("**/v1/infill") as answer:
        page.click("#fill")
    assert answer.value.status == 400
    page.wait_for_selector("#problem:not([hidden])")
    assert "text is empty" in page.inner_text("#problem")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_can_be_read(page: Any, served: Served, tmp_path: Path, width: int, scheme: str) -> None:
    """A file, opened without a server: no sideways scrolling, and text that stands out from what is behind it."""
    _, html = traced(served, HOSTILE, length=6, seed=1, options=GenerationOptions(steps=5))
    (tmp_path / "trace.html").write_text(html, encoding="utf-8")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"file://{tmp_path}/trace.html")
    assert page.locator("#stage .chip").count() == 6 and not page.is_visible("#ask")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light = [sum(map(int, colour[4:-1].split(","))) for colour in (back, ink)]
    assert (light[0] > light[1]) == (scheme == "light") and abs(light[0] - light[1]) > 450
