"""Mistakes in how a task is evaluated, found before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import ROWS

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.build import make_builder
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "translate"}, "task must be one of"),
    "no rows": ({"test": []}, "no held-out rows"),
    "rows of another task": ({"test": ROWS["qa"]}, "row 1: its fields are those of qa"),
    "steps": ({"steps": [0]}, "steps must"),
    "no steps": ({"steps": []}, "at least one"),
    "seeds": ({"seeds": [-1]}, "seeds must"),
    "samples": ({"samples": 0}, "samples must"),
    "length": ({"length": "long"}, "length must be one of"),
    "routing": ({"routing": "best"}, "routing"),
    "scale": ({"z0_scale": 0.0}, "z0_scale"),
    "temperature": ({"temperature": 1.0}, "temperature goes with reread"),
    "order": ({"order": "random"}, "order goes with models that fill slots in turns.*set reread=True"),
    "order of gpt2": ({"method": "gpt2", "order": "margin"}, "this gpt2 model does not: leave it out"),
    "stage": ({"stage": 1}, "stage 1 alone"),
    "option of the flow": ({"method": "mdlm", "z0_scale": 2.0}, "z0_scale is an option of the flow"),
    "encoder": ({"encoder": "nowhere"}, "--encoder"),
    "candidates": ({"candidates": 2}, "candidates needs a flow whose denoiser is the encoder"),
    "candidates of mdlm": ({"method": "mdlm", "candidates": 2}, "candidates is an option of the flow"),
    "sampler": ({"sampler": "diffusion"}, "sampler needs a flow whose denoiser is the encoder"),
    "unknown sampler": ({"sampler": "walk"}, "sampler must be one of"),
}
DENOISES: dict[str, Any] = {"denoiser": "encoder", "num_experts": 2}
TOLD: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "flow": ({}, {"routing": "frozen", "z0_scale": 1.0, "reread": False, "candidates": 1, "temperature": 0.0}, [0, 1]),
    "candidates": ({"candidates": 3, "temperature": 0.5}, {"candidates": 3, "temperature": 0.5}, [0, 1]),
    "reread": ({"reread": True}, {"order": "confidence", "candidates": 1, "reread": True}, [0, 1]),
    "diffusion": ({"sampler": "diffusion"}, {"sampler": "diffusion", "order": "confidence", "temperature": 0.0}, [0]),
    "drawn": ({"sampler": "diffusion", "order": "random"}, {"order": "random"}, [0, 1]),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_report_tells_how_a_denoising_encoder_wrote(
    make_model: Callable[..., Any], builder: Builder, name: str
) -> None:
    options, told, seeds = TOLD[name]
    rows = ROWS["infill"]
    report = evaluate_task(
        make_model(**DENOISES), builder, rows, rows, "infill", steps=[2], seeds=[0, 1], **options
    ).report
    assert told.items() <= report.items() and report["seeds"] == seeds
    assert report["sampler"] == options.get("sampler", "flow") and "solver" not in report
    assert ("routing" in report) == ("candidates" in report) == (report["sampler"] == "flow")
    passes = 3 * options["candidates"] if "candidates" in options else 2
    assert report["by_steps"]["2"]["nfe"] == passes


def test_known_labels_are_no_candidates(make_model: Callable[..., Any], tokenizer: Any) -> None:
    rows, model = ROWS["classify"], make_model(**DENOISES, pad_to=6)
    builder = make_builder(model, tokenizer, Masking())
    for options in ({"candidates": 2}, {"reread": True}):
        with pytest.raises(ValueError, match="known"):
            evaluate_task(model, builder, rows, rows, "classify", labels="known", **options)
    report = evaluate_task(model, builder, rows, rows, "classify", labels="known", steps=[1]).report
    assert 0 <= report["by_steps"]["1"]["accuracy"] <= 1 and report["one_pass"]


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_in_one_line(make_kind: Callable[..., Any], builder: Builder, name: str) -> None:
    options, message = MISTAKES[name]
    options = dict(options)
    method, stage = options.pop("method", "flow"), options.pop("stage", None)
    model = make_kind(method, **({"stage": stage} if stage else {}))
    task, test = options.pop("task", "infill"), options.pop("test", ROWS["infill"])
    with pytest.raises(ValueError, match=message) as caught:
        evaluate_task(model, builder, ROWS["infill"], test, task, **{"steps": [1], **options})
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named_before_anything_runs(
    make_model: Callable[..., Any], builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanlm.evaluation.protocol.find_spec", lambda name: None if name == "sacrebleu" else True)
    with pytest.raises(ValueError, match=r"sacrebleu.*pip install .*\[eval\]"):
        evaluate_task(make_model(), builder, ROWS["infill"], ROWS["infill"], "infill", samples=2)


def test_unknown_options_and_seeds_in_options(make_model: Callable[..., Any], builder: Builder) -> None:
    rows = ROWS["infill"]
    with pytest.raises(ValueError, match="no option 'heat'; its options are"):
        evaluate_task(make_model(), builder, rows, rows, "infill", steps=[1], heat=1.0)
    with pytest.raises(ValueError, match="leave them out of options"):
        evaluate_task(make_model(), builder, rows, rows, "infill", options=GenerationOptions(seeds=[1, 2]))


def test_the_tokenizer_of_another_model(make_model: Callable[..., Any], builder: Builder) -> None:
    size, rows = len(builder.tokenizer), ROWS["infill"]
    smaller = make_model(vocab_size=size - 1, pad_token_id=size - 2, mask_token_id=size - 3)
    with pytest.raises(ValueError, match=rf"tokenizer has {size} tokens and the model {size - 1}: they do not belong"):
        evaluate_task(smaller, builder, rows, rows, "infill", steps=[1])
    other = make_model(vocab_size=size + 1, mask_token_id=size)
    with pytest.raises(ValueError, match=rf"mask_token_id is \d+ in the tokenizer and {size} in the model"):
        evaluate_task(other, builder, rows, rows, "infill", steps=[1])
