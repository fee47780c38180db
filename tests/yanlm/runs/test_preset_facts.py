"""What is kept of every preset is what measuring it gives."""

from __future__ import annotations

import json

import pytest

from yanlm.runs.preset_facts import FILE, describe, preset_facts
from yanlm.runs.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_kept_is_what_is_measured(name: str) -> None:
    facts, measured = preset_facts(name), json.loads(json.dumps(describe(name)))
    assert facts == measured, "python -m yanlm.runs.preset_facts measures anew"
    parts = facts["parameters"]
    assert list(parts) == ["embedding", "encoder", "flow", "experts", "gate", "decoder", "total"]
    assert sum(value for part, value in parts.items() if part != "total") == parts["total"]


def test_the_presets_that_there_are() -> None:
    assert list(json.loads(FILE.read_text())) == list(PRESETS)
    with pytest.raises(ValueError, match=r"preset must be one of base, paper-mamba, .*, got 'huge'"):
        preset_facts("huge")
