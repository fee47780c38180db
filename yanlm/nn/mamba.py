"""Mamba-1 token mixers: one direction, and both directions over the valid tokens of every row.

Parameters have the names and shapes of mamba_ssm's ``Mamba``, so weights can be exchanged in both directions with a
strict ``load_state_dict``. Its CUDA kernels are used if they can be imported and the input is on a GPU; otherwise our
scan is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moefm.checks import check_choice, check_count, check_mask
from moefm.finite import can_look
from moefm.numeric import clean, wide
from yanlm.nn.mamba_kernels import kernel_status, kernels
from yanlm.nn.selective_scan import scan

__all__ = ["BiMamba", "Mamba", "kernel_status"]

STEP_SIZES = (1e-3, 0.1)
"""Range from which the step sizes at zero input are drawn, uniformly in the logarithm."""


class Mamba(nn.Module):
    r"""Selective state space mixer, left to right.

    .. math:: [x, z] = W_{in} u, \quad x \leftarrow \mathrm{silu}(\mathrm{conv}(x)), \quad
              \Delta = \mathrm{softplus}(W_\Delta W_x x + b_\Delta), \quad
              y = W_{out}\, \mathrm{scan}(x, \Delta, -e^{A_{log}}, W_B x, W_C x, D, z)

    The scan runs in float32 whatever the input's dtype, also under autocast.

    Args:
        d_model: Width of the tokens.
        d_state: States of every channel (N).
        d_conv: Width of the causal convolution.
        expand: Channels of the scan per channel of the model.
        dt_rank: Rank of the step size's projection; ``"auto"`` is d_model / 16, rounded up.

    Raises:
        ValueError: A size is not an integer of at least 1.

    Example:
        >>> mixer = Mamba(32)
        >>> mixer(torch.randn(2, 5, 32)).shape
        torch.Size([2, 5, 32])
    """

    def __init__(
        self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2, dt_rank: int | str = "auto"
    ) -> None:
        super().__init__()
        self.d_model = check_count("d_model", d_model)
        self.d_state = check_count("d_state", d_state)
        self.d_conv = check_count("d_conv", d_conv)
        self.expand = check_count("expand", expand)
        self.d_inner = expand * d_model
        self.dt_rank = _rank(dt_rank, d_model)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.empty(self.d_inner, d_state))
        self.D = nn.Parameter(torch.empty(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        # mamba_ssm's marks, which some optimizers and initializers look for.
        self.A_log._no_weight_decay = self.D._no_weight_decay = True  # type: ignore[attr-defined]
        self.dt_proj.bias._no_reinit = True  # type: ignore[attr-defined]
        self.reset_state_space()

    @torch.no_grad()
    def reset_state_space(self) -> None:
        """Draw the step sizes and set A and D as mamba_ssm does; the linear maps keep the values they have.

        Call it again after re-initializing all linear layers, since that erases the bias of the step sizes.
        """
        low, high = (math.log(size) for size in STEP_SIZES)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        dt = torch.empty_like(self.dt_proj.bias, dtype=torch.float32).uniform_(low, high).exp()
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        rates = torch.arange(1, self.d_state + 1, dtype=torch.float32, device=self.A_log.device)
        self.A_log.copy_(rates.log().expand_as(self.A_log))
        nn.init.ones_(self.D)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix the tokens of every row, each with those before it.

        Args:
            x: Tokens ``(B, L, d_model)``.
            mask: ``(B, L)``, True = a token. Padding may stand anywhere: tokens are mixed as if they stood side by
                side. It is zeroed before anything is computed, so that not even a NaN in it does harm.

        Returns:
            ``(B, L, d_model)``, zeros at padding.

        Raises:
            ValueError: ``x`` or ``mask`` has another shape.
            TypeError: ``mask`` is not boolean.
        """
        _check_tokens(x, mask, self.d_model)
        return _side_by_side(self.mix, x, mask)

    def mix(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same where all padding is on the right."""
        inner, gate = self.in_proj(clean(x, mask)).chunk(2, -1)
        inner = _convolve(inner, self.conv1d)
        dt, B, C = self.x_proj(inner).split([self.dt_rank, self.d_state, self.d_state], -1)
        dt = F.linear(dt, self.dt_proj.weight)
        y = scan(inner, dt, -wide(self.A_log).exp(), B, C, self.D, gate, self.dt_proj.bias)
        return clean(self.out_proj(y), mask)

    def extra_repr(self) -> str:
        """Sizes, for ``print(module)``."""
        return f"d_model={self.d_model}, d_state={self.d_state}, d_conv={self.d_conv}, expand={self.expand}"


class BiMamba(nn.Module):
    """Bidirectional mixer: two Mambas with separate parameters, concatenated and projected (B.3 of the paper).

    The backward direction reverses the valid tokens of a row and leaves its padding at the end, so a text gives the
    same result alone and in a padded batch.

    Args:
        d_model: Width of the tokens.
        d_state: States of every channel.
        d_conv: Width of the causal convolution.
        expand: Channels of the scan per channel of the model.
        dt_rank: Rank of the step size's projection; ``"auto"`` is d_model / 16, rounded up.

    Raises:
        ValueError: A size is not an integer of at least 1.

    Example:
        >>> mixer, x = BiMamba(32), torch.randn(1, 5, 32)
        >>> padded = torch.cat([x, torch.full((1, 3, 32), torch.nan)], 1)
        >>> mask = torch.arange(8)[None] < 5
        >>> torch.allclose(mixer(padded, mask)[:, :5], mixer(x), atol=1e-6)
        True
    """

    def __init__(
        self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2, dt_rank: int | str = "auto"
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.forward_mixer = Mamba(d_model, d_state, d_conv, expand, dt_rank)
        self.backward_mixer = Mamba(d_model, d_state, d_conv, expand, dt_rank)
        self.proj = nn.Linear(2 * d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix the tokens of every row, each with all others.

        Args:
            x: Tokens ``(B, L, d_model)``.
            mask: ``(B, L)``, True = a token. Padding may stand anywhere, see :meth:`Mamba.forward`.

        Returns:
            ``(B, L, d_model)``, zeros at padding.

        Raises:
            ValueError: ``x`` or ``mask`` has another shape.
            TypeError: ``mask`` is not boolean.
        """
        _check_tokens(x, mask, self.d_model)
        return _side_by_side(self.mix, x, mask)

    def mix(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same where all padding is on the right."""
        order = _reversal(x, mask)
        before = self.forward_mixer.mix(x, mask)
        after = _reorder(self.backward_mixer.mix(_reorder(x, order), mask), order)
        return clean(self.proj(torch.cat([before, after], -1)), mask)


def _side_by_side(mix: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, mask: Tensor | None) -> Tensor:
    """Mix with the tokens of every row moved to its beginning, and back to their places afterwards.

    On the CPU a look says whether they stand there already; elsewhere it would wait for the device.
    """
    if mask is None or (can_look(mask) and bool((mask[:, 1:] <= mask[:, :-1]).all())):
        return mix(x, mask)
    places = torch.where(mask, mask.cumsum(1), mask.sum(1, keepdim=True) + (~mask).cumsum(1)) - 1
    order = torch.zeros_like(places).scatter(1, places, torch.arange(x.shape[1], device=x.device).expand_as(places))
    return _reorder(mix(_reorder(x, order), mask.gather(1, order)), places)


def _reversal(x: Tensor, mask: Tensor | None) -> Tensor:
    """Indices ``(B, L)`` that reverse every row up to its last valid token and leave the rest; their own inverse."""
    batch, length = x.shape[:2]
    at = torch.arange(length, device=x.device).expand(batch, length)
    if mask is None or not length:
        return at.flip(1)
    ends = ((at + 1) * mask).amax(1, keepdim=True)
    return torch.where(at < ends, ends - 1 - at, at)


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order.unsqueeze(-1).expand_as(x))


def _rank(dt_rank: int | str, d_model: int) -> int:
    if isinstance(dt_rank, str):
        check_choice("dt_rank", dt_rank, ["auto"])
        return math.ceil(d_model / 16)
    return check_count("dt_rank", dt_rank)


def _check_tokens(x: Tensor, mask: Tensor | None, d_model: int) -> None:
    if x.ndim != 3 or x.shape[-1] != d_model:
        raise ValueError(f"x must have shape (B, L, d_model) with d_model = {d_model}, got {tuple(x.shape)}")
    check_mask(mask, tuple(x.shape[:2]))


def _convolve(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Causal depthwise convolution along dimension 1, then SiLU: (B, L, D) -> (B, L, D)."""
    weight, bias = conv.weight.squeeze(1).to(x), cast(Tensor, conv.bias).to(x)
    length, width = x.shape[1], weight.shape[1]
    kernel = kernels(x.device.type).convolve
    if kernel is not None and 2 <= width <= 4 and x.dtype != torch.float64 and x.numel():
        return kernel(x.mT.contiguous(), weight, bias, activation="silu").mT
    past, y = F.pad(x, (0, 0, width - 1, 0)), bias
    for i, tap in enumerate(weight.unbind(1)):  # channels stay last: no transposition, and faster than conv1d
        y = torch.addcmul(y, past[:, i : i + length], tap)
    return F.silu(y)
