"""A field of your own: write four methods, and losses, sampling and densities work.

Usage: python own_field.py [training steps]
"""

import sys

import torch
from torch import Tensor, nn

from moefm import ConsistentMoEFM, Gate, MixtureField, fit, log_prob, sample
from moefm.paths import expand_time

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600


class ResidualField(MixtureField):
    """Experts are low-rank corrections of one common velocity; the gate reads the trunk."""

    def __init__(self, dim: int, num_experts: int, hidden: int = 96, rank: int = 8) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.enter = nn.Linear(dim + 1, hidden)
        layers = [nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()]
        self.block = nn.Sequential(*layers)
        self.common = nn.Linear(hidden, dim)
        self.down = nn.Parameter(torch.randn(num_experts, rank, hidden) / hidden**0.5)
        self.up = nn.Parameter(torch.randn(num_experts, dim, rank) / rank**0.5)
        self.gating = Gate(hidden, num_experts)

    def trunk(self, z: Tensor, t: Tensor | float, cond: None = None) -> Tensor:
        return self.block(self.enter(torch.cat([z, expand_time(t, z)], -1)))

    def heads(self, features: Tensor) -> Tensor:
        low = torch.einsum("...h,krh->...kr", features, self.down)
        return self.common(features).unsqueeze(-2) + torch.einsum("...kr,kdr->...kd", low, self.up)

    def head(self, features: Tensor, index: Tensor) -> Tensor:
        low = torch.einsum("...h,...rh->...r", features, self.down[index])
        return self.common(features) + torch.einsum("...r,...dr->...d", low, self.up[index])

    def gate_logits(self, features: Tensor) -> Tensor:
        return self.gating(features)


g = torch.Generator().manual_seed(0)
corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
data = corners[torch.randint(4, (4000,), generator=g)] + 0.1 * torch.randn(4000, 2, generator=g)
torch.manual_seed(0)
field = ResidualField(dim=2, num_experts=4)
result = fit(field, data, ConsistentMoEFM(), steps=STEPS, batch_size=128, generator=g)
with torch.no_grad():
    out = sample(field, torch.randn(1000, 2, generator=g), steps=2, generator=g)
    near = torch.cdist(out.z1, corners).min(-1)
print(f"trained in {result.seconds:.1f} s; {out.nfe} evaluations for 1000 samples")
print(f"samples within .4 of a corner: {(near.values < 0.4).float().mean():.0%}")
for k in range(4):
    print(f"expert {k} serves the corners", near.indices[out.assignment == k].bincount(minlength=4).tolist())
print("log-density at a corner and at the centre:", log_prob(field, torch.tensor([[1.0, 1.0], [0.0, 0.0]])).tolist())
