"""Peak memory of a block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yanlm.studies.tools import memory
from yanlm.studies.tools.memory import PeakMemory

MEGABYTES = 64


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell")
def test_the_most_that_is_taken_and_the_weights() -> None:
    model = torch.nn.Linear(1000, 1000)  # 4 MB
    kept = torch.ones(MEGABYTES * 250_000)  # what was there before does not count
    with PeakMemory(model) as peak:
        torch.ones(MEGABYTES * 250_000).sum()
        torch.ones(10)
    assert peak.gigabytes == pytest.approx((MEGABYTES + 4) / 1000, abs=0.03)
    with PeakMemory(model) as peak:
        torch.ones(10)
    assert peak.gigabytes == pytest.approx(0.004, abs=0.02) and len(kept)


def test_nobody_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "MARKS", tmp_path / "nowhere" / "clear_refs")
    with PeakMemory(torch.nn.Linear(2, 2)) as peak:
        pass
    assert peak.gigabytes is None


def test_the_status_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "MARKS", tmp_path / "clear_refs")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    with PeakMemory(torch.nn.Linear(2, 2)) as peak:
        pass
    assert peak.gigabytes is None
