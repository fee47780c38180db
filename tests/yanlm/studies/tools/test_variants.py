"""Variants of training: one choice changed at a time."""

from __future__ import annotations

import pytest

from yanlm.runs.settings import resolve
from yanlm.studies.tools import variants


def test_variants_change_one_thing() -> None:
    base = resolve({})
    found = variants.variants(base)
    assert found["base"] == {} and "K = 4" not in found and "objective = paper" not in found
    assert {name.split(" = ")[0] for name in found} == {"base", *variants.CHOICES}
    assert all(sum(len(table) for table in options.values()) == 1 for name, options in found.items() if options)
    alone = {name for name, options in found.items() if not variants.shares_stage1(options)}
    assert alone == {"noise = 0", "mmd = 0"}
    for options in found.values():
        resolve({"minutes": 1} | options)
    assert "K = 4" in variants.variants(resolve({"model": {"num_experts": 2}}))
    assert list(variants.variants(base, ["ce = one"])) == ["base", "ce = onestep"]
    with pytest.raises(ValueError, match="no variant begins with 'colour'"):
        variants.variants(base, ["colour"])
