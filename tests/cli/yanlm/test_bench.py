"""yanlm bench, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies import bench as module

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--preset", "tiny", "--device", "cpu", "--repeats", 1, "--lengths", "4")


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measured_rates", lambda *_: {"matrix_tflops": 2.0, "copy_gb_per_s": 10.0})


def test_json_stands_alone(yanlm: Run) -> None:
    code, out, err = yanlm("bench", *QUICK, "--against", "mdlm", "--mdlm-steps", 2, "--batch", "1,2", "--json")
    document = json.loads(out)
    assert code == 0 and "L = 4, batch = 2" in err
    assert [row["model"] for row in document["rows"]] == ["yan", "mdlm"] * 2
    names = {"model", "length", "batch", "seconds", "tokens_per_second", "peak_memory_gb", "ratio_to_yan"}
    assert all(names <= row.keys() for row in document["rows"]) and {"device", "parts", "roofline"} <= document.keys()


def test_tables_and_a_figure(yanlm: Run) -> None:
    code, out, _ = yanlm("bench", *QUICK, "--figure", "times.svg", "--threads", 1, "--clock", "cpu")
    assert code == 0 and "| yan | 4 | 1 |" in out and "figure: times.svg" in out
    assert Path("times.svg").read_text().startswith("<?xml")


def test_a_figure_that_cannot_be_written_loses_no_numbers(yanlm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(document: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "bench_figure", full)
    code, out, err = yanlm("bench", *QUICK, "--figure", "times.svg", "--json")
    assert code == 1 and json.loads(out)["rows"] and "no space left" in err and not Path("times.svg").exists()


def test_help_shows_examples(yanlm: Run) -> None:
    code, out, _ = yanlm("bench", "--help")
    assert code == 0 and "yanlm bench --preset" in out and "--against" in out


MISTAKES: dict[str, tuple[tuple[Any, ...], str]] = {
    "neither": (("--lengths", "4"), "--preset"),
    "both": (("--preset", "tiny", "--model", "m"), "one of them"),
    "no model": (("--model", "nowhere"), "nowhere"),
    "lengths": (("--preset", "tiny", "--lengths", "4;6"), "--lengths"),
    "against": (("--preset", "tiny", "--against", "elmo"), "against must be one of"),
    "precision": (("--preset", "tiny", "--precision", "int4"), "precision"),
    "device": (("--preset", "tiny", "--device", "tpu"), "--device"),
    "threads": (("--preset", "tiny", "--threads", 0), "--threads"),
    "figure": (("--preset", "tiny", "--figure", "times.txt"), "--figure"),
    "folder": (("--preset", "tiny", "--figure", "nowhere/times.png"), "--figure"),
    "unknown": (("--preset", "tiny", "--fast"), "--fast"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_a_line_and_code_2(yanlm: Run, name: str) -> None:
    args, message = MISTAKES[name]
    code, out, err = yanlm("bench", *args)
    assert code == 2 and not out and message in err and err.strip().count("\n") == 0
    assert not list(Path().iterdir())
