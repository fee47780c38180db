"""Latents in tables: noise that halves what is decoded, rows that all have, differences beyond the spread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.data.corpus import load_corpus
from yanlm.studies.tools.latent_table import (
    LEVELS,
    differences,
    half_noise,
    inspected,
    inspection_of,
    latent_table,
    relative_noise,
)
from yanlm.studies.tools.models import load_named


def numbers(**own: Any) -> dict[str, Any]:
    names = ("first_two", "participation", "cosine", "offset", "mean_square", "mmd2", "mmd2_wide", "token_variance")
    return dict.fromkeys(names, 0.25) | own


def test_noise_that_halves_what_is_decoded() -> None:
    assert half_noise(numbers()) is None and relative_noise(numbers(reconstruction=0.4, half_noise=0.1)) is None
    assert half_noise(numbers(reconstruction=1.0, half_noise=None)) == LEVELS[-1]
    assert relative_noise(numbers(reconstruction=1.0, half_noise=0.4)) == pytest.approx(0.8)


def test_rows_of_the_table_are_measures_that_somebody_has() -> None:
    normal = numbers(cosine=0.0)
    runs = {
        "a": [numbers(normal=normal, cosine=0.1), numbers(cosine=0.3)],
        "b": [numbers(reconstruction=1.0, half_noise=1.0)],
    }
    lines = latent_table(runs).splitlines()
    assert lines[0] == "| | a | b | N(0, I) |"
    assert "| cosine of two latents | 0.200 (0.100-0.300) | 0.250 | 0.000 |" in lines
    assert "| reconstruction | – | 100.00% | – |" in lines
    assert not any(line.startswith("| masked tokens, one pass") for line in lines)


def test_differences_are_those_beyond_the_spread() -> None:
    before, after = [numbers(cosine=0.1), numbers(cosine=0.3)], [numbers(cosine=0.4), numbers(cosine=0.6)]
    assert differences(before, after) == ["cosine of two latents 0.200 → 0.500"]
    assert differences(before, [numbers(cosine=0.2), numbers(cosine=0.6)]) == []
    assert differences([numbers()], [numbers(cosine=0.25001)]) == [], "the same in print"
    assert differences([numbers()], [numbers(masked_accuracy=0.5)]) == [], "one of them lacks it"


def test_an_inspection_comes_back_from_json(toys: Path) -> None:
    [named] = load_named([str(toys / "flow")])
    rows = load_corpus(str(toys / "own.txt")).test
    piece = json.loads(json.dumps(inspected(named, rows, tokens=50, seed=0)))
    inspection = inspection_of(piece)
    assert inspection.numbers["tokens"] == len(inspection.ids) == len(inspection.coordinates) == 50
    assert set(inspection.numbers["accuracy_under_noise"]) == {f"{level:g}" for level in LEVELS}
    assert inspection.ids.dtype == torch.long and all(isinstance(pair, tuple) for pair in inspection.frequent)
