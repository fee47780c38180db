"""One text on a page of its own: a file that anybody can open, without a server."""

from __future__ import annotations

import time

from yanlm.generation.options import GenerationOptions
from yanlm.serving.job import Answer, Job
from yanlm.serving.page import page
from yanlm.serving.served import Served
from yanlm.serving.trace import trace_document
from yanlm.writer import Written


def traced(
    served: Served, text: str, *, length: str | int, seed: int, options: GenerationOptions
) -> tuple[Written, str]:
    """Fill a text, and show how it came about.

    Args:
        served: The model that fills it.
        text: With masks, or to be continued.
        length: Tokens behind each mask, as :meth:`yanlm.Writer.write` takes it.
        seed: Seed of all random numbers.
        options: How it is filled.

    Returns:
        What was written, which is what :meth:`yanlm.Writer.write` writes, and HTML that loads nothing.
    """
    job, began = Job(text, seed, length, options, watching=True), time.perf_counter()
    [(out, seen)] = served.writer.watch(text, length=length, seed=seed, options=options)
    answer = Answer(out, seen, 0.0, time.perf_counter() - began, 1)
    return out, page(trace=trace_document(served, job, answer))
