"""Routing policies: which expert moves a state, and when that is decided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moefm.checks import check_choice
from moefm.fields import MixtureField
from moefm.finite import can_look, check_logits
from moefm.generators import Generators, child, fork, fresh, uniform
from moefm.inputs import check_instance
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
    """Uniforms for this many draws of experts, ``(draws, *batch)``, made before a sampling run.

    The run's :class:`Router` would draw the same ones from the same generators.

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


class Routing(ABC):
    """A policy. Subclass it and pass an instance to :func:`moefm.sample` to try your own.

    Attributes:
        stochastic_in_time: It draws at every evaluation, so it cannot be combined with adaptive solvers.
        uses_assignment: It reads the assignment that it is given.
    """

    stochastic_in_time = False
    uses_assignment = True

    @abstractmethod
    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Return the velocity ``(*batch, D)`` and the assignment ``(*batch,)`` that the next evaluation is given."""

    def __repr__(self) -> str:
        """The class's name."""
        return f"{type(self).__name__}()"


class Frozen(Routing):
    """The paper's: draw the expert from the gate at t = 0 and keep it for the whole trajectory (section 3.2)."""

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Draw at the first evaluation only."""
        if assignment is None:
            assignment = router.draw(router.logits(field, features))
        return field.head(features, assignment), assignment


class Greedy(Routing):
    """The most probable expert at t = 0, kept for the whole trajectory: frozen routing without its draw."""

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Choose at the first evaluation only."""
        if assignment is None:
            assignment = router.logits(field, features).argmax(-1)
        return field.head(features, assignment), assignment


class Resampled(Routing):
    """Draw a new expert at every evaluation."""

    stochastic_in_time = True
    uses_assignment = False

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Draw at every evaluation."""
        assignment = router.draw(router.logits(field, features))
        return field.head(features, assignment), assignment


class Mean(Routing):
    r"""Move by the mean velocity :math:`\sum_k \pi_k u_k`; no expert is assigned."""

    uses_assignment = False

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Average over the experts."""
        velocities = field.heads(features)
        pi = torch.softmax(router.logits(field, features), -1).to(velocities.dtype)
        return torch.einsum("...k,...kd->...d", pi, velocities), None


class Argmax(Routing):
    """Move by the most probable expert of the moment. Deterministic; loses every mode the gate does not prefer."""

    uses_assignment = False

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Pick the most probable expert."""
        assignment = router.logits(field, features).argmax(-1)
        return field.head(features, assignment), assignment


ROUTINGS: dict[str, Callable[[], Routing]] = {
    "frozen": Frozen,
    "greedy": Greedy,
    "resampled": Resampled,
    "mean": Mean,
    "argmax": Argmax,
}


def get_routing(routing: str | Routing) -> Routing:
    """Return the policy of that name, or the policy itself.

    Example:
        >>> get_routing("frozen")
        Frozen()
    """
    if isinstance(routing, Routing):
        return routing
    check_instance("routing", routing)
    return ROUTINGS[check_choice("routing", routing, ROUTINGS)]()
