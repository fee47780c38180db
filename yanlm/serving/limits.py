"""Limits of a server, for one request and for all together."""

from __future__ import annotations

from dataclasses import dataclass, fields

from moefm.checks import check_count


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server. What exceeds them is refused, with the limit and the remedy.

    Attributes:
        body: Bytes in the body of a request.
        texts: Texts in a request.
        steps: Steps T of a request.
        results: Results computed for a text: samples times candidates.
        slots: Tokens to fill in all results of a text.
        queue: Texts that wait for the model.
        batch: Results computed together.
        connections: Open connections.
        seconds: Seconds until a request is answered, including waiting.
        sending: Seconds within which head and body of a request each have to arrive.

    Raises:
        ValueError: A limit is below 1.

    Example:
        >>> Limits(queue=8).queue
        8
    """

    body: int = 64 * 1024
    texts: int = 32
    steps: int = 64
    results: int = 32
    slots: int = 8192
    queue: int = 256
    batch: int = 32
    connections: int = 512
    seconds: int = 60
    sending: int = 10

    def __post_init__(self) -> None:
        for field in fields(self):
            check_count(field.name, getattr(self, field.name))
