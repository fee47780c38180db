"""Tables of a bench."""

from __future__ import annotations

from typing import Any

from yanlm.studies.tools.bench_page import bench_page

ROW = {
    "model": "yan", "length": 64, "batch": 8, "seconds": 0.5, "low": 0.4, "high": 0.6, "tokens_per_second": 1024.0,
    "peak_memory_gb": None, "ratio_to_yan": 1.0,
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "device": "a machine", "rows": [ROW], "load": [1.5, 1.0, 1.0],
    "parts": {"L = 64, batch = 8": {"trunk_per_step": 0.1}},
    "roofline": {
        "matrix_tflops": 0.1, "copy_gb_per_s": 20.0,
        "cells": {"L = 64, batch = 8": {"share_of_matrix_rate": 0.456, "share_of_copy_rate": 0.01}},
    },
    "fit": {"yan, batch = 8": {"constant": 1.0, "per_token": 0.1, "per_token_squared": 0.0, "largest_error": 0.02}},
}  # fmt: skip


def test_everything_is_shown() -> None:
    text = bench_page(DOCUMENT)
    for part in (
        "| yan | 64 | 8 | 0.5 (0.4-0.6) | 1,024 | | 1.00 |",
        "| seconds of yan's | trunk per step |",
        "| L = 64, batch = 8 | 45.6% | 1.0% |",
        "yan, batch = 8: 1 + 0.1 L + 0 L² seconds, at most 2% off",
        "a machine: 0.1 TFLOP/s in matrix products, 20 GB/s in copies, load 1.5",
    ):
        assert part in text


def test_training_has_no_parts_and_no_copy_rate() -> None:
    cells = {"L = 64, batch = 8, yan, stage 1": {"tflop": 1.0, "share_of_matrix_rate": 0.5}}
    document = DOCUMENT | {"parts": {}, "load": None, "fit": {}, "roofline": DOCUMENT["roofline"] | {"cells": cells}}
    text = bench_page(document)
    assert "yan's" not in text and "| L = 64, batch = 8, yan, stage 1 | 50.0% | |" in text and "load" not in text
