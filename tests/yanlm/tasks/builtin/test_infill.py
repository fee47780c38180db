"""Texts to fill."""

from __future__ import annotations

from yanlm.tasks.rows import task_rows


def test_infill_drops_labels() -> None:
    assert task_rows([{"text": "a"}, {"text": "b", "label": "l"}], "infill") == [{"text": "a"}, {"text": "b"}]
