"""/v1/completions: what clients of OpenAI's interface send, and what they read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

PROMPT = "the cat"
ENCODER = {"denoiser": "encoder"}


def complete(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/completions", json={"prompt": PROMPT, "seed": 3, **fields})


def test_a_completion_has_the_fields_that_clients_read(client: TestClient) -> None:
    neutral = {"stream": False, "top_p": 1, "logprobs": None, "presence_penalty": 0.0, "user": "me", "stop": None}
    document = complete(client, model="tiny", max_tokens=4, n=2, **neutral).json()
    assert document["object"] == "text_completion" and document["id"].startswith("cmpl-")
    assert [choice["index"] for choice in document["choices"]] == [0, 1]
    assert all(choice["finish_reason"] == "length" for choice in document["choices"])
    assert document["usage"]["completion_tokens"] == 8
    assert document["usage"]["total_tokens"] == 8 + document["usage"]["prompt_tokens"]


def test_the_seed_decides_and_comes_back(client: TestClient) -> None:
    first = complete(client, max_tokens=6).json()
    assert first["choices"] == complete(client, max_tokens=6).json()["choices"]
    drawn = client.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 6}).json()
    assert complete(client, max_tokens=6, seed=drawn["seed"]).json()["choices"] == drawn["choices"]


def test_it_continues_as_infill_does(client: TestClient) -> None:
    [result] = client.post("/v1/infill", json={"text": PROMPT, "length": 5, "seed": 3}).json()["results"]
    [choice] = complete(client, max_tokens=5).json()["choices"]
    assert PROMPT + choice["text"] == result["text"]
    [echoed] = complete(client, max_tokens=5, echo=True).json()["choices"]
    assert echoed["text"] == result["text"]
    [before] = complete(client, max_tokens=5, suffix=" on the mat").json()["choices"]
    filled = client.post("/v1/infill", json={"text": f"{PROMPT} <mask> on the mat", "length": 5, "seed": 3}).json()
    assert f"{PROMPT}{before['text']} on the mat" == filled["results"][0]["text"]


def test_a_stop_ends_the_text(client: TestClient) -> None:
    [whole] = complete(client, max_tokens=8).json()["choices"]
    stop = whole["text"].strip()[2]
    [choice] = complete(client, max_tokens=8, stop=[stop, "\n\n\n"]).json()["choices"]
    assert choice["finish_reason"] == "stop" and choice["text"] == whole["text"].split(stop)[0]


@pytest.mark.parametrize(
    ("fields", "field", "status"),
    [
        ({"stream": 1}, "stream", 400),
        ({"stream_options": {"include_usage": 1}}, "include_usage", 400),
        ({"stream_options": {"every": True}}, "stream_options", 400),
        ({"top_p": 0.5}, "top_p", 400),
        ({"logprobs": 5}, "logprobs", 400),
        ({"best_of": 3}, "best_of", 400),
        ({"model": "gpt-4"}, "model", 404),
        ({"max_tokens": 0}, "max_tokens", 400),
        ({"max_tokens": 49}, "max_tokens", 400),
        ({"n": 99}, "n", 400),
        ({"stop": ""}, "stop", 400),
        ({"stop": ["a"] * 5}, "stop", 400),
        ({"prompt": "a <mask>"}, "prompt", 400),
        ({"prompt": [1, 2]}, "prompt", 400),
        ({"suffix": 5}, "suffix", 400),
        ({"messages": []}, "messages", 400),
        ({"prompt": "word " * 200}, "prompt", 400),
        ({"prompt": " "}, "prompt", 400),
        ({"suffix": "a <mask>"}, "suffix", 400),
        ({"max_tokens": 40, "n": 32}, "prompt", 400),
    ],
)
def test_what_is_not_done_is_refused(
    ask: Callable[..., TestClient], fields: dict[str, Any], field: str, status: int
) -> None:
    answer = complete(ask(slots=1000), **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, field)
    assert "POST /v1/infill" in error["message"] or "mask" not in error["message"]


def test_no_more_is_written_than_the_model_was_trained_on(ask: Callable[..., TestClient]) -> None:
    client = ask({**ENCODER, "longest_span": 5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = complete(client, max_tokens=4096).json()
    assert document["usage"]["completion_tokens"] == 5 and document["choices"][0]["finish_reason"] == "length"
    assert document["choices"] == complete(client, max_tokens=5).json()["choices"]
    refused = client.post("/v1/infill", json={"text": PROMPT, "length": 6})
    assert refused.status_code == 400 and "from 1 to 5" in refused.json()["error"]["message"]
    assert client.get("/v1/models").json()["data"][0]["facts"]["longest_span"] == 5


def test_a_remedy_names_the_field_of_this_path(client: TestClient) -> None:
    error = complete(client, max_tokens=48).json()["error"]
    assert error["param"] == "prompt" and "or ask for fewer tokens: max_tokens=" in error["message"]
