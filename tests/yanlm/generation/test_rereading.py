"""A flow that reads what it wrote: one turn is one step, turns by hand, what never changes, what it is good for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from toys import TEXT_ROWS, Batch, speaking, trimmed

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import shown
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.seeding import EXPERT, NOISE, generators, row_normal
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {
    "one expert": {"num_experts": 1},
    "a word": {"num_experts": 4},
    "a span": {"num_experts": 4, "scope": "span"},
    "a text": {"num_experts": 4, "scope": "sequence", "experts": "trunk"},
    "a text, source": {"num_experts": 4, "scope": "sequence", "experts": "source"},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return speaking(make_model(**KINDS[request.param]))


@pytest.fixture
def batch(spans_batch: Batch) -> Batch:
    return spans_batch


def generate(model: Any, part: Batch, seeds: list[int], **options: Any) -> Any:
    return toys.generate(model, part, seeds, **{"reread": True, **options})


@pytest.mark.parametrize("routing", ["frozen", "greedy", "resampled", "mean", "argmax"])
def test_one_turn_is_one_step(model: YanModel, batch: Batch, routing: str) -> None:
    options: dict[str, Any] = {"steps": 1, "samples": 2, "routing": routing, "z0_scale": 0.7}
    turn, step = (generate(model, batch, [5, 6, 7], reread=reread, **options) for reread in (True, False))
    held = batch["slot_mask"].unsqueeze(1).expand_as(turn.tokens)
    assert torch.equal(turn.tokens, step.tokens) and turn.nfe == step.nfe == 1
    assert (turn.assignment is None) == (step.assignment is None)
    if step.assignment is not None:
        assert torch.equal(turn.assignment[held], step.assignment[held])
    more = generate(model, batch, [5, 6, 7], **{**options, "steps": 3})
    assert more.nfe == 3 and (routing == "mean" or not torch.equal(more.tokens, turn.tokens))


@torch.no_grad()
def test_two_turns_by_hand(make_model: Make, batch: Batch) -> None:
    model = speaking(make_model(num_experts=4))
    part = trimmed(batch, 1)
    ids, slots, count = part["source_ids"], part["slots"], part["slots"].shape[1]
    z0 = row_normal(generators([9], NOISE), torch.ones(1, count, dtype=torch.bool), model.config.d_model)
    experts = generate(model, part, [9], steps=2).assignment[:, 0]
    assert torch.equal(experts, generate(model, part, [9], steps=1, reread=False).assignment[:, 0]), f"stream {EXPERT}"

    def read(ids: torch.Tensor, at: torch.Tensor, z: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        cond = model.condition(model.encode(ids), ids, None, at, None)
        return model.decoder(z + model.flow.head(model.flow.trunk(z, 0.0, cond), index)).softmax(-1)

    first = read(ids, slots, z0, experts)[0]
    early = first.max(-1).values.argsort(descending=True)[: -(-count // 2)]
    left = [i for i in range(count) if i not in early]
    ids = ids.clone()
    ids[0, slots[0, early]] = first[early].argmax(-1)
    second = read(ids, slots[:, left], z0[:, left], experts[:, left])[0]  # what is written is no slot any more
    wanted = first.argmax(-1)
    assert not torch.equal(wanted[left], second.argmax(-1)), "reading it makes a difference"
    wanted[left] = second.argmax(-1)
    assert generate(model, part, [9], steps=2).tokens[0, 0].tolist() == wanted.tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_padding_never_changes_a_token(model: YanModel, batch: Batch, steps: int, temperature: float) -> None:
    before = batch["source_ids"].clone()
    how = {"steps": steps, "temperature": temperature, "order": "random" if temperature else "margin"}
    together = generate(model, batch, [5, 6, 7], **how)
    counts = batch["slot_mask"].sum(1)
    assert together.nfe == min(steps, int(counts.max())) and torch.equal(batch["source_ids"], before)
    for row in range(3):
        alone = generate(model, trimmed(batch, row), [5 + row], **how)
        assert alone.tokens[0, 0].tolist() == together.tokens[row, 0, : counts[row]].tolist()
        assert alone.assignment[0, 0].tolist() == together.assignment[row, 0, : counts[row]].tolist()
        assert (together.tokens[row, 0, counts[row] :] == model.config.pad_token_id).all()


def test_seeds_decide_everything(model: YanModel, batch: Batch) -> None:
    state = torch.get_rng_state()
    for temperature in (0.0, 1.0):
        options = {"samples": 2, "steps": 2, "temperature": temperature, "z0_scale": 3.0}
        first, again, other = (generate(model, batch, seeds, **options).tokens for seeds in ([1] * 3, [1] * 3, [2] * 3))
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert not torch.equal(first[:, 0], first[:, 1])
        one = generate(model, batch, [1] * 3, **{**options, "samples": 1}).tokens
        assert torch.equal(first[:, :1], one), "more samples changed it"
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"


def test_rows_without_a_slot(model: YanModel, batch: Batch) -> None:
    empty = {**batch, "slot_mask": batch["slot_mask"].clone()}
    empty["slot_mask"][1] = False
    out = generate(model, empty, [1, 2, 3], steps=2)
    assert (out.tokens[1] == model.config.pad_token_id).all()
    empty["slot_mask"][:] = False
    assert generate(model, empty, [1, 2, 3], steps=2).nfe == 0


def test_saved_and_loaded_models_are_equal(model: YanModel, batch: Batch, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    loaded = load_model(tmp_path)
    assert torch.equal(generate(loaded, batch, [1] * 3).tokens, generate(model, batch, [1] * 3).tokens)


def test_words_that_are_drawn_agree_once_they_are_read(make_model: Make) -> None:
    """Two texts, ``3 5`` and ``4 6``, are right: drawn at once half are mixed, drawn in two turns hardly any is."""
    model = make_model(num_experts=2, d_model=32)
    model.stage1, model.stage2 = Stage1(mmd=0.0), Stage2(freeze="none", length=0.0, reveal=0.5)
    model.prepare_stage(2)
    n, slots = 32, torch.tensor([[1, 2]])
    target = torch.tensor([[7, 3, 5, 8], [7, 4, 6, 8]]).repeat(n // 2, 1)
    source = shown(target, slots.repeat(n, 1), torch.full((n, 2), model.config.mask_token_id), torch.ones(n, 2) > 0)
    ones = torch.ones_like(target, dtype=torch.bool)
    rows = {"source_ids": source, "source_mask": ones, "target_ids": target, "target_mask": ones}
    rows |= {"slots": slots.repeat(n, 1), "slot_mask": ones[:, :2]}
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    for step in range(150):
        loss = model(**rows, stage=2, seeds=[n * step + i for i in range(n)]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()

    def right(steps: int) -> tuple[float, float]:
        out = generate(model, {name: x[:1] for name, x in rows.items()}, [0], steps=steps, samples=200, temperature=1.0)
        texts = [tuple(one) for one in out.tokens[0].tolist()]
        return sum(one in {(3, 5), (4, 6)} for one in texts) / 200, texts.count((3, 5)) / 200

    mixed, _ = right(1)
    agreed, threes = right(2)
    assert mixed < 0.65 and agreed > 0.85 and 0.1 < threes < 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"samples": 0}, "samples"),
        ({"temperature": -1.0}, "temperature"),
        ({"z0_scale": 0.0}, "z0_scale"),
        ({"routing": "best"}, "routing"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"slots": torch.tensor([[99]])}, "max_length"),
        ({"reread": False, "temperature": 1.0}, "temperature goes with reread"),
    ],
)
def test_bad_options_are_named(make_model: Make, options: dict[str, Any], message: str) -> None:
    given = {"slots": torch.tensor([[1]]), "reread": True, **options}
    with pytest.raises(ValueError, match=message):
        make_model().generate(torch.tensor([[1, 2, 3]]), **given)


def test_it_is_for_flows_of_the_slots_form(make_model: Make) -> None:
    ids, slots = torch.tensor([[1, 2, 3]]), torch.tensor([[1]])
    with pytest.raises(ValueError, match="form='slots'"):
        make_model(form="separate", align=False).generate(ids, slots=slots, reread=True)
    with pytest.raises(ValueError, match="reread is an option of the flow"):
        make_model(method="mdlm").generate(ids, slots=slots, reread=True)


def test_evaluation_says_that_it_reread(make_model: Make, builder: Builder) -> None:
    rows = [{"source": f"the cat <mask> and {text}", "target": "sat on the mat"} for text in TEXT_ROWS]
    model = speaking(make_model())
    given: dict[str, Any] = {"steps": [1, 2], "samples": 2}
    read = evaluate_task(model, builder, rows, rows, "sentence", reread=True, temperature=0.5, **given)
    assert read.report["reread"] and read.report["temperature"] == 0.5 and read.report["order"] == "confidence"
    assert read.report["by_steps"]["2"]["nfe"] == 2 and read.report["by_steps"]["2"]["unique"] == 1.0
    plain = evaluate_task(model, builder, rows, rows, "sentence", **given)
    assert not plain.report["reread"] and not {"temperature", "order"} & plain.report.keys()
    labelled = [{"text": "the cat", "label": "mat"}, {"text": "a dog", "label": "river"}]
    padded = Builder(builder.tokenizer, max_length=48, lengths="padding", pad_to=8)
    with pytest.raises(ValueError, match="leave out temperature, reread and order"):
        evaluate_task(model, padded, labelled, labelled, "classify", labels="known", reread=True, **given)
    with pytest.raises(ValueError, match="reread is an option of the flow"):
        evaluate_task(make_model(method="mlm"), builder, rows, rows, "sentence", reread=True, **given)
