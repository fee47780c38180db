"""The study of latents at toy size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies.latents import latents_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_latents(toys: Path, whole: Whole, tmp_path: Path) -> None:
    data = [str(toys / "own.txt")]
    document = latents_study(Study(tmp_path, "latents"), [str(toys / "flow"), str(toys / "mlm")], data, tokens=50)
    assert whole(document, tmp_path)
    assert set(document["summary"]) == {"flow", "mlm"} and document["summary"]["mlm"]["tokens"] == 50
    again = latents_study(Study(tmp_path, "latents"), [str(toys / "flow"), str(toys / "mlm")], data, tokens=50)
    assert again["pieces"] == document["pieces"]
    mistakes: list[dict[str, Any]] = [{"rows": -2}, {"tokens": 10}]
    for wrong in mistakes:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            latents_study(Study(tmp_path / "other", "latents"), [str(toys / "flow")], data, **wrong)
    with pytest.raises(ValueError, match="gpt2 and has no latents"):
        latents_study(Study(tmp_path / "other", "latents"), [str(toys / "gpt2")], data)
