"""What a server answers, path by path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from yanlm.serving.app import make_app
from yanlm.serving.limits import Limits
from yanlm.serving.served import Served
from yanlm.writer import Writer

TEXT = "the <mask> sat on <mask> ."


def test_health_models_and_metrics(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "waiting": 0}
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tiny"]
    client.post("/v1/infill", json={"text": TEXT, "length": 2})
    client.get("/nowhere")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'yanlm_requests_total{path="/v1/infill",status="200"} 1.0',
        'yanlm_requests_total{path="other",status="404"} 1.0',
        "yanlm_tokens_total 4.0",
        "yanlm_batch_texts_count 1.0",
        "yanlm_queue_texts 0.0",
    ):
        assert line in answer.text


def test_the_page_is_one_document(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.text and "connect-src 'self'" in answer.text
    assert '"name": "tiny"' in answer.text
    for name in ("x-content-type-options", "x-frame-options", "referrer-policy", "cache-control"):
        assert name in answer.headers


def test_infill_writes_what_the_writer_writes(client: TestClient, served: Any) -> None:
    asked = {"text": TEXT, "samples": 2, "seed": 7, "length": 2, "steps": 4}
    answer = client.post("/v1/infill", json=asked).json()
    [out] = Writer(served.writer.model, served.writer.tokenizer).write(TEXT, samples=2, seed=7, length=2, steps=4)
    [result] = answer["results"]
    assert (result["samples"], result["fills"]) == (out.samples, out.fills)
    assert result["text"] == out.text and result["tokens"] == 4 and result["seed"] == 7
    assert answer["model"] == "tiny" and answer["timing"]["passes"] == 4 and answer["timing"]["together"] == 1


def test_a_list_of_texts_is_as_each_alone(client: TestClient) -> None:
    both = client.post("/v1/infill", json={"text": [TEXT, "a <mask>"], "seed": 5, "length": 2}).json()["results"]
    alone = [
        client.post("/v1/infill", json={"text": text, "seed": seed, "length": 2}).json()["results"][0]
        for text, seed in ((TEXT, 5), ("a <mask>", 6))
    ]
    assert both == alone


def test_a_trace_says_every_pass(client: TestClient) -> None:
    answer = client.post("/v1/infill", json={"text": TEXT, "length": 1, "samples": 2, "steps": 4, "trace": True})
    trace = answer.json()["results"][0]["trace"]
    assert [len(sample["cells"]) for sample in trace["samples"]] == [4, 4] and len(trace["passes"]) == 4
    assert trace["pieces"] == ["the ", " sat on ", " ."] and trace["spans"] == [1, 1]
    assert [sample["text"] for sample in trace["samples"]] == answer.json()["results"][0]["samples"]


@pytest.mark.parametrize("path", ["/v1/infill", "/v1/completions"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"text": NaN}',
        b"[" * 60_000,
        b'{"text": 1' + b"0" * 5000 + b"}",
    ],
)
def test_bodies_that_are_no_object_are_refused(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "body" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/infill", 405),
        ("DELETE", "/v1/completions", 405),
        ("POST", "/health", 405),
        ("PUT", "/", 405),
        ("GET", "/v1/chat", 404),
        ("GET", "/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/page.js", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_json(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status and answer.json()["error"]["code"] == status
    if status == 405:
        assert answer.headers["allow"] in ("GET, HEAD", "HEAD, GET", "POST")


def test_markup_comes_back_as_it_was(client: TestClient) -> None:
    text = "<script>alert(1)</script> & <mask> </p>"
    answer = client.post("/v1/infill", json={"text": text, "length": 1, "trace": True})
    assert answer.headers["content-type"] == "application/json"
    result = answer.json()["results"][0]
    assert result["text"].startswith("<script>alert(1)</script> & ")
    assert json.loads(answer.text)["results"][0]["trace"]["source"] == text


def test_a_failure_of_ours_is_said_without_its_details(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(Writer, "write", fail)
    answer = client.post("/v1/infill", json={"text": TEXT, "length": 1})
    assert answer.status_code == 500 and "secret" not in answer.text
    monkeypatch.undo()
    assert client.post("/v1/infill", json={"text": TEXT, "length": 1}).status_code == 200


def test_a_model_that_writes_token_by_token_is_served_too(make_ar: Any, tokenizer: Any) -> None:
    app = make_app(Served(Writer(make_ar(method="gpt2"), tokenizer), "gpt2", Limits()))
    with TestClient(app, "http://127.0.0.1") as client:
        answer = client.post("/v1/infill", json={"text": TEXT, "length": 2, "trace": True})
        [result] = answer.json()["results"]
        first, *_, last = result["trace"]["samples"][0]["cells"]
        assert [cell[2] for cell in first] == [True, False, False, False]
        assert [cell[0] for cell in first[1:]] == ["…"] * 3
        assert len(result["trace"]["passes"]) == 4 and last[3][1] > 0
        assert client.post("/v1/infill", json={"text": TEXT, "reread": True}).status_code == 400
        assert client.post("/v1/completions", json={"prompt": "the cat", "max_tokens": 3}).status_code == 200
