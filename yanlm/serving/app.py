"""The application: its routes and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from yanlm.serving.batching import Batcher
from yanlm.serving.completions import completion_answer, completion_events, completion_request
from yanlm.serving.fields import read_object
from yanlm.serving.guard import Guard, body_of, refused, unless_gone
from yanlm.serving.infill import infill_answer, infill_events, infill_request
from yanlm.serving.job import Answer, Job
from yanlm.serving.metrics import MEDIA_TYPE, Metrics
from yanlm.serving.page import page
from yanlm.serving.refusal import Refusal
from yanlm.serving.served import Served
from yanlm.serving.streaming import MEDIA_TYPE as EVENTS
from yanlm.serving.streaming import events, give_up

LEFT = 499
"""Status of a request whose client did not wait; nobody reads it but the metrics."""


class Routes:
    """The answers of a server.

    Args:
        served: The model.
        batcher: Answers jobs.
        metrics: Counters.
    """

    def __init__(self, served: Served, batcher: Batcher, metrics: Metrics) -> None:
        self.served, self.batcher, self.metrics = served, batcher, metrics
        self._page = page(server=served.facts)

    def routes(self) -> list[Route]:
        """All paths."""
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/metrics", self.count, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/infill", self.infill, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The page."""
        return HTMLResponse(self._page)

    async def health(self, request: Request) -> Response:
        """That the server works, and how much waits."""
        return JSONResponse({"status": "ok", "model": self.served.name, "waiting": len(self.batcher.queue)})

    async def count(self, request: Request) -> Response:
        """The metrics."""
        return Response(self.metrics.text(), media_type=MEDIA_TYPE)

    async def models(self, request: Request) -> Response:
        """The one model that there is."""
        model = {"id": self.served.name, "object": "model", "owned_by": "yanlm", "facts": self.served.facts}
        return JSONResponse({"object": "list", "data": [model]})

    async def infill(self, request: Request) -> Response:
        """Texts with masks, filled."""
        asked = infill_request(self.served, read_object(await body_of(request, self.served.limits)))
        if asked.stream:
            return await self._stream(request, asked.jobs, *infill_events(self.served, asked))
        answers = await self._answers(request, asked.jobs)
        return _json(None if answers is None else infill_answer(self.served, asked, answers))

    async def complete(self, request: Request) -> Response:
        """Texts, continued."""
        asked = completion_request(self.served, read_object(await body_of(request, self.served.limits)))
        if asked.stream:
            return await self._stream(request, asked.jobs, *completion_events(self.served, asked))
        answers = await self._answers(request, asked.jobs)
        return _json(None if answers is None else completion_answer(self.served, asked, answers))

    async def _answers(self, request: Request, jobs: Sequence[Job]) -> list[Answer] | None:
        """Of all jobs; ``None`` where the client has left, whose jobs are then not begun."""
        futures = self.batcher.put(jobs)
        answers: list[Answer] | None = await unless_gone(request, asyncio.gather(*futures), partial(give_up, futures))
        return answers

    async def _stream(self, request: Request, jobs: Sequence[Job], each: Any, last: Any) -> Response:
        """Answers one by one. It begins with the first, so that a request that cannot be answered has its status."""
        futures = self.batcher.put(jobs)
        first = await unless_gone(request, asyncio.wait(futures[:1]), partial(give_up, futures))
        if first is None:
            return Response(status_code=LEFT)
        if error := futures[0].exception():
            give_up(futures)
            raise error
        return StreamingResponse(events(futures, each, last), media_type=EVENTS)


def _json(document: dict[str, Any] | None) -> Response:
    return Response(status_code=LEFT) if document is None else JSONResponse(document)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return refused(error)
    if isinstance(error, HTTPException):
        allowed = (error.headers or {}).get("Allow", "")
        says = {404: f"there is nothing at {request.url.path[:80]}", 405: f"use {allowed}"}
        return refused(Refusal(error.status_code, says.get(error.status_code, error.detail), None, error.headers))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=LEFT)
    return refused(Refusal(500, "the server failed; its log says more"))


def make_app(served: Served, *, hosts: Sequence[str] = (), between: Callable[[], None] | None = None) -> ASGIApp:
    """The application that answers with a model.

    Args:
        served: The model, and the limits.
        hosts: Host names that it answers to; none means any.
        between: Called before every batch, in the thread that computes.
    """
    metrics = Metrics()
    batcher = Batcher(served.writer, served.limits, metrics, between)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        try:
            yield
        finally:
            batcher.stop()
            await running
            batcher.close()

    routes = Routes(served, batcher, metrics).routes()
    handled: tuple[type[Exception], ...] = (Refusal, HTTPException, ClientDisconnect, Exception)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={kind: _refuse for kind in handled})
    return Guard(app, served.limits, metrics, {route.path for route in routes}, hosts)
