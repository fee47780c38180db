"""Sequences with padding: one expert per token, compared with one expert per sequence.

All tokens of a sequence are near +1, or all near -1. Usage: python token_level.py [training steps]
"""

import sys

import torch
from torch import Tensor, nn

from moefm import ConsistentMoEFM, Gate, MixtureField, fit, sample
from moefm.experts import ExpertLinear
from moefm.paths import expand_time

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
LENGTH, DIM = 6, 2


class TokenField(MixtureField):
    """Tokens see the mean of their sequence. The condition is the mask: padding is left out of that mean."""

    def __init__(self, num_experts: int, hidden: int = 64) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.net = nn.Sequential(nn.Linear(2 * DIM + 1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.out = ExpertLinear(num_experts, hidden, DIM)
        self.gating = Gate(hidden, num_experts)

    def trunk(self, z: Tensor, t: Tensor | float, cond: Tensor) -> Tensor:
        counts = cond.unsqueeze(-1)
        mean = (z * counts).sum(-2, keepdim=True) / counts.sum(-2, keepdim=True)
        return self.net(torch.cat([z, mean.expand_as(z), expand_time(t, z)], -1))

    def heads(self, features: Tensor) -> Tensor:
        return self.out.shared(features)

    def head(self, features: Tensor, index: Tensor) -> Tensor:
        return self.heads(features).take_along_dim(index[..., None, None], -2).squeeze(-2)

    def gate_logits(self, features: Tensor) -> Tensor:
        return self.gating(features)


g = torch.Generator().manual_seed(0)
signs = torch.randint(2, (2000, 1, 1), generator=g) * 2.0 - 1
data = signs + 0.1 * torch.randn(2000, LENGTH, DIM, generator=g)
mask = torch.arange(LENGTH) < torch.randint(3, LENGTH + 1, (2000, 1), generator=g)  # three to six tokens
for name, scope, sigma in (("one expert a token   ", None, 0.3), ("one expert a sequence", -1, 0.3 * LENGTH**0.5)):
    torch.manual_seed(0)
    field = TokenField(num_experts=4)
    objective = ConsistentMoEFM(sigma, scope=scope)
    fit(field, data, objective, cond=mask.float(), mask=mask, steps=STEPS, generator=torch.Generator().manual_seed(0))
    noise, counts = torch.randn(500, LENGTH, DIM, generator=g), mask[:500]
    with torch.no_grad():
        out = sample(field, noise, 2, cond=counts.float(), scope=scope, mask=counts, generator=g)
    side = out.z1.mean(-1) > 0
    pure = ((side == side[:, :1]) | ~counts).all(-1).float().mean()
    print(f"{name}: all tokens on the same side in {pure:.0%} of the sequences")
