"""A server under load: 1,000 requests, 32 at a time, every text compared with what the model writes for it alone.

    python benchmarks/serving.py --model runs/yanlm           # starts yanlm serve on a free port of this machine
    python benchmarks/serving.py --model runs/yanlm --json    # JSON alone on stdout

The exit code is 1 where a request failed, or a text was another one than alone. Requests differ in text, seed, number
of tokens and steps, and every other one asks for the flow, so that batches mix them. Only 127.0.0.1 is asked.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from threading import local
from typing import Any

TEXTS = [
    "Once upon a time there was a little <mask> who lived in the <mask> .",
    "The king said : <mask>",
    "<mask> and the old woman went to the <mask> , where the <mask> was .",
    "It was a dark <mask> .",
    "She looked at him and <mask> , but he did not <mask> a word , for he was afraid of the <mask> in the wood .",
]
HEADERS = {"Content-Type": "application/json"}


def asked(number: int) -> dict[str, Any]:
    """The body of a request; 840 different ones follow each other."""
    return {
        "text": TEXTS[number % 5],
        "seed": number % 40,
        "length": 1 + number % 3,
        "steps": 3 if number % 8 else 6,
        "samples": 1 + (number % 7 == 0),
        **({"sampler": "flow"} if number % 2 else {}),
    }


class Client:
    """One connection for each thread that asks."""

    def __init__(self, port: int) -> None:
        self.port, self.own = port, local()

    def post(self, document: dict[str, Any]) -> tuple[int, dict[str, Any], float]:
        """Status, answer, seconds."""
        if not hasattr(self.own, "connection"):
            self.own.connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        began = time.perf_counter()
        self.own.connection.request("POST", "/v1/infill", json.dumps(document), HEADERS)
        answer = self.own.connection.getresponse()
        body = json.loads(answer.read())
        return answer.status, body, time.perf_counter() - began


def expected(model: Path | None, count: int) -> list[list[str]]:
    """What the model writes for each request alone, without a server."""
    from yanlm.writer import Writer

    writer, known = Writer.load(model, writing=True), {}
    for number in range(count):
        body = asked(number)
        key = json.dumps(body)
        if key not in known:
            [out] = writer.write(body.pop("text"), **body)
            known[key] = out.samples
    return [known[json.dumps(asked(number))] for number in range(count)]


def started(model: Path | None) -> tuple[subprocess.Popen[str], int]:
    """A server, and its port."""
    named = [] if model is None else ["--model", str(model)]
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "serve", *named, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    port = re.search(r"127\.0\.0\.1:(\d+)", line)
    if port is None:
        raise SystemExit(f"the server did not start: {line}")
    return process, int(port[1])


def measure(model: Path | None, count: int, at_once: int) -> dict[str, Any]:
    """Send the requests, and say what came of them."""
    wanted = expected(model, count)
    process, port = started(model)
    try:
        client = Client(port)
        client.post(asked(0))
        one_by_one = [client.post(asked(number))[2] for number in range(min(count, 50))]
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(client.post, map(asked, range(count))))
        seconds = time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    times = sorted(taken for _, _, taken in answers)
    together = [body["timing"]["together"] for status, body, _ in answers if status == 200]
    good = [status == 200 for status, _, _ in answers]
    same = [
        ok and body["results"][0]["samples"] == samples
        for ok, (_, body, _), samples in zip(good, answers, wanted, strict=True)
    ]
    return {
        "requests": count,
        "at_once": at_once,
        "errors": good.count(False),
        "other_texts": same.count(False),
        "exit_code": code,
        "requests_per_second": round(count / seconds, 1),
        "one_by_one_per_second": round(len(one_by_one) / sum(one_by_one), 1),
        "median_ms": round(1000 * median(times), 1),
        "p99_ms": round(1000 * times[int(0.99 * len(times))], 1),
        "mean_batch": round(sum(together) / max(len(together), 1), 1),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="Folder of a model. Default: the one in the package.")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measure(given.model, given.requests, given.at_once)
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:<22} {value}")
    sys.exit(int(result["errors"] > 0 or result["other_texts"] > 0 or result["exit_code"] != 0))


if __name__ == "__main__":
    main()
