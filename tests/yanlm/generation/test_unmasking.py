"""Masked language model and masked diffusion: their losses by hand, the order of unmasking, what stays the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import TEXT_ROWS, Batch, generate, learn_sentences, trimmed

from yanlm.generation.options import ORDERS, GenerationOptions
from yanlm.generation.unmasking import filled_after, unmask
from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
KINDS = ["mlm", "mdlm"]


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return make_model(method=request.param)


@pytest.fixture
def batch(spans_batch: Batch) -> Batch:
    return spans_batch


def without_lengths(batch: Batch) -> Batch:
    return {name: x for name, x in batch.items() if name.startswith(("source", "target", "slot"))}


def test_gradients_reach_every_parameter(model: YanModel, batch: Batch) -> None:
    model.prepare_stage(1)
    model.train()(**batch, stage=1, seeds=[4, 8, 12]).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert not any("flow" in name for name, _ in model.named_parameters())


def test_seeds_decide_everything(model: YanModel, batch: Batch) -> None:
    state = torch.get_rng_state()
    losses = [model(**batch, stage=1, seeds=seeds).loss.item() for seeds in ([1, 2, 3], [1, 2, 3], [5, 6, 7])]
    assert losses[0] == losses[1]
    assert (losses[0] == losses[2]) == (model.config.method == "mlm")  # nothing in it is random
    first, again, other = (
        generate(model, batch, seeds, temperature=1.0, samples=2).tokens for seeds in ([1] * 3, [1] * 3, [2] * 3)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(first[:, :1], generate(model, batch, [1] * 3, temperature=1.0).tokens), "more samples changed it"
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"


def test_parts_of_a_batch_add_up(model: YanModel, batch: Batch) -> None:
    seeds, totals = [4, 2, 8], model.counts(batch) / 2
    loss = model(**batch, stage=1, seeds=seeds).loss
    halves = [
        model(**{n: x[at] for n, x in batch.items()}, stage=1, seeds=seeds[at], totals=totals).loss / 2
        for at in (slice(0, 2), slice(2, 3))
    ]
    assert sum(half.item() for half in halves) == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_padding_never_changes_a_token(
    model: YanModel, batch: Batch, steps: int, temperature: float, order: str
) -> None:
    how = {"steps": steps, "temperature": temperature, "order": order}
    together = generate(model, batch, [5, 6, 7], **how)
    counts = batch["slot_mask"].sum(1)
    assert together.nfe == min(steps, int(counts.max())) and together.assignment is None
    for row in range(3):
        alone = generate(model, trimmed(batch, row), [5 + row], **how)
        assert alone.tokens[0, 0].tolist() == together.tokens[row, 0, : counts[row]].tolist()
        assert alone.nfe == min(steps, int(counts[row]))
        assert (together.tokens[row, 0, counts[row] :] == model.config.pad_token_id).all()


class Known:
    """A model that is as sure of the token at position i as its table says, and notes what it is shown."""

    def __init__(self, table: dict[int, tuple[int, float]]) -> None:
        self.config = SimpleNamespace(
            method="mdlm", form="slots", stage=1, max_length=9, pad_token_id=8, mask_token_id=9, pad_to=0
        )
        self.table, self.seen, self.device = table, [], torch.device("cpu")

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.seen.append(ids[0].tolist())
        logits = torch.zeros(*ids.shape, 10)
        for at, (token, sure) in self.table.items():
            logits[:, at, token] = sure
        logits[..., 8:] = 50.0  # the special tokens, which nobody wants
        return logits

    def decoder(self, states: torch.Tensor) -> torch.Tensor:
        return states


@pytest.mark.parametrize(
    ("steps", "shown_after"),
    [
        (1, []),
        (2, [[0, 9, 2, 3, 9]]),
        (3, [[0, 9, 2, 9, 9], [0, 9, 2, 3, 4]]),
        (9, [[0, 9, 2, 9, 9], [0, 9, 2, 3, 9], [0, 9, 2, 3, 4]]),
    ],
)
def test_the_surest_tokens_come_first(steps: int, shown_after: list[list[int]]) -> None:
    model: Any = Known({1: (1, 1.0), 2: (2, 4.0), 3: (3, 3.0), 4: (4, 2.0)})
    source = torch.tensor([[0, 9, 9, 9, 9]])
    out = unmask(model, source, slots=torch.tensor([[1, 2, 3, 4]]), options=GenerationOptions(steps=steps, seeds=[0]))
    if steps == 3:  # ceil(4 / 3) = 2 at once, then ceil(8 / 3) = 3
        shown_after = [[0, 9, 2, 3, 9], [0, 9, 2, 3, 4]]
    assert model.seen == [[0, 9, 9, 9, 9], *shown_after]
    assert out.tokens.tolist() == [[[1, 2, 3, 4]]] and out.nfe == min(steps, 4)
    assert source.tolist() == [[0, 9, 9, 9, 9]], "the caller's tensor was written to"


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(1, 8),
    st.sampled_from(ORDERS),
    st.sampled_from([0.0, 1.0]),
    st.integers(0, 2**40),
)
def test_every_slot_is_filled_once_in_equal_shares_whatever_the_order(
    counts: list[int], steps: int, order: str, temperature: float, seed: int
) -> None:
    model: Any = Known({at: (at, 1.0) for at in range(1, 8)})
    longest = max(counts)
    slots = torch.arange(1, longest + 1).expand(len(counts), -1)
    held = torch.arange(longest) < torch.tensor(counts).unsqueeze(1)
    source = torch.full((len(counts), 8), 9)
    how = {"steps": steps, "order": order, "temperature": temperature}
    options = GenerationOptions(**how, seeds=[seed + row for row in range(len(counts))])
    out = unmask(model, source, slots=slots, slot_mask=held, options=options)
    assert bool((out.tokens[:, 0] < 8)[held].all()) and bool((out.tokens[:, 0] == 8)[~held].all())
    turns = min(counts[0], steps)
    written = [sum(token != 9 for token in ids) for ids in model.seen[:turns]]
    assert written == [-(-turn * counts[0] // turns) for turn in range(turns)]
    alone = unmask(model, source[:1], slots=slots[:1, : counts[0]], options=GenerationOptions(**how, seeds=[seed]))
    assert torch.equal(alone.tokens[0, 0], out.tokens[0, 0, : counts[0]]), "the rows beside it changed it"


@pytest.mark.parametrize("pace", [1.0, 1.5, 2.0])
def test_the_pace_is_exact_in_single_precision(pace: float) -> None:
    counts = torch.arange(1, 65)
    for most in range(1, 65):
        turns = counts.clamp_max(most)
        for step in range(1, most + 1):
            exact = (counts * (step / turns.double()) ** pace - 1e-9).ceil()
            assert torch.equal(filled_after(step, counts, turns, pace)[step <= turns], exact.long()[step <= turns])


def test_a_random_order_puts_every_slot_first_as_often() -> None:
    firsts = []
    for seed in range(200):
        model: Any = Known({1: (1, 1.0), 2: (2, 4.0), 3: (3, 3.0), 4: (4, 2.0)})
        options = GenerationOptions(steps=4, seeds=[seed], order="random")
        unmask(model, torch.tensor([[0, 9, 9, 9, 9]]), slots=torch.tensor([[1, 2, 3, 4]]), options=options)
        firsts += [at for at in range(1, 5) if model.seen[1][at] != 9]
    assert all(30 <= firsts.count(at) <= 70 for at in range(1, 5)) and len(firsts) == 200


def test_margin_takes_the_lead_over_the_second_token_for_the_order() -> None:
    class Torn(Known):
        """Surer of its token at the first place, but there a second one comes close."""

        def decoder(self, states: torch.Tensor) -> torch.Tensor:
            probabilities = torch.full((2, 10), 1e-9)
            probabilities[0, [1, 5]] = torch.tensor([0.5, 0.49])
            probabilities[1, [2, 3, 4, 6]] = torch.tensor([0.4, 0.2, 0.2, 0.2])
            return probabilities.log()[states.argmax(-1) - 1]

    first = {}
    for order in ("confidence", "margin"):
        model: Any = Torn({1: (1, 99.0), 2: (2, 99.0)})
        options = GenerationOptions(steps=2, seeds=[0], order=order)
        unmask(model, torch.tensor([[0, 9, 9]]), slots=torch.tensor([[1, 2]]), options=options)
        first[order] = model.seen[1]
    assert first == {"confidence": [0, 1, 9], "margin": [0, 9, 2]}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_pass_is_the_same_in_any_order(model: YanModel, batch: Batch, temperature: float) -> None:
    tokens = [
        generate(model, batch, [1, 2, 3], steps=1, temperature=temperature, order=order, samples=2).tokens
        for order in ORDERS
    ]
    assert torch.equal(tokens[0], tokens[1]) and torch.equal(tokens[0], tokens[2])


def test_samples_of_a_random_order_differ_without_a_temperature() -> None:
    class Last(Known):
        """Writes at a place how many are filled already, so that the order can be read off the text."""

        def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            written = (ids != 9).sum(1, keepdim=True).expand_as(ids)
            return torch.nn.functional.one_hot(written - 1, 10).float() * 99

    model: Any = Last({})
    options = GenerationOptions(steps=4, seeds=[0], samples=8, order="random")
    source, slots = torch.tensor([[0, 9, 9, 9, 9]]), torch.tensor([[1, 2, 3, 4]])
    rows = unmask(model, source, slots=slots, options=options).tokens[0].tolist()
    assert all(sorted(row) == [0, 1, 2, 3] for row in rows) and len({tuple(row) for row in rows}) > 3
    fewer = unmask(model, source, slots=slots, options=replace(options, samples=2)).tokens[0].tolist()
    assert fewer == rows[:2]


def test_special_tokens_are_never_written(make_model: Make, batch: Batch) -> None:
    for pad_to in (0, 4):
        model = make_model(method="mdlm", pad_to=pad_to)
        with torch.no_grad():
            model.decoder.head.bias[model.config.mask_token_id] = 1e4
            model.decoder.head.bias[model.config.pad_token_id] = 1e3
        tokens = generate(model, batch, [1, 2, 3], samples=3, temperature=1.0).tokens.transpose(0, 1)
        written = tokens[:, batch["slot_mask"]]
        assert bool((written == model.config.pad_token_id).all()) == bool(pad_to)
        assert not (written == model.config.mask_token_id).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"samples": 0}, "samples"),
        ({"temperature": -1.0}, "temperature"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"slots": torch.tensor([1])}, "slots"),
        ({"slots": torch.tensor([[99]])}, "max_length"),
        ({"routing": "mean"}, "routing is an option of the flow"),
        ({"z0_scale": 0.5}, "z0_scale is an option of the flow"),
        ({"order": "left"}, "order must be one of"),
        ({"guidance": 2.0}, "no option 'guidance'"),
    ],
)
def test_bad_generation_options_are_named(model: YanModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(torch.tensor([[1, 2, 3]]), **{"slots": torch.tensor([[1]]), **options})


def test_each_kind_has_its_own_diversity(model: YanModel, make_model: Make) -> None:
    slots = torch.tensor([[1]])
    plain = model.generate(torch.tensor([[1, 2, 3]]), slots=slots, routing="frozen", solver="euler", z0_scale=1.0)
    assert plain.tokens.shape == (1, 1, 1)
    with pytest.raises(ValueError, match="z0_scale"):
        make_model().generate(torch.tensor([[1, 2, 3]]), slots=slots, temperature=0.7)


def test_they_take_the_slots_form_alone(make_model: Make, tokenizer: Any, model: YanModel) -> None:
    with pytest.raises(ValueError, match="form='slots'"):
        make_model(method="mlm", form="separate", align=False)
    separate = Builder(tokenizer, form="separate", max_length=48).batch([{"text": TEXT_ROWS[1] * 2}], [0])
    with pytest.raises(ValueError, match="slots form"):
        model(**separate, stage=1, seeds=[1])
    with pytest.raises(ValueError, match="stage"):
        model.prepare_stage(3)


def test_saved_and_loaded_models_are_equal(model: YanModel, batch: Batch, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, YanModel) and loaded.config.method == model.config.method and loaded.flow is None
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(generate(loaded, batch, [1] * 3).tokens, generate(model, batch, [1] * 3).tokens)


@pytest.mark.parametrize("method", KINDS)
def test_four_sentences_are_learned(make_model: Make, builder: Builder, method: str) -> None:
    model = make_model(method=method, d_model=32)
    model.prepare_stage(1)
    held = learn_sentences(model, builder, 150)
    wanted = held["target_ids"].gather(1, held["slots"])
    for steps in (1, 3):
        tokens = generate(model, held, [0] * 16, steps=steps).tokens[:, 0]
        assert (tokens == wanted)[held["slot_mask"]].float().mean() > 0.9
