"""Batches of a stage."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import torch

from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.loader import RowStream
from yanlm.runs.batches import BatchDraw, stage_draw
from yanlm.runs.settings import resolve
from yanlm.tokenization.examples import Builder


def test_batches_are_a_function_of_seed_and_step(tokenizer: Any) -> None:
    corpus = load_corpus("builtin:rooms")

    def draw(rank: int = 0, world: int = 1) -> BatchDraw:
        stream = RowStream(corpus, 4, seed=0, rank=rank, world=world)
        return BatchDraw(stream, Builder(tokenizer, max_length=128), 5, with_lengths=True)

    whole = draw()
    batches = [whole.next() for _ in range(3)]
    resumed = draw()
    first = [resumed.next() for _ in range(2)]
    state = resumed.state_dict()
    third = draw()
    third.load_state_dict(state)
    for got, wanted in zip([*first, third.next()], batches, strict=True):
        assert got[1] == wanted[1]
        assert all(torch.equal(got[0][name], wanted[0][name]) for name in wanted[0])
    parts = [draw(rank, 2).next() for rank in range(2)]
    assert parts[0][1] + parts[1][1] == batches[0][1]
    assert len({seed for _, seeds in batches for seed in seeds}) == 12


def padding_of(corpus: Corpus, bucket: int | None, tokenizer: Any) -> float:
    """Share of the batches that is padding."""
    settings = resolve({"data": "builtin:rooms", "recipe1": {"batch_size": 4}, "steps1": 1, "steps2": 1})
    settings = dataclasses.replace(settings, recipe1=dataclasses.replace(settings.recipe1, bucket=bucket))
    alone, builder = SimpleNamespace(process_index=0, num_processes=1), Builder(tokenizer, max_length=128)
    draw = stage_draw(settings, 1, corpus, builder, alone, False)
    masks = [draw.next()[0]["target_mask"] for _ in range(32)]
    return 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)


def test_rows_are_sorted_by_their_tokens_unless_there_are_several_sources(tokenizer: Any) -> None:
    one, two = load_corpus("builtin:rooms"), load_corpus(["builtin:rooms", "builtin:lookups"])
    padding = {bucket: padding_of(one, bucket, tokenizer) for bucket in (1, 32, None)}
    assert padding[None] == padding[32] < 0.05 < 0.12 < padding[1]
    padding = {bucket: padding_of(two, bucket, tokenizer) for bucket in (1, 32, None)}
    assert padding[32] < 0.1 < padding[None] == padding[1]
