"""Known answers: the most probable as a whole, for every kind of model, generated or evaluated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from toys import LABELLED, asked

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.generation.choices import answer_scores, known_answers, likeliest
from yanlm.generation.flow_sampling import generate
from yanlm.generation.token_sampling import special_ids
from yanlm.nn.slots import gather_tokens
from yanlm.tokenization.examples import Builder

METHODS = ["flow", "mlm", "mdlm", "gpt2", "bart"]


@pytest.fixture
def build(make_kind: Callable[..., Any]) -> Callable[[str], Any]:
    return partial(make_kind, pad_to=4)


@pytest.fixture
def padded(tokenizer: Any) -> Builder:
    return Builder(tokenizer, max_length=48, lengths="padding", pad_to=4)


def test_the_most_probable_by_hand() -> None:
    logits = torch.randn(5, 3, 11, generator=torch.Generator().manual_seed(0))
    choices = torch.randint(11, (7, 3), generator=torch.Generator().manual_seed(1))
    probabilities = logits.softmax(-1)
    for row, found in zip(probabilities, likeliest(answer_scores(logits, choices), choices), strict=True):
        products = [row[0, a] * row[1, b] * row[2, c] for a, b, c in choices.tolist()]
        assert found.tolist() == choices[int(torch.stack(products).argmax())].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_known(build: Callable[[str], Any], padded: Builder, method: str) -> None:
    model, choices = build(method), known_answers(padded, ["mat", "red house", "small river"])
    batch = asked(padded)
    out = model.generate(**batch, choices=choices, samples=3, seeds=[1, 2, 3])
    assert out.tokens.shape == (3, 3, 4)
    assert all(row in choices.tolist() for row in out.tokens.flatten(0, 1).tolist())
    assert torch.equal(out.tokens, model.generate(**batch, choices=choices, samples=3, seeds=[1, 2, 3]).tokens)
    for row in range(3):
        alone = asked(padded, LABELLED[row : row + 1])
        tokens = model.generate(**alone, choices=choices, samples=3, seeds=[row + 1]).tokens
        assert torch.equal(tokens[0], out.tokens[row]), "other rows of the batch changed it"
    assert model.generate(**batch, choices=choices[1:2], seeds=[1, 2, 3]).tokens.tolist() == [[choices[1].tolist()]] * 3


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_token_by_token_it_is_the_sum_of_what_is_written(
    build: Callable[[str], Any], padded: Builder, method: str
) -> None:
    model, choices = build(method), known_answers(padded, ["mat", "red house", "small river", "old town"])
    batch = asked(padded)
    found = model.generate(**batch, choices=choices).tokens[:, 0].tolist()
    for row in range(3):
        losses = []
        for choice in choices:
            one = {name: value[row : row + 1] for name, value in batch.items()}
            one["target_ids"] = one["source_ids"].clone()
            one["target_ids"][0, one["slots"][0]] = choice
            losses.append(float(model(**one, target_mask=one["source_mask"]).loss.detach()))
        assert found[row] == choices[losses.index(min(losses))].tolist()


def test_free_answers_among_the_known_are_the_same(build: Callable[[str], Any], padded: Builder) -> None:
    """What one pass writes word by word is also the most probable whole, where it is among the choices."""
    for method in ("flow", "mlm"):
        model, batch = build(method), asked(padded)
        if method == "mlm":  # of words that are never written the choices may not be made
            at = gather_tokens(model.encode(batch["source_ids"], batch["source_mask"]), batch["slots"])
            assert not set(special_ids(model.config)) & set(model.decoder.tokens(at).flatten().tolist())
        free = model.generate(**batch, steps=1, seeds=[1, 2, 3]).tokens[:, 0]
        known = model.generate(**batch, steps=1, seeds=[1, 2, 3], choices=free).tokens[:, 0]
        assert torch.equal(free, known)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_with_known_labels(build: Callable[[str], Any], padded: Builder, method: str) -> None:
    found = evaluate_task(
        build(method), padded, LABELLED, LABELLED, "classify", steps=(1, 2), labels="known", samples=2
    )
    report = found.report
    assert report["labels"] == "known"
    assert all(scores["valid_labels"] == 1 for scores in report["by_steps"].values())
    assert {fill for one in found.predictions for fill in one["fills"]} <= {"mat", "red house"}
    assert method != "flow" or report["one_pass"]["valid_labels"] == 1
    assert evaluate_task(build(method), padded, LABELLED, LABELLED, "classify", steps=[1]).report["labels"] == "any"


def test_known_answers_end_with_padding(padded: Builder) -> None:
    ids = known_answers(padded, ["mat", " small river "])
    rows = [{"text": "x", "label": label} for label in ("mat", "small river")]
    examples = [padded.example(row, 0) for row in rows]
    assert ids.tolist() == [[one.target[slot] for slot in one.slots] for one in examples]


def test_mistakes(build: Callable[[str], Any], padded: Builder, builder: Builder) -> None:
    choices = known_answers(padded, ["mat"])
    batch = asked(padded)
    for method in METHODS:
        model = build(method)
        with pytest.raises(ValueError, match=r"choices must have shape \(C, M\).* M = 4 slots, got \(1, 3\)"):
            model.generate(**batch, choices=choices[:, :3])
        with pytest.raises(ValueError, match="as many slots in every row"):
            model.generate(**{**batch, "slot_mask": batch["slot_mask"].clone().fill_(False)}, choices=choices)
        if method != "flow":
            with pytest.raises(ValueError, match="temperature draws words"):
                model.generate(**batch, choices=choices, temperature=1.0)
    with pytest.raises(ValueError, match="temperature goes with reread=True"):
        build("flow").generate(**batch, choices=choices, temperature=1.0)
    with pytest.raises(TypeError):
        generate(build("flow"), batch["source_ids"], slots=batch["slots"], choice=choices)  # type: ignore[call-arg]

    def evaluated(builder: Builder, task: str = "classify", **options: Any) -> None:
        rows = LABELLED if task == "classify" else [{"text": "the cat sat on the mat and the dog ran"}]
        evaluate_task(build("mlm"), builder, options.pop("train", rows), rows, task, steps=[1], **options)

    for options, message in (
        ({"labels": "some"}, "labels must be one of"),
        ({"labels": "known", "task": "infill"}, "goes with the task classify, got the task infill"),
        ({"labels": "known", "temperature": 1.0}, "leave out temperature"),
        ({"labels": "known", "train": []}, "there are no known labels"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluated(padded, **options)
    with pytest.raises(ValueError, match="has 7 tokens and the model 4 slots"):
        known_answers(padded, ["mat", "the red house near a small river"])
    with pytest.raises(ValueError, match="pads its answers"):
        evaluated(builder, labels="known")
