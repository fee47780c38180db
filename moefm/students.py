"""Students: copies of a field that are trained to take few steps."""

from __future__ import annotations

import copy
from functools import partial

from torch import Generator, Tensor

from moefm.batches import Draw
from moefm.checks import check_choice, check_count
from moefm.distillation import Distillation
from moefm.fields import MixtureField
from moefm.flow_maps import to_flow_map
from moefm.inputs import check_field
from moefm.scope import Scope
from moefm.solvers import Times
from moefm.training import Callback, FitResult, fit

METHODS = ("progressive", "flow_map")


def distill(
    field: MixtureField,
    data: Tensor | Draw,
    *,
    steps: int | None = None,
    method: str = "progressive",
    teacher_steps: int = 32,
    times: Times = None,
    student: MixtureField | None = None,
    scope: Scope = None,
    gate_scale: float = 1.0,
    reuse: int = 4,
    train_steps: int = 2000,
    batch_size: int = 256,
    lr: float = 2e-3,
    warmup: int = 100,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    ema: float | None = None,
    clip: float | None = None,
    cond: Tensor | None = None,
    mask: Tensor | None = None,
    generator: Generator | None = None,
    callback: Callback | None = None,
    log_every: int = 50,
    progress: bool = False,
) -> tuple[MixtureField, FitResult]:
    """Train a student that takes a few steps where ``field`` takes ``teacher_steps``.

    The student learns from whole trajectories of the field itself (:class:`moefm.Distillation`). The expert drawn at
    t = 0 moves both, and the gate stays the same.

    - ``progressive``: a student of the field's own class for one number of steps, sampled like any field,
      ``sample(student, z0, steps)``. It is a map over those steps, not a velocity, so other grids, other solvers and
      ``log_prob`` have no meaning for it.
    - ``flow_map``: one :class:`moefm.FlowMap` for every number of steps that divides ``teacher_steps``, told where each
      step ends: ``sample(student.on(n), z0, n)``.

    Sample a student with the same ``times`` that it was trained with.

    Args:
        field: The teacher. It is not changed.
        data: The data of :func:`moefm.fit`: rows ``(N, ..., D)``, or a function that draws them. Only their shape,
            conditions and masks are used; trajectories start from fresh noise.
        steps: Steps of a progressive student, 1 by default; not for a flow map.
        method: ``progressive`` or ``flow_map``.
        teacher_steps: Euler steps of the teacher, a multiple of ``steps``.
        times: Where the teacher's steps lie, as for :func:`moefm.sample`; ``None`` is a uniform grid. The student's
            grid is every ``teacher_steps / steps``-th time of it: that of the same :class:`moefm.InformationTime`.
        student: Start from a copy of this field instead of the teacher: a student of more steps, or a larger field.
        scope: Which positions share one expert, as in sampling.
        gate_scale: Weight of the gate's part of the loss.
        reuse: How often each batch of trajectories is trained on, on average: 1 is fresh noise at every step.
        train_steps: Optimizer steps.
        batch_size: Rows in a step.
        lr: Peak learning rate of AdamW.
        warmup: Steps of linear warm-up.
        schedule: ``cosine`` or ``constant`` after the warm-up.
        weight_decay: Weight decay of AdamW.
        ema: Decay of a moving average of the weights, which the student has at the end; ``None`` for none.
        clip: Largest gradient norm, or ``None``.
        cond: Condition of every row of ``data``, ``(N, C)`` or labels ``(N,)``.
        mask: Boolean ``(N, ...)``: positions that count.
        generator: Source of all randomness here.
        callback: Called as ``callback(step, loss)`` after every step; raise to stop.
        log_every: How often the loss is recorded and checked.
        progress: Show a bar with the time left and the loss on stderr; needs rich.

    Returns:
        The student, in ``eval()``, and what its training measured.

    Raises:
        ValueError: An argument is out of range.
        TypeError: An argument has the wrong type, or the field has no flow map.
        DivergedError: The loss or the weights became NaN or infinite.

    Example:
        >>> import torch
        >>> from moefm import MLPMixtureField, sample
        >>> data = torch.randn(100, 2)
        >>> student, result = distill(MLPMixtureField(2, 4), data, steps=2, teacher_steps=8, train_steps=3)
        >>> sample(student, torch.randn(5, 2), 2).nfe, result.steps
        (2, 3)
    """
    check_field(field)
    check_choice("method", method, METHODS)
    check_count("train_steps", train_steps)
    teacher = copy.deepcopy(field).requires_grad_(False).eval()
    if student is not None:
        check_field(student)
        if student.num_experts != field.num_experts:
            raise ValueError(f"student must have the field's {field.num_experts} experts, got {student.num_experts}")
    pupil = copy.deepcopy(field if student is None else student)
    counts = _counts(steps, method, check_count("teacher_steps", teacher_steps))
    objective = Distillation(
        teacher, counts, teacher_steps=teacher_steps, times=times, gate_scale=gate_scale, reuse=reuse
    )
    if method == "flow_map":
        pupil = to_flow_map(pupil)
    if not any(parameter.requires_grad for parameter in pupil.parameters()):
        pupil.requires_grad_()  # a field that was frozen to be a teacher
    result = fit(
        pupil,
        data,
        partial(objective, scope=scope),
        steps=train_steps,
        batch_size=batch_size,
        lr=lr,
        warmup=warmup,
        schedule=schedule,
        weight_decay=weight_decay,
        ema=ema,
        clip=clip,
        cond=cond,
        mask=mask,
        generator=generator,
        callback=callback,
        log_every=log_every,
        progress=progress,
    )
    return pupil, result


def _counts(steps: int | None, method: str, teacher_steps: int) -> tuple[int, ...]:
    """Step counts that the student learns."""
    if method == "progressive":
        return (1 if steps is None else steps,)
    if steps is not None:
        raise ValueError(f"steps must not be given with method='flow_map', whose student serves all, got {steps!r}")
    return tuple(n for n in range(1, teacher_steps + 1) if teacher_steps % n == 0)
