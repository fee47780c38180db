"""The most probable tokens: those of all logits in float32, whatever is multiplied first."""

from __future__ import annotations

import pytest
import torch

from yanlm.nn import best_tokens as module
from yanlm.nn.best_tokens import best_tokens


@pytest.fixture(autouse=True)
def every_size_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU that multiplies bfloat16, for small products, too; where it does not, torch does it slowly."""
    monkeypatch.setattr(module, "has_fast_bfloat16", lambda: True)
    monkeypatch.setattr(module, "LEAST_WEIGHTS", 1)


def some(rows: int = 300, size: int = 500, width: int = 16, seed: int = 0) -> tuple[torch.Tensor, ...]:
    source = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=source) for shape in ((rows, width), (size, width), (size,)))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("cached", [(2**21, 512), (1, 100), (700, 7), (10_000, 64)])
@pytest.mark.parametrize("rows", [1, 31, 32, 300])
def test_they_are_the_largest(
    rows: int, cached: tuple[int, int], with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows and words are taken at a time, also if the last part of the vocabulary has one word."""
    monkeypatch.setattr(module, "CACHED", cached[0])
    monkeypatch.setattr(module, "CACHED_ROWS", cached[1])
    hidden, weight, bias = some(rows, 501)
    added = bias if with_bias else None
    tokens, logits = best_tokens(hidden, weight, added)
    wanted = torch.nn.functional.linear(hidden, weight, added)
    assert torch.equal(tokens, wanted.argmax(-1))
    torch.testing.assert_close(logits, wanted.amax(-1))


def test_close_ones_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the vocabulary that half precision cannot tell apart: more of them than are looked at again."""
    hidden, weight, _ = some(64, 40)
    weight = torch.cat(
        [weight, 1.5 * weight[:1] + 1e-4 * torch.randn(60, 16, generator=torch.Generator().manual_seed(1))]
    )
    hidden[:32] = weight[40] + 0.01 * hidden[:32]
    rows = []
    full = module._full
    monkeypatch.setattr(module, "_full", lambda h, *rest: rows.append(len(h)) or full(h, *rest))
    tokens, _ = best_tokens(hidden, weight)
    assert torch.equal(tokens, (hidden @ weight.T).argmax(-1))
    assert 32 <= sum(rows) < 64  # the others were certain
    monkeypatch.setattr(module, "CERTAIN", -1e9)  # nobody is unsure: half precision alone is wrong
    assert not torch.equal(best_tokens(hidden, weight)[0], tokens)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_shows(bad: float) -> None:
    hidden, weight, bias = some(40)
    hidden[3, 5] = bad
    _, logits = best_tokens(hidden, weight, bias)
    assert not logits[3].isfinite() and logits[4:].isfinite().all()
    hidden, weight, bias = some(40)
    bias[7] = torch.nan
    assert best_tokens(hidden, weight, bias)[1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_other_dtypes(dtype: torch.dtype) -> None:
    hidden, weight, bias = (x.to(dtype) for x in some(40))
    tokens, logits = best_tokens(hidden, weight, bias)
    assert torch.equal(tokens, torch.nn.functional.linear(hidden, weight, bias).argmax(-1))
    assert logits.dtype == torch.float32


def test_no_states() -> None:
    hidden, weight, bias = some(0)
    assert best_tokens(hidden, weight, bias)[0].shape == (0,)


def test_converted_weights_are_kept_until_they_change() -> None:
    hidden, first, other = some(40)[0], *(some(seed=seed)[1] for seed in (0, 1))
    weight = torch.nn.Parameter(first.clone())

    def kept() -> torch.Tensor:
        tokens, logits = best_tokens(hidden, weight)
        best = (hidden @ weight.detach().T).max(-1)
        assert torch.equal(tokens, best.indices)
        torch.testing.assert_close(logits, best.values)
        low: torch.Tensor = module._CONVERTED[weight][1]
        assert torch.equal(low, weight.detach().bfloat16())
        return low

    before = kept()
    assert kept() is before
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    after = kept()
    assert after is not before and kept() is after
    weight.data = other.clone()
    assert kept() is not after


def test_weights_of_inference_mode_are_not_kept() -> None:
    with torch.inference_mode():
        hidden, weight, _ = some(40)
        count = len(module._CONVERTED)
        assert torch.equal(best_tokens(hidden, weight)[0], (hidden @ weight.T).argmax(-1))
        assert len(module._CONVERTED) == count
