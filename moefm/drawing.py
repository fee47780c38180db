"""Random draws of experts: from a gate's logits, ahead of a sampling run, and on the way through one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moefm.fields import MixtureField
from moefm.finite import can_look, check_logits
from moefm.generators import Generators, child, fork, fresh, uniform
from moefm.scope import Scope, group_mean, share_first


def draw_expert(logits: Tensor, generator: Generators = None, scope: Scope = None) -> Tensor:
    """Draw experts from their probabilities by inverting the distribution function, with one uniform per group.

    Args:
        logits: ``(*batch, K)``, equal within each group of ``scope``; ``-inf`` is a probability of 0.
        generator: One generator, or one per leading index.
        scope: Which positions share one expert.

    Returns:
        Integers ``(*batch,)``.

    Raises:
        NotFiniteError: A row is ``-inf`` throughout, or holds NaN or ``+inf``. Checked only on the CPU: elsewhere
            the check would wait for the device.

    Example:
        >>> draw_expert(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.Generator().manual_seed(0))
        tensor([1, 0])
    """
    check_logits(logits)
    return _at(logits, share_first(uniform(logits.shape[:-1], generator, logits.device), scope))


def _at(logits: Tensor, u: Tensor) -> Tensor:
    """Experts where the distribution functions of ``softmax(logits)`` pass ``u`` ``(*batch,)``."""
    cdf = torch.softmax(logits.float(), -1).cumsum(-1)
    return (cdf[..., :-1] <= (u * cdf[..., -1]).unsqueeze(-1)).sum(-1)


def draw_uniforms(draws: int, batch: Sequence[int], generator: Generators = None) -> Tensor:
    """Uniform numbers ``(draws, *batch)`` for drawing experts, made before a sampling run.

    The run's :class:`Router` would draw the same numbers from the same generators.

    Args:
        draws: Number of draws: 1 for frozen routing, one per evaluation for resampled routing.
        batch: Leading dimensions of the state.
        generator: One generator, or one per leading index.

    Example:
        >>> draw_uniforms(1, (2, 3), torch.Generator().manual_seed(0)).shape
        torch.Size([1, 2, 3])
    """
    rows = [uniform(batch, _streams(generator)) for _ in range(draws)]
    return torch.stack(rows) if rows else torch.empty(0, *batch)


def _streams(generator: Generators) -> Generators:
    """Streams of one draw alone, so that the next one does not depend on how long the batch is padded."""
    if isinstance(generator, Sequence):
        return [fork(fresh(own)) for own in generator]
    return child(fresh(generator))


@dataclass
class Router:
    """What a policy needs during one sampling run: pooled logits and random draws.

    Attributes:
        generator: One generator, or one per leading index.
        scope: Which positions share one expert.
        mask: Positions that count.
        doubt: ``(*batch, 1)``, NaN if the gate's logits are not a distribution, else 0; ``None`` if that was checked.
        uniforms: Numbers ``(draws, *batch)`` of :func:`draw_uniforms`, in place of ``generator``.
        drawn: Number of draws made so far.
    """

    generator: Generators = None
    scope: Scope = None
    mask: Tensor | None = None
    doubt: Tensor | None = None
    uniforms: Tensor | None = None
    drawn: int = 0

    def logits(self, field: MixtureField, features: Any) -> Tensor:
        """Gate logits, averaged over each group of the scope.

        Raises:
            NotFiniteError: On the CPU, if no expert can be drawn. Elsewhere the check would wait for the device, so
                ``doubt`` becomes NaN, which the sampler adds to the velocity.
        """
        logits = group_mean(field.gate_logits(features), self.scope, self.mask)
        if can_look(logits):
            check_logits(logits, self.mask)
        else:
            top = logits.amax(-1, keepdim=True)
            self.doubt = (top - top) if self.mask is None else (top - top).masked_fill(~self.mask.unsqueeze(-1), 0)
        return logits

    def draw(self, logits: Tensor) -> Tensor:
        """Draw experts.

        Every draw has its own stream, so that the next draw does not depend on the padding of the batch.

        Raises:
            ValueError: Uniforms are given, and all of them are used.
        """
        check_logits(logits, self.mask)
        if self.uniforms is None:
            u = uniform(logits.shape[:-1], _streams(self.generator), logits.device)
        elif self.drawn < len(self.uniforms):
            u = self.uniforms[self.drawn]
        else:
            raise ValueError(f"uniforms must hold a row for every draw, got {len(self.uniforms)}")
        self.drawn += 1
        return _at(logits, share_first(u, self.scope))
