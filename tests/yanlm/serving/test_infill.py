"""Fields of /v1/infill: what is refused, and with which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yanlm.modeling.generation_config import YanGenerationConfig
from yanlm.serving.infill import infill_request
from yanlm.serving.refusal import Refusal
from yanlm.serving.served import Served

MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no text": ({}, "text", "text is missing"),
    "empty": ({"text": "  "}, "text", "empty"),
    "a number": ({"text": 5}, "text", "must be a string"),
    "a list of numbers": ({"text": ["a", 5]}, "text", "must be a string"),
    "no texts": ({"text": []}, "text", "1 to 32"),
    "many texts": ({"text": ["a"] * 33}, "text", "1 to 32"),
    "half a character": ({"text": "a \ud800"}, "text", "surrogate"),
    "unknown": ({"text": "a", "step": 3}, "step", "unknown field 'step'; fields are candidates"),
    "no steps": ({"text": "a", "steps": 0}, "steps", "from 1 to 64"),
    "many steps": ({"text": "a", "steps": 10**9}, "steps", "from 1 to 64"),
    "steps as text": ({"text": "a", "steps": "3"}, "steps", "from 1 to 64"),
    "half a step": ({"text": "a", "steps": 1.5}, "steps", "from 1 to 64"),
    "true steps": ({"text": "a", "steps": True}, "steps", "from 1 to 64"),
    "many samples": ({"text": "a", "samples": 33}, "samples", "from 1 to 32"),
    "samples times candidates": ({"text": "a", "samples": 8, "candidates": 8}, "samples", "at most 32"),
    "seed": ({"text": "a", "seed": 2**64}, "seed", "whole number"),
    "length": ({"text": "a", "length": 0}, "length", "from 1 to 48"),
    "length as a word": ({"text": "a", "length": "long"}, "length", "auto, source or"),
    "hot": ({"text": "a", "temperature": 1e999}, "temperature", "from 0 to 10"),
    "order": ({"text": "a", "order": "last"}, "order", "must be one of"),
    "routing": ({"text": "a", "routing": ["mean"]}, "routing", "must be one of"),
    "reread": ({"text": "a", "reread": 1}, "reread", "true or false"),
    "not the model's": ({"text": "a", "sampler": "diffusion", "reread": True}, "reread", "is an option of the flow"),
    "stream as a word": ({"text": "a", "stream": "yes"}, "stream", "true or false"),
    "several traces": ({"text": ["a", "b"], "trace": True}, "trace", "one at a time"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_their_field(served: Served, name: str) -> None:
    document, field, message = MISTAKES[name]
    with pytest.raises(Refusal, match=message) as refusal:
        infill_request(served, document)
    assert (refusal.value.status, refusal.value.field) == (400, field)


def test_defaults_are_those_of_the_command(served: Served) -> None:
    [job] = infill_request(served, {"text": "a <mask>", "seed": None}).jobs
    assert (job.seed, job.length, job.watching) == (0, "auto", False)
    assert (job.options.steps, job.options.samples, job.options.routing) == (3, 1, "frozen")


def test_what_a_request_does_not_name_is_the_models(served: Served) -> None:
    served.writer.model.generation_config = YanGenerationConfig(sampler="diffusion", steps=1)
    ways = {
        (): ("diffusion", 1, False),
        (("steps", 5),): ("diffusion", 5, False),
        (("reread", False), ("routing", "frozen")): ("diffusion", 1, False),
        (("sampler", "flow"),): ("flow", 3, False),
        (("reread", True),): ("flow", 3, True),
    }
    for named, wanted in ways.items():
        [job] = infill_request(served, {"text": "a <mask>", **dict(named)}).jobs
        assert (job.options.sampler, job.options.steps, job.options.reread) == wanted
    assert served.facts["defaults"] == {"steps": 1, "sampler": "diffusion", "reread": False, "temperature": 0.0}


def test_more_masks_than_tokens_are_refused_before_they_are_read(served: Served) -> None:
    with pytest.raises(Refusal, match="has 49 masks, and the model takes 48 tokens"):
        infill_request(served, {"text": "<mask> " * 49})


def test_as_many_slots_as_a_server_takes(make_served: Callable[..., Served]) -> None:
    served = make_served(slots=8)
    assert len(infill_request(served, {"text": "<mask> a [MASK]", "length": 4}).jobs) == 1
    for document in (
        {"text": "<mask> a [MASK]", "length": 5},
        {"text": "a <mask>", "length": 4, "samples": 3},
        {"text": "a <mask>", "length": 2, "candidates": 5},
        {"text": "a <mask>"},  # up to max_span
    ):
        with pytest.raises(Refusal, match="ask for fewer tokens"):
            infill_request(served, document)
