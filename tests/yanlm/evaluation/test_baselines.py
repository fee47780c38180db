"""What needs no trained network, as fills of the same items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from oracle import EXPECTED, ROWS, Oracle

from yanlm.evaluation.baselines import learned_within, length_determines
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.held_out import Row
from yanlm.evaluation.items import items
from yanlm.tokenization.examples import Builder


def test_baselines(builder: Builder) -> None:
    model: Any = Oracle(builder, ROWS["infill"], "infill", lambda truth: truth)
    base = evaluate_task(model, builder, [{"text": "the the cat"}], ROWS["infill"], "infill", steps=[1]).report[
        "baselines"
    ]
    assert set(base) == {"copy_source", "unigram"}
    assert base["copy_source"]["masked_accuracy"] == 0 < base["copy_source"]["rouge1"] < 1
    the = builder.tokenizer.encode(" the")
    truths = [token for item in items(builder, ROWS["infill"], "infill") for span in item.truth for token in span]
    assert base["unigram"]["masked_accuracy"] == pytest.approx(sum([t] == the for t in truths) / len(truths))
    for task, names in {
        "qa": {"majority", "last_mentioned", "retrieval", "length_only"},
        "classify": {"majority", "tfidf_logreg", "length_only"},
        "completion": {"majority", "ngram"},
        "sentence": {"copy_source", "unigram", "neighbour", "frequent_words"},
    }.items():
        model = Oracle(builder, ROWS[task], task, lambda truth: truth)
        base = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1]).report["baselines"]
        assert set(base) == names
        assert EXPECTED[task] <= base.popitem()[1].keys()


def test_a_given_length_may_tell_the_label(builder: Builder) -> None:
    rows = ROWS["classify"]
    model: Any = Oracle(builder, rows, "classify", lambda truth: truth)
    report = evaluate_task(model, builder, rows, rows, "classify", steps=[1]).report
    assert report["length_leaks"] and report["length_determines"] == 1.0
    assert report["baselines"]["length_only"]["accuracy"] == 1.0 > report["baselines"]["majority"]["accuracy"]
    alike = [{"text": "x", "label": "cat"}, {"text": "y", "label": "dog"}]
    sizes = {len(builder.tokenizer.encode(f" {row['label']}")) for row in alike}
    assert length_determines(builder, items(builder, alike, "classify"), "classify", alike) == (
        len(sizes) > 1,
        len(sizes) - 1.0,
    )


def test_baselines_learn_from_what_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sizes = [0.0], list[int]()
    monkeypatch.setattr("yanlm.evaluation.baselines.time.perf_counter", lambda: clock[0])

    def learn(rows: Sequence[Row]) -> int:
        sizes.append(len(rows))
        clock[0] += len(rows) / 1000  # seconds
        return len(rows)

    rows: list[Row] = [{"text": str(number)} for number in range(100_000)]
    assert learned_within(20.0, rows, learn) == (9500, 9500) and clock[0] < 20
    assert learned_within(1e6, rows, learn) == (100_000, 100_000)
    assert learned_within(1e-3, rows, learn) == (1000, 1000)
    assert learned_within(None, rows, learn) == (100_000, 100_000)
    assert sizes == [1000, 9500, 1000, 16_000, 100_000, 1000, 100_000]
