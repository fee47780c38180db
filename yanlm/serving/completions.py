"""``POST /v1/completions``: texts continued, in the form of OpenAI's API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from yanlm.serving.fields import Fields, refuse_all
from yanlm.serving.infill import timing
from yanlm.serving.job import Answer, Job
from yanlm.serving.refusal import Refusal, bad
from yanlm.serving.served import SEEDS, Served
from yanlm.serving.streaming import Documents
from yanlm.tokenization.masked_text import with_masks
from yanlm.tokenization.prompts import encode_with_masks

MASK = "<mask>"
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logprobs": (0,),
    "best_of": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
}
"""Fields of OpenAI's interface that change nothing here, and the values at which they do not have to."""
STOPS = 4


class Completion(NamedTuple):
    """A request.

    Attributes:
        jobs: One for each prompt.
        prompts: The prompts as given.
        suffix: Text after the written part.
        echo: Whether prompts are returned before the written part.
        stops: Texts at which a sample ends.
        stream: Whether every text is sent as soon as it is written.
        usage: Whether a stream says at its end how many tokens there were.
    """

    jobs: list[Job]
    prompts: list[str]
    suffix: str
    echo: bool
    stops: list[str]
    stream: bool
    usage: bool


def completion_request(served: Served, document: dict[str, Any]) -> Completion:
    """Read a request. Prompts of a list have the seeds ``seed``, ``seed + 1``, ... .

    Raises:
        Refusal: A field is unknown, of another type, or out of range, or the model does not take it.
    """
    fields = Fields(document)
    _check_model(served, fields.text("model", served.name))
    prompts = fields.texts("prompt", served.limits.texts)
    suffix, echo = fields.text("suffix"), fields.flag("echo")
    length = _length(fields, served)
    seed = fields.integer("seed", secrets.randbelow(2**31), -SEEDS, SEEDS)
    options, stops = served.options(fields, "n"), _stops(fields)
    stream, usage = fields.flag("stream"), _usage_wanted(fields)
    fields.take("user")
    refuse_all(fields, NEUTRAL, "all tokens are written at once, the most probable ones of what noise leads to")
    fields.end()
    for field, given in (("prompt", prompts), ("suffix", [suffix])):
        if any(with_masks(text) != text or MASK in text for text in given):
            raise bad(field, f"{field} holds a mask: POST /v1/infill fills masks, this continues texts")
    texts = [f"{prompt.rstrip()} {MASK}{suffix}" if suffix else prompt for prompt in prompts]
    jobs = [served.job(text, seed + place, length, options, field="prompt") for place, text in enumerate(texts)]
    return Completion(jobs, prompts, suffix, echo, stops, stream, usage)


def _check_model(served: Served, name: str) -> None:
    if name != served.name:
        raise Refusal(404, f"there is no model {name[:80]!r} here; this is {served.name!r}", "model")


def _length(fields: Fields, served: Served) -> int:
    """Tokens to write. Clients name the most that they would take, so more than the model ever saw is no error."""
    most = SEEDS if served.writer.model.config.longest_span else served.most_tokens
    return min(fields.integer("max_tokens", 16, 1, most), served.most_tokens)


def _stops(fields: Fields) -> list[str]:
    value = fields.take("stop", [])
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        raise bad("stop", f"stop must be a string, or up to {STOPS} of them")
    return stops


def _usage_wanted(fields: Fields) -> bool:
    value = fields.take("stream_options", {})
    if not isinstance(value, dict) or not set(value) <= {"include_usage"}:
        raise bad("stream_options", 'stream_options must be an object such as {"include_usage": true}')
    return Fields(value).flag("include_usage")


def completion_answer(served: Served, asked: Completion, answers: Sequence[Answer]) -> dict[str, Any]:
    """The body of the answer."""
    choices = [choice for place, answer in enumerate(answers) for choice in _choices(asked, place, answer)]
    body = {**_head(served), "choices": choices, "usage": _usage(served, asked, answers)}
    return body | {"seed": asked.jobs[0].seed, "timing": timing(answers)}


def completion_events(
    served: Served, asked: Completion
) -> tuple[Callable[[int, Answer], Documents], Callable[[Sequence[Answer]], Documents]]:
    """What is sent of each prompt, a chunk for each sample, and at the end."""
    head = {**_head(served), "seed": asked.jobs[0].seed}

    def each(place: int, answer: Answer) -> Documents:
        yield from ({**head, "choices": [choice]} for choice in _choices(asked, place, answer))

    def last(answers: Sequence[Answer]) -> Documents:
        if asked.usage:
            yield {**head, "choices": [], "usage": _usage(served, asked, answers)}

    return each, last


def _head(served: Served) -> dict[str, Any]:
    return {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": served.name,
    }


def _choices(asked: Completion, place: int, answer: Answer) -> list[dict[str, Any]]:
    """The samples of the prompt at this place."""
    prompt, samples, choices = asked.prompts[place], answer.written.samples, []
    for number, sample in enumerate(samples):
        text, reason = cut(continuation(sample, prompt, asked.suffix), asked.stops)
        text = prompt + text if asked.echo else text
        index = place * len(samples) + number
        choices.append({"index": index, "text": text, "finish_reason": reason, "logprobs": None})
    return choices


def _usage(served: Served, asked: Completion, answers: Sequence[Answer]) -> dict[str, int]:
    given = sum(len(encode_with_masks(served.writer.tokenizer, prompt)) for prompt in asked.prompts)
    written = sum(answer.written.tokens * len(answer.written.samples) for answer in answers)
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


def continuation(sample: str, prompt: str, suffix: str = "") -> str:
    """The part of a sample after its prompt and before its suffix.

    Example:
        >>> continuation("a dog ran .", "a dog"), continuation("a dog ran .", "a dog ", " .")
        (' ran .', 'ran')
    """
    written = sample.removeprefix(prompt.rstrip()).removesuffix(suffix)
    return written.lstrip() if prompt[-1:].isspace() else written


def cut(text: str, stops: Sequence[str]) -> tuple[str, str]:
    """The text up to the first of ``stops``, and why it ends there.

    Example:
        >>> cut(" a dog . a cat", ["."]), cut(" a dog", ["."])
        ((' a dog ', 'stop'), (' a dog', 'length'))
    """
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(ends)], "stop") if ends else (text, "length")
