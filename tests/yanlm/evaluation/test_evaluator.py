"""A whole evaluation: seeds, samples, progress, scores of meaning, options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import ROWS, Oracle
from tiny_encoders import make_encoder

from yanlm.evaluation.evaluator import Evaluation, evaluate_task
from yanlm.evaluation.semantic import bert_score
from yanlm.generation.options import GenerationOptions
from yanlm.tokenization.examples import Builder


def test_seeds_differ_and_masks_do_not(make_model: Callable[..., Any], builder: Builder) -> None:
    model = make_model()
    options: dict[str, Any] = {"steps": (1, 2), "samples": 2}
    found = evaluate_task(model, builder, ROWS["infill"], ROWS["infill"], "infill", seeds=(0, 1), **options)
    assert len(found.predictions) == 2 * 2 * 2 * 2
    scores = found.report["by_steps"]["2"]
    assert scores["masked_accuracy"] == pytest.approx(sum(scores["masked_accuracy_by_seed"]) / 2)
    assert {"distinct_2", "self_bleu", "unique", "best_of"} <= scores.keys() and "sem_dist" not in scores
    assert scores["nfe"] == 2 and scores["tokens_per_second"] > 0
    assert "one_pass" in found.report and found.report["model"]["num_experts"] == 4
    by_seed = {seed: [p for p in found.predictions if p["seed"] == seed] for seed in (0, 1)}
    assert [p["source"] for p in by_seed[0]] == [p["source"] for p in by_seed[1]]
    assert [p["fills"] for p in by_seed[0]] != [p["fills"] for p in by_seed[1]]
    alone = evaluate_task(model, builder, ROWS["infill"], ROWS["infill"], "infill", seeds=[1], batch_size=1, **options)
    assert alone.predictions == by_seed[1]


def test_scores_of_meaning(make_model: Callable[..., Any], builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Axes:  # stands in for an encoder: texts that differ are at right angles
        names, layers = ("axes",), 1

        def __init__(self, path: str, device: str) -> None:
            self.known: dict[str, int] = {}

        def embed(self, texts: list[str]) -> torch.Tensor:
            return torch.eye(50)[[self.known.setdefault(text, len(self.known)) for text in texts]]

    def alike(self: Any, texts: list[str], references: list[tuple[str, ...]]) -> list[float]:
        return [float(text in several) for text, several in zip(texts, references, strict=True)]

    monkeypatch.setattr("yanlm.evaluation.semantic.SentenceEncoder", Axes)
    monkeypatch.setattr("yanlm.evaluation.semantic.BertScore.__call__", alike)
    truth: Any = Oracle(builder, ROWS["qa"], "qa", lambda truth: truth)
    report = evaluate_task(truth, builder, ROWS["qa"], ROWS["qa"], "qa", samples=2, steps=[1], encoder="x").report
    assert report["by_steps"]["1"]["bert_score"] == 1 and report["by_steps"]["1"]["sem_dist"] == 0
    assert report["baselines"]["majority"]["bert_score"] == 0.5
    found = evaluate_task(make_model(), builder, ROWS["qa"], ROWS["qa"], "qa", samples=2, steps=[1], encoder="x")
    differ = 2 * (1 - found.report["by_steps"]["1"]["unique"])  # of two samples 1 or 1/2 are unique
    assert found.report["by_steps"]["1"]["sem_dist"] == pytest.approx(1 - differ)


class TestBertScore:
    def test_the_best_reference_by_layer_and_baseline(self, builder: Builder, tmp_path: Path) -> None:
        folder = make_encoder(tmp_path / "encoder", "bert")
        rows = ROWS["qa"]
        model: Any = Oracle(builder, rows, "qa", lambda truth: truth[:1])

        def evaluated(**options: Any) -> Evaluation:
            return evaluate_task(model, builder, rows, rows, "qa", steps=[1], encoder=folder, **options)

        report = evaluated().report
        assert report["bert_score"] == {"encoder": str(folder), "layer": 3, "baseline": None}
        found = evaluated(bert_layer=1, bert_baseline=0.5)
        assert found.report["bert_score"] == {"encoder": str(folder), "layer": 1, "baseline": 0.5}
        texts = [one["prediction"] for one in found.predictions]
        references = [row.get("answers", [row["answer"]]) for row in rows]
        expected = bert_score(texts, references, folder, layer=1, baseline=0.5)
        assert found.report["by_steps"]["1"]["bert_score"] == pytest.approx(sum(expected) / 2)
        assert found.report["baselines"]["majority"]["bert_score"] <= 1

    @pytest.mark.parametrize("option", [{"bert_layer": 1}, {"bert_baseline": 0.5}])
    @pytest.mark.parametrize(("task", "encoder"), [("qa", None), ("classify", "nowhere")])
    def test_options_without_a_bert_score(self, builder: Builder, task: str, encoder: str | None, option: Any) -> None:
        model: Any = Oracle(builder, ROWS[task], task, lambda truth: truth)
        with pytest.raises(ValueError, match=r"bert_layer and bert_baseline are options of BERTScore.*leave them out"):
            evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1], encoder=encoder, **option)


def test_progress_is_told_by_rows(builder: Builder) -> None:
    heard: list[tuple[str, int, int]] = []
    model: Any = Oracle(builder, ROWS["infill"], "infill", lambda truth: truth)
    options: dict[str, Any] = {"seeds": (0, 1), "temperature": 1.0, "batch_size": 1}
    evaluate_task(
        model, builder, [], ROWS["infill"], "infill", steps=(1, 2), hear=lambda *one: heard.append(one), **options
    )
    assert heard == [("rows", done, 2) for done in (1, 2)]
    assert model.calls == [(1, 1)] + [(1, t) for _ in range(2) for t in (1, 1, 2, 2)]  # the first warms up


def test_options_as_an_object_and_by_name(make_model: Callable[..., Any], builder: Builder) -> None:
    model, rows = make_model(), ROWS["infill"]
    options = GenerationOptions(routing="greedy", z0_scale=0.5)
    given = evaluate_task(model, builder, rows, rows, "infill", steps=[1], options=options, samples=2)
    named = evaluate_task(model, builder, rows, rows, "infill", steps=[1], routing="greedy", z0_scale=0.5, samples=2)
    assert given.predictions == named.predictions and given.report["routing"] == "greedy"
    assert {name: given.report[name] for name in ("z0_scale", "reread", "samples")} == {
        "z0_scale": 0.5,
        "reread": False,
        "samples": 2,
    }
    assert "solver" not in given.report and "temperature" not in given.report
    midpoint = evaluate_task(model, builder, rows, rows, "infill", steps=[1], solver="midpoint").report
    assert midpoint["solver"] == "midpoint" and midpoint["by_steps"]["1"]["nfe"] == 2
