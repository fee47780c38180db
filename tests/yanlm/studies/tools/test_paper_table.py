"""The table in the paper's metrics: what is shown of each task, and at which number of steps."""

from __future__ import annotations

from typing import Any

from yanlm.studies.tools.paper_table import METRICS, paper_scores, paper_table
from yanlm.tasks.task import TASKS


def run(data: str, by_steps: dict[str, dict[str, float]], **more: Any) -> dict[str, Any]:
    return {"data": data, "by_steps": by_steps, **more}


INFILL = {
    "1": {"rouge1": 0.9, "rougeL": 0.8},
    "3": {"rouge1": 0.95, "rougeL": 0.85},
    "8": {"rouge1": 0.94, "rougeL": 0.9},
}
SPEEDS = {"1": 900.0, "3": 20612.0, "8": 100.0}
RESULTS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "infill=sets/tales/train.jsonl.gz": {
        "flow": [run("sets/tales/train.jsonl.gz", INFILL, one_by_one=SPEEDS)],
        "gpt2": [run("sets/tales/train.jsonl.gz", {"1": INFILL["1"], "3": INFILL["3"]}, one_by_one={"1": 206.4})],
    },
    "completion=own.txt": {
        "flow": [
            run("own.txt", {t: {"exact_match": 0.1 * n, "bert_score": 0.9} for n, t in enumerate(("1", "3", "8"))}),
            run("own.txt", {t: {"exact_match": 0.3, "bert_score": 0.7} for t in ("1", "3", "8")}),
        ]
    },
    "qa=rooms": {"mdlm": [run("rooms", {t: {"f1": 0.5, "exact_match": 0.9} for t in ("1", "3", "8")})]},
    "classify=news": {"flow": [run("news", {t: {"accuracy": 0.25} for t in ("1", "3", "8")})]},
    "sentence=own.txt": {"flow": [run("own.txt", {t: {"f1": 0.25} for t in ("1", "3", "8")})]},
}


def test_each_task_is_shown_in_the_metrics_of_the_paper() -> None:
    scores = paper_scores(RESULTS, [1, 3, 8])
    assert paper_table(scores, RESULTS).splitlines() == [
        "| | metric | flow | gpt2 | mdlm |",
        "|---|---|---|---|---|",
        "| infill, tales | R-1/R-L/TPS | 95.0/85.0/20.6k (T = 3) | 90.0/80.0/206 | |",
        "| completion, own.txt | EM/BS-F1 | 25.0/80.0 (T = 8) | | |",
        "| qa, rooms | F1/BS-F1 | | | 50.0/– (T = 1) |",
        "| classify, news | Accuracy | 25.0 (T = 1) | | |",
    ]


def test_one_number_of_steps_is_not_named() -> None:
    scores = paper_scores({"qa=rooms": RESULTS["qa=rooms"]}, [3])
    assert scores == {"qa=rooms": {"mdlm": {"scores": {"f1": 0.5, "bert_score": None}, "steps": None}}}


def test_the_metrics_are_those_of_the_tasks() -> None:
    for task, metrics in METRICS.items():
        known = {*TASKS[task].metrics, "bert_score", "tokens_per_second"}
        assert {name for name, _ in metrics} <= known
