"""Muon for the weight matrices of linear layers, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

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
    Both steps are those of ``torch.optim``.

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
            self.kinds.append(torch.optim.Muon(matrices, lr=lr, adjust_lr_fn="match_rms_adamw"))
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
