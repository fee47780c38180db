"""Protection of the application: allowed hosts, sizes and times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yanlm.serving.limits import Limits
from yanlm.serving.metrics import Metrics
from yanlm.serving.refusal import Refusal
from yanlm.serving.streaming import look_at

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refused(refusal: Refusal) -> Response:
    """The answer to a refused request."""
    return JSONResponse(refusal.document(), refusal.status, headers=refusal.headers)


class Guard:
    """Refuses foreign hosts, ends what takes too long, counts, and sets headers.

    Another site can trick a browser into sending a request here, by a name that leads to this machine. Such a request
    carries the name of that site, so it is refused unless it is in ``hosts``.

    Args:
        app: The application.
        limits: Limits of time.
        metrics: Counters of the answers.
        paths: Paths that are counted by name; all others are counted together.
        hosts: Host names that the server answers to; none means any.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, paths: Collection[str], hosts: Collection[str] = ()
    ) -> None:
        self.app, self.limits, self.metrics, self.paths, self.hosts = app, limits, metrics, paths, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._answer(scope, receive, sending)
        except TimeoutError:
            if status:  # the client does not read what it asked for
                raise
            late = Refusal(503, f"no answer within {self.limits.seconds} s; ask for less, or later")
            await refused(late)(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.answered(path, status or 500, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = _host(Request(scope).headers.get("host", ""))
        if self.hosts and name not in self.hosts:
            wrong = Refusal(
                421, f"this server answers as {', '.join(self.hosts)} alone; start it with --host for others"
            )
            await refused(wrong)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    with suppress(ValueError):
        return urlsplit(f"//{header}").hostname or ""
    return ""


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of a request, if it is JSON, small enough and not too slow.

    Raises:
        Refusal: It is not.
    """
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json":
        raise Refusal(415, f"the body must be application/json, got {media[:80] or 'no Content-Type'}")
    too_large = Refusal(413, f"the body has more than {limits.body:,} bytes", headers={"Connection": "close"})
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > limits.body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.sending):
            async for part in request.stream():
                body += part
                if len(body) > limits.body:
                    raise too_large
    except TimeoutError:
        slow = f"the body did not arrive within {limits.sending} s"
        raise Refusal(408, slow, headers={"Connection": "close"}) from None
    return bytes(body)


async def unless_gone(request: Request, work: Awaitable[Any], give_up: Callable[[], None]) -> Any:
    """The result of ``work``, or ``None`` once the client has left, after ``give_up()``."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    leaving, working = asyncio.ensure_future(gone()), asyncio.ensure_future(work)
    working.add_done_callback(look_at)
    try:
        await asyncio.wait({leaving, working}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        leaving.cancel()
        if not working.done():
            give_up()
            working.cancel()
