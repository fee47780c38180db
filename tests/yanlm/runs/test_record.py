"""What a run writes about itself."""

from __future__ import annotations

from yanlm.runs.record import samples_text


def test_samples_are_readable() -> None:
    text = samples_text({"examples": [{"source": "a <mask>", "filled": "a b", "truth": "a c"}]})
    assert text == "source  a <mask>\nfilled  a b\ntruth   a c\n"
