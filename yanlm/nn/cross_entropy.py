"""Cross-entropy of a large vocabulary: all logits at once, or a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from moefm.checks import check_choice, check_count, check_shape
from moefm.numeric import wide

METHODS = ("auto", "full", "chunked", "linear")
FULL_UP_TO = 2**26
"""Most logits that ``auto`` computes at once: a quarter of a gigabyte, of which the backward pass holds three."""
CHUNK_LOGITS = 2**25
"""Logits of a chunk, unless its rows are given: with fewer, reading the weights again costs time, with more memory."""
CACHED, CACHED_ROWS = 2**22, 256
"""Logits of a chunk that stay in the cache of a CPU, and the fewest rows with which this makes up for more reading."""


def token_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    method: str = "auto",
    chunk: int | None = None,
) -> Tensor:
    r"""Cross-entropy of every token under a linear map to the vocabulary.

    .. math:: \ell_i = \log \sum_v e^{w_v \cdot h_i + b_v} - (w_{y_i} \cdot h_i + b_{y_i})

    - ``full`` holds all logits, and several copies of them in the backward pass.
    - ``chunked`` holds one chunk of them at a time, computes them again in the backward pass, and has the same values
      and gradients. First derivatives only.
    - ``linear`` is torch's own :func:`torch.nn.functional.linear_cross_entropy` in chunks, in float32 throughout.
    - ``auto`` is ``full`` for a small product of tokens and vocabulary, otherwise ``chunked``. On a CPU chunks are as
      large as its cache, unless the vocabulary is so large that they would have few rows.

    The logits are multiplied in the inputs' dtype, or autocast's; the rest is float32 at least.

    Args:
        hidden: States ``(N, d)``.
        weight: Rows of the vocabulary ``(V, d)``.
        bias: ``(V,)`` or ``None``.
        labels: Token ids ``(N,)``, each below V.
        method: ``auto``, ``full``, ``chunked`` or ``linear``.
        chunk: Rows at a time; by default as many as make about 32 million logits, or 4 million on a CPU.

    Returns:
        Losses ``(N,)`` in float32 (float64 for float64 inputs), in nats.

    Raises:
        ValueError: A shape, a label or an option does not fit, or ``linear`` is not in this version of torch.
        TypeError: ``labels`` are not integers of 64 bits.

    Example:
        >>> hidden, labels = torch.zeros(3, 8), torch.tensor([1, 4, 0])
        >>> token_cross_entropy(hidden, torch.randn(5, 8), None, labels)  # log 5
        tensor([1.6094, 1.6094, 1.6094])
    """
    check_choice("method", method, METHODS)
    _check_inputs(hidden, weight, bias, labels)
    rows, at_once = _rows_for(len(weight), hidden.device)
    rows = rows if chunk is None else check_count("chunk", chunk)
    if method == "full" or (method == "auto" and len(hidden) <= at_once):
        return F.cross_entropy(wide(F.linear(hidden, weight, bias)), labels, reduction="none")
    if method == "linear":
        return _linear(hidden, weight, bias, labels, rows)
    losses: Tensor = _chunked(hidden, weight, bias, labels, rows, _product_dtype(hidden))[0]
    return losses


def _rows_for(size: int, device: torch.device) -> tuple[int, int]:
    """Rows of a chunk for a vocabulary of ``size``, and the most rows that are better taken at once."""
    cached = CACHED // size
    if device.type == "cpu" and cached >= CACHED_ROWS:
        return cached, cached
    return max(CHUNK_LOGITS // size, 1), FULL_UP_TO // size


def _check_inputs(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> None:
    if hidden.ndim != 2:
        raise ValueError(f"hidden must have shape (N, d), got {tuple(hidden.shape)}")
    if weight.ndim != 2 or weight.shape[1] != hidden.shape[1] or not len(weight):
        raise ValueError(f"weight must have shape (V, d) with d = {hidden.shape[1]}, got {tuple(weight.shape)}")
    if bias is not None:
        check_shape("bias", bias, (len(weight),), "(V,)")
    if labels.dtype != torch.long:
        raise TypeError(f"labels must be of dtype torch.int64, got {labels.dtype}")
    check_shape("labels", labels, (len(hidden),), "(N,)")
    # Not on a GPU, where a look at the values would wait for the device.
    if len(labels) and labels.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(weight):
            raise ValueError(f"labels must lie in 0 ... {len(weight) - 1}, got {low if low < 0 else high}")


def _linear(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, rows: int) -> Tensor:
    fused, options = getattr(F, "linear_cross_entropy", None), getattr(torch.nn, "LinearCrossEntropyOptions", None)
    if fused is None or options is None:
        raise ValueError(
            f"method 'linear' needs torch.nn.functional.linear_cross_entropy with its options (torch 2.13), "
            f"and this is torch {torch.__version__}: use 'chunked'"
        )
    with torch.autocast(hidden.device.type, enabled=False):
        losses: Tensor = fused(
            wide(hidden),
            wide(weight),
            labels,
            linear_bias=None if bias is None else wide(bias),
            reduction="none",
            options=options(batch_chunk_size=rows, chunking_method=None),
        )
    return losses


def _product_dtype(hidden: Tensor) -> torch.dtype:
    """The dtype in which autocast, if it is on, would multiply."""
    device = hidden.device.type
    if hidden.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return hidden.dtype
    return torch.get_autocast_dtype(device)


@torch.library.custom_op(
    "yanlm::chunked_cross_entropy",
    mutates_args=(),
    schema="(Tensor hidden, Tensor weight, Tensor? bias, Tensor labels, int rows, ScalarType dtype)"
    " -> (Tensor, Tensor)",
)
def _chunked(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, rows: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Losses, a chunk of rows at a time, and normalizers, which are all that the backward pass keeps.

    An operator of its own, so that the compiler calls it and does not unroll the loop.
    """
    normalizers = hidden.new_empty(len(hidden), dtype=torch.promote_types(dtype, torch.float32))
    picked = torch.empty_like(normalizers)
    for at, logits in _chunks(hidden.to(dtype), weight.to(dtype), bias, rows):
        picked[at] = logits.gather(1, labels[at].unsqueeze(1)).squeeze(1)
        top = logits.amax(1, keepdim=True)
        normalizers[at] = logits.sub_(top).exp_().sum(1).log_().add_(top.squeeze(1))
    return normalizers - picked, normalizers


@torch.library.custom_op(
    "yanlm::chunked_cross_entropy_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor hidden, Tensor weight, Tensor? bias, Tensor labels, Tensor normalizers, int rows, "
    "ScalarType dtype, bool[] wanted) -> (Tensor, Tensor, Tensor)",
)
def _chunked_backward(
    grad: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    normalizers: Tensor,
    rows: int,
    dtype: torch.dtype,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of states, weight and bias; those that are not wanted are empty."""
    given, factor = hidden.to(dtype), weight.to(dtype)
    # Sums over chunks are kept in float32.
    dh = hidden.new_empty(hidden.shape if wanted[0] else 0)
    dw = weight.new_zeros(weight.shape if wanted[1] else 0, dtype=normalizers.dtype)
    db = weight.new_zeros(len(weight) if wanted[2] else 0, dtype=normalizers.dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        for at, logits in _chunks(given, factor, bias, rows):
            # p - 1 at the label, times the gradient of the loss
            slopes = logits.sub_(normalizers[at].unsqueeze(1)).exp_()
            slopes[torch.arange(len(slopes), device=slopes.device), labels[at]] -= 1
            slopes.mul_(grad[at].unsqueeze(1))
            if wanted[2]:
                db += slopes.sum(0)
            slopes = slopes.to(dtype)
            if wanted[0]:
                dh[at] = (slopes @ factor).to(dh.dtype)
            if wanted[1] and dtype == dw.dtype:
                dw.addmm_(slopes.t(), given[at])
            elif wanted[1]:
                dw += slopes.t() @ given[at]
    return dh, dw.to(weight.dtype), db.to(weight.dtype if bias is None else bias.dtype)


@_chunked.register_fake
def _(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, rows: int, dtype: torch.dtype) -> Any:
    losses = hidden.new_empty(len(hidden), dtype=torch.promote_types(dtype, torch.float32))
    return losses, torch.empty_like(losses)


@_chunked_backward.register_fake
def _(grad: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, *others: Any) -> Any:
    wanted = others[-1]
    dh = hidden.new_empty(hidden.shape if wanted[0] else 0)
    dw = weight.new_empty(weight.shape if wanted[1] else 0)
    db = (weight if bias is None else bias).new_empty(len(weight) if wanted[2] else 0)
    return dh, dw, db


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, rows, dtype = inputs
    ctx.rows, ctx.dtype = rows, dtype
    ctx.save_for_backward(*tensors, output[1])


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:3])
    grads = _chunked_backward(grad, *ctx.saved_tensors, ctx.rows, ctx.dtype, wanted)
    return *(x if want else None for x, want in zip(grads, wanted, strict=True)), None, None, None


_chunked.register_autograd(_gradients, setup_context=_keep)


def _chunks(hidden: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """Slices of rows with their logits, in float32 at least and all in the same memory."""
    wider = torch.promote_types(hidden.dtype, torch.float32)
    offset = weight.new_zeros((), dtype=wider) if bias is None else bias.to(wider)
    buffer = hidden.new_empty(min(rows, len(hidden)), len(weight), dtype=wider)
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, len(hidden), rows):
            at = slice(start, start + rows)
            logits = buffer[: len(hidden[at])]
            if hidden.dtype == wider:
                torch.addmm(offset, hidden[at], weight.t(), out=logits)
            else:
                logits.copy_(hidden[at] @ weight.t()).add_(offset)
            yield at, logits
