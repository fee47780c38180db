"""A training step of each loss beside torchcfm's, and 100,000 samples: medians of processor time, variants in turn.

    python benchmarks/training_step.py --rounds 15
    python benchmarks/training_step.py --rounds 15 --width 256 --evaluations 1024

The peer's step is that of torchcfm's examples: its path and target, one network, AdamW. Where torchcfm is not
installed, its two lines of arithmetic stand here. All have the same hidden layers and equally many evaluations of them;
a mixture has its heads and its gate on top.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from moefm import VFM, ConsistentMoEFM, MLPMixtureField, MoEFM, Objective, fit, sample

STEPS, POINTS = 60, 100_000
data = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0))


def matcher() -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """torchcfm's independent path, sigma = 0: times, points and targets of pairs."""
    try:
        from torchcfm import ConditionalFlowMatcher

        return ConditionalFlowMatcher(sigma=0.0).sample_location_and_conditional_flow
    except ImportError:

        def pairs(x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            t = torch.rand(len(x0))
            at = t[:, None]
            return t, at * x1 + (1 - at) * x0 + 0.0 * torch.randn_like(x0), x1 - x0

        return pairs


def peer(fused: bool, width: int, evaluations: int) -> Callable[[], object]:
    """The plain loop of torchcfm's examples; `fused` is an optimizer in one kernel, which they do not ask for."""
    pairs = matcher()

    def run() -> None:
        layers = [nn.Linear(3, width), nn.Linear(width, width), nn.Linear(width, width)]
        net = nn.Sequential(*(part for layer in layers for part in (layer, nn.SiLU())), nn.Linear(width, 2))
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, fused=fused)
        for _ in range(STEPS):
            x1 = data[torch.randint(len(data), (evaluations,))]
            t, xt, ut = pairs(torch.randn_like(x1), x1)
            loss = (net(torch.cat([xt, t[:, None]], -1)) - ut).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def ours(objective: Objective, experts: int, width: int, evaluations: int) -> Callable[[], object]:
    """`moefm.fit`, whole: batches, coupling, schedule, checks and all."""
    field, pairs = MLPMixtureField(2, experts, width), evaluations // objective.evaluations
    return lambda: fit(copy.deepcopy(field), data, objective, steps=STEPS, batch_size=pairs)


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def sampling(field: MLPMixtureField) -> Callable[[], object]:
    noise = torch.randn(POINTS, 2)
    return torch.no_grad()(lambda: sample(field, noise, steps=4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each variant (%(default)s)")
    parser.add_argument("--width", type=int, default=128, help="width of the hidden layers (%(default)s)")
    parser.add_argument("--evaluations", type=int, default=256, help="evaluations of the network a step (%(default)s)")
    given = parser.parse_args()
    rounds, size = given.rounds, (given.width, given.evaluations)
    torch.set_num_threads(1)
    variants = {
        "torchcfm": peer(False, *size), "torchcfm, fused AdamW": peer(True, *size), "VFM": ours(VFM(), 1, *size),
        "paper's loss": ours(MoEFM(), 8, *size), "consistent loss": ours(ConsistentMoEFM(), 8, *size),
    }  # fmt: skip
    taken = [{name: seconds(run) / STEPS for name, run in variants.items()} for _ in range(rounds)]
    for name in variants:
        ratios = sorted(row[name] / row["torchcfm"] for row in taken)
        cost = statistics.median(row[name] for row in taken)
        print(
            f"{name:22s} {1e3 * cost:6.2f} ms a step, {statistics.median(ratios):.2f} of torchcfm's "
            f"({ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f})"
        )
    field = MLPMixtureField(2, 8, given.width).eval()
    times = [seconds(sampling(field)) for _ in range(min(rounds, 5))]
    print(f"sample, {POINTS:,} points, 4 steps: {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()
