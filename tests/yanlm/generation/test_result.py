"""What every generation checks: shapes, seeds, and that its numbers are finite before they become tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.generation.options import MOST_NOISE, GenerationOptions
from yanlm.generation.result import check_finite, check_generation
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]
SOURCE, SLOTS = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]]), torch.tensor([[1, 2], [1, 0]])
MASKS = {"source_mask": torch.tensor([[True] * 4, [True] * 3 + [False]])}
MASKS |= {"slot_mask": torch.tensor([[True, True], [True, False]])}


@pytest.fixture(params=["flow", "mlm", "mdlm", "gpt2", "bart"])
def model(request: pytest.FixtureRequest, make_kind: Callable[..., Any]) -> Any:
    return make_kind(request.param)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("token", [2, 9])  # one that is read, and one that is not, but may be written
def test_numbers_that_are_not_finite_become_no_token(model: Any, value: float, token: int) -> None:
    with torch.no_grad():
        weight = model.get_input_embeddings().weight  # the map to the vocabulary is tied to it
        weight[token], weight[token + 1] = value, -value
    calls: list[dict[str, Any]] = [{"steps": 2}, {"samples": 2}]
    calls += [{"reread": True, "steps": 2}] if model.can.reread else [{"temperature": 1.0}]
    for options in calls:
        with pytest.raises(ValueError, match="not finite"):
            model.generate(SOURCE, slots=SLOTS, **MASKS, **options)
    with pytest.raises(ValueError, match="not finite"):
        model.generate(SOURCE[:1], slots=SLOTS[:1], choices=torch.tensor([[5, 6], [7, 8]]))
    if model.can.lengths:
        with pytest.raises(ValueError, match="not finite"):
            model.generate_free(SOURCE, slots=SLOTS, **MASKS)


@pytest.mark.parametrize("options", [{"z0_scale": MOST_NOISE}, {"perturb": MOST_NOISE}, {"temperature": 1e-40}])
def test_extreme_options_give_tokens(make_model: Make, options: dict[str, Any]) -> None:
    for half in (False, True):
        model = make_model(denoiser="encoder")
        out = (model.bfloat16() if half else model).generate(SOURCE, slots=SLOTS, **MASKS, seeds=[0, 1], **options)
        assert (out.tokens[MASKS["slot_mask"].unsqueeze(1)] != model.config.pad_token_id).all()


def test_what_is_beside_the_slots_is_not_looked_at() -> None:
    numbers = torch.tensor([[1.0, float("nan")], [float("inf"), 1.0]])
    check_finite(numbers, torch.tensor([[True, False], [False, True]]))
    check_finite(torch.zeros(0))
    with pytest.raises(ValueError, match="damaged or too large"):
        check_finite(numbers)


@pytest.mark.parametrize(
    ("slots", "options", "message"),
    [
        (torch.tensor([1, 2]), {}, r"slots must have shape \(B, M\) with B = 2, got \(2,\)"),
        (torch.tensor([[1]]), {}, r"slots must have shape \(B, M\) with B = 2, got \(1, 1\)"),
        (torch.tensor([[1], [48]]), {}, "slots must lie below max_length=48, got 48"),
        (SLOTS, {"seeds": [1]}, "seeds must hold one integer for each of the 2 rows, got 1"),
    ],
)
def test_shapes_and_seeds(make_model: Make, slots: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_generation(make_model().config, SOURCE, slots, None, GenerationOptions(**options))


def test_rows_without_seeds_get_different_ones(make_model: Make) -> None:
    seeds = check_generation(make_model().config, SOURCE, SLOTS, None, GenerationOptions())
    assert len(set(seeds)) == 2
    assert check_generation(make_model().config, SOURCE, SLOTS, None, GenerationOptions(seeds=[3, 4])) == [3, 4]
