"""Choosing the known answer that is most probable as a whole, instead of words one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yanlm.tokenization.pieces import encode_piece

if TYPE_CHECKING:
    from yanlm.tokenization.examples import Builder


def known_answers(builder: Builder, answers: Sequence[str]) -> Tensor:
    """Ids ``(C, pad_to)`` of answers that end with padding, as the builder's examples have them.

    Raises:
        ValueError: The builder's answers do not end with padding, an answer has more tokens than its slots, or there
            is none.
    """
    if builder.pad_to is None:
        raise ValueError("known labels need a model that pads its answers: train it with pad_to, or yanlm finetune")
    if not answers:
        raise ValueError("there are no known labels: they are those of the training rows, and there are none")
    encoded = [encode_piece(builder.tokenizer, f" {answer.strip()}") or builder.unknown for answer in answers]
    for answer, ids in zip(answers, encoded, strict=True):
        if len(ids) > builder.pad_to:
            raise ValueError(f"the label {answer!r} has {len(ids)} tokens and the model {builder.pad_to} slots for it")
    return torch.tensor([ids + [builder.pad] * (builder.pad_to - len(ids)) for ids in encoded])


def check_choices(choices: Tensor, slots: Tensor, slot_mask: Tensor | None) -> None:
    """Check that each of the answers ``(C, M)`` fills all slots ``(B, M)``.

    Raises:
        ValueError: Shapes do not fit, or rows have different numbers of slots.
    """
    if choices.ndim != 2 or not len(choices) or choices.shape[1] != slots.shape[1]:
        raise ValueError(
            f"choices must have shape (C, M), a token for each of the M = {slots.shape[1]} slots, "
            f"got {tuple(choices.shape)}"
        )
    if slot_mask is not None and not slot_mask.all():
        raise ValueError("choices need as many slots in every row; generate rows of other numbers of slots apart")


def answer_scores(logits: Tensor, choices: Tensor) -> Tensor:
    r"""Log-probability of each answer as a whole: :math:`\sum_m \log p(c_m)`.

    Args:
        logits: ``(N, M, V)`` of the M slots.
        choices: ``(C, M)``.

    Returns:
        ``(N, C)``.

    Example:
        >>> logits = torch.tensor([[[0.0, 2.0, 1.0], [0.0, 0.0, 9.0]]])  # word by word: 1, 2
        >>> likeliest(answer_scores(logits, choices := torch.tensor([[1, 1], [2, 2]])), choices)
        tensor([[2, 2]])
    """
    wanted = choices.to(logits.device).T.expand(len(logits), -1, -1)  # (N, M, C)
    return logits.float().log_softmax(-1).gather(2, wanted).sum(1)


def likeliest(scores: Tensor, choices: Tensor) -> Tensor:
    """The answer with the highest score: ``(*, M)`` of scores ``(*, C)`` and choices ``(C, M)``."""
    return choices.to(scores.device)[scores.argmax(-1)]
