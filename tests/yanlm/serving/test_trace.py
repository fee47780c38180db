"""The document that the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.generation.options import GenerationOptions
from yanlm.generation.watching import Pass
from yanlm.serving.job import Answer, Job
from yanlm.serving.served import Served
from yanlm.serving.trace import cells, trace_document


def traced(served: Served, text: str, **options: Any) -> dict[str, Any]:
    own = GenerationOptions(**options)
    [(out, seen)] = served.writer.watch(text, length=2, seed=4, options=own)
    return trace_document(served, Job(text, 4, 2, own, True), Answer(out, seen, 0.0, 0.5, 1))


def bare(text: str) -> str:
    """Without spaces, and without characters of which a token may be a part."""
    return "".join(character for character in text if character.isascii() and not character.isspace())


@pytest.mark.parametrize("config", [None, {}, {"method": "mdlm"}, {"form": "separate", "align": False}], ids=str)
@pytest.mark.parametrize("text", ["the <mask> sat on [MASK].", "the dog"])
def test_pieces_and_tokens_make_the_text(
    make_served: Callable[..., Served], config: dict[str, Any] | None, text: str
) -> None:
    trace = traced(make_served(config), text, samples=2, steps=3)
    json.dumps(trace, allow_nan=False)
    for sample in trace["samples"]:
        words = iter([cell[0] for cell in sample["cells"][-1]])
        built = ""
        for piece, span in zip(trace["pieces"], [*trace["spans"], 0], strict=True):
            built += piece + "".join(next(words) for _ in range(span))
        assert bare(built) == bare(sample["text"])
        assert all(len(row) == len(sample["cells"][0]) for row in sample["cells"])


def test_a_token_that_is_not_there_yet_is_no_token() -> None:
    one_by_one = Pass(
        torch.tensor([[1, 0]]),
        torch.tensor([[0.5, 0.0]]),
        torch.tensor([[[1, 2], [0, 0]]]),
        torch.tensor([[[0.5, 0.25], [0.0, 0.0]]]),
        torch.tensor([[True, False]]),
        None,
        None,
    )
    assert cells(one_by_one, 0, str) == [["1", 0.5, True, [["1", 0.5], ["2", 0.25]]], ["…", 0.0, False, []]]


def test_an_answer_nobody_watched_has_no_trace(served: Served) -> None:
    [out] = served.writer.write("a <mask>")
    with pytest.raises(ValueError, match="watching=True"):
        trace_document(served, Job("a <mask>", 0, "auto", GenerationOptions()), Answer(out, None, 0, 0, 1))
