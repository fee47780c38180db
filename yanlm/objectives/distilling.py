"""Loss of a student that takes one step where its teacher takes many small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm import Distillation
from yanlm.objectives.settings import Denoising
from yanlm.objectives.token_loss import Parts
from yanlm.seeding import EXPERT, NOISE, TIME, generators, row_normal
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.denoiser import EncoderFlow
    from yanlm.nn.network import YanNetwork


def refined(times: Tensor, parts: int) -> Tensor:
    """Times ``(n + 1,)`` with each step in ``parts`` equal ones, ``(n * parts + 1,)``.

    Example:
        >>> refined(torch.tensor([0.0, 0.4, 1.0]), 2)
        tensor([0.0000, 0.2000, 0.4000, 0.7000, 1.0000])
    """
    share = torch.arange(parts, device=times.device) / parts
    inner = times[:-1, None] + share * times.diff()[:, None]
    return torch.cat([inner.flatten(), times[-1:]])


def teacher_times(flow: EncoderFlow, student_steps: int, teacher_steps: int) -> Tensor:
    """The teacher's times ``(teacher_steps + 1,)``: equal steps of information within each step of the student.

    With equal steps of time only two or three would fall into the short part in which words are decided.
    """
    shares = flow.information.cdf(flow.times(student_steps))
    return flow.information.quantile(refined(shares, teacher_steps // student_steps))


def distillation_loss(
    student: YanNetwork, teacher: YanNetwork, batch: Batch, settings: Denoising, seeds: Sequence[int], totals: Tensor
) -> tuple[Tensor, Parts]:
    """The objective of :class:`moefm.Distillation` for flows whose denoiser is the encoder.

    The teacher carries fresh noise to the slots' vectors in ``settings.teacher_steps`` steps, the same number within
    each step of the student, with experts that it draws at t = 0. The student learns to follow the same path in
    ``settings.student_steps`` steps. The true words of the slots play no role: the student learns what the teacher
    writes. For the last step the cross-entropy of the teacher's words is added, so that it ends at words and not only
    near them.

    Args:
        student: The model that is trained.
        teacher: The model that it starts from, frozen.
        batch: ``source_ids``, ``source_mask`` (B, S), ``slots``, ``slot_mask`` (B, M).
        settings: Steps of both.
        seeds: One integer for each row, from which its noise, expert and step follow.
        totals: Numbers of target tokens and of slots ``(2,)``; the second is what the mean is taken over.

    Returns:
        The loss: means over slots of the square error per dimension and of the words' cross-entropy. And its detached
        parts by name.
    """
    flow, mask = student.denoiser, batch["slot_mask"]
    times = teacher_times(flow, settings.student_steps, settings.teacher_steps)
    objective = Distillation(
        teacher.denoiser, settings.student_steps, teacher_steps=settings.teacher_steps, times=times
    )
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    source, source_mask, slots, slot_mask = (batch[name] for name in names)
    experts = generators(seeds, EXPERT)
    of_teacher = teacher.denoiser.with_codebook(teacher.places(source, source_mask, slots, slot_mask, experts))
    of_student = flow.with_codebook(student.places(source, source_mask, slots, slot_mask, generators(seeds, EXPERT)))
    z0 = row_normal(generators(seeds, NOISE), mask, flow.dim).to(of_student.embedded)
    along = objective.follow(z0, cond=of_teacher, mask=mask, scope=of_teacher.scope, generator=experts)
    loss = objective.loss(flow, along._replace(cond=of_student), generators(seeds, TIME))
    tokens = (along.states[-1] @ teacher.denoiser.token_vectors(of_teacher).T).argmax(-1)
    before = len(times) - 1 - settings.teacher_steps // settings.student_steps
    features = flow.trunk(along.states[before], times[before], of_student)
    written = flow.losses(flow.one_feature(features, along.expert), tokens, of_student)
    words = (written * mask).sum() / totals[1].clamp_min(1)
    weight = mask.sum() / totals[1].clamp_min(1) / flow.dim
    parts = {"distill": loss.velocity * weight, "gate": loss.gate * weight, "words": words.detach()}
    return loss.total * weight + words, parts
