"""The gating network, and the shares of experts that its logits stand for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moefm.checks import check_count, check_positive
from moefm.finite import check_logits
from moefm.numeric import clean, wide
from moefm.scope import Scope, group_mean


def log_shares(logits: Tensor, scope: Scope = None, mask: Tensor | None = None) -> Tensor:
    r"""Log-probabilities :math:`\log \pi_k` of gate logits averaged over each group, ``(*batch, K)``."""
    pooled = group_mean(wide(clean(logits, mask)), scope, mask)
    check_logits(pooled, nan_passes=True)
    return torch.log_softmax(pooled, -1)


class Gate(nn.Module):
    r"""Two-layer MLP that turns features into routing logits (section 3.2).

    .. math:: \pi(x) = \mathrm{softmax}((W_2\, \mathrm{SiLU}(W_1 x + b_1) + b_2) / \tau)

    The last layer starts small, so that routing starts close to uniform and every expert is trained.

    Args:
        in_features: Width of the features.
        num_experts: Number of experts K.
        hidden: Width of the hidden layer.
        temperature: Divides the logits; below 1 sharpens the routing.
        init_scale: Factor on the last layer's initial weights.

    Raises:
        ValueError: A count is below 1, or ``temperature`` or ``init_scale`` is not positive.

    Example:
        >>> gate = Gate(3, num_experts=4)
        >>> gate(torch.zeros(5, 3)).shape
        torch.Size([5, 4])
        >>> gate
        Gate(in_features=3, num_experts=4, hidden=64, temperature=1.0)
    """

    def __init__(
        self,
        in_features: int,
        num_experts: int,
        hidden: int = 64,
        *,
        temperature: float = 1.0,
        init_scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.in_features = check_count("in_features", in_features)
        self.num_experts = check_count("num_experts", num_experts)
        self.hidden = check_count("hidden", hidden)
        self.temperature = check_positive("temperature", temperature)
        self.first = nn.Linear(self.in_features, self.hidden)
        self.last = nn.Linear(self.hidden, self.num_experts)
        with torch.no_grad():
            for parameter in self.last.parameters():
                parameter.mul_(check_positive("init_scale", init_scale))

    def forward(self, features: Tensor, scope: Scope = None, mask: Tensor | None = None) -> Tensor:
        """Return logits ``(*batch, K)`` for features ``(*batch, F)``, averaged over the groups of ``scope``."""
        logits = self.last(nn.functional.silu(self.first(features)))
        logits = logits if self.temperature == 1 else logits / self.temperature
        return group_mean(logits, scope, mask)

    def __repr__(self) -> str:
        """One line with the sizes."""
        return (
            f"Gate(in_features={self.in_features}, num_experts={self.num_experts}, "
            f"hidden={self.hidden}, temperature={self.temperature})"
        )
