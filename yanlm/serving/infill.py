"""``POST /v1/infill``: fills texts with masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from yanlm.serving.fields import Fields
from yanlm.serving.job import Answer, Job
from yanlm.serving.refusal import bad
from yanlm.serving.served import SEEDS, Served
from yanlm.serving.streaming import Documents
from yanlm.serving.trace import trace_document


class Infill(NamedTuple):
    """A request.

    Attributes:
        jobs: One for each text.
        stream: Whether every text is sent as soon as it is filled.
    """

    jobs: list[Job]
    stream: bool


def infill_request(served: Served, document: dict[str, Any]) -> Infill:
    """Read a request. Texts of a list have the seeds ``seed``, ``seed + 1``, ... .

    Raises:
        Refusal: A field is unknown, of another type, or out of range, or the model does not take it.
    """
    fields = Fields(document)
    texts = fields.texts("text", served.limits.texts)
    seed = fields.integer("seed", 0, -SEEDS, SEEDS)
    length = _length(fields, served)
    options = served.options(fields)
    watching, stream = fields.flag("trace"), fields.flag("stream")
    fields.end()
    if watching and len(texts) > 1:
        raise bad("trace", "trace shows one text; ask for one at a time")
    jobs = [served.job(text, seed + place, length, options, watching) for place, text in enumerate(texts)]
    return Infill(jobs, stream)


def _length(fields: Fields, served: Served) -> str | int:
    value = fields.take("length", "auto")
    if isinstance(value, str) and value in ("auto", "source"):
        return value
    most = served.most_tokens
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise bad("length", f"length must be auto, source or a number of tokens from 1 to {most}")
    return value


def infill_answer(served: Served, asked: Infill, answers: Sequence[Answer]) -> dict[str, Any]:
    """The body of the answer."""
    results = [_result(served, job, answer) for job, answer in zip(asked.jobs, answers, strict=True)]
    return {"object": "infill", "model": served.name, "results": results, "timing": timing(answers)}


def infill_events(
    served: Served, asked: Infill
) -> tuple[Callable[[int, Answer], Documents], Callable[[Sequence[Answer]], Documents]]:
    """What is sent of each text, and of all at the end."""
    head = {"object": "infill.chunk", "model": served.name}

    def each(place: int, answer: Answer) -> Documents:
        yield {**head, "index": place, "result": _result(served, asked.jobs[place], answer)}

    def last(answers: Sequence[Answer]) -> Documents:
        yield {**head, "timing": timing(answers)}

    return each, last


def _result(served: Served, job: Job, answer: Answer) -> dict[str, Any]:
    out = answer.written
    result = {"text": out.text, "samples": out.samples, "fills": out.fills, "tokens": out.tokens, "seed": job.seed}
    return result if answer.watched is None else result | {"trace": trace_document(served, job, answer)}


def timing(answers: Sequence[Answer]) -> dict[str, Any]:
    """Passes and seconds of a request."""
    return {
        "passes": max(answer.written.nfe for answer in answers),
        "waited": round(max(answer.waited for answer in answers), 6),
        "seconds": round(max(answer.seconds for answer in answers), 6),
        "together": max(answer.together for answer in answers),
    }
