"""The selective scan of :mod:`yanlm.nn.selective_scan` as two Triton kernels, for GPUs without mamba-ssm.

A program has a few channels of one text and goes through its segments in order. The steps of a segment are composed by
an associative scan over the maps h -> a h + b, which only multiplies and adds: nothing is divided by a running product,
so large steps lose no digits. What is summed over channels or texts is written in parts and added afterwards, always in
the same order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from yanlm.nn.selective_scan import LOG2_E, SEGMENT

COLUMNS = 128
"""Channels times states of a program: what four warps hold in their registers, also in the backward pass."""
_LOG2_E = tl.constexpr(LOG2_E)


@triton.jit
def _then(a1, b1, a2, b2):
    """The map h -> a1 h + b1, and then h -> a2 h + b2."""
    return a1 * a2, b1 * a2 + b2


@triton.jit
def _rows(pointer, batch, t, column, length, columns, counts):
    """``(steps, columns)`` of a text in a tensor ``(B, L, columns)``; zeros where a step does not count."""
    place = (batch * length + t)[:, None] * columns + column[None, :]
    return tl.load(pointer + place, mask=counts[:, None] & (column < columns)[None, :], other=0.0)


@triton.jit
def _write_rows(pointer, values, batch, t, column, length, columns):
    """Write what :func:`_rows` reads, for the steps of the text."""
    place = (batch * length + t)[:, None] * columns + column[None, :]
    tl.store(pointer + place, values, mask=(t < length)[:, None] & (column < columns)[None, :])


@triton.jit
def _states(
    x, dt, A, B, C, y, kept, length, channels, size,
    KEEP: tl.constexpr, STEPS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y_t = C_t h_t, and the states ahead of each segment. Tiles are (steps, states, channels)."""
    batch = tl.program_id(1).to(tl.int64)
    d, n, step = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS), tl.arange(0, STATES), tl.arange(0, STEPS)
    matrix = (n < size)[:, None] & (d < channels)[None, :]
    rates = tl.load(A + d[None, :] * size + n[:, None], mask=matrix, other=0.0) * _LOG2_E
    state = tl.zeros((STATES, CHANNELS), tl.float32)
    for start in range(0, length, STEPS):
        if KEEP:
            segment = (start // STEPS) * tl.num_programs(1) + batch
            tl.store(kept + (segment * size + n[:, None]) * channels + d[None, :], state, mask=matrix)
        t = start + step
        here = t < length
        xs = _rows(x, batch, t, d, length, channels, here)
        dts = _rows(dt, batch, t, d, length, channels, here)
        Bs = _rows(B, batch, t, n, length, size, here)
        Cs = _rows(C, batch, t, n, length, size, here)
        decay = tl.exp2(dts[:, None, :] * rates[None, :, :])
        fresh = (dts * xs)[:, None, :] * Bs[:, :, None]
        share, gained = tl.associative_scan((decay, fresh), 0, _then)
        h = share * state[None, :, :] + gained
        _write_rows(y, tl.sum(Cs[:, :, None] * h, 1), batch, t, d, length, channels)
        state = tl.sum(tl.where(step[:, None, None] == STEPS - 1, h, 0.0), 0)


@triton.jit
def _gradients(
    grad, x, dt, A, B, C, kept, dx, ddt, dA, dB, dC, length, channels, size,
    STEPS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradients of all inputs: those of A for each text, those of B and C for each block of channels."""
    block, batch, texts = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(1)
    d, n, step = block * CHANNELS + tl.arange(0, CHANNELS), tl.arange(0, STATES), tl.arange(0, STEPS)
    matrix = (n < size)[:, None] & (d < channels)[None, :]
    natural = tl.load(A + d[None, :] * size + n[:, None], mask=matrix, other=0.0)
    rates = natural * _LOG2_E
    flow = tl.zeros((STATES, CHANNELS), tl.float32)  # exp(dt A) dL/dh of the step after the segment
    total = tl.zeros((STATES, CHANNELS), tl.float32)
    segments = tl.cdiv(length, STEPS)
    for back in range(segments):
        segment = segments - 1 - back
        t = segment * STEPS + step
        here = t < length
        xs = _rows(x, batch, t, d, length, channels, here)
        dts = _rows(dt, batch, t, d, length, channels, here)
        Bs = _rows(B, batch, t, n, length, size, here)
        Cs = _rows(C, batch, t, n, length, size, here)
        grads = _rows(grad, batch, t, d, length, channels, here)
        fresh, decay = (dts * xs)[:, None, :] * Bs[:, :, None], tl.exp2(dts[:, None, :] * rates[None, :, :])

        # Forward: what is left of the state before, exp(dt A) h_{t-1}. From h_t it would have to be subtracted.
        before = (step > 0) & (t <= length)
        x1 = _rows(x, batch, t - 1, d, length, channels, before)
        dt1 = _rows(dt, batch, t - 1, d, length, channels, before)
        B1 = _rows(B, batch, t - 1, n, length, size, before)
        place = kept + ((segment * texts + batch) * size + n[:, None]) * channels + d[None, :]
        state = tl.load(place, mask=matrix, other=0.0)
        fresh1 = (dt1 * x1)[:, None, :] * B1[:, :, None]
        share, gained = tl.associative_scan((decay, decay * fresh1), 0, _then)
        left = share * state[None, :, :] + gained

        # Backward: dL/dh_t = C_t dL/dy_t + exp(dt_{t+1} A) dL/dh_{t+1}.
        after = (step < STEPS - 1) & (t + 1 < length)
        dt2 = _rows(dt, batch, t + 1, d, length, channels, after)
        arriving = tl.where(step[:, None, None] == STEPS - 1, flow[None, :, :], 0.0)
        source = Cs[:, :, None] * grads[:, None, :] + arriving
        decay2 = tl.exp2(dt2[:, None, :] * rates[None, :, :])
        _, adjoint = tl.associative_scan((decay2, source), 0, _then, reverse=True)
        flow = tl.sum(tl.where(step[:, None, None] == 0, decay * adjoint, 0.0), 0)

        part = block * texts + batch
        _write_rows(dC, tl.sum((left + fresh) * grads[:, None, :], 2), part, t, n, length, size)
        _write_rows(dB, tl.sum(adjoint * (dts * xs)[:, None, :], 2), part, t, n, length, size)
        weighted = tl.sum(Bs[:, :, None] * adjoint, 1)  # dL/d(dt x)
        growth = adjoint * left  # dL/d(dt A)
        _write_rows(dx, weighted * dts, batch, t, d, length, channels)
        into_dt = tl.sum(growth * natural[None, :, :], 1) + weighted * xs
        _write_rows(ddt, into_dt, batch, t, d, length, channels)
        total += tl.sum(growth * dts[:, None, :], 0)
    tl.store(dA + (batch * channels + d[None, :]) * size + n[:, None], total, mask=matrix)


def states(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """What :func:`yanlm.nn.selective_scan.scan_states` returns, for float32 and segments of ``SEGMENT`` steps."""
    x, dt, A, B, C = (tensor.contiguous() for tensor in (x, dt, A, B, C))
    (batch, length, channels), size = x.shape, A.shape[1]
    y = torch.empty_like(x)
    kept = x.new_empty(triton.cdiv(length, SEGMENT) if keep else 0, batch, size, channels)
    tile = _tile(size)
    grid = (triton.cdiv(channels, tile["CHANNELS"]), batch)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _states[grid](x, dt, A, B, C, y, kept, length, channels, size, KEEP=keep, **tile)
    return y, kept


def gradients(
    grad: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, dt, A, B and C, as :func:`yanlm.nn.selective_scan.scan_gradients` returns them."""
    grad, x, dt, A, B, C = (tensor.contiguous() for tensor in (grad, x, dt, A, B, C))
    (batch, length, channels), size = x.shape, A.shape[1]
    tile = _tile(size)
    blocks = triton.cdiv(channels, tile["CHANNELS"])
    dx, ddt, dA = torch.empty_like(x), torch.empty_like(x), x.new_empty(batch, channels, size)
    dB, dC = (x.new_empty(blocks, batch, length, size) for _ in range(2))
    inputs, outputs = (grad, x, dt, A, B, C, kept), (dx, ddt, dA, dB, dC)
    with torch.cuda.device_of(x):
        _gradients[(blocks, batch)](*inputs, *outputs, length, channels, size, **tile)
    return dx, ddt, dA.sum(0), dB.sum(0), dC.sum(0)


def is_right(device: str) -> bool:
    """Whether both kernels give on this device what a sum over all pairs of steps gives, and its gradients."""
    g = torch.Generator().manual_seed(0)
    x, dt, B, C = (torch.randn(1, 20, width, generator=g) for width in (17, 17, 5, 5))
    A, weight = -torch.randn(17, 5, generator=g).exp(), torch.randn(1, 20, 17, generator=g)
    inputs = (x, dt.exp() / 10, A, B, C)
    with torch.no_grad():
        x, dt, A, B, C, grad = (tensor.to(device) for tensor in (*inputs, weight))
        y, kept = states(x, dt, A, B, C, keep=True)
        given = (y, *gradients(grad, x, dt, A, B, C, kept))
    with torch.enable_grad():
        x, dt, A, B, C = (tensor.requires_grad_() for tensor in inputs)
        exponent = (dt[..., None] * A).cumsum(1)
        later = torch.ones(20, 20, dtype=torch.bool).tril()[..., None, None]
        decay = torch.where(later, exponent.unsqueeze(2) - exponent.unsqueeze(1), -torch.inf).exp()
        y = torch.einsum("btsdn,bsd,bsn,btn->btd", decay, dt * x, B, C)
        right = (y, *torch.autograd.grad(y, (x, dt, A, B, C), weight))
    return all(bool((a.cpu() - b).abs().max() <= 1e-4 * b.abs().max()) for a, b in zip(given, right, strict=True))


def _tile(size: int) -> dict[str, int]:
    states = triton.next_power_of_2(size)
    return {"STEPS": SEGMENT, "STATES": states, "CHANNELS": max(COLUMNS // states, 1)}
