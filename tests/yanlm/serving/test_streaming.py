"""Answers as server-sent events: what a client reads, and what becomes of the texts of one that leaves."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest
from starlette.testclient import TestClient

PROMPT = {"prompt": ["the cat", "a dog"], "max_tokens": 4, "n": 2, "seed": 3}


def read(client: TestClient, path: str, body: dict[str, Any]) -> list[Any]:
    """The documents of a stream, and what stands for its end."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        blocks = "".join(answer.iter_text()).split("\n\n")
    assert blocks.pop() == "" and all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block if block == "data: [DONE]" else json.loads(block.removeprefix("data: ")) for block in blocks]


def test_a_completion_comes_in_chunks(client: TestClient) -> None:
    *chunks, end = read(client, "/v1/completions", PROMPT)
    whole = client.post("/v1/completions", json=PROMPT).json()
    assert end == "data: [DONE]" and [chunk["choices"][0] for chunk in chunks] == whole["choices"]
    assert len({chunk["id"] for chunk in chunks}) == 1 and {chunk["object"] for chunk in chunks} == {"text_completion"}
    asked = PROMPT | {"stream_options": {"include_usage": True}}
    *chunks, last, _ = read(client, "/v1/completions", asked)
    assert last["choices"] == [] and last["usage"] == whole["usage"] and "usage" not in chunks[0]


def test_filled_texts_come_one_by_one(client: TestClient) -> None:
    asked = {"text": ["the <mask> sat", "a <mask>"], "length": 2, "seed": 5, "samples": 2}
    *chunks, last, end = read(client, "/v1/infill", asked)
    whole = client.post("/v1/infill", json=asked).json()
    assert [chunk["result"] for chunk in chunks] == whole["results"] and [chunk["index"] for chunk in chunks] == [0, 1]
    assert last["timing"]["passes"] == 3 and end == "data: [DONE]"
    [chunk, *_] = read(client, "/v1/infill", {"text": "a <mask>", "length": 1, "trace": True})
    assert len(chunk["result"]["trace"]["passes"]) == 3


def test_what_cannot_be_answered_at_all_has_a_status(ask: Callable[..., TestClient]) -> None:
    client = ask(queue=1)
    for body, status in (
        ({"prompt": "word " * 200}, 400),
        ({"prompt": ["a", "b"]}, 503),
        ({"prompt": "a", "n": 0}, 400),
    ):
        answer = client.post("/v1/completions", json=body | {"stream": True})
        assert answer.status_code == status and answer.json()["error"]["code"] == status


def test_an_error_later_on_is_the_last_event(client: TestClient) -> None:
    first, error = read(client, "/v1/infill", {"text": ["a <mask>", "word " * 200, "a <mask>"], "length": 1})
    assert first["index"] == 0 and error["error"]["param"] == "text"
    assert client.post("/v1/infill", json={"text": "a <mask>", "length": 1}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/infill", "/v1/completions"])
def test_who_leaves_a_stream_leaves_no_work(listening: Callable[..., int], path: str) -> None:
    port = listening(batch=1)
    texts = {"text": ["the <mask> sat"] * 32} if path == "/v1/infill" else {"prompt": ["the cat"] * 32}
    body = json.dumps(texts | {"stream": True, "steps": 16}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as leaving:
        leaving.sendall(head.encode() + body)
        assert b"200 OK" in leaving.recv(4096)  # it has begun
    asking = HTTPConnection("127.0.0.1", port, timeout=120)
    waiting, until = 1, time.monotonic() + 100
    while waiting and time.monotonic() < until:
        asking.request("GET", "/health")
        waiting = json.loads(asking.getresponse().read())["waiting"]
    asking.request("GET", "/metrics")
    [batches] = [line for line in asking.getresponse().read().decode().splitlines() if "batch_texts_count" in line]
    assert waiting == 0 and float(batches.split()[-1]) < 32, "texts were filled that nobody waited for"
