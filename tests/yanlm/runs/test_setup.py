"""What a stage is built from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published import TEXTS, published

from yanlm.data.corpus import load_corpus
from yanlm.modeling.io import load_config, load_model, save_model
from yanlm.runs.finetuning import finetune_settings
from yanlm.runs.run import train
from yanlm.runs.settings import resolve
from yanlm.runs.setup import check_answers, make_tokenizer, stage_model
from yanlm.tasks.rows import load_task
from yanlm.tokenization.tokenizer import encode, load_tokenizer


def test_tokenizers_as_asked_for(tmp_path: Any, tokenizer: Any) -> None:
    corpus = load_corpus("builtin:rooms")
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:300"}), corpus)) == 300
    tokenizer.save_pretrained(tmp_path)
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": str(tmp_path)}), corpus)) == len(tokenizer)
    with pytest.raises(ValueError, match="bpe:SIZE"):
        make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:many"}), corpus)


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_a_published_model_is_trained_and_tuned(tmp_path: Path, method: str) -> None:
    folder = published(tmp_path / "theirs", method)
    data = tmp_path / "own.txt"
    data.write_text("\n".join(TEXTS))
    options = {"baseline": method, "init_from": str(folder), "data": [str(data)], "eval_rows": 4}
    settings = resolve(options | {"steps1": 2, "recipe1": {"batch_size": 2}})
    assert settings.recipe1.lr == 5e-5 and settings.recipe1.batch_size == 2
    record = train(settings, tmp_path / "run", device="cpu")
    assert record is not None and record["report"]["by_steps"]["tokens"]["copied_accuracy"] == 1.0
    config = load_config(tmp_path / "run")
    assert (config.d_model, config.num_heads, config.stage) == (32, 4, 1)
    tuned = finetune_settings(
        tmp_path / "run", "completion", [str(data)], {"steps": 2, "eval_rows": 4, "recipe": {"batch_size": 2}}
    )
    assert (tuned.recipe1.lr, tuned.init_from) == (5e-5, None)
    record = train(tuned, tmp_path / "tuned", device="cpu")
    assert record is not None and record["stages"]["1"]["steps"] == 2 and record["evaluation"]["n"] > 0


def test_what_a_flow_whose_encoder_denoises_begins_from(
    tmp_path: Path, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    for name, options in {"encoder": {"denoiser": "encoder", "num_experts": 2}, "trunk": {}}.items():
        save_model(tmp_path / name, make_model(**options), tokenizer)

    def begun(init: str, **model: Any) -> Any:
        settings = resolve({"minutes": 1, "init": str(tmp_path / init), "model": model})
        return stage_model(settings, settings.stages[0], tmp_path / "run", tokenizer)

    same = begun("encoder", denoiser="encoder", num_experts=2, sigma=3.0)  # sigma is none of its options
    before = load_model(tmp_path / "encoder").state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in same.state_dict().items())
    for init, model in (("trunk", {"denoiser": "encoder"}), ("encoder", {"denoiser": "trunk"})):
        changed, old = begun(init, **model), load_model(tmp_path / init)
        assert changed.config.denoiser == model["denoiser"] != old.config.denoiser
        assert torch.equal(changed.encoder.embedding.weight, old.encoder.embedding.weight)
    with pytest.raises(ValueError, match="give --denoiser encoder to go on with it, or --denoiser trunk"):
        begun("encoder")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--init-from goes with --baseline gpt2 or bart"),
        ({"baseline": "mlm"}, "--init-from goes with --baseline gpt2 or bart"),
        ({"baseline": "gpt2", "init": "runs/a"}, "one of them"),
    ],
)
def test_what_goes_with_a_published_model(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resolve({"minutes": 1, "init_from": "theirs"} | options)


def test_words_as_tokens() -> None:
    corpus = load_corpus("builtin:codes:train=200")
    tokenizer = make_tokenizer(resolve({"minutes": 1, "tokenizer": "words:64"}), corpus)
    assert len(tokenizer) == 20  # 16 words, the point, unknown, padding, mask


@pytest.mark.parametrize("spec", ["words:64", "bpe:512"])
def test_sentences_end_with_a_point(tmp_path: Path, spec: str) -> None:
    options = {"data": "builtin:codes:train=50", "tokenizer": spec, "steps1": 1, "eval_rows": 2}
    model = {"denoiser": "encoder", "scope": "sentence", "d_model": 16, "num_heads": 2}
    train(resolve(options | {"model": model, "recipe1": {"batch_size": 2}}), tmp_path / "run", device="cpu")
    config, tokenizer = load_config(tmp_path / "run"), load_tokenizer(tmp_path / "run" / "tokenizer")
    assert set(encode(tokenizer, "a . b !")) & set(config.sentence_ends)
    assert {tokenizer.decode([id]).strip() for id in config.sentence_ends} <= {".", "!", "?"}


@pytest.mark.parametrize("learns", [{"student_steps": 1}, {"reflow": 0.5, "teacher_steps": 2, "pairs": 2}], ids=str)
def test_a_student_has_the_model_it_begins_from_as_teacher(tmp_path: Path, learns: dict[str, Any]) -> None:
    options = {"data": "builtin:codes:train=50", "tokenizer": "words:64", "steps1": 2, "eval_rows": 2}
    small = {"model": {"denoiser": "encoder", "d_model": 16, "num_heads": 2}, "recipe1": {"batch_size": 2}}
    train(resolve(options | small), tmp_path / "teacher", device="cpu")
    student = options | small | {"init": str(tmp_path / "teacher"), "denoising": learns}
    record = train(resolve(student), tmp_path / "student", device="cpu")
    assert record is not None and "1" in record["report"]["by_steps"]
    with pytest.raises(ValueError, match="give --init DIR"):
        resolve(student | {"init": None})


@pytest.mark.parametrize("kind", ["flow", "mlm", "gpt2"])
def test_answers_that_are_cut_are_told(
    tmp_path: Path, make_kind: Callable[..., Any], tokenizer: Any, kind: str
) -> None:
    save_model(tmp_path / "model", make_kind(method=kind, pad_to=2), tokenizer)
    words = ("cat", "the cat sat", "the cat sat on the mat")
    rows = [{"context": f"{n}", "question": "?", "answer": word} for n in range(9) for word in words]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus, told = load_task(str(tmp_path / "rows.jsonl"), "qa"), list[str]()
    settings = finetune_settings(tmp_path / "model", "qa", ["rows.jsonl"], {"steps": 1})
    check_answers(settings, corpus, tokenizer, told.append)
    longest = max(len(encode(tokenizer, f" {word}")) for word in words)
    assert (
        len(told) == 1
        and told[0].startswith("pad_to = 2 cuts ")
        and told[0].endswith(f"--pad-to {longest} would hold them all")
    )
    check_answers(dataclasses.replace(settings, model={"pad_to": longest}), corpus, tokenizer, told.append)
    check_answers(dataclasses.replace(settings, model={}), corpus, tokenizer, told.append)
    assert len(told) == 1
