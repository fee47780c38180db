"""One text on a page of its own."""

from __future__ import annotations

from yanlm.generation.options import GenerationOptions
from yanlm.serving.served import Served
from yanlm.serving.trace_file import traced


def test_the_file_shows_what_the_writer_writes(served: Served) -> None:
    options = GenerationOptions(samples=2)
    out, html = traced(served, "the <mask> sat", length=1, seed=3, options=options)
    assert [out] == served.writer.write("the <mask> sat", length=1, seed=3, options=options)
    assert "connect-src 'none'" in html and '"server": null' in html
