"""yanlm serve, end to end: what it says, what it refuses, and how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]

MISTAKES = {
    "no folder": (("--model", "none"), "no folder none"),
    "port": (("--port", "70000"), "--port must be from 0 to 65535"),
    "queue": (("--queue", "0"), "--queue must be at least 1"),
    "body": (("--max-body", "0"), "--max-body must be at least 1"),
    "host": (("--host", "192.0.2.1"), "try another --host"),
    "no host": (("--host", "no host"), "try another --host"),
    "long host": (("--host", "a" * 99), "try another --host"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_serve(yanlm: Run, models: Path, name: str) -> None:
    args, message = MISTAKES[name]
    model = () if "--model" in args else ("--model", models / "encoder")
    code, out, err = yanlm("serve", *model, *args)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_a_port_that_is_taken(yanlm: Run, models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = yanlm("serve", "--model", models / "encoder", "--port", port)
    assert (code, out) == (2, "") and "try another --port" in err


def test_packages_that_are_missing_are_named(yanlm: Run, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moefm_cli.yanlm import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else name)
    code, _, err = yanlm("serve", "--model", models / "encoder")
    assert code == 2 and "yanlm serve needs uvicorn" in err and "[serve]" in err


def asked(url: str, document: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_was_asked_and_stops(models: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "serve", "--model", str(models / "encoder")]
    command += ["--port", "0", "--batch", "4"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            [url] = re.findall(r"serving encoder at (http://127\.0\.0\.1:\d+) ", line)
            assert asked(f"{url}/v1/infill", {"text": "Mary <mask> .", "length": 1})["results"]
            answers: list[dict[str, Any]] = []
            texts = ["Mary <mask> ."] * 16
            work = {"text": texts, "length": 20, "steps": 12, "candidates": 2}
            worker = threading.Thread(target=lambda: answers.append(asked(f"{url}/v1/infill", work)))
            worker.start()
            while not json.load(urllib.request.urlopen(f"{url}/health", timeout=120))["waiting"]:
                assert worker.is_alive()
            process.send_signal(number)
            worker.join(120)
            assert len(answers[0]["results"]) == 16
            assert process.wait(120) == 0
            assert "all that was asked is answered" in process.stderr.read()
        finally:
            process.kill()
