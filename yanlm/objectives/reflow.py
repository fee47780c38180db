"""Reflow: learn the words that a teacher writes, from the noise it wrote them from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from yanlm.nn.slots import shown
from yanlm.objectives.settings import Denoising
from yanlm.seeding import COUPLED, NOISE, generators, row_normal, row_seed
from yanlm.tokenization.collation import Batch

MOST = 2**20
"""Most rows whose texts are kept."""


class Pairs:
    r"""Pairs of a noise and what a teacher writes from it, to train on in place of the data (reflow).

    A flow of the data pairs every noise with every answer, and only the first steps of its sampler decide which of the
    right answers a noise becomes. Here the teacher decides. In ``teacher_steps`` passes it turns the noise z0 of a row
    into words y, and the student learns (:func:`yanlm.objectives.denoising.denoising_loss`) at points of the line

    .. math:: z_t = t\, e_y + (1 - t)\, z_0 \quad \text{with } y = y(z_0),

    so that for the student the noise says from the start what to write (Liu, Gong, Liu 2022, arXiv:2209.03003). Times
    before the one as of which noise is read (:func:`yanlm.nn.noise.reading`) are moved to 0, where a sampler begins.
    The curve of information time stays that of the teacher. A share of the rows keeps the data's words and a noise of
    its own: they teach the student what to do where written words and noise disagree.

    Every row of the data has a few noises, which follow from the row itself. So its texts are written once, when it is
    first seen, and kept; a training that goes on after an interruption writes the same texts again.

    Args:
        teacher: The :class:`yanlm.YanModel` that the training starts from, frozen.
    """

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.texts: dict[int, Tensor] = {}  # of every row (pairs, m)

    @torch.no_grad()
    def of(self, batch: Batch, settings: Denoising, seeds: Sequence[int]) -> Batch:
        """The batch with ``noise`` ``(B, M, e)`` and, in the rows that are ``coupled`` ``(B,)``, the teacher's words as
        the target.

        Args:
            batch: ``source_ids``, ``source_mask``, ``target_ids``, ``target_mask`` (B, S), ``slots``, ``slot_mask``
                (B, M).
            settings: ``reflow`` is the share of the rows, ``pairs`` how many noises a row has. The teacher takes
                ``teacher_steps`` passes, and reads what it wrote if ``reveal`` is above 0, as the student will.
            seeds: One integer for each row, from which it follows whether it is of that share, and its noise.
        """
        slots, held = batch["slots"], batch["slot_mask"]
        drawn = torch.stack([torch.rand(2, generator=source) for source in generators(seeds, COUPLED)])
        chosen = (drawn[:, 0] < settings.reflow).nonzero().squeeze(1).tolist()
        here = {name: tensor.cpu() for name, tensor in batch.items()}  # once, not row by row
        known = [_number_of(here, row) for row in range(len(slots))]
        if missing := [row for row, number in enumerate(known) if number not in self.texts]:
            self._write(batch, missing, [known[row] for row in missing], settings)
        own, words, coupled = list(seeds), torch.zeros_like(here["slots"]), torch.zeros_like(here["slot_mask"])
        for row in chosen:
            pair = int(settings.pairs * drawn[row, 1])
            own[row], coupled[row] = row_seed(known[row], 0, pair), here["slot_mask"][row]
            words[row, coupled[row]] = self.texts[known[row]][pair]
        target = shown(batch["target_ids"], slots, words.to(slots.device), coupled.to(slots.device))
        noise = row_normal(generators(own, NOISE), held, self.teacher.denoiser.dim).to(slots.device)
        return {**batch, "target_ids": target, "noise": noise, "coupled": coupled.any(1).to(slots.device)}

    def _write(self, batch: Batch, rows: list[int], numbers: list[int], settings: Denoising) -> None:
        """Let the teacher write into the rows. From these seeds it draws the noise that the student will see."""
        if len(self.texts) + len(rows) > MOST:
            self.texts.clear()
        names = ("source_ids", "source_mask", "slots", "slot_mask")
        ids, seen, slots, held = (batch[name][rows].repeat_interleave(settings.pairs, 0) for name in names)
        seeds = [row_seed(number, 0, pair) for number in numbers for pair in range(settings.pairs)]
        how: dict[str, Any] = {"steps": settings.teacher_steps, "reread": settings.reveal > 0}
        out = self.teacher.generate(ids, slots=slots, source_mask=seen, slot_mask=held, seeds=seeds, **how)
        written = out.tokens[:, 0].cpu().unflatten(0, (-1, settings.pairs))
        for number, tokens, own in zip(numbers, written, batch["slot_mask"][rows].cpu(), strict=True):
            self.texts[number] = tokens[:, own]


def _number_of(batch: Batch, row: int) -> int:
    """63 bits of a hash of a row's tokens and slots, whatever is beside it."""
    parts = (("source_ids", "source_mask"), ("target_ids", "target_mask"), ("slots", "slot_mask"))
    held = [batch[name][row, batch[mask][row]].tolist() for name, mask in parts]
    digest = hashlib.blake2b(repr(held).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
