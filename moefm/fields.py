"""Mixture fields: K velocity experts and a gate on one shared trunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from moefm.checks import check_count
from moefm.conditions import check_labels, check_vectors, expand_vectors
from moefm.experts import Dispatch, ExpertLinear, check_index
from moefm.finite import can_look
from moefm.gating import Gate
from moefm.information import InformationTime
from moefm.inputs import as_tensor
from moefm.paths import expand_time
from moefm.scope import Scope


class MixtureField(nn.Module, ABC):
    """A mixture-of-experts vector field, Eq. (4): experts :math:`u_k(z_t, t)` and routing :math:`\\pi(z_t, t)`.

    Write your own by implementing four methods. ``trunk`` does the work that experts and gate share and counts as one
    evaluation; the other three read its result, which may be anything. Everything else (losses, routing, sampling,
    densities) follows from them.

    Attributes:
        num_experts: K.
        time_change: The :class:`moefm.InformationTime` that the field was trained with, or ``None``. It is part of the
            field's state, and saved with it.

    Example:
        >>> class Straight(MixtureField):  # K directions that are learned; the gate prefers the one that z points to
        ...     def __init__(self, dim, num_experts):
        ...         super().__init__()
        ...         self.num_experts, self.ways = num_experts, nn.Parameter(torch.randn(num_experts, dim))
        ...     trunk = lambda self, z, t, cond=None: z
        ...     heads = lambda self, z: self.ways.expand(*z.shape[:-1], *self.ways.shape)
        ...     head = lambda self, z, index: self.ways[index]
        ...     gate_logits = lambda self, z: z @ self.ways.T
        >>> velocities, logits = Straight(2, 3)(torch.zeros(5, 2), 0.5)
        >>> velocities.shape, logits.shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3]))
    """

    num_experts: int
    time_change: InformationTime | None

    def __init__(self) -> None:
        super().__init__()
        self.time_change = None

    @abstractmethod
    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None) -> Any:
        """Compute what experts and gate share at state ``(*batch, D)``, time and condition."""

    @abstractmethod
    def heads(self, features: Any) -> Tensor:
        """Velocities of all experts, ``(*batch, K, D)``."""

    @abstractmethod
    def head(self, features: Any, index: Tensor) -> Tensor:
        """Velocity of expert ``index`` ``(*batch,)`` alone, ``(*batch, D)``."""

    @abstractmethod
    def gate_logits(self, features: Any) -> Tensor:
        """Routing logits ``(*batch, K)``."""

    def check_cond(self, cond: Any, batch: torch.Size) -> None:
        """Raise if ``cond`` does not fit states ``(*batch, D)``. ``fit``, ``sample`` and ``log_prob`` call it once."""

    def forward(self, z: Tensor, t: Tensor | float, cond: Any = None) -> tuple[Tensor, Tensor]:
        """Velocities of all experts ``(*batch, K, D)`` and gate logits ``(*batch, K)`` from one evaluation."""
        features = self.trunk(z, t, cond)
        return self.heads(features), self.gate_logits(features)

    def experts(self, z: Tensor, t: Tensor | float, cond: Any = None) -> Tensor:
        """Velocities of all experts, ``(*batch, K, D)``."""
        return self.heads(self.trunk(z, t, cond))

    def expert(self, z: Tensor, t: Tensor | float, index: Tensor, cond: Any = None) -> Tensor:
        """Velocity of expert ``index`` ``(*batch,)`` alone, ``(*batch, D)``."""
        return self.head(self.trunk(z, t, cond), index)

    def gate(self, z: Tensor, t: Tensor | float, cond: Any = None) -> Tensor:
        """Routing logits ``(*batch, K)``."""
        return self.gate_logits(self.trunk(z, t, cond))


def sizes_of(field: nn.Module, config: dict[str, Any]) -> str:
    """Class, arguments and number of parameters of a field in one line."""
    sizes = ", ".join(f"{name}={value}" for name, value in config.items())
    return f"{type(field).__name__}({sizes}, parameters={sum(p.numel() for p in field.parameters())})"


MOST_EMBEDDED = 16
"""Largest width of the embedding of a class label; with fewer classes it is their number."""


class _Features(NamedTuple):
    inputs: Tensor  # (*batch, D + 1 + C): what the gate reads
    hidden: Tensor  # (*batch, H): what the expert heads read


class MLPMixtureField(MixtureField):
    """A small field for vectors: an MLP trunk with K linear heads, or K separate MLPs.

    Args:
        dim: Dimension D of the state.
        num_experts: K; with 1 there is no gate and the field is that of vanilla flow matching.
        hidden: Width of the layers. Multiples of 8 are the fastest.
        layers: Number of hidden layers.
        cond_dim: Width of an optional condition ``(*batch, cond_dim)``; leading dimensions broadcast from the left.
        num_classes: In place of ``cond_dim``, for class labels: integers ``(*batch,)`` that are embedded.
        separate: Give each expert its own MLP (batched matmuls) instead of a head on the shared trunk.
        gate_hidden: Width of the gate's hidden layer.

    Raises:
        ValueError: A count is out of range, an input has the wrong width, or a label is not a class.
        TypeError: Labels are not integers.

    Example:
        >>> field = MLPMixtureField(dim=2, num_experts=8)
        >>> velocities, logits = field(torch.randn(5, 2), 0.5)
        >>> velocities.shape, logits.shape
        (torch.Size([5, 8, 2]), torch.Size([5, 8]))
        >>> field.expert(torch.randn(5, 2), 0.5, torch.tensor([0, 7, 7, 1, 2])).shape
        torch.Size([5, 2])
        >>> MLPMixtureField(2, num_classes=10).experts(torch.randn(5, 2), 0.5, torch.arange(5)).shape
        torch.Size([5, 8, 2])
    """

    def __init__(
        self,
        dim: int,
        num_experts: int = 8,
        hidden: int = 128,
        layers: int = 3,
        *,
        cond_dim: int = 0,
        num_classes: int = 0,
        separate: bool = False,
        gate_hidden: int = 64,
    ) -> None:
        super().__init__()
        self.dim = check_count("dim", dim)
        self.num_experts = check_count("num_experts", num_experts)
        self.hidden = check_count("hidden", hidden)
        self.layers = check_count("layers", layers)
        self.cond_dim = check_count("cond_dim", cond_dim, minimum=0)
        self.num_classes = check_count("num_classes", num_classes, minimum=0)
        if self.cond_dim and self.num_classes:
            raise ValueError(
                f"num_classes must not be given beside cond_dim={cond_dim}, got {num_classes}: for both, join "
                "one_hot(labels) to the vectors and give cond_dim alone"
            )
        self.separate = bool(separate)
        self.gate_hidden = check_count("gate_hidden", gate_hidden)
        num_experts, hidden, embedded = self.num_experts, self.hidden, min(self.num_classes, MOST_EMBEDDED)
        inputs = self.dim + 1 + self.cond_dim + embedded
        widths = [inputs] + [hidden] * self.layers
        pairs = list(pairwise(widths))
        if separate:
            self.hidden_layers = nn.ModuleList(ExpertLinear(num_experts, a, b) for a, b in pairs)
        else:
            self.hidden_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.out = ExpertLinear(num_experts, hidden, self.dim)
        self.gating = Gate(inputs, num_experts, self.gate_hidden) if num_experts > 1 else None
        self.classes = nn.Embedding(self.num_classes, embedded) if self.num_classes else None

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this field."""
        names = ("dim", "num_experts", "hidden", "layers", "cond_dim", "num_classes", "separate", "gate_hidden")
        return {name: getattr(self, name) for name in names}

    def trunk(self, z: Tensor, t: Tensor | float, cond: Tensor | None = None) -> _Features:
        """Join state, time and condition, and run the shared layers."""
        if z.ndim < 1 or z.shape[-1] != self.dim:
            raise ValueError(f"z must have shape (*batch, {self.dim}), got {tuple(z.shape)}")
        parts = [z, expand_time(t, z)]
        cond = self._checked(cond, z.shape[:-1], look=False)
        if cond is not None:
            vectors = cond if self.classes is None else self.classes(cond.long().to(z.device))
            parts.append(expand_vectors(vectors, z))
        inputs = torch.cat(parts, -1)
        hidden = inputs
        if not self.separate:
            for layer in self.hidden_layers:
                hidden = nn.functional.silu(layer(hidden), inplace=not torch.is_grad_enabled())
        return _Features(inputs, hidden)

    def check_cond(self, cond: Any, batch: torch.Size) -> None:
        """Raise unless ``cond`` holds the vectors ``(*batch, cond_dim)`` or labels ``(*batch,)`` of this field."""
        self._checked(cond, batch, look=True)

    def _checked(self, cond: Any, batch: torch.Size, look: bool) -> Tensor | None:
        """The condition as a tensor; ``look`` at the labels' range even where that waits for a device."""
        if (cond is None) != (self.cond_dim == self.num_classes == 0):
            wanted = "be given" if cond is None else "not be given"
            raise ValueError(f"cond must {wanted}: cond_dim={self.cond_dim}, num_classes={self.num_classes}")
        if cond is None:
            return None
        cond = as_tensor("cond", cond)
        if self.num_classes:
            check_labels(cond, batch, self.num_classes, look or can_look(cond))
        else:
            check_vectors(cond, batch, self.cond_dim)
        return cond

    def heads(self, features: _Features) -> Tensor:
        """Velocities of all experts, ``(*batch, K, D)``."""
        if not self.separate:
            return self.out.shared(features.hidden)
        hidden = features.inputs.unsqueeze(-2).expand(*features.inputs.shape[:-1], self.num_experts, -1)
        for layer in self.hidden_layers:
            hidden = nn.functional.silu(layer(hidden))
        return self.out(hidden)

    def head(self, features: _Features, index: Tensor) -> Tensor:
        """Velocity of the chosen expert only: rows are sorted by expert and multiplied group by group.

        If all heads together are no wider than the rows that sorting would copy, all are computed and one is picked.
        """
        batch = features.hidden.shape[:-1]
        check_index("index", index, batch, self.num_experts)
        if not self.separate and self.num_experts * self.dim <= self.hidden:
            return self.heads(features).take_along_dim(index.long()[..., None, None], -2).squeeze(-2)
        dispatch = Dispatch(index.flatten().long(), self.num_experts)
        rows = dispatch.gather(features.hidden.reshape(-1, features.hidden.shape[-1]))
        if self.separate:
            for layer in self.hidden_layers:
                rows = nn.functional.silu(cast(ExpertLinear, layer).sorted(rows, dispatch))
        return dispatch.scatter(self.out.sorted(rows, dispatch)).reshape(*batch, self.dim)

    def gate_logits(self, features: _Features, scope: Scope = None, mask: Tensor | None = None) -> Tensor:
        """Routing logits ``(*batch, K)`` from state, time and condition."""
        if self.gating is None:
            return features.inputs.new_zeros(*features.inputs.shape[:-1], 1)
        return self.gating(features.inputs, scope, mask)

    def __repr__(self) -> str:
        """One line with the sizes and the number of parameters."""
        return sizes_of(self, self.config)
