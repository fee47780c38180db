"""lm-evaluation-harness on two small tasks of our own; skipped where it is not installed."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yanlm.generation.options import GenerationOptions
from yanlm.runs import harness
from yanlm.runs.harness import YanLM

CHOICE = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}} Where is Emma ?"
doc_to_choice: ["attic", "cellar", "garden"]
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""
WRITE = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{context}}}} Where is Emma ?"
doc_to_target: answer
generation_kwargs: {{until: [".", "\\n"], max_gen_toks: 3}}
metric_list: [{{metric: exact_match}}]
"""


@pytest.fixture
def lm(models: Path) -> Any:
    pytest.importorskip("lm_eval")
    return YanLM(str(models / "flow"), steps=2, samples=4)


def asked(*pairs: Any) -> list[Any]:
    return [SimpleNamespace(args=pair) for pair in pairs]


def test_two_tasks_run_offline(lm: Any, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    rows = [{"context": f"Emma went to the {room} .", "answer": room} for room in ("attic", "cellar", "garden")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, task in (("rooms_choice", CHOICE), ("rooms_write", WRITE)):
        (tmp_path / f"{name}.yaml").write_text(task.format(name=name, file=tmp_path / "rows.jsonl"))
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = simple_evaluate(lm, tasks=["rooms_choice", "rooms_write"], task_manager=manager, bootstrap_iters=0)
    assert set(found["results"]) == {"rooms_choice", "rooms_write"}
    assert 0 <= found["results"]["rooms_choice"]["acc,none"] <= 1
    assert "exact_match,none" in found["results"]["rooms_write"]
    assert found["n-samples"]["rooms_choice"]["effective"] == 3


def test_a_likelihood_is_that_of_the_answer_whatever_is_beside_it(lm: Any) -> None:
    pairs = [("Emma is in the", " attic"), ("Mary went to the", " garden"), ("", "Mary"), ("Emma", " went to the hall")]
    together = lm.loglikelihood(asked(*pairs))
    assert all(math.isfinite(score) and score < 0 for score, _ in together)
    [alone] = lm.loglikelihood(asked(pairs[0]))
    assert alone[0] == pytest.approx(together[0][0], rel=1e-4)


@pytest.mark.parametrize("kind", ["flow", "encoder", "mlm", "gpt2"])
def test_the_probabilities_of_all_single_tokens_are_one_together(models: Path, kind: str) -> None:
    pytest.importorskip("lm_eval")
    lm = YanLM(str(models / kind), steps=2, samples=3)
    size = lm.writer.model.config.vocab_size if kind != "gpt2" else 40
    pairs = [([5, 6, 7], [i]) for i in range(size)]
    if kind == "gpt2":
        total = sum(math.exp(score) for score, _ in lm._scores(pairs))
        assert 0 < total < 1, "a tenth of its tokens, and it may end at once"
        return
    total = sum(math.exp(score) for score, _ in lm._batch(pairs, [0] * size))
    assert total == pytest.approx(1, abs=1e-3)


def test_what_is_not_named_is_the_models(models: Path, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    shutil.copytree(models / "encoder", tmp_path / "own")
    (tmp_path / "own" / "generation_config.json").write_text('{"sampler": "diffusion", "steps": 2, "temperature": 0.5}')
    lm = YanLM(str(tmp_path / "own"))
    assert lm.options == GenerationOptions(sampler="diffusion", steps=2, temperature=0.5)
    assert lm.likelihood == GenerationOptions(sampler="diffusion", steps=2), "exact, and of no temperature"
    [(score, _)] = lm.loglikelihood(asked(("Emma is in the", " attic")))
    assert lm.loglikelihood(asked(("Emma is in the", " attic")))[0][0] == score < 0
    named = YanLM(str(tmp_path / "own"), sampler="flow", samples=4, device="cuda")  # the harness's own default
    assert named.likelihood == GenerationOptions(samples=4)


def test_a_text_is_scored_span_after_span(lm: Any) -> None:
    lm.writer.model.config.longest_span = 4
    text = "Emma went to the attic . Mary went to the cellar ."
    [total] = lm.loglikelihood_rolling(asked((text,)))
    assert math.isfinite(total) and total < 0
    assert lm.loglikelihood_rolling(asked(("",))) == [0]


def test_what_is_written_ends_at_a_stop(lm: Any) -> None:
    [text] = lm.generate_until(asked(("Emma is in the", {"until": [" "], "max_gen_toks": 2})))
    assert " " not in text


def test_without_the_harness_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setattr(harness, "LM", object)
    with pytest.raises(ValueError, match="needs lm-eval: pip install"):
        YanLM(str(models / "flow"))
