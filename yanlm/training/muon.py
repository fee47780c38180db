"""Muon for the weight matrices of linear layers, AdamW for everything else, as one optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yanlm.nn.half_precision import fast_dtype

COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
"""Jordan's: small singular values grow fastest with them."""
_GPT2 = "Conv1D"
"""transformers' name of the linear layers of GPT-2, whose weights lie transposed."""


def tables(model: nn.Module) -> set[int]:
    """Ids of the weights of embeddings."""
    return {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """Weights of the linear layers that map hidden states to hidden states: Muon is not meant for token tables.

    A layer whose input or output is the vocabulary, such as the head, is a table too. So is a weight that an embedding
    shares.
    """
    words = getattr(getattr(model, "config", None), "vocab_size", None)
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear) or type(m).__name__ == _GPT2}
    hidden = linear - tables(model)
    return [w for w in model.parameters() if w.requires_grad and id(w) in hidden and words not in w.shape]


class Muon(torch.optim.Optimizer):
    r"""Steps of equal size in all directions of a matrix.

    .. math:: W \leftarrow W - .2 \sqrt{\max(m, n)}\, \eta\, U V^\top

    :math:`U V^\top` comes from the singular value decomposition :math:`U \Sigma V^\top` of the gradient's moving sum,
    approximated by five matrix products (Jordan 2024, https://kellerjordan.github.io/posts/muon). The factor gives
    the m x n matrix W a step as large as AdamW's (Liu et al. 2025, arXiv:2502.16982), so both share one learning rate.
    Both steps are those of ``torch.optim``, but matrices of one size are taken together, and CPUs without instructions
    for bfloat16 compute in float32.

    Args:
        matrices: Groups of two-dimensional parameters, as ``torch.optim.Muon`` takes them.
        others: Groups of all other parameters, as ``torch.optim.AdamW`` takes them.
        lr: Learning rate of both.
        adamw: Further options of AdamW.

    Raises:
        ValueError: A matrix is sharded over several processes.
    """

    def __init__(
        self, matrices: list[dict[str, Any]], others: list[dict[str, Any]], *, lr: float, adamw: dict[str, Any]
    ) -> None:
        if any(hasattr(weight, "full_tensor") for group in matrices for weight in group["params"]):
            raise ValueError("optimizer = 'muon' needs whole matrices, and these are sharded: use 'adamw' with FSDP")
        self.kinds: list[torch.optim.Optimizer] = []
        if matrices:
            self.kinds.append(_Matrices(matrices, lr=lr, adjust_lr_fn="match_rms_adamw"))
        if others:
            self.kinds.append(torch.optim.AdamW(others, lr=lr, **adamw))
        groups = [{**group, "kind": i} for i, kind in enumerate(self.kinds) for group in kind.param_groups]
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both, with the state and the groups that this optimizer holds, loaded ones too."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for i, kind in enumerate(self.kinds):
            kind.state = self.state
            kind.param_groups = [group for group in self.param_groups if group["kind"] == i]
            kind.step()
        return loss


class _Matrices(torch.optim.Muon):
    """The step of ``torch.optim.Muon`` as :class:`Muon` sets it, with torch's state, so that checkpoints fit both."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for weights in _of_one_size(group["params"]):
                sums = torch.stack([self._momentum(w, group["momentum"]) for w in weights])
                updates = orthogonal(sums, fast_dtype(sums.device))
                rate = 0.2 * math.sqrt(max(weights[0].shape)) * group["lr"]
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, weight: Tensor, decay: float) -> Tensor:
        """Nesterov's: the moving mean of the gradients as it will be if the next one is like this."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight.grad)
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - decay)
        return weight.grad.lerp(mean, decay)


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    r"""About :math:`U V^\top` for every :math:`U \Sigma V^\top` of ``(N, m, n)``: its singular values are .7 to 1.2.

    Five steps of Newton and Schulz (Jordan 2024, https://kellerjordan.github.io/posts/muon), X being a matrix with more
    columns than rows:

    .. math:: X \leftarrow a X + (b X X^\top + c (X X^\top)^2) X

    Args:
        matrices: ``(N, m, n)``.
        dtype: Of the products; three digits are enough.

    Example:
        >>> orthogonal(torch.tensor([[[3.0, 0.0], [0.0, -2.0]]]), torch.float32).sign()
        tensor([[[ 1.,  0.],
                 [ 0., -1.]]])
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _of_one_size(weights: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Those that have a gradient, by their size, device and dtype."""
    sizes: dict[Any, list[nn.Parameter]] = {}
    for weight in weights:
        if weight.grad is not None:
            sizes.setdefault((weight.shape, weight.device, weight.dtype), []).append(weight)
    return list(sizes.values())
