"""Routing policies: which expert moves a state, and when that is decided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from moefm.checks import check_choice
from moefm.drawing import Router as Router
from moefm.drawing import draw_expert as draw_expert
from moefm.drawing import draw_uniforms as draw_uniforms
from moefm.fields import MixtureField
from moefm.inputs import check_instance


class Routing(ABC):
    """Decides which expert moves each state. Subclass it and pass an instance to :func:`moefm.sample` for your own.

    Attributes:
        stochastic_in_time: It draws at every evaluation, so it cannot be combined with adaptive solvers.
        uses_assignment: It reads the assignment that it is given.

    Example:
        >>> from moefm import MLPMixtureField, sample
        >>> class Sharp(Routing):  # drawn once, from a gate whose logits are doubled
        ...     def __call__(self, field, features, assignment, router):
        ...         if assignment is None:
        ...             assignment = router.draw(2 * router.logits(field, features))
        ...         return field.head(features, assignment), assignment
        >>> sample(MLPMixtureField(2, 4), torch.randn(5, 2), routing=Sharp()).assignment.shape
        torch.Size([5])
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
    """Draw the expert from the gate at t = 0 and keep it for the whole trajectory: the paper's routing (section 3.2).

    Example:
        >>> from moefm import MLPMixtureField, sample
        >>> sample(MLPMixtureField(2, 4), torch.randn(5, 2), routing=Frozen()).assignment.shape  # drawn once
        torch.Size([5])
    """

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
    """Draw a new expert at every evaluation.

    Example:
        >>> from moefm import MLPMixtureField, sample
        >>> sample(MLPMixtureField(2, 4), torch.randn(5, 2), routing=Resampled()).assignment.shape  # of the last draw
        torch.Size([5])
    """

    stochastic_in_time = True
    uses_assignment = False

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Draw at every evaluation."""
        assignment = router.draw(router.logits(field, features))
        return field.head(features, assignment), assignment


class Mean(Routing):
    r"""Move by the mean velocity :math:`\sum_k \pi_k u_k`; no expert is assigned.

    Example:
        >>> from moefm import MLPMixtureField, sample
        >>> field, z = MLPMixtureField(2, 4), torch.randn(5, 2)
        >>> velocities, logits = field(z, 0.0)
        >>> step = sample(field, z, steps=1, routing=Mean())
        >>> torch.allclose(step.z1, z + (logits.softmax(-1).unsqueeze(-1) * velocities).sum(-2), atol=1e-5)
        True
        >>> step.assignment is None
        True
    """

    uses_assignment = False

    def __call__(
        self, field: MixtureField, features: Any, assignment: Tensor | None, router: Router
    ) -> tuple[Tensor, Tensor | None]:
        """Average over the experts."""
        velocities = field.heads(features)
        pi = torch.softmax(router.logits(field, features), -1).to(velocities.dtype)
        return torch.einsum("...k,...kd->...d", pi, velocities), None


class Argmax(Routing):
    """Move by the expert most probable at the moment. Deterministic; loses every mode that the gate does not prefer.

    Example:
        >>> from moefm import MLPMixtureField, sample
        >>> field, z = MLPMixtureField(2, 4), torch.randn(5, 2)
        >>> torch.equal(sample(field, z, steps=1, routing=Argmax()).assignment, field.gate(z, 0.0).argmax(-1))
        True
    """

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
