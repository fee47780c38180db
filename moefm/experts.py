"""Linear layers with one weight per expert: all experts at once, or for each row only the one it was routed to."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from moefm.checks import check_count, check_shape
from moefm.finite import can_look, capturing

_GROUPED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# The dtypes that the compiler accepts in grouped_mm, and that its CUDA kernel multiplies without copying the ends of
# the groups to the host.
_RECORDED_GROUPED_DTYPES = (torch.bfloat16,)


class Dispatch:
    """The order that brings rows of the same expert together, and back.

    Args:
        index: Expert of every row, integers ``(N,)`` in ``0 .. K - 1``.
        num_experts: K.
    """

    def __init__(self, index: Tensor, num_experts: int) -> None:
        self.index = index
        self.order = torch.argsort(index, stable=True)
        one_hot = index.unsqueeze(-1) == torch.arange(num_experts, device=index.device)
        self.counts = one_hot.sum(0)
        self.ends = self.counts.cumsum(0).to(torch.int32)

    def gather(self, rows: Tensor) -> Tensor:
        """Sort ``(N, F)`` rows by expert."""
        return rows[self.order]

    def scatter(self, rows: Tensor) -> Tensor:
        """Put sorted rows back where they came from."""
        return torch.empty_like(rows).index_copy(0, self.order, rows)


def _grouped(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """One matmul over contiguous groups. The kernel wants 16-byte strides: odd widths are padded with zeros."""
    step = 16 // rows.element_size()
    pad_out, pad_in = -weight.shape[1] % step, -weight.shape[2] % step
    rows = F.pad(rows, (0, pad_in)) if pad_in else rows.contiguous()
    padded = F.pad(weight, (0, pad_in, 0, pad_out)) if pad_in or pad_out else weight
    out = F.grouped_mm(rows, padded.transpose(1, 2), offs=ends)
    return out[:, : weight.shape[1]]


class ExpertLinear(nn.Module):
    """K linear maps of the same size, initialized as K ``nn.Linear``.

    Args:
        num_experts: K.
        in_features: Width of the input.
        out_features: Width of the output.

    Example:
        >>> layer = ExpertLinear(4, 8, 2)
        >>> x, index = torch.randn(5, 8), torch.tensor([0, 3, 3, 1, 0])
        >>> chosen = layer.sorted(Dispatch(index, 4).gather(x), Dispatch(index, 4))
        >>> everything = layer(x.unsqueeze(-2).expand(5, 4, 8))
        >>> torch.allclose(Dispatch(index, 4).scatter(chosen), everything[torch.arange(5), index], atol=1e-6)
        True
    """

    def __init__(self, num_experts: int, in_features: int, out_features: int) -> None:
        super().__init__()
        num_experts = check_count("num_experts", num_experts)
        in_features = check_count("in_features", in_features)
        out_features = check_count("out_features", out_features)
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(num_experts, out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_experts, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Apply expert k to ``x[..., k, :]``: ``(*batch, K, in)`` to ``(*batch, K, out)``."""
        out = torch.einsum("...ki,koi->...ko", x, self.weight)
        return out + self.bias.to(out.dtype)  # under autocast the product has a dtype of its own

    def shared(self, x: Tensor) -> Tensor:
        """Apply every expert to the same ``x``: ``(*batch, in)`` to ``(*batch, K, out)``, as one wide matmul."""
        out = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return out.unflatten(-1, self.bias.shape)

    def sorted(self, rows: Tensor, dispatch: Dispatch) -> Tensor:
        """Apply to each sorted row only its own expert: ``(N, in)`` to ``(N, out)``."""
        device = rows.device.type
        autocast = torch.is_autocast_enabled(device)  # grouped matmul is not on autocast's own list
        dtype = torch.get_autocast_dtype(device) if autocast else self.weight.dtype
        rows, weight = rows.to(dtype), self.weight.to(dtype)
        owner = dispatch.gather(dispatch.index)
        bias = self.bias.to(dtype)[owner]
        recording = torch.compiler.is_compiling() or capturing()
        forward = forward_ad._current_level >= 0  # torch.func.jvp and jacfwd, which grouped matmul does not know
        grouped_dtypes = _RECORDED_GROUPED_DTYPES if recording else _GROUPED_DTYPES
        if dtype in grouped_dtypes and not forward and hasattr(F, "grouped_mm") and device in ("cpu", "cuda"):
            return _grouped(rows, weight, dispatch.ends) + bias
        if recording or forward:  # splitting needs the counts on the host: compute all, keep one
            everything = F.linear(rows, weight.flatten(0, 1)).unflatten(-1, weight.shape[:2])
            return everything.take_along_dim(owner[:, None, None], 1).squeeze(1) + bias
        parts = rows.split(dispatch.counts.tolist())
        return torch.cat([part @ w.T for part, w in zip(parts, weight, strict=True)]) + bias

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        experts, out_features, in_features = self.weight.shape
        return f"num_experts={experts}, in_features={in_features}, out_features={out_features}"


def check_index(name: str, index: Tensor, batch: torch.Size, num_experts: int) -> None:
    """Raise unless ``index`` holds an expert for every leading index ``(*batch,)``.

    The range is checked only on the CPU: elsewhere the check would wait for the device.
    """
    if index.dtype.is_floating_point or index.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, got {index.dtype}")
    check_shape(name, index, tuple(batch), "(*batch,)")
    if index.numel() == 0 or not can_look(index):
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= num_experts:
        raise ValueError(f"{name} must lie in 0 .. {num_experts - 1}, got values from {low} to {high}")
