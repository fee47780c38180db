"""The page as one document with its markup, style and script. It loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def page(*, server: dict[str, Any] | None = None, trace: dict[str, Any] | None = None) -> str:
    """HTML that asks a server, or that shows one text.

    The browser is told to run only the page's own script and to load nothing. Whatever a model writes is shown as text,
    and even if it were not, it could do nothing.

    Args:
        server: Facts about the model of the server.
        trace: The text to show, from :func:`yanlm.serving.trace.trace_document`.

    Example:
        >>> "<script" in page(trace={"source": "<script>"}).split('id="data">')[1].split("</script>")[0]
        False
    """
    style, markup = _read("page.css"), _read("page.html")
    script = "".join(_read(f"{part}.js") for part in ("steps", "show", "ask"))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        f"connect-src {'none' if server is None else 'self'!r}; base-uri 'none'; form-action 'none'"
    )
    data = json.dumps({"server": server, "trace": trace}, ensure_ascii=False).translate(ESCAPES)
    for place, text in {"POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": data}.items():
        before, after = markup.split(f"%{place}%")
        markup = before + text + after
    return markup


def _read(name: str) -> str:
    return (files("yanlm.serving") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a browser knows an inline script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
