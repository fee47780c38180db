"""The selective state space recurrence of Mamba-1 in plain PyTorch: one loop over time, exact, with its own backward.

It uses no cumulative sums and no logarithms: a step multiplies by exp(dt A), which at large dt is exactly zero.
Channels come last in memory, so that every operation runs over long rows. A segment of steps shares its discretization.
Inside it a forward step is one fused operation and a backward step two. Only the states between segments are kept.

On a GPU with Triton the kernels of :mod:`yanlm.nn.scan_kernels` take the place of the loop.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from moefm.checks import check_count, check_shape
from moefm.numeric import wide
from yanlm.nn.mamba_kernels import kernels, triton_scan

LOG2_E = math.log2(math.e)
SEGMENT = 16
"""Steps of a segment on a GPU; for :mod:`yanlm.nn.scan_kernels` it has to be a power of two."""
CACHE = 2**21
"""Bytes that the states of a segment should take, so that they stay in a processor's cache between operations."""


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    *,
    segment: int | None = None,
) -> Tensor:
    r"""Scan a sequence with a diagonal, input-dependent state space model.

    .. math:: h_t = e^{\Delta_t A} h_{t-1} + \Delta_t B_t x_t, \qquad y_t = (C_t h_t + D x_t) \cdot \mathrm{silu}(z_t)

    Everything is computed in float32 at least, autocast or not, and returned in the dtype of ``x``. First derivatives
    only.

    Args:
        x: Input ``(B, L, D)``.
        dt: Positive step sizes ``(B, L, D)``.
        A: Decay rates ``(D, N)``, negative.
        B: Input weights ``(B, L, N)``.
        C: Output weights ``(B, L, N)``.
        D: Weight of the skip connection ``(D,)``.
        z: Gate ``(B, L, D)``.
        segment: Steps between two kept states; by default as many as fit the CPU's cache. It changes time and memory,
            not the result.

    Returns:
        The output ``(B, L, D)``.

    Raises:
        ValueError: A shape does not fit the others, or ``segment`` is below 1.

    Example:
        >>> ones = torch.ones(1, 3, 1)
        >>> selective_scan(ones, ones, -torch.ones(1, 1), ones, ones).flatten()  # 1, 1 + 1/e, 1 + 1/e + 1/e^2
        tensor([1.0000, 1.3679, 1.5032])
    """
    _check_shapes(x, dt, A, B, C, D, z)
    segment = _segment(x, A) if segment is None else check_count("segment", segment)
    given = x.dtype
    with torch.autocast(x.device.type, enabled=False):
        x, dt, A, B, C = (wide(tensor) for tensor in (x, dt, A, B, C))
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, dt, A, B, C))
        y: Tensor = scan_states(x, dt, A, B, C, segment, keep)[0]
        if D is not None:
            y = torch.addcmul(y, x, wide(D))
        if z is not None:
            y = y * F.silu(wide(z))
    return y.to(given)


def _segment(x: Tensor, A: Tensor) -> int:
    """Between 8 steps, since every segment keeps a state, and 32, where Python's share of the time is small anyway."""
    state = 4 * x.shape[0] * A.numel()
    return min(max(CACHE // max(state, 1), 8), 32) if x.device.type == "cpu" else SEGMENT


def _check_shapes(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None) -> None:
    if x.ndim != 3:
        raise ValueError(f"x must have shape (B, L, D), got {tuple(x.shape)}")
    batch, length, channels = x.shape
    if A.ndim != 2 or A.shape[0] != channels:
        raise ValueError(f"A must have shape (D, N) with D = {channels}, got {tuple(A.shape)}")
    states = A.shape[1]
    check_shape("dt", dt, (batch, length, channels), "(B, L, D)")
    check_shape("B", B, (batch, length, states), "(B, L, N)")
    check_shape("C", C, (batch, length, states), "(B, L, N)")
    if D is not None:
        check_shape("D", D, (channels,), "(D,)")
    if z is not None:
        check_shape("z", z, (batch, length, channels), "(B, L, D)")


_INPUTS = "Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C"


@torch.library.custom_op(
    "yanlm::selective_scan", mutates_args=(), schema=f"({_INPUTS}, int segment, bool keep) -> (Tensor, Tensor)"
)
def scan_states(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, segment: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """y_t = C_t h_t, and the states ``(segments, B, N, D)`` ahead of each segment, where they are to be kept.

    An operation of its own, so that the compiler does not unroll the loop. Inside, time comes first and a state is
    ``(B, N, D)``.
    """
    if (fast := _on_gpu(segment, x, dt, A, B, C)) is not None:
        return fast.states(x, dt, A, B, C, keep)
    rates, (xs, dts, Bs, Cs) = A.t().contiguous(), _time_first(x, dt, B, C)
    state = x.new_zeros(x.shape[0], *rates.shape)
    # Buffers for a segment, used again and again: fresh ones would cost more than the arithmetic.
    decay, states = (state.new_empty(min(segment, len(xs)), *state.shape) for _ in range(2))
    y = torch.empty_like(xs)
    kept = x.new_empty(_segments(x, segment) if keep else 0, *state.shape)
    for number, start in enumerate(range(0, len(xs), segment)):
        at = slice(start, start + segment)
        if keep:
            kept[number] = state
        states = _run(state, dts[at], rates * LOG2_E, dts[at] * xs[at], Bs[at], decay, states)
        torch.matmul(Cs[at].unsqueeze(2), states, out=y[at].unsqueeze(2))
        state = states[-1].clone()
    return y.transpose(0, 1).contiguous(), kept


@scan_states.register_fake
def _(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, segment: int, keep: bool) -> tuple[Tensor, Tensor]:
    batch, length, channels = x.shape
    kept = x.new_empty(_segments(x, segment) if keep else 0, batch, A.shape[1], channels)
    return x.new_empty(batch, length, channels), kept


@torch.library.custom_op(
    "yanlm::selective_scan_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {_INPUTS}, Tensor kept, int segment) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def scan_gradients(
    grad: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor, segment: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, dt, A, B and C."""
    if (fast := _on_gpu(segment, grad, x, dt, A, B, C)) is not None:
        return fast.gradients(grad, x, dt, A, B, C, kept)
    rates, rows = A.t().contiguous(), _time_first(x, dt, B, C, grad)
    dx, ddt, dB, dC = (torch.empty_like(tensor) for tensor in rows[:4])
    dA = torch.zeros_like(rates)
    flow = x.new_zeros(x.shape[0], *rates.shape)  # exp(dt_{t+1} A) dL/dh_{t+1}
    buffers = [flow.new_empty(min(segment, x.shape[1]), *flow.shape) for _ in range(3)]
    for i in reversed(range(len(kept))):
        at = slice(i * segment, (i + 1) * segment)
        xs, dts, Bs, Cs, grads = (tensor[at] for tensor in rows)
        decay, states, adjoint = (buffer[: len(xs)] for buffer in buffers)
        inputs = dts * xs
        _run(kept[i], dts, rates * LOG2_E, inputs, Bs, decay, states)
        torch.matmul(grads.unsqueeze(2), states.mT, out=dC[at].unsqueeze(2))
        torch.mul(Cs.unsqueeze(3), grads.unsqueeze(2), out=adjoint)
        for gradient, factor in zip(reversed(adjoint.unbind()), reversed(decay.unbind()), strict=True):
            gradient.add_(flow)  # dL/dh_t
            flow = factor.mul_(gradient)
        flow = flow.clone()
        torch.matmul(inputs.unsqueeze(2), adjoint.mT, out=dB[at].unsqueeze(2))
        weighted = torch.matmul(Bs.unsqueeze(2), adjoint).squeeze(2)  # dL/d(dt x)
        torch.mul(weighted, dts, out=dx[at])
        # decay now holds exp(dt A) dL/dh; times the previous state it is dL/d(dt A).
        decay[0].mul_(kept[i])
        decay[1:].mul_(states[:-1])
        torch.sum(torch.mul(decay, rates, out=states), 2, out=ddt[at])
        ddt[at].addcmul_(weighted, xs)
        dA += decay.mul_(dts.unsqueeze(2)).sum((0, 1))
    dx, ddt, dB, dC = _time_first(dx, ddt, dB, dC)  # back again
    return dx, ddt, dA.t().contiguous(), dB, dC


@scan_gradients.register_fake
def _(
    grad: Tensor, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor, segment: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    dx, ddt, dA, dB, dC = (tensor.new_empty(tensor.shape) for tensor in (x, dt, A, B, C))
    return dx, ddt, dA, dB, dC


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.segment, _ = inputs
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    with torch.autocast(grad.device.type, enabled=False):
        return (*scan_gradients(grad, *ctx.saved_tensors, ctx.segment), None, None)


scan_states.register_autograd(_backward, setup_context=_keep_for_backward)


def _on_gpu(segment: int, *tensors: Tensor) -> Any:
    """The module with Triton's kernels, or ``None`` where they cannot do this."""
    fits = all(tensor.is_cuda and tensor.dtype == torch.float32 and tensor.numel() for tensor in tensors)
    return triton_scan().module if fits and segment == SEGMENT else None


def _segments(x: Tensor, segment: int) -> int:
    return -(-x.shape[1] // segment)


def _time_first(*tensors: Tensor) -> list[Tensor]:
    return [tensor.transpose(0, 1).contiguous() for tensor in tensors]


def _run(state: Tensor, dt: Tensor, rates: Tensor, inputs: Tensor, B: Tensor, decay: Tensor, states: Tensor) -> Tensor:
    """Steps of one segment from ``state``: writes 2^(dt rates) into ``decay`` and h_t into ``states``, (S, B, N, D)."""
    decay, states = decay[: len(dt)], states[: len(dt)]
    torch.mul(dt.unsqueeze(2), rates, out=decay).exp2_()  # three times faster than exp on some processors
    torch.mul(inputs.unsqueeze(2), B.unsqueeze(3), out=states)
    for current, factor in zip(states.unbind(), decay.unbind(), strict=True):
        state = current.addcmul_(factor, state)
    return states


def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, dt_bias: Tensor) -> Tensor:
    """The scan with step sizes softplus(dt + dt_bias), by mamba_ssm's kernel or ours."""
    kernel = kernels(x.device.type).scan
    if kernel is None or x.dtype == torch.float64 or B.shape[-1] > 256 or not x.numel():  # what the kernel refuses
        return selective_scan(x, F.softplus(wide(dt) + wide(dt_bias)), A, B, C, D, z)
    with torch.autocast(x.device.type, enabled=False):
        u, dt, B, C, z = (wide(tensor).mT.contiguous() for tensor in (x, dt, B, C, z))
        y = kernel(u, dt, A.float(), B, C, D.float(), z=z, delta_bias=dt_bias.float(), delta_softplus=True)
        return y.mT.to(x.dtype)
