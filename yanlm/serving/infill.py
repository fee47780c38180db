"""``POST /v1/infill``: fills texts with masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yanlm.serving.fields import Fields
from yanlm.serving.job import Answer, Job
from yanlm.serving.refusal import bad
from yanlm.serving.served import SEEDS, Served
from yanlm.serving.trace import trace_document


def infill_jobs(served: Served, document: dict[str, Any]) -> list[Job]:
    """The jobs of a request. Texts of a list have the seeds ``seed``, ``seed + 1``, ... .

    Raises:
        Refusal: A field is unknown, of another type, or out of range, or the model does not take it.
    """
    fields = Fields(document)
    texts = fields.texts("text", served.limits.texts)
    seed = fields.integer("seed", 0, -SEEDS, SEEDS)
    length = _length(fields, served)
    options = served.options(fields)
    watching = fields.flag("trace")
    fields.end()
    if watching and len(texts) > 1:
        raise bad("trace", "trace shows one text; ask for one at a time")
    return [served.job(text, seed + place, length, options, watching) for place, text in enumerate(texts)]


def _length(fields: Fields, served: Served) -> str | int:
    value = fields.take("length", "auto")
    if isinstance(value, str) and value in ("auto", "source"):
        return value
    most = served.writer.model.config.max_length
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise bad("length", f"length must be auto, source or a number of tokens from 1 to {most}")
    return value


def infill_answer(served: Served, jobs: Sequence[Job], answers: Sequence[Answer]) -> dict[str, Any]:
    """The body of the answer."""
    results = []
    for job, answer in zip(jobs, answers, strict=True):
        out = answer.written
        result = {"text": out.text, "samples": out.samples, "fills": out.fills, "tokens": out.tokens, "seed": job.seed}
        if answer.watched is not None:
            result["trace"] = trace_document(served, job, answer)
        results.append(result)
    return {"object": "infill", "model": served.name, "results": results, "timing": timing(answers)}


def timing(answers: Sequence[Answer]) -> dict[str, Any]:
    """Passes and seconds of a request."""
    return {
        "passes": max(answer.written.nfe for answer in answers),
        "waited": round(max(answer.waited for answer in answers), 6),
        "seconds": round(max(answer.seconds for answer in answers), 6),
        "together": max(answer.together for answer in answers),
    }
