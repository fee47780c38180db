"""Experts that read the source, each with its own mark on the masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from yanlm.modeling.yan import YanModel
from yanlm.nn.blocks import KeysValues, Rotary
from yanlm.nn.condition import Condition, Readings, pool
from yanlm.tokenization.examples import Builder

TEXTS = ("a small text about the sea", "two men went to the old town", "rain fell on the hills")
SOURCE = {"scope": "sequence", "experts": "source"}


@pytest.fixture
def model(make_model: Any) -> YanModel:
    made: YanModel = make_model(**SOURCE)
    return made


@pytest.fixture
def batch(builder: Builder) -> dict[str, torch.Tensor]:
    return builder.batch([{"text": text} for text in TEXTS], [1, 2, 3])


def seen(model: YanModel, batch: dict[str, torch.Tensor]) -> Any:
    states = model.encode(batch["source_ids"], batch["source_mask"])
    return model.condition(states, *(batch[n] for n in ("source_ids", "source_mask", "slots", "slot_mask")))


def test_one_expert_reads_as_it_does_among_all(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    z, t = torch.randn(*batch["slots"].shape, model.config.d_model), torch.tensor([0.0, 0.5, 0.9])
    index = torch.tensor([[1], [0], [3]]).expand_as(batch["slots"])
    every = model.flow.heads(model.flow.trunk(z, t, seen(model, batch)))
    alone = model.flow.trunk(z, t, seen(model, batch))  # nothing is read yet
    wanted = every.take_along_dim(index[..., None, None], -2).squeeze(-2)
    torch.testing.assert_close(model.flow.head(alone, index), wanted, atol=1e-5, rtol=1e-4)


def test_every_row_is_read_by_the_expert_chosen_for_it() -> None:
    asked: list[int] = []

    def read(index: torch.Tensor) -> Condition:
        asked.append(index.numel())
        return Condition((), None, None, None, (10 * torch.arange(len(index))[:, None] + index).flatten(), None, None)

    readings, index = Readings(read, experts=3), torch.tensor([[1, 1], [2, 2]])
    assert readings.chosen(index).pooled.tolist() == [1, 12]
    assert readings.chosen(index.clone()).pooled.tolist() == [1, 12] and asked == [2]  # kept for the next step
    assert readings.chosen(torch.tensor([[0, 0], [2, 2]])).pooled.tolist() == [0, 12] and asked == [2, 2]
    assert readings.every(2).pooled.tolist() == [0, 1, 2, 10, 11, 12]
    assert readings.chosen(index).pooled.tolist() == [1, 12] and asked == [2, 2, 6]


def test_experts_read_differently_and_known_words_are_not_marked(
    model: YanModel, batch: dict[str, torch.Tensor]
) -> None:
    marks = model.flow.marks
    ids, mask = batch["source_ids"], batch["source_mask"]
    first, second = (model.encode(ids, mask, marks[[k] * len(ids)]) for k in (0, 1))
    assert (first - second).abs().max() > 0.01
    known = batch["target_ids"]
    torch.testing.assert_close(
        model.encode(known, batch["target_mask"], marks[[0] * len(ids)]), model.encode(known, batch["target_mask"])
    )


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("routing", ["frozen", "greedy"])
def test_the_source_is_read_twice_however_many_steps(
    model: YanModel, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, steps: int, routing: str
) -> None:
    rows: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda ids, *rest: (rows.append(len(ids)), encode(ids, *rest))[1])
    given = {name: batch[name] for name in ("slots", "source_mask", "slot_mask")}
    out = model.generate(batch["source_ids"], **given, steps=steps, samples=2, seeds=[1, 2, 3], routing=routing)
    assert rows == [3, 6] and out.nfe == steps
    alone = {name: x[1:2] for name, x in given.items()}
    single = model.generate(batch["source_ids"][1:2], **alone, steps=steps, samples=2, seeds=[2], routing=routing)
    assert torch.equal(single.tokens[0], out.tokens[1]) and torch.equal(single.assignment[0], out.assignment[1])


def test_nothing_to_fill_is_no_error(model: YanModel) -> None:
    ids = torch.tensor([[5, 6, 7]])
    out = model.generate(ids, slots=torch.zeros(1, 0, dtype=torch.long), steps=2, seeds=[0])
    assert out.tokens.shape == (1, 1, 0)


def test_rows_are_taken_from_every_part() -> None:
    parts = torch.randn(12, 3, 2, generator=torch.Generator().manual_seed(0))
    sources = (KeysValues(parts[0], parts[1]), KeysValues(parts[2], parts[3]))
    names = ("source_mask", "start", "guess", "pooled", "mask", "scope")
    cond = Condition(sources, at=Rotary(parts[4], parts[5]), **dict(zip(names, parts[6:], strict=True)))

    def leaves(cond: Condition) -> list[Any]:
        return [*(part for source in cond.sources for part in source), *cond.at, *(getattr(cond, n) for n in names)]

    rows = torch.tensor([2, 0])
    assert all(torch.equal(a, b[rows]) for a, b in zip(leaves(cond.take(rows)), leaves(cond), strict=True))
    twice = torch.tensor([0, 0, 1, 1, 2, 2])
    assert all(torch.equal(a, b[twice]) for a, b in zip(leaves(cond.repeated(2)), leaves(cond), strict=True))
    bare = Condition((), None, None, None, parts[0], None, None).take(rows)
    assert bare == Condition((), None, None, None, bare.pooled, None, None)


def test_the_pooled_state_is_the_mean_of_the_tokens() -> None:
    states = torch.tensor([[[1.0], [2.0], [6.0]], [[5.0], [7.0], [9.0]]])
    assert pool(states, None).flatten().tolist() == [3.0, 7.0]
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert pool(states, mask).flatten().tolist() == [1.5, 0.0]
