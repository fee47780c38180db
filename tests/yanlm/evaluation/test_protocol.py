"""Mistakes in how a task is evaluated, found before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import ROWS

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.generation.options import GenerationOptions
from yanlm.tokenization.examples import Builder

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
    "option of the flow": ({"method": "mdlm", "z0_scale": 2.0}, "options of the flow"),
    "encoder": ({"encoder": "nowhere"}, "--encoder"),
}


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
    with pytest.raises(ValueError, match=r"sacrebleu.*pip install 'moefm\[eval\]'"):
        evaluate_task(make_model(), builder, ROWS["infill"], ROWS["infill"], "infill", samples=2)


def test_unknown_options_and_seeds_in_options(make_model: Callable[..., Any], builder: Builder) -> None:
    rows = ROWS["infill"]
    with pytest.raises(ValueError, match="no option 'heat'; its options are"):
        evaluate_task(make_model(), builder, rows, rows, "infill", steps=[1], heat=1.0)
    with pytest.raises(ValueError, match="leave them out of options"):
        evaluate_task(make_model(), builder, rows, rows, "infill", options=GenerationOptions(seeds=[1, 2]))
