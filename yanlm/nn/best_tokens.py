"""The most probable token of every state: the largest of many logits, without keeping them all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from moefm.finite import can_look
from moefm.numeric import wide
from yanlm.nn.half_precision import has_fast_bfloat16

LOGITS = 2**26
"""Logits that are held at a time: a quarter of a gigabyte in float32."""
CACHED, CACHED_ROWS = 2**21, 512
"""Logits and rows that a CPU takes at a time. They stay in its cache; more rows do not make products faster."""
CANDIDATES = 8
"""Tokens of each state that are looked at again after a product in half precision."""
CERTAIN = 4.0
"""How many times the largest error seen the best token has to lead those that were not looked at."""
LEAST_ROWS, LEAST_WEIGHTS = 32, 2**20
"""Below either, half precision gains nothing."""
COMPARED = 64
"""Rows by which converted weights are known to be those of now."""

_CONVERTED = WeakIdKeyDictionary()


@torch.no_grad()
def best_tokens(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Indices of the largest logits ``hidden @ weight.T + bias``, and these logits in float32, both ``(N,)``.

    On a CPU with bfloat16 instructions, float32 states are multiplied in bfloat16 first, in half the time, and the best
    few of each row are computed again in float32. If the best token of a row does not lead the rest by several times
    the error seen, the whole row is computed in float32. So the result is that of float32.

    Args:
        hidden: States ``(N, d)``.
        weight: Rows of the vocabulary ``(V, d)``.
        bias: Bias ``(V,)``.

    Returns:
        Tokens and logits. A logit is NaN or infinite if one in its row is.

    Example:
        >>> best_tokens(torch.eye(2), torch.tensor([[0.0, 3.0], [1.0, 2.0], [5.0, 0.0]]))
        (tensor([2, 0]), tensor([5., 3.]))
    """
    rows = CACHED_ROWS if can_look(hidden) else max(LOGITS // len(weight), 1)
    tokens, logits = hidden.new_zeros(len(hidden), dtype=torch.long), hidden.new_zeros(len(hidden), dtype=torch.float32)
    halves = _halves(hidden, weight)
    low = None if halves is None else (_converted(weight, halves), None if bias is None else bias.to(halves))
    for start in range(0, len(hidden), rows):
        at = slice(start, start + rows)
        best = _full(hidden[at], weight, bias) if low is None else _rescored(hidden[at], weight, bias, *low)
        tokens[at], logits[at] = best
    return tokens, logits


def _halves(hidden: Tensor, weight: Tensor) -> torch.dtype | None:
    """The dtype of a first product, where it is worth it."""
    small = len(hidden) < LEAST_ROWS or weight.numel() < LEAST_WEIGHTS or len(weight) <= 4 * CANDIDATES
    if small or hidden.dtype != torch.float32 or weight.dtype != torch.float32 or not can_look(hidden):
        return None
    return torch.bfloat16 if has_fast_bfloat16() and not torch.is_autocast_enabled("cpu") else None


def _converted(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights in another dtype, kept as long as they live and nothing writes to them.

    Torch counts writes, but not those of fused optimizers, which change all rows: so some rows are compared.
    """
    if weight.is_inference():  # torch counts no writes to it at all
        return weight.to(dtype)
    now, some = (weight.data_ptr(), weight._version, dtype), slice(None, None, max(1, len(weight) // COMPARED))
    known: tuple[tuple[int, int, torch.dtype], Tensor] | None = _CONVERTED.get(weight)
    if known is None or known[0] != now or not torch.equal(known[1][some], weight[some].to(dtype)):
        known = _CONVERTED[weight] = now, weight.detach().to(dtype)
    return known[1]


def _full(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    logits, tokens = _largest(hidden, weight, bias, 1)
    return tokens.squeeze(-1), logits.squeeze(-1)


def _largest(hidden: Tensor, weight: Tensor, bias: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest logits of every row and their tokens, both ``(N, count)``.

    On a CPU they are those of one part of the vocabulary after the other, and then the largest of all parts.
    """
    width = max(CACHED // len(hidden), count) if can_look(hidden) else len(weight)
    parts = []
    for start in range(0, len(weight), width):
        at = slice(start, start + width)
        logits, tokens = _top(F.linear(hidden, weight[at], None if bias is None else bias[at]), count)
        parts.append((logits, tokens + start))
    if len(parts) == 1:
        return parts[0]
    logits, tokens = (torch.cat(columns, -1) for columns in zip(*parts, strict=True))
    largest, places = _top(logits, count)
    return largest, tokens.gather(-1, places)


def _top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    if count == 1:
        return logits.max(-1, keepdim=True)  # on a CPU argmax of bfloat16 takes four times as long, and topk twice
    return logits.topk(min(count, logits.shape[-1]), -1)


def _rescored(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, low_weight: Tensor, low_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The best of a few candidates that half precision names; all logits of a row where that could be wrong."""
    rough, candidates = _largest(hidden.to(low_weight.dtype), low_weight, low_bias, CANDIDATES)
    exact = torch.einsum("nd,nkd->nk", hidden, F.embedding(candidates, weight))
    exact = exact if bias is None else exact + bias[candidates]
    values = wide(rough)
    error = (values - exact).abs().amax(-1)
    best = exact.argmax(-1, keepdim=True)
    logits = exact.gather(-1, best).squeeze(-1)
    tokens = candidates.gather(-1, best).squeeze(-1)
    unsure = ~(logits - values[:, -1] > CERTAIN * error)  # NaN is unsure
    if bool(unsure.any()):
        tokens[unsure], logits[unsure] = _full(hidden[unsure], weight, bias)
    return tokens, logits
