"""A tiny model behind HTTP, as Starlette's test client and as a real server on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from yanlm.modeling.yan import YanModel
from yanlm.serving.app import make_app
from yanlm.serving.limits import Limits
from yanlm.serving.running import bound, make_server
from yanlm.serving.served import Served
from yanlm.writer import Writer

ENCODER = {"denoiser": "encoder", "experts": "source", "scope": "sequence", "num_experts": 2}
HERE = "http://127.0.0.1"


@pytest.fixture
def make_served(make_model: Callable[..., YanModel], tokenizer: Any) -> Callable[..., Served]:
    """A model with random weights; bounds go to its limits, and ``config`` to the model."""

    def make(config: dict[str, Any] | None = None, **bounds: int) -> Served:
        return Served(
            Writer(make_model(**(ENCODER if config is None else config)), tokenizer), "tiny", Limits(**bounds)
        )

    return make


@pytest.fixture
def served(make_served: Callable[..., Served]) -> Served:
    return make_served()


@pytest.fixture
def ask(make_served: Callable[..., Served]) -> Iterator[Callable[..., TestClient]]:
    """A client of a server with these bounds."""
    opened = []

    def make(config: dict[str, Any] | None = None, hosts: tuple[str, ...] = (), **bounds: int) -> TestClient:
        client = TestClient(make_app(make_served(config, **bounds), hosts=hosts), HERE, raise_server_exceptions=False)
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__()


@pytest.fixture
def client(ask: Callable[..., TestClient]) -> TestClient:
    return ask()


@pytest.fixture
def listening(make_served: Callable[..., Served]) -> Iterator[Callable[..., int]]:
    """A real server in a thread; returns its port."""
    running = []

    def start(config: dict[str, Any] | None = None, **bounds: int) -> int:
        served = make_served(config, **bounds)
        own, server = bound("127.0.0.1", 0), make_server(make_app(served), served.limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread))
        return own.getsockname()[1]

    yield start
    for server, thread in running:
        server.should_exit = server.force_exit = True
        thread.join(60)
