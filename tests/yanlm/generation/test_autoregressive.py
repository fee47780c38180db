"""Filling masks token by token: caching against plain recomputation, lengths given and its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import Batch, generate, given, logits_of, row_of, trimmed

from yanlm.modeling.autoregressive import ARModel

Make = Callable[..., ARModel]
KINDS = ["gpt2", "bart"]


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_ar: Make) -> ARModel:
    return make_ar(method=request.param)


@pytest.fixture
def batch(spans_batch: Batch) -> Batch:
    names = ("source_ids", "source_mask", "target_ids", "target_mask", "slots", "slot_mask")
    return {name: spans_batch[name] for name in names}


def test_what_is_generated_is_what_plain_recomputation_gives(model: ARModel, batch: Batch) -> None:
    mask, pad = model.config.mask_token_id, model.config.pad_token_id
    for row in range(3):
        part = trimmed(batch, row)
        prefix, spans, _ = row_of(model, part)
        written, wanted = [mask], []
        for number, span in enumerate(spans):
            written += [mask] if number else []
            for _ in range(span):
                logits = logits_of(model, prefix, written)[-1]
                logits[[mask, pad]] = -torch.inf
                written.append(int(logits.argmax()))
                wanted.append(written[-1])
        out = generate(model, part, [0])
        assert out.tokens.tolist() == [[wanted]]
        assert out.nfe == sum(spans) + len(spans) - 1 and out.assignment is None


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_padding_never_changes_a_token(model: ARModel, batch: Batch, temperature: float) -> None:
    together = generate(model, batch, [5, 6, 7], temperature=temperature)
    for row in range(3):
        alone = generate(model, trimmed(batch, row), [5 + row], temperature=temperature)
        count = alone.tokens.shape[2]
        assert alone.tokens[0, 0].tolist() == together.tokens[row, 0, :count].tolist()
        assert (together.tokens[row, 0, count:] == model.config.pad_token_id).all()


def test_seeds_decide_everything(model: ARModel, batch: Batch) -> None:
    state = torch.get_rng_state()
    first, again, other = (
        generate(model, batch, seeds, temperature=1.0, samples=2).tokens for seeds in ([1] * 3, [1] * 3, [2] * 3)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(first[:, :1], generate(model, batch, [1] * 3, temperature=1.0).tokens), "more samples changed it"
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    greedy = generate(model, batch, [1] * 3, samples=2).tokens
    assert torch.equal(greedy[:, 0], greedy[:, 1])


def test_lengths_are_kept_and_specials_never_written(model: ARModel, batch: Batch) -> None:
    specials = torch.tensor([model.config.mask_token_id, model.config.pad_token_id])
    with torch.no_grad():  # as if nothing were as likely
        model.net.lm_head.weight[specials] *= 30
    for temperature in (0.0, 2.0):
        tokens = generate(model, batch, [1, 2, 3], samples=4, temperature=temperature).tokens
        assert not torch.isin(tokens.transpose(0, 1)[:, batch["slot_mask"]], specials).any()


def test_padding_may_end_an_answer_of_a_model_that_was_taught_so(make_ar: Make) -> None:
    model = make_ar(pad_to=3)
    with torch.no_grad():
        model.net.transformer.ln_f.weight.zero_()
        model.net.transformer.ln_f.bias.copy_(model.net.lm_head.weight[model.config.pad_token_id])
        model.net.lm_head.weight[model.config.pad_token_id] *= 100
    out = model.generate(torch.tensor([[1, *[model.config.mask_token_id] * 3]]), slots=torch.tensor([[1, 2, 3]]))
    assert out.tokens.tolist() == [[[model.config.pad_token_id] * 3]]


def test_own_lengths_give_the_same_tokens_as_those_lengths_given(model: ARModel, batch: Batch) -> None:
    mask = model.config.mask_token_id
    found = model.generate_free(batch["source_ids"], **given(batch), max_new=5)
    for row, spans in enumerate(found):
        part = trimmed(batch, row)
        [alone] = model.generate_free(part["source_ids"], slots=part["slots"], max_new=5)
        assert alone == spans, "the rest of the batch had a say"
        prefix, wanted, _ = row_of(model, part)
        assert len(spans) == len(wanted) and all(1 <= len(span) <= 5 for span in spans)
        lengths = iter(map(len, spans))
        ids = [id for token in prefix for id in ([mask] * next(lengths) if token == mask else [token])]
        slots = [i for i, id in enumerate(ids) if id == mask]
        out = model.generate(torch.tensor([ids]), slots=torch.tensor([slots]))
        assert out.tokens[0, 0].tolist() == [id for span in spans for id in span]


def test_a_filled_text_is_never_longer_than_the_model_takes(model: ARModel) -> None:
    mask = model.config.mask_token_id
    source = torch.tensor([[mask, 5] * 24])  # as many spans as there can be, and no room for more
    slots = torch.arange(0, 48, 2)[None]
    [spans] = model.generate_free(source, slots=slots)
    assert [len(span) for span in spans] == [1] * 24
    assert model.generate(source, slots=slots).nfe == 47
    full = {"source_ids": source, "source_mask": source > 0, "target_ids": source, "target_mask": source > 0}
    assert model(**full, slots=slots, slot_mask=slots >= 0, stage=1).loss.isfinite()
    [spans] = model.generate_free(torch.tensor([[5] * 40 + [mask]]), slots=torch.tensor([[40]]))
    assert 1 <= len(spans[0]) <= 8
    everything = torch.full((1, 48), mask)
    assert model.generate(everything, slots=torch.arange(48)[None]).tokens.shape == (1, 1, 48)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"samples": 0}, "samples"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"slots": torch.tensor([1])}, "slots"),
        ({"slots": torch.tensor([[99]])}, "max_length"),
        ({"solver": "midpoint"}, "solver is an option of the flow"),
        ({"guidance": 2.0}, "no option 'guidance'"),
    ],
)
def test_bad_generation_options_are_named(model: ARModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(torch.tensor([[1, 2, 3]]), **{"slots": torch.tensor([[1]]), **options})
