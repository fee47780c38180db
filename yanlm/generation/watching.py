"""What a model would write after each of its passes, to show how a text comes about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yanlm.generation.result import Generation


class Pass(NamedTuple):
    """What stands in the slots after one pass. N rows are texts times samples, those of a text one below the other.

    Attributes:
        tokens: What would be written if this pass were the last, or was written for good, ``(N, M)``.
        probabilities: Probabilities of these tokens when they were read, ``(N, M)``; 0 where nothing was read yet.
        best: The most probable tokens of each slot, the first before the second, ``(N, M, k)``.
        chances: Their probabilities ``(N, M, k)``.
        settled: Slots that no later pass changes ``(N, M)``.
        time: t at which a flow made the pass; ``None`` without a time.
        seconds: How long the pass took; ``None`` if several were timed together.
    """

    tokens: Tensor
    probabilities: Tensor
    best: Tensor
    chances: Tensor
    settled: Tensor
    time: float | None
    seconds: float | None

    def take(self, rows: Tensor, slots: int | None = None) -> Pass:
        """The same of these rows alone, and of their first ``slots``."""
        tokens, probabilities, best, chances, settled = (
            x[rows, :slots] for x in (self.tokens, self.probabilities, self.best, self.chances, self.settled)
        )
        return Pass(tokens, probabilities, best, chances, settled, self.time, self.seconds)


class Watcher:
    """Keeps what every pass of a generation says, on the CPU.

    Give one to ``model.generate(..., watcher=watcher)``. What is written stays the same.

    Args:
        alternatives: Most probable tokens that are kept for each slot.

    Attributes:
        passes: What was seen, first to last.

    Example:
        >>> watcher = Watcher(alternatives=2)
        >>> watcher.read(torch.tensor([[0.1, 0.7, 0.2]]), torch.tensor([1]))
        >>> watcher.end(torch.tensor([[False, True]]))
        >>> watcher.passes[0].tokens, watcher.passes[0].best[0, 1]
        (tensor([[0, 1]]), tensor([1, 2]))
    """

    def __init__(self, alternatives: int = 5) -> None:
        self.alternatives = alternatives
        self.passes: list[Pass] = []
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._began = time.perf_counter()
        self._spent = 0.0

    def see(
        self,
        probabilities: Tensor,
        mask: Tensor | None = None,
        forbidden: Sequence[int] = (),
        *,
        time_of_flow: float | None = None,
        timed: bool = True,
    ) -> None:
        """A whole pass that would write the most probable tokens.

        Args:
            probabilities: ``(N, M, V)``.
            mask: ``(N, M)``, True = a slot.
            forbidden: Ids that are never written.
            time_of_flow: t.
            timed: Whether the time since the last pass is this one's.
        """
        held = torch.ones(probabilities.shape[:2], dtype=torch.bool) if mask is None else mask
        flat = probabilities[held.to(probabilities.device)].float()
        for id in forbidden:
            flat[:, id] = 0
        flat = flat / flat.sum(-1, keepdim=True).clamp_min(1e-30)
        self.read(flat, flat.argmax(-1))
        self.end(held, time_of_flow=time_of_flow, timed=timed)

    def read(self, probabilities: Tensor, tokens: Tensor) -> None:
        """Some more slots of this pass: probabilities ``(n, V)`` and the tokens chosen by them ``(n,)``."""
        best = probabilities.float().topk(min(self.alternatives, probabilities.shape[-1]))
        own = probabilities.float().gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        self._parts.append((tokens.cpu(), own.cpu(), best.indices.cpu(), best.values.cpu()))
        if len(self._parts) == 1:  # the device has to be done by now; what follows is our own work
            self._spent = time.perf_counter() - self._began

    def end(
        self, where: Tensor, *, settled: Tensor | None = None, time_of_flow: float | None = None, timed: bool = True
    ) -> None:
        """The pass is over.

        Args:
            where: Slots ``(N, M)`` that were read, row after row; the others keep what they had.
            settled: Slots ``(N, M)`` that no later pass changes; none by default.
            time_of_flow: t.
            timed: Whether the time since the last pass is this one's.
        """
        where = where.cpu()
        tokens, own, best, chances = (torch.cat(part) for part in zip(*self._parts, strict=True))
        last = self.passes[-1] if self.passes else None

        def every(part: Tensor, before: Tensor | None) -> Tensor:
            full = part.new_zeros(*where.shape, *part.shape[1:]) if before is None else before.clone()
            full[where] = part
            return full

        self.passes.append(
            Pass(
                every(tokens, last and last.tokens),
                every(own, last and last.probabilities),
                every(best, last and last.best),
                every(chances, last and last.chances),
                torch.zeros_like(where) if settled is None else settled.cpu().clone(),
                time_of_flow,
                self._spent if timed else None,
            )
        )
        self._parts = []
        self._began = time.perf_counter()

    def wrote(self, tokens: Tensor, kept: Tensor | None = None) -> None:
        """What was written in the end: drawn, maybe, rather than the most probable tokens, and one of candidates.

        Args:
            tokens: ``(N, M)``.
            kept: Which of the rows that were seen are kept, ``(N,)``; all by default.
        """
        if kept is not None:
            self.passes = [seen.take(kept.cpu()) for seen in self.passes]
        last, tokens = self.passes[-1], tokens.cpu()
        is_own = last.best == tokens.unsqueeze(-1)
        drawn = (last.chances * is_own).sum(-1)  # 0 where a token is none of the alternatives
        probabilities = torch.where(tokens == last.tokens, last.probabilities, drawn)
        self.passes[-1] = last._replace(tokens=tokens, probabilities=probabilities)


class Watched(NamedTuple):
    """How one text came about.

    Attributes:
        passes: What each pass said; their rows are the samples of this text, their columns its slots.
        spans: Number of slots of each mask.
        experts: Expert of every slot ``(samples, M)``; ``None`` where there is none.
        nfe: Passes of the network, together with the texts of its batch.
    """

    passes: list[Pass]
    spans: list[int]
    experts: Tensor | None
    nfe: int


def watched(out: Generation, spans: Sequence[Sequence[int]], watcher: Watcher) -> list[Watched]:
    """What was seen of a generation, text by text.

    Args:
        out: The generation of B texts.
        spans: For each text the number of slots of each mask.
        watcher: What saw it.
    """
    passes = watcher.passes
    samples, texts = out.tokens.shape[1], len(spans)
    seen = []
    for text, own in enumerate(spans):
        different = len(passes[0].tokens) // texts  # samples that are all alike were computed once
        rows = torch.tensor([text * different + min(sample, different - 1) for sample in range(samples)])
        experts = None if out.assignment is None else out.assignment[text, :, : sum(own)].cpu()
        seen.append(Watched([x.take(rows, sum(own)) for x in passes], list(own), experts, out.nfe))
    return seen
