"""Random draws that never touch torch's global generator and do not depend on how many rows follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

Generators = Generator | Sequence[Generator] | None
"""One generator for all rows, one per leading index, or ``None`` for fresh unseeded randomness."""


def fresh(generator: Generator | None) -> Generator:
    """Return ``generator``, or a new one seeded from the system when it is ``None``."""
    if isinstance(generator, Generator):
        return generator
    if generator is not None:
        raise TypeError(
            f"generator must be a torch.Generator, got {generator!r}: write torch.Generator().manual_seed(seed)"
        )
    new = torch.Generator()
    new.seed()
    return new


def child(generator: Generator) -> Generator:
    """Derive a CPU generator from one integer of ``generator``: later draws of the parent stay where they were."""
    seed = torch.randint(0, 2**62, (), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def fork(generator: Generator) -> Generator:
    """Return the stream of ``generator``, which itself goes on from a new seed, whatever the fork draws."""
    stream = generator.clone_state()
    generator.manual_seed(int(torch.randint(0, 2**62, (), generator=generator, device=generator.device)))
    return stream


def uniform(shape: Sequence[int], generator: Generators, device: torch.device | str | None = None) -> Tensor:
    """Draw float32 uniforms on [0, 1) of ``shape``.

    With one CPU generator the first rows do not change when more rows follow. With a sequence of generators row ``i``
    depends on ``generator[i]`` alone.
    """
    if not isinstance(generator, Sequence):
        source = fresh(generator)
        return torch.rand(tuple(shape), generator=source, device=source.device).to(device)
    if not shape or len(generator) != shape[0]:
        raise ValueError(
            f"generator must be one generator or one per leading index ({shape[0] if shape else 0}), "
            f"got a sequence of {len(generator)}"
        )
    sources = [fresh(g) for g in generator]
    return torch.stack([torch.rand(tuple(shape[1:]), generator=g, device=g.device).to(device) for g in sources])
