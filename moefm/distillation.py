"""Distillation: students that need a few steps where their teacher needs many."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from moefm.checks import check_count, check_positive
from moefm.fields import MixtureField
from moefm.flow_maps import FlowMap
from moefm.generators import Generators, fresh, uniform
from moefm.inputs import as_state, check_field
from moefm.losses import Loss, vfm_loss
from moefm.numeric import clean, masked_mean, wide
from moefm.paths import expand_time
from moefm.sampling import sample
from moefm.scope import Scope, group_mean
from moefm.solvers import Times, solver_times


class Trajectory(NamedTuple):
    """The path of a teacher from a batch of noise, and what determined it.

    Attributes:
        states: States at every time of the teacher's grid, ``(teacher_steps + 1, *batch, D)``.
        expert: The expert that moved every position, ``(*batch,)``.
        logits: The teacher's gate logits at t = 0, pooled over the scope, ``(*batch, K)``.
        cond: The condition.
        mask: Positions that count.
        scope: Which positions share one expert.
    """

    states: Tensor
    expert: Tensor
    logits: Tensor
    cond: Any
    mask: Tensor | None
    scope: Scope


class Distillation:
    r"""The objective of a student that takes a few steps along the trajectories of its teacher.

    .. math:: E\, \big| u_e(z_t, t) - (z_s - z_t) / (s - t) \big|^2 + w\, E \sum_k \tfrac12 \pi_k
              \Big( \log \frac{\pi_k}{\hat\pi_k} \Big)^2

    Here :math:`z_t, z_s` are states of the teacher at two neighbouring times of the student's grid, reached in the
    teacher's own fine steps from fresh noise by the expert e that frozen routing drew at t = 0; the student's expert e
    learns the average velocity between them. Given noise and expert nothing is random, so the student can be exact up
    to its capacity. The second part keeps the shares of the experts (:func:`divergence`).

    It is called like any :class:`moefm.Objective`, with data whose values do not matter. It stores ``reuse`` batches.

    Args:
        teacher: The field to learn from. Its mode is not changed, so put it into ``eval()``.
        steps: Steps of the student, a divisor of ``teacher_steps``. Several for a :class:`moefm.FlowMap`: a row
            then trains a step of one of them.
        teacher_steps: Euler steps of the teacher.
        times: Where the teacher's steps lie, as for :func:`moefm.sample`; ``None`` is a uniform grid. The student's
            grid is every ``teacher_steps / steps``-th time of it.
        gate_scale: The weight w.
        reuse: How often each batch of trajectories is trained on, on average.

    Attributes:
        times: The teacher's grid ``(teacher_steps + 1,)``.

    Raises:
        ValueError: ``steps`` does not divide ``teacher_steps``, or ``times`` are no grid of that many steps.

    Example:
        >>> from moefm import MLPMixtureField
        >>> teacher, student = MLPMixtureField(2, 4), MLPMixtureField(2, 4)
        >>> Distillation(teacher, steps=2, teacher_steps=8)(student, torch.randn(16, 2)).total.shape
        torch.Size([])
    """

    def __init__(
        self,
        teacher: MixtureField,
        steps: int | Sequence[int] = 1,
        *,
        teacher_steps: int = 32,
        times: Times = None,
        gate_scale: float = 1.0,
        reuse: int = 1,
    ) -> None:
        check_field(teacher)
        self.teacher, teacher_steps = teacher, check_count("teacher_steps", teacher_steps)
        self.times = solver_times(teacher_steps, times, default=teacher_steps)
        self.steps = tuple(check_count("steps", n) for n in (steps if isinstance(steps, Sequence) else (steps,)))
        if not self.steps or any(teacher_steps % n for n in self.steps):
            raise ValueError(f"steps must divide teacher_steps={teacher_steps}, got {steps!r}")
        self.gate_scale = check_positive("gate_scale", gate_scale)
        self.reuse = check_count("reuse", reuse)
        self._calls = 0
        self._memory: deque[Trajectory] = deque(maxlen=self.reuse)

    def __repr__(self) -> str:
        """The numbers of steps."""
        return f"Distillation(steps={self.steps}, teacher_steps={len(self.times) - 1}, reuse={self.reuse})"

    def __call__(
        self,
        field: MixtureField,
        z0: Tensor,
        z1: Tensor | None = None,
        *,
        cond: Any = None,
        mask: Tensor | None = None,
        scope: Scope = None,
        generator: Generator | None = None,
    ) -> Loss:
        """Loss of the student ``field`` on trajectories from the noise ``z0`` ``(B, ..., D)``, or on remembered ones.

        Args:
            field: The student.
            z0: Noise ``(B, ..., D)``.
            z1: Ignored; training loops give it.
            cond: Passed to teacher and student as it is.
            mask: Boolean ``(B, ...)``: positions that count.
            scope: Which positions share one expert.
            generator: Source of experts and times.
        """
        generator = fresh(generator)
        if self._calls % self.reuse == 0:
            self._memory.append(self.follow(z0, cond=cond, mask=mask, scope=scope, generator=generator))
        self._calls += 1
        chosen = int(uniform((), generator) * len(self._memory))
        return self.loss(field, self._memory[chosen], generator)

    @torch.no_grad()
    def follow(
        self,
        z0: Tensor,
        *,
        cond: Any = None,
        mask: Tensor | None = None,
        scope: Scope = None,
        generator: Generators = None,
    ) -> Trajectory:
        """Follow the teacher from noise ``(B, ..., D)``: ``teacher_steps`` evaluations, and one for its gate.

        With a generator for each row of the first dimension, a row's expert does not depend on the others.
        """
        z0 = clean(as_state("z0", z0, self.teacher), mask)
        run = sample(
            self.teacher, z0, times=self.times, cond=cond, scope=scope, mask=mask, generator=generator, trajectory=True
        )
        assert run.trajectory is not None and run.assignment is not None
        logits = group_mean(self.teacher.gate(z0, 0.0, cond), scope, mask)
        return Trajectory(run.trajectory, run.assignment, logits, cond, mask, scope)

    def loss(self, field: MixtureField, along: Trajectory, generator: Generators = None) -> Loss:
        """Loss of the student at one random step per row of the first dimension; rows may have their own generators.

        For a student that encodes its condition itself, pass ``along._replace(cond=its_own)``.
        """
        check_student(field, self.steps)
        states, cond, mask = along.states, along.cond, along.mask
        first, last = self._draw(states.shape[1], generator, states.device)
        times, rows = self.times.to(states.device), torch.arange(states.shape[1], device=states.device)
        t, end, z_t = times[first], times[last], states[first, rows]
        target = (states[last, rows] - z_t) / expand_time(end - t, z_t)
        z_t = as_state("states", z_t, field)  # a student may have another precision than its teacher
        velocity = vfm_loss(field.head(trunk_until(field, z_t, t, end, cond), along.expert), target, mask).total
        gate = torch.zeros_like(velocity)
        if field.num_experts > 1:
            start = trunk_until(
                field, as_state("states", states[0], field), torch.zeros_like(t), times[last - first], cond
            )
            logits = group_mean(field.gate_logits(start), along.scope, mask)
            gate = masked_mean(divergence(along.logits, logits), mask)
        return Loss(velocity + self.gate_scale * gate, velocity.detach(), gate.detach())

    def _draw(self, rows: int, generator: Generators, device: torch.device) -> tuple[Tensor, Tensor]:
        """Numbers of the times where a random step of every row begins and ends."""
        choice, place = uniform((rows, 2), generator, device).unbind(1)
        counts = torch.tensor(self.steps, device=device)[(choice * len(self.steps)).long()]
        stride = torch.div(len(self.times) - 1, counts, rounding_mode="floor")
        first = (place * counts).long() * stride
        return first, first + stride


def check_student(field: MixtureField, steps: Sequence[int]) -> None:
    """Raise ``TypeError`` if a field of one time is to learn steps of several lengths."""
    if len(steps) > 1 and not isinstance(field, FlowMap):
        raise TypeError(
            f"field must be a FlowMap to learn several step counts {tuple(steps)}, got {type(field).__name__}: "
            "to_flow_map(field) makes one"
        )


def trunk_until(field: MixtureField, z: Tensor, t: Tensor, end: Tensor, cond: Any) -> Any:
    """The trunk at states ``(B, ..., D)`` for steps from ``t`` to ``end`` ``(B,)``; only a flow map is told the end."""
    return field.trunk(z, t, cond, end) if isinstance(field, FlowMap) else field.trunk(z, t, cond)


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    r"""Half the mean squared log-ratio of two gates, :math:`\tfrac12 \sum_k \pi_k \log^2(\pi_k / \hat\pi_k)`.

    This is KL to second order. Where the logits ``(*batch, K)`` are equal its gradient is exactly 0. That of KL is a
    rounding error, which AdamW would turn into steps of full size.

    Example:
        >>> divergence(torch.tensor([0.0, 0.0]), torch.tensor([0.2, 0.0]))
        tensor(0.0050)
    """
    log_p, log_q = torch.log_softmax(wide(teacher), -1), torch.log_softmax(wide(student), -1)
    gap = (log_p - log_q).masked_fill(log_p == -torch.inf, 0)
    return 0.5 * (log_p.exp() * gap.square()).sum(-1)
