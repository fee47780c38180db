"""Reflow: learn the words that a teacher writes, from the noise it wrote them from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from yanlm.objectives.denoising import denoising_loss
from yanlm.objectives.settings import Denoising
from yanlm.objectives.token_loss import Parts
from yanlm.seeding import COUPLED, NOISE, generators, row_normal, row_seed, row_uniform
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


def reflow_loss(
    student: YanNetwork, teacher: Any, batch: Batch, settings: Denoising, seeds: Sequence[int], totals: Tensor
) -> tuple[Tensor, Parts]:
    r"""The loss of :func:`yanlm.objectives.denoising.denoising_loss` on pairs that a teacher has made.

    A flow of the data pairs every noise with every answer, and only the first steps of its sampler decide which of the
    right answers a noise becomes. Here the teacher decides. In ``settings.teacher_steps`` passes it turns the noise z0
    of a row into words y, and the student learns at points of the line between them,

    .. math:: z_t = t\, e_y + (1 - t)\, z_0 \quad \text{with } y = y(z_0),

    so that for the student already the noise says what to write (reflow: Liu, Gong, Liu 2022, arXiv:2209.03003). In
    ``settings.reflow`` of the rows; the others keep the data's words and a noise of their own. They teach the student
    what to do where written words and noise disagree. Each pair is seen at ``settings.points`` points, since making it
    takes longer than learning from it. The teacher reads what it wrote if ``settings.reveal`` is above 0, as the
    student will.

    Args:
        student: The model that is trained.
        teacher: The :class:`yanlm.YanModel` that it starts from, frozen.
        batch: As for :func:`yanlm.objectives.denoising.denoising_loss`.
        settings: Kinds of rows, share and points of the pairs, and the teacher's passes.
        seeds: One integer for each row, from which its noise and all else follows.
        totals: Numbers of target tokens and of slots ``(2,)``; the second is what the mean is taken over.

    Returns:
        The loss, a scalar, and its detached parts by name.
    """
    pairs = coupled(teacher, batch, settings, seeds)
    pairs = {name: tensor.repeat_interleave(settings.points, 0) for name, tensor in pairs.items()}
    seeds = [row_seed(seed, 0, point) for seed in seeds for point in range(settings.points)]
    return denoising_loss(student, pairs, settings, seeds, totals * settings.points)


@torch.no_grad()
def coupled(teacher: Any, batch: Batch, settings: Denoising, seeds: Sequence[int]) -> Batch:
    """The batch with ``noise`` ``(B, M, e)``, and in a share of the rows the teacher's words from it as the target."""
    slots, slot_mask = batch["slots"], batch["slot_mask"]
    noise = row_normal(generators(seeds, NOISE), slot_mask, teacher.denoiser.dim).to(teacher.device)
    chosen = row_uniform(generators(seeds, COUPLED)) < settings.reflow
    if not chosen.any():
        return {**batch, "noise": noise}
    rows = chosen.nonzero().squeeze(1).to(slots.device)
    own = [seed for seed, is_own in zip(seeds, chosen.tolist(), strict=True) if is_own]
    ids, seen, where, held = (batch[name][rows] for name in ("source_ids", "source_mask", "slots", "slot_mask"))
    how = {"steps": settings.teacher_steps, "reread": settings.reveal > 0}
    # From these seeds the teacher draws the noise above.
    written = teacher.generate(ids, slots=where, source_mask=seen, slot_mask=held, seeds=own, **how)
    target = batch["target_ids"][rows]
    words = torch.where(held, written.tokens[:, 0], target.gather(1, where))
    target = target.scatter(1, where, words)
    return {**batch, "noise": noise, "target_ids": batch["target_ids"].index_copy(0, rows, target)}
