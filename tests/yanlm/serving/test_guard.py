"""What stands before the application: hosts, media types, sizes, and time."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from yanlm.serving.guard import LOOPBACK, unless_gone

TEXT = {"text": "a <mask>", "length": 1}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are_answered(ask: Callable[..., TestClient], host: str) -> None:
    assert ask(hosts=LOOPBACK).get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[", "a@b:c"])
def test_names_of_others_are_not(ask: Callable[..., TestClient], host: str) -> None:
    answer = ask(hosts=LOOPBACK).post("/v1/infill", json=TEXT, headers={"Host": host})
    assert answer.status_code == 421 and answer.json()["error"]["type"] == "wrong_host"


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(client: TestClient, media: str) -> None:
    """What a form of another site could send is not: a browser asks before it sends JSON, and gets no answer."""
    answer = client.post("/v1/infill", content=b'{"text": "a <mask>"}', headers={"Content-Type": media})
    assert answer.status_code == 415
    assert client.options("/v1/infill").status_code == 405
    assert "access-control-allow-origin" not in client.post("/v1/infill", json=TEXT).headers


def test_bodies_have_a_size(ask: Callable[..., TestClient]) -> None:
    client = ask(body=100)
    assert client.post("/v1/infill", json=TEXT).status_code == 200
    large = client.post("/v1/infill", json={"text": "a" * 200})
    assert large.status_code == 413 and large.json()["error"]["message"] == "the body has more than 100 bytes"

    def parts() -> object:
        yield from [b"a" * 60] * 3

    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/infill", content=parts(), headers=headers).status_code == 413


def test_what_takes_too_long_ends(ask: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    client = ask(seconds=1)
    batcher = client.app.app.routes[-1].endpoint.__self__.batcher
    monkeypatch.setattr(batcher, "_next", list)  # the model never comes to it
    answer = client.post("/v1/infill", json=TEXT)
    assert answer.status_code == 503 and "within 1 s" in answer.json()["error"]["message"]


def raw(port: int, content: bytes, *more: bytes) -> bytes:
    """What a server says to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        for part in (content, *more):
            connection.sendall(part)
        said = b""
        while part := connection.recv(65536):
            said += part
        return said


HEAD = b"POST /v1/infill HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def test_clients_that_dawdle_are_let_go(listening: Callable[..., int]) -> None:
    port = listening(sending=1)
    assert raw(port, b"") == b""  # never says a word
    assert raw(port, b"GET /heal") == b""  # nor ends its first line
    slow = raw(port, HEAD + b'Content-Length: 20\r\n\r\n{"te')
    assert slow.startswith(b"HTTP/1.1 408") and b"did not arrive" in slow


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /" + b"a" * 40_000,
        HEAD + b"Content-Length: ten\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused(listening: Callable[..., int], content: bytes) -> None:
    assert raw(listening(), content).startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_has_its_work_given_up() -> None:
    class Left:
        async def receive(self) -> dict[str, str]:
            return {"type": "http.disconnect"}

    forgotten: list[object] = []

    async def ask() -> tuple[object, list[bool]]:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        given_up: list[bool] = []
        work = asyncio.gather(never)
        return await unless_gone(Left(), work, lambda: given_up.append(never.cancel())), given_up  # type: ignore[arg-type]

    async def main() -> tuple[object, list[bool]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
        answer = await ask()
        await asyncio.sleep(0)
        gc.collect()
        return answer

    assert asyncio.run(main()) == (None, [True])
    assert not forgotten, "asyncio reports nothing as forgotten"
