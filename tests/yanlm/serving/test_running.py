"""A server on a socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx2
import pytest

from yanlm.serving.running import bound

TEXTS = ["the <mask> sat", "a small <mask> near the <mask> house in the old town .", "the dog <mask>"]


def test_many_clients_at_once_get_what_each_alone_gets(listening: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listening()}/v1/infill"
    with httpx2.Client(timeout=120) as client:

        def ask(number: int) -> tuple[int, str]:
            asked = {"text": TEXTS[number % 3], "seed": number % 5, "length": 1 + number % 2}
            answer = client.post(url, json=asked)
            return answer.status_code, answer.json()["results"][0]["text"]

        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(ask, range(60)))
        alone = [ask(number) for number in range(30)]
    assert together == alone + alone and {status for status, _ in together} == {200}


def test_a_connection_serves_several_requests(listening: Callable[..., int]) -> None:
    connection = HTTPConnection("127.0.0.1", listening(), timeout=60)
    connection.connect()
    before = connection.sock
    for _ in range(3):
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() and connection.sock is before
    connection.close()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bound("127.0.0.1", taken.getsockname()[1])
