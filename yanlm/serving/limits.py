"""How much a server takes on: of one request, and of all together."""

from __future__ import annotations

from dataclasses import dataclass, fields

from moefm.checks import check_count


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a server; what is beyond them is refused, with the bound and the remedy.

    Attributes:
        body: Bytes of a request's body.
        texts: Texts of a request.
        steps: Steps T of a request.
        results: Results computed for a text: samples times candidates.
        slots: Tokens to fill in all results of a text.
        queue: Texts that wait for the model.
        batch: Results computed together.
        connections: Open connections.
        seconds: Until a request is answered, waiting included.
        sending: Seconds until a request has to have arrived, its head and its body each.

    Raises:
        ValueError: A bound is below 1.

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
