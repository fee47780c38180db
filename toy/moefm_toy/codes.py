"""Code words in many dimensions, each with a little noise: many modes, which are decided within a short time."""

from __future__ import annotations

import torch
from torch import Tensor

WORDS, DIM, SPREAD = 16, 128, 0.25
HIDDEN = 256
"""Width of the layers: the noise of all dimensions has to fit through."""


def code_words() -> Tensor:
    """The code words, vectors of random signs ``(WORDS, DIM)``, always the same.

    Example:
        >>> code_words().shape, code_words().unique().tolist()
        (torch.Size([16, 128]), [-1.0, 1.0])
    """
    signs = torch.randint(0, 2, (WORDS // 2, DIM), generator=torch.Generator().manual_seed(0))
    half = 2 * signs.to(torch.float32) - 1
    return torch.cat([half, -half])  # centred


def draw_codes(n: int, generator: torch.Generator) -> Tensor:
    """Noisy code words ``(n, DIM)``, all equally likely."""
    word = torch.randint(WORDS, (n,), generator=generator, device=generator.device)
    noise = torch.randn(n, DIM, generator=generator, device=generator.device, dtype=torch.float32)
    return code_words().to(generator.device)[word] + SPREAD * noise
