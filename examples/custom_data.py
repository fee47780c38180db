"""Train on your own points: standardize, fit, sample, and compare with held-out points.

Usage: python custom_data.py [training steps]
"""

import sys

import numpy as np
import torch

from moefm import ConsistentMoEFM, MLPMixtureField, fit, sample
from moefm.diagnostics import dead_experts, effective_experts, expert_usage, off_support, w2

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 1500


def petals(count: int, seed: int) -> np.ndarray:
    """Stand-in for np.load("points.npy"): five petals, in units of some instrument."""
    rng = np.random.default_rng(seed)
    petal = rng.integers(5, size=count) * 2 * np.pi / 5
    along, across = 2 + rng.uniform(0, 3, count), 0.15 * rng.standard_normal(count)
    x = along * np.cos(petal) - across * np.sin(petal)
    y = along * np.sin(petal) + across * np.cos(petal)
    return np.stack([1000 + 80 * x, 3 + 0.02 * y], axis=1)


train, held_out, fresh = (torch.from_numpy(petals(n, seed)).float() for n, seed in ((5000, 0), (1000, 1), (1000, 2)))
mean, std = train.mean(0), train.std(0)  # only from the training points
train, held_out, fresh = ((points - mean) / std for points in (train, held_out, fresh))

torch.manual_seed(0)
field = MLPMixtureField(dim=2, num_experts=10, hidden=96)  # two experts per petal
generator = torch.Generator().manual_seed(0)
result = fit(field, train, ConsistentMoEFM(), steps=STEPS, batch_size=128, generator=generator)
print(f"trained {field} in {result.seconds:.1f} s")

noise = torch.randn(1000, 2, generator=generator)
print(f"W2 between two sets of real points: {w2(fresh, held_out):.3f}")
for steps in (1, 2, 4, 8):
    with torch.no_grad():
        out = sample(field, noise, steps, generator=torch.Generator().manual_seed(1))
    outside = off_support(out.z1, train, fresh)
    print(f"{steps} steps: W2 {w2(out.z1, held_out):.3f}, off the support {outside:.1%}")

usage = expert_usage(out.assignment, 10)
print(f"{effective_experts(usage):.1f} experts in use, {dead_experts(usage)} dead")
print("one sample in the original units:", (out.z1[0] * std + mean).tolist())
