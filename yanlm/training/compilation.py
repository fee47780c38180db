"""Training with ``torch.compile``: block by block."""

from __future__ import annotations

from torch import nn


def compile_blocks(model: nn.Module, backend: str = "inductor") -> int:
    """Have the compiler fuse the operations of every block of a model, in place.

    The blocks take the time, one compilation serves all that are alike, and weights keep their names. Outside them rows
    draw noise and sizes are read, which no compiler traces.

    Args:
        model: A model that names its blocks as Hugging Face does (``_no_split_modules``).
        backend: Backend of ``torch.compile``.

    Returns:
        How many blocks there are.

    Raises:
        ValueError: The model names no blocks.
    """
    names = getattr(model, "_no_split_modules", None) or ()
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    if not blocks:
        raise ValueError(
            f"compile is for models that name their blocks, and {type(model).__name__} does not: leave it out"
        )
    for block in blocks:
        block.compile(backend=backend)
    return len(blocks)
