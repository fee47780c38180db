"""Known answers: the most probable as a whole, for every kind of model, generated or evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from yanlm.config import ARConfig
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.generation.choices import answer_scores, known_answers, likeliest
from yanlm.generation.flow_sampling import generate
from yanlm.generation.token_sampling import special_ids
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.build import without_flow
from yanlm.modeling.ensemble import Ensemble
from yanlm.nn.slots import gather_tokens
from yanlm.tokenization.examples import Builder

METHODS = ["flow", "mlm", "mdlm", "gpt2", "bart"]
ROWS = [
    {"text": "the cat sat", "label": "mat"},
    {"text": "the dog ran", "label": "red house"},
    {"text": "a cat", "label": "mat"},
]


@pytest.fixture
def build(make_model: Callable[..., Any], tokenizer: Any) -> Callable[[str], Any]:
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}

    def made(method: str) -> Any:
        if method in ("gpt2", "bart"):
            sizes = {"d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48, "pad_to": 4}
            return ARModel(ARConfig(method=method, vocab_size=len(tokenizer), **sizes, **ids)).eval()
        return make_model(method=method, pad_to=4)

    return made


@pytest.fixture
def padded(tokenizer: Any) -> Builder:
    return Builder(tokenizer, max_length=48, lengths="padding", pad_to=4)


def asked(builder: Builder, rows: list[dict[str, str]] = ROWS) -> dict[str, Tensor]:
    batch = builder.batch(rows, seeds=range(len(rows)))
    return {name: batch[name] for name in ("source_ids", "source_mask", "slots", "slot_mask")}


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
        alone = asked(padded, ROWS[row : row + 1])
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
    found = evaluate_task(build(method), padded, ROWS, ROWS, "classify", steps=(1, 2), labels="known", samples=2)
    report = found.report
    assert report["labels"] == "known"
    assert all(scores["valid_labels"] == 1 for scores in report["by_steps"].values())
    assert {fill for one in found.predictions for fill in one["fills"]} <= {"mat", "red house"}
    assert method != "flow" or report["one_pass"]["valid_labels"] == 1
    assert evaluate_task(build(method), padded, ROWS, ROWS, "classify", steps=[1]).report["labels"] == "any"


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
    report = evaluate_task(both, padded, ROWS, ROWS, "classify", steps=(1, 2), labels="known").report
    assert not any(module.training for module in both.modules())
    assert report["model"]["models"] == 2 and report["by_steps"]["1"]["valid_labels"] == 1
    assert report["model"]["parameters"] == 2 * sum(p.numel() for p in models[0].parameters())
    if method == "flow":
        batch, choices = asked(padded), known_answers(padded, ["mat", "red house"])
        alone = [without_flow(one).generate(**batch, choices=choices).scores.softmax(-1) for one in models]
        best = [["mat", "red house"][i] for i in (sum(alone) / 2).argmax(-1).flatten().tolist()]
        right = sum(label == row["label"] for label, row in zip(best, ROWS, strict=True)) / len(ROWS)
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
        evaluate_task(both, padded, ROWS, ROWS, "classify", steps=[1])


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
        rows = ROWS if task == "classify" else [{"text": "the cat sat on the mat and the dog ran"}]
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
