"""The page: one document, whose data cannot end it, and whose policy knows its own script alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from yanlm.serving.page import page


def data_of(html: str) -> dict[str, object]:
    [inside] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(inside)


@given(
    text=st.text()
    | st.sampled_from(["</script><script>alert(1)</script>", "<!--<script>", "\u2028]]>%SCRIPT%", "%STYLE%"])
)
def test_whatever_a_text_holds_is_data(text: str) -> None:
    html = page(trace={"source": text})
    assert data_of(html) == {"server": None, "trace": {"source": text}}
    assert html.count("<script") == 2 and html.count("</script>") == 2


def test_the_policy_lets_only_this_script_and_style_in() -> None:
    html = page(server={"name": "x"})
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    for tag in ("script", "style"):
        [inside] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        wanted = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{wanted}'" in policy
    assert "connect-src 'self'" in policy and "connect-src 'none'" in page(trace={})


def test_nothing_is_loaded_from_anywhere() -> None:
    html = page(server={"name": "x"})
    assert not re.findall(r"(?:src|href|action)\s*=|url\(|@import|https?://", html.split('id="data"')[0])
    assert "innerHTML" not in html and "eval(" not in html and " style=" not in html
