"""Flow maps: fields that are told where a step ends, and move by the average velocity until then."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from moefm.conditions import check_labels, check_vectors, expand_vectors
from moefm.fields import MixtureField, MLPMixtureField
from moefm.finite import can_look
from moefm.inputs import as_tensor
from moefm.paths import expand_time
from moefm.solvers import Times, solver_times

CLOSE = 1e-6
"""Times nearer than this are the same point of a grid."""


class FlowMap(MixtureField):
    r"""A mixture field of two times, whose experts give the average velocity of a step from ``t`` to ``end``.

    .. math:: u_k(z_t, t, s) = \frac{1}{s - t} \int_t^s v_k(z_\tau, \tau)\, d\tau, \qquad
              z_s = z_t + (s - t)\, u_k(z_t, t, s)

    (Boffi et al., 2024; Geng et al., 2025, for one velocity :math:`v`.) One such field serves any grid of times, since
    a step of any length is one evaluation. To write your own, implement the methods of a :class:`moefm.MixtureField`,
    the trunk with ``end``. A field can be distilled into it if its method ``to_flow_map()`` returns one.

    Example:
        >>> from moefm import FlowMap
        >>> flow_map, z = MLPFlowMap.from_field(MLPMixtureField(2, 4)), torch.randn(5, 2)
        >>> isinstance(flow_map, FlowMap)
        True
        >>> flow_map.heads(flow_map.trunk(z, 0.25, end=0.75)).shape  # average velocities of a step from 1/4 to 3/4
        torch.Size([5, 4, 2])
    """

    @abstractmethod
    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None, end: Tensor | float | None = None) -> Any:
        """Compute what experts and gate share; without ``end`` for a step of no length: the velocity at ``t``."""

    def on(self, steps: int | None = None, times: Times = None) -> OnGrid:
        """The field that :func:`moefm.sample` takes for the same ``steps`` and ``times``.

        Args:
            steps: Number of steps; ``None`` is as many as ``times`` lists, or 4.
            times: Where they lie, as for :func:`moefm.sample`; ``None`` is a uniform grid.

        Raises:
            ValueError: The times do not increase from 0 to 1, or do not agree with ``steps``.

        Example:
            >>> from moefm import sample
            >>> field = MLPFlowMap.from_field(MLPMixtureField(2, 4))
            >>> sample(field.on(2), torch.randn(5, 2), 2).nfe
            2
        """
        return OnGrid(self, solver_times(steps, times, default=4))


class OnGrid(MixtureField):
    """A flow map on one grid of times, only for Euler steps on that grid: every step ends where the next begins.

    Args:
        flow_map: The flow map.
        grid: Times ``(steps + 1,)``, increasing from 0 to 1.
    """

    grid: Tensor

    def __init__(self, flow_map: FlowMap, grid: Tensor) -> None:
        super().__init__()
        self.flow_map = flow_map
        self.num_experts = flow_map.num_experts
        self.register_buffer("grid", grid.to(next(flow_map.parameters(), grid).device))

    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None) -> Any:
        """Evaluate for the step that begins at ``t``.

        Raises:
            ValueError: No step of the grid begins there (checked only on the CPU, and not while something traces).
        """
        start = torch.as_tensor(t, device=self.grid.device).to(self.grid.dtype)
        if can_look(start) and bool(((self.grid[:-1] - start.unsqueeze(-1)).abs().amin(-1) > CLOSE).any()):
            steps = len(self.grid) - 1
            raise ValueError(
                f"a flow map on a grid of {steps} steps takes Euler steps of this grid, got one from t = "
                f"{start.max():g}: give sample the same steps or times, and the solver 'euler'"
            )
        following = torch.searchsorted(self.grid, start + CLOSE, right=True).clamp_max(len(self.grid) - 1)
        return self.flow_map.trunk(z, t, cond, self.grid[following])

    def heads(self, features: Any) -> Tensor:
        """Average velocities of all experts, ``(*batch, K, D)``."""
        return self.flow_map.heads(features)

    def head(self, features: Any, index: Tensor) -> Tensor:
        """Average velocity of expert ``index`` ``(*batch,)`` alone, ``(*batch, D)``."""
        return self.flow_map.head(features, index)

    def gate_logits(self, features: Any) -> Tensor:
        """Routing logits ``(*batch, K)``."""
        return self.flow_map.gate_logits(features)

    def check_cond(self, cond: Any, batch: torch.Size) -> None:
        """Raise where ``cond`` does not fit states ``(*batch, D)``."""
        self.flow_map.check_cond(cond, batch)


class MLPFlowMap(FlowMap):
    """The flow map of an :class:`moefm.MLPMixtureField`: the length of the step is one more number of its condition.

    Its parameters are those of ``field``, so ``save_field(flow_map.field, folder)`` keeps it, and
    ``MLPFlowMap(load_field(folder), num_classes)`` loads it again.

    Args:
        field: A field with ``cond_dim`` at least ``num_classes + 1``; the last number is the length of the step.
        num_classes: Conditions are class labels, which the field reads as one-hot vectors.

    Raises:
        ValueError: The field's condition has no place for them.

    Example:
        >>> flow_map = MLPFlowMap(MLPMixtureField(2, 4, cond_dim=1))  # from scratch; from_field copies a trained field
        >>> flow_map.on(2).experts(torch.randn(5, 2), 0.5).shape
        torch.Size([5, 4, 2])
    """

    def __init__(self, field: MLPMixtureField, num_classes: int = 0) -> None:
        super().__init__()
        vectors = field.cond_dim - 1
        if vectors < 0 or (num_classes and vectors != num_classes):
            raise ValueError(
                f"field must have cond_dim={num_classes + 1} for {num_classes} classes and the length of the step, "
                f"got {field.cond_dim}: MLPFlowMap.from_field makes a flow map of any MLPMixtureField"
            )
        self.field, self.num_experts, self.num_classes, self.vectors = field, field.num_experts, num_classes, vectors
        self.dim, self.time_change = field.dim, field.time_change

    @classmethod
    def from_field(cls, field: MLPMixtureField) -> MLPFlowMap:
        """A flow map that starts as the velocity of ``field``, whatever the length of the step.

        Example:
            >>> field, z = MLPMixtureField(2, 4, num_classes=3), torch.randn(5, 2)
            >>> flow_map = MLPFlowMap.from_field(field)
            >>> cond = torch.tensor([0, 1, 2, 0, 1])
            >>> torch.allclose(flow_map.experts(z, 0.5, cond), field.experts(z, 0.5, cond), atol=1e-5)
            True
        """
        width = field.cond_dim + field.num_classes + 1
        with torch.device("meta"):  # the weights come from the field; no random numbers are drawn
            inner = MLPMixtureField(**{**field.config, "cond_dim": width, "num_classes": 0})
        inner.time_change = copy.deepcopy(field.time_change)
        state = {name: value.detach().clone() for name, value in field.state_dict().items()}
        table = state.pop("classes.weight", None)
        for name in ("hidden_layers.0.weight", "gating.first.weight"):
            if name in state:
                state[name] = _widened(state[name], table)
        inner.load_state_dict(state, assign=True)
        return cls(inner, field.num_classes).train(field.training)

    def check_cond(self, cond: Any, batch: torch.Size) -> None:
        """Raise unless ``cond`` holds the vectors or labels of the field that this was made from."""
        self._checked(cond, batch, look=True)

    def _checked(self, cond: Any, batch: torch.Size, look: bool) -> Tensor | None:
        if (cond is None) != (self.vectors == 0):
            wanted = "be given" if cond is None else "not be given"
            raise ValueError(f"cond must {wanted}: the flow map has {self.vectors} numbers of condition")
        if cond is None:
            return None
        cond = as_tensor("cond", cond)
        if self.num_classes:
            check_labels(cond, batch, self.num_classes, look or can_look(cond))
            return nn.functional.one_hot(cond.long(), self.num_classes)
        check_vectors(cond, batch, self.vectors)
        return cond

    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None, end: Tensor | float | None = None) -> Any:
        """Evaluate the field with the length of the step, ``end - t``, in addition to its condition."""
        vectors = self._checked(cond, z.shape[:-1], look=False)
        start = expand_time(t, z)
        length = torch.zeros_like(start) if end is None else expand_time(end, z) - start
        parts = [length] if vectors is None else [expand_vectors(vectors.to(z), z), length]
        return self.field.trunk(z, t, torch.cat(parts, -1))

    def heads(self, features: Any) -> Tensor:
        """Average velocities of all experts, ``(*batch, K, D)``."""
        return self.field.heads(features)

    def head(self, features: Any, index: Tensor) -> Tensor:
        """Average velocity of expert ``index`` ``(*batch,)`` alone, ``(*batch, D)``."""
        return self.field.head(features, index)

    def gate_logits(self, features: Any) -> Tensor:
        """Routing logits ``(*batch, K)``."""
        return self.field.gate_logits(features)


def _widened(weight: Tensor, table: Tensor | None) -> Tensor:
    """Weights ``(..., F)`` of a first layer that reads labels as one-hot vectors, not by ``table``, and a length."""
    if table is not None:
        embedded = table.shape[1]
        weight = torch.cat([weight[..., :-embedded], weight[..., -embedded:] @ table.T], -1)
    return nn.functional.pad(weight, (0, 1))


def to_flow_map(field: MixtureField) -> FlowMap:
    """Return a flow map that starts as ``field``; a flow map itself is returned as it is.

    Raises:
        TypeError: ``field`` is not a :class:`moefm.MLPMixtureField` and has no method ``to_flow_map``.
    """
    if isinstance(field, FlowMap):
        return field
    if isinstance(field, MLPMixtureField):
        return MLPFlowMap.from_field(field)
    make: Callable[[], FlowMap] | None = getattr(field, "to_flow_map", None)
    if make is None:
        raise TypeError(
            f"field must be an MLPMixtureField or have a method to_flow_map() for a flow map, got "
            f"{type(field).__name__}: write one, or distil with method='progressive'"
        )
    return make()
