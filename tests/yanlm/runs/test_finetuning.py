"""Settings of a fine-tuning, and its plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import Source, corpus_of
from yanlm.files import write_json
from yanlm.runs.finetuning import finetune_settings, pad_answers, read_plan, write_plan
from yanlm.runs.resuming import resumed
from yanlm.runs.settings import resolve


def test_gpt2_is_tuned_on_answers_alone_unless_told_otherwise(models: Path) -> None:
    plain = finetune_settings(models / "gpt2", "qa", ["builtin:rooms"], {})
    assert plain.stage1.known == 0.0
    more = finetune_settings(models / "gpt2", "qa", ["builtin:rooms"], {"stage1": {"known": 0.5}})
    assert more.stage1.known == 0.5
    assert finetune_settings(models / "mlm", "qa", ["builtin:rooms"], {}).stage1.known == 1.0


@pytest.mark.parametrize("learns", [{"student_steps": 1}, {"reflow": 0.5}], ids=str)
def test_a_student_is_tuned_on_the_task_and_not_by_itself(models: Path, tmp_path: Path, learns: dict[str, Any]) -> None:
    shutil.copytree(models / "encoder", tmp_path / "student")
    settings = resolve(
        {
            "steps1": 1,
            "init": "teacher",
            "model": {"denoiser": "encoder"},
            "denoising": learns | {"plain": 0.5},
        }
    )
    write_json(tmp_path / "student" / "run.json", {"settings": settings.to_dict()})
    tuned = finetune_settings(tmp_path / "student", "qa", ["builtin:rooms"], {"steps": 2})
    assert (tuned.denoising.student_steps, tuned.denoising.reflow) == (0, 0)
    assert (tuned.denoising.plain, tuned.stages) == (0.5, (1,))


def test_a_model_without_a_flow_has_no_experts(models: Path) -> None:
    with pytest.raises(ValueError, match="holds a model of kind mlm, without a flow: leave out --experts"):
        finetune_settings(models / "mlm", "qa", ["builtin:rooms"], {"model": {"num_experts": 7}})


def test_a_recipe_may_mask_more_than_the_answer(models: Path) -> None:
    for kind, recipe in (("flow", "recipe2"), ("mlm", "recipe1")):
        plain = finetune_settings(models / kind, "qa", ["builtin:rooms"], {})
        assert getattr(plain, recipe).masking.context == 0.0
        more = {"recipe": {"masking": {"context": 0.5, "context_rate": (0.1, 0.2)}}}
        masking = getattr(finetune_settings(models / kind, "qa", ["builtin:rooms"], more), recipe).masking
        assert (masking.context, masking.context_rate, masking.clean, masking.tail) == (0.5, (0.1, 0.2), 0.0, 0.0)


def test_settings_need_no_weights(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "flow", tmp_path / "flow")
    (tmp_path / "flow" / "model.safetensors").write_bytes(b"no weights")
    assert finetune_settings(tmp_path / "flow", "qa", ["builtin:rooms"], {}).init == str(tmp_path / "flow")
    (tmp_path / "flow" / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="cannot load the model in"):
        finetune_settings(tmp_path / "flow", "qa", ["builtin:rooms"], {})


@pytest.mark.parametrize(("label", "slots"), [("kitchen", 1), ("a " * 40, 0)])
def test_labels_are_padded_to_the_longest(models: Path, label: str, slots: int) -> None:
    rows: list[Any] = [{"text": "Mary is there .", "label": label.strip()}]
    corpus = corpus_of("labels", [Source("labels", rows, rows, rows)], (1.0,))
    settings = finetune_settings(models / "flow", "classify", ["labels.jsonl"], {})
    assert min(1, pad_answers(settings, corpus).model["pad_to"]) == slots
    other = finetune_settings(models / "flow", "qa", ["labels.jsonl"], {})
    assert pad_answers(other, corpus) is other


def test_a_plan_comes_back(models: Path, tmp_path: Path) -> None:
    settings = finetune_settings(models / "flow", "qa", ["builtin:rooms"], {"steps": 3})
    write_plan(tmp_path / "out", settings, 4)
    assert read_plan(tmp_path / "out") == (settings, 4)
    changed = resumed(settings, {"lr": 0.25})
    write_plan(tmp_path / "out", changed, 4, resume=True, command="yanlm finetune --resume out --lr 0.25")
    assert read_plan(tmp_path / "out") == (changed, 4)
    entry = json.loads((tmp_path / "out" / "plan.json").read_text())["changed"][0]
    assert entry["settings"]["recipe2.lr"] == {"from": settings.recipe2.lr, "to": 0.25}


@pytest.mark.parametrize("text", ["[]", "{}", '{"settings": 1, "seeds": 1}', '{"settings": {}, "seeds": "x"}', "{"])
def test_a_plan_of_another_form_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ValueError, match="--resume"):
        read_plan(tmp_path)
