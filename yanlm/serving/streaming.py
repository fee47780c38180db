"""Answers as server-sent events, each as soon as it is there, as clients of OpenAI's API read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from yanlm.serving.job import Answer
from yanlm.serving.refusal import Refusal

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
"""The last event, where nothing failed."""

Documents = Iterable[dict[str, Any]]


def event(document: dict[str, Any]) -> bytes:
    """One event.

    Example:
        >>> event({"text": "a"})
        b'data: {"text": "a"}\\n\\n'
    """
    return f"data: {json.dumps(document)}\n\n".encode()


async def events(
    futures: Sequence[asyncio.Future[Answer]],
    each: Callable[[int, Answer], Documents],
    last: Callable[[Sequence[Answer]], Documents],
) -> AsyncIterator[bytes]:
    """What is sent of a request: its answers in their order, something at the end, and that this was all.

    A text that cannot be filled ends the stream with its error. Whoever stops reading gives up the texts that are left.

    Args:
        futures: The answers to come.
        each: Documents of an answer and its place.
        last: Documents of all answers together.
    """
    answers: list[Answer] = []
    try:
        for place, future in enumerate(futures):
            answers.append(await future)
            for document in each(place, answers[-1]):
                yield event(document)
        for document in last(answers):
            yield event(document)
        yield DONE
    except Refusal as refusal:
        yield event(refusal.document())
    finally:
        give_up(futures)


def give_up(futures: Sequence[asyncio.Future[Answer]]) -> None:
    """Begin none of the texts that nobody waits for any more."""
    for future in futures:
        if not future.cancel():
            look_at(future)


def look_at(done: asyncio.Future[Any]) -> None:
    """Look at the failure of something that nobody waits for any more, or asyncio reports it as forgotten."""
    if not done.cancelled():
        done.exception()
