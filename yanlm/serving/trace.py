"""A generation as a document for the page: pieces of the text, and what every pass predicted for its slots."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from yanlm.data.rows import MASKS
from yanlm.generation.watching import Pass, Watched
from yanlm.modeling.folder_options import OPTIONS
from yanlm.serving.command import command_of
from yanlm.tokenization.masked_text import with_masks
from yanlm.tokenization.pieces import decode_piece

if TYPE_CHECKING:
    from yanlm.serving.job import Answer, Job
    from yanlm.serving.served import Served

Cell = list[Any]
UNREAD = "…"
"""In place of a token that is not there yet, where they are written one by one."""


def trace_document(served: Served, job: Job, answer: Answer) -> dict[str, Any]:
    """Everything that the page shows about one text.

    Returns:
        ``command``, which writes the same text; ``pieces``, the text between its masks; ``spans``, slots of each mask;
        ``passes``, their times and seconds; and for each of ``samples`` its text, the experts of its slots, and by pass
        and slot a cell: token, probability, whether it is settled, and alternatives with their probabilities.

    Raises:
        ValueError: The answer was not watched.
    """
    seen, out = answer.watched, answer.written
    if seen is None:
        raise ValueError("answer was not watched; put the job with watching=True")
    speak = speller(served)
    return {
        "model": served.facts,
        "source": job.text,
        "seed": job.seed,
        "length": job.length,
        "options": {name: getattr(job.options, name) for name in OPTIONS},
        "command": command_of(served, job),
        "pieces": pieces(job.text, served.writer.builder.form),
        "spans": seen.spans,
        "nfe": seen.nfe,
        "seconds": round(answer.seconds, 6),
        "passes": [{"time": rounded(step.time), "seconds": rounded(step.seconds, 6)} for step in seen.passes],
        "samples": [
            {
                "text": text,
                "experts": experts(seen, number),
                "cells": [cells(step, number, speak) for step in seen.passes],
            }
            for number, text in enumerate(out.samples)
        ],
    }


def pieces(text: str, form: str = "slots") -> list[str]:
    """The text between its masks, one more than there are spans.

    Example:
        >>> pieces("the [MASK] sat"), pieces("the dog"), pieces("the <mask>", form="separate")
        (['the ', ' sat'], ['the dog ', ''], ['', ''])
    """
    if form != "slots":
        return ["", ""]
    parts = MASKS.split(with_masks(text))
    return parts if len(parts) > 1 else [f"{text.rstrip()} ", ""]


def experts(seen: Watched, sample: int) -> list[int] | None:
    """Expert of every slot of a sample; ``None`` where there is none."""
    return None if seen.experts is None else [int(expert) for expert in seen.experts[sample]]


def cells(step: Pass, sample: int, speak: Callable[[int], str]) -> list[Cell]:
    """What a pass says of every slot of a sample: token, probability, settled, alternatives."""
    return [
        [
            speak(int(token)) if chances.any() else UNREAD,
            rounded(float(chance)),
            bool(settled),
            [[speak(int(other)), rounded(float(own))] for other, own in zip(best, chances, strict=True) if own],
        ]
        for token, chance, settled, best, chances in zip(
            step.tokens[sample],
            step.probabilities[sample],
            step.settled[sample],
            step.best[sample],
            step.chances[sample],
            strict=True,
        )
    ]


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number short enough for a page; ``None`` where it is not known.

    Example:
        >>> rounded(1 / 3), rounded(None)
        (0.3333, None)
    """
    return None if value is None else round(value, digits)


def speller(served: Served) -> Callable[[int], str]:
    """Text of a token as it stands behind others, with the space that it begins with; nothing for the padding."""
    tokenizer = served.writer.tokenizer

    @lru_cache(maxsize=4096)
    def speak(id: int) -> str:
        return decode_piece(tokenizer, [id])

    return speak
