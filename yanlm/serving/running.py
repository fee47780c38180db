"""A server on a socket, with time limits and an orderly end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from yanlm.serving.limits import Limits

KEEP_ALIVE = 5
HEAD = 16 * 1024
"""Bytes of a request's head."""


def protocol(seconds: float) -> type[H11Protocol]:
    """HTTP on a connection that is closed if the head of a request does not arrive within ``seconds``."""

    class Patient(H11Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]
            self._await_request()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._await_request()

        def _await_request(self) -> None:
            self.loop.call_later(seconds, self._close_unless_asked, self.cycle)

        def _close_unless_asked(self, before: Any) -> None:
            if self.cycle is before and not self.transport.is_closing():
                self.transport.close()

    return Patient


def bound(host: str, port: int) -> socket.socket:
    """A socket with an address; nobody can connect before a server listens on it.

    Raises:
        OSError: The port is taken, or we may not use it.
    """
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
    except OSError:
        own.close()
        raise
    return own


class Server(uvicorn.Server):
    """A server that reports when it listens.

    Args:
        config: Its configuration.
        ready: Called then.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started and self.ready is not None:
            self.ready()


def make_server(app: ASGIApp, limits: Limits, ready: Callable[[], None] | None = None) -> Server:
    """The server of an application, with its bounds on time and connections."""
    config = uvicorn.Config(
        app,
        http=protocol(limits.sending),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=limits.seconds,
        h11_max_incomplete_event_size=HEAD,
    )
    return Server(config, ready)


def serve(app: ASGIApp, limits: Limits, listening: socket.socket, ready: Callable[[], None] | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM. Then accept nothing more, answer pending requests, and return.

    A second Ctrl-C does not wait.

    Args:
        app: The application.
        limits: Limits of time and connections.
        listening: The socket.
        ready: Called once it listens.
    """
    server = make_server(app, limits, ready)
    kept = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:  # the server passes the signal on when it is done, and being stopped is no failure
        server.run(sockets=[listening])
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
