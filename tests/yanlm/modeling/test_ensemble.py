"""Several models that answer together: by their mean probability, alone as one of them, and not of two kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import LABELLED, asked

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.generation.choices import known_answers
from yanlm.modeling.build import without_flow
from yanlm.modeling.ensemble import Ensemble, load_together
from yanlm.modeling.io import save_model
from yanlm.tokenization.examples import Builder

METHODS = ["flow", "mlm", "mdlm", "gpt2", "bart"]


@pytest.fixture
def build(make_kind: Callable[..., Any]) -> Callable[[str], Any]:
    return partial(make_kind, pad_to=4)


@pytest.fixture
def padded(tokenizer: Any) -> Builder:
    return Builder(tokenizer, max_length=48, lengths="padding", pad_to=4)


def shaken(model: Any, seed: int) -> Any:
    """The same model after another training, as it were."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_models_together_answer_by_their_mean_probability(
    build: Callable[[str], Any], padded: Builder, method: str
) -> None:
    choices = known_answers(padded, ["mat", "red house", "small river", "old town"])
    options: dict[str, Any] = {**asked(padded), "choices": choices, "samples": 2, "seeds": [1, 2, 3], "steps": 1}
    models = [shaken(build(method), seed) for seed in range(3)]
    each = [one.generate(**options) for one in models]
    for out in each:
        assert out.scores.shape == (3, 2, 4) and bool((out.scores < 0).all())
        assert torch.equal(out.tokens, choices[out.scores.argmax(-1)])
    mean = sum(out.scores.softmax(-1) for out in each) / 3
    found = Ensemble(models).generate(**options)
    assert torch.allclose(found.scores.exp(), mean) and found.nfe == 3
    assert torch.equal(found.tokens, choices[mean.argmax(-1)])
    assert len({str(out.scores) for out in each}) == 3
    again = Ensemble(models[::-1]).generate(**options)
    assert torch.allclose(found.scores, again.scores, atol=1e-5)
    alone = Ensemble(models[:1]).generate(**options)
    assert torch.equal(alone.tokens, each[0].tokens) and torch.allclose(alone.scores, each[0].scores.log_softmax(-1))


@pytest.mark.parametrize("method", METHODS)
def test_models_together_are_evaluated(build: Callable[[str], Any], padded: Builder, method: str) -> None:
    models = [shaken(build(method), seed) for seed in range(2)]
    both = Ensemble(models)
    report = evaluate_task(both, padded, LABELLED, LABELLED, "classify", steps=(1, 2), labels="known").report
    assert not any(module.training for module in both.modules())
    assert report["model"]["models"] == 2 and report["by_steps"]["1"]["valid_labels"] == 1
    assert report["model"]["parameters"] == 2 * sum(p.numel() for p in models[0].parameters())
    if method == "flow":
        batch, choices = asked(padded), known_answers(padded, ["mat", "red house"])
        alone = [without_flow(one).generate(**batch, choices=choices).scores.softmax(-1) for one in models]
        best = [["mat", "red house"][i] for i in (sum(alone) / 2).argmax(-1).flatten().tolist()]
        right = sum(label == row["label"] for label, row in zip(best, LABELLED, strict=True)) / len(LABELLED)
        assert report["one_pass"]["accuracy"] == pytest.approx(right)


def test_models_that_do_not_go_together(
    build: Callable[[str], Any], make_model: Callable[..., Any], padded: Builder
) -> None:
    flow = build("flow")
    for others, message in (
        ([], "at least one model, got none"),
        ([flow, build("mlm")], r"must have one method, got \['flow', 'mlm'\]"),
        ([flow, make_model(pad_to=3)], r"must have one pad_to, got \[4, 3\]"),
        ([flow, make_model(pad_to=4, max_length=24)], "must have one max_length"),
    ):
        with pytest.raises(ValueError, match=message):
            Ensemble(others)
    both = Ensemble([flow, build("flow")])
    with pytest.raises(ValueError, match=r"where the answers are known: give choices"):
        both.generate(**asked(padded), steps=1)
    with pytest.raises(ValueError, match="task=classify with labels=known"):
        evaluate_task(both, padded, LABELLED, LABELLED, "classify", steps=[1])


@pytest.mark.parametrize("precision, dtype", [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_folders_are_loaded_together(
    build: Callable[[str], Any], tokenizer: Any, tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        save_model(folder, shaken(build("mlm"), seed), tokenizer)
    model, own = load_together(folders, precision=precision)
    alone, _ = load_together(folders[:1], precision=precision)
    assert isinstance(model, Ensemble) and not isinstance(alone, Ensemble) and own.get_vocab() == tokenizer.get_vocab()
    assert {p.dtype for p in (*model.parameters(), *alone.parameters())} == {dtype}
