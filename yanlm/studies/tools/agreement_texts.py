"""Texts that a model writes into the rows of a puzzle, judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from yanlm.data.builtin.puzzle import Puzzle
from yanlm.evaluation.held_out import HELD_OUT, Row, held_out_examples, placed
from yanlm.evaluation.inference import write_slots
from yanlm.generation.options import GenerationOptions
from yanlm.tokenization.tokenizer import decode

if TYPE_CHECKING:
    from yanlm.studies.tools.study import Json
    from yanlm.tokenization.examples import Builder


def judged(model: Any, builder: Builder, puzzle: Puzzle, rows: Sequence[Row], **options: Any) -> Json:
    """Fill the masks of rows, and have the puzzle judge the texts.

    Args:
        model: A model of any method.
        builder: Makes its examples.
        puzzle: The judge.
        rows: Its rows.
        options: Options of generation; ``samples`` is how many texts are written for each row.

    Returns:
        ``valid`` and ``entropy`` as the puzzle defines them, and ``nfe``, the passes of the network: the largest
        number, if rows have different lengths.
    """
    prompts = held_out_examples(builder, rows)
    out = write_slots(model, builder, prompts, GenerationOptions(**options), HELD_OUT)
    texts = [
        [decode(builder.tokenizer, placed(prompt, ids)) for ids in samples]
        for prompt, samples in zip(prompts, out.tokens, strict=True)
    ]
    scores = puzzle.judge([row["source"] for row in rows], texts)
    return {"valid": scores["valid"], "entropy": scores["entropy"], "nfe": max(out.timing.passes)}
