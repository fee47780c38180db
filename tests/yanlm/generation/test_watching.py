"""What passes say, seen by a watcher: nothing that is written changes, and the last pass says what was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.generation.watching import Watcher
from yanlm.modeling.yan import YanModel
from yanlm.writer import Writer

Make = Callable[..., YanModel]
TEXTS = ["the <mask> sat on <mask> .", "a <mask>"]
ENCODER = {"denoiser": "encoder", "experts": "source", "scope": "sequence", "num_experts": 2}
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flow": ({}, {}),
    "flow, midpoint": ({}, {"solver": "midpoint"}),
    "flow, rereading": ({}, {"reread": True}),
    "encoder": (ENCODER, {}),
    "encoder, mean": (ENCODER, {"routing": "mean"}),
    "encoder, drawn": (ENCODER, {"temperature": 1.0}),
    "encoder, candidates": (ENCODER, {"candidates": 3}),
    "encoder, rereading": (ENCODER, {"reread": True}),
    "encoder, diffusion": (ENCODER, {"sampler": "diffusion"}),
    "mdlm": ({"method": "mdlm"}, {"order": "random", "temperature": 1.0}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [1, 3])
def test_what_is_watched_is_what_is_written(make_model: Make, tokenizer: Any, way: str, length: int) -> None:
    config, options = WAYS[way]
    writer = Writer(make_model(**config), tokenizer)
    how: dict[str, Any] = {"length": length, "samples": 2, "seed": 5, "steps": 3, **options}
    written, watched = writer.write(TEXTS, **how), writer.watch(TEXTS, **how)
    assert [out for out, _ in watched] == written
    for out, seen in watched:
        assert seen.spans == [length] * len(out.fills[0])
        assert 1 <= len(seen.passes) <= 3
        last = seen.passes[-1]
        assert last.tokens.shape == (2, out.tokens) and last.best.shape == (2, out.tokens, 5)
        fills = [[tokenizer.decode(part).strip() for part in row.split(length)] for row in last.tokens]
        assert fills == out.fills
        for one in seen.passes:
            assert bool((one.chances.diff(dim=-1) <= 0).all()) and bool((one.chances.sum(-1) <= 1 + 1e-5).all())
            assert bool(((one.probabilities >= 0) & (one.probabilities <= 1)).all())
        if "drawn" not in way and "mdlm" not in way and "rereading" not in way:
            assert torch.equal(last.tokens, last.best[..., 0])
        assert (seen.experts is None) == (way in ("encoder, mean", "encoder, diffusion", "mdlm"))


def test_times_of_a_flow_and_turns_of_rereading(make_model: Make, tokenizer: Any) -> None:
    writer = Writer(make_model(**ENCODER), tokenizer)
    [(_, seen)] = writer.watch("a <mask> .", length=4, steps=4)
    times = [one.time for one in seen.passes]
    assert times[0] == 0 and times == sorted(times) and all(one.seconds > 0 for one in seen.passes)
    assert not any(bool(one.settled.any()) for one in seen.passes)
    [(_, seen)] = writer.watch("a <mask> .", length=4, steps=4, reread=True)
    counts = [int(one.settled.sum()) for one in seen.passes]
    assert counts == sorted(counts) and counts[-1] == 4
    for before, after in zip(seen.passes, seen.passes[1:], strict=False):  # what is settled stays
        assert torch.equal(before.tokens[before.settled], after.tokens[before.settled])


@pytest.mark.parametrize("method", ["gpt2", "bart"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "samples": 2}], ids=str)
def test_where_tokens_come_one_by_one_each_is_a_pass(
    make_ar: Callable[..., Any], tokenizer: Any, method: str, options: dict[str, Any]
) -> None:
    writer, texts = Writer(make_ar(method=method), tokenizer), ["the <mask> sat on <mask> .", "a <mask>"]
    both = writer.watch(texts, length=2, seed=4, **options)
    assert [out for out, _ in both] == writer.write(texts, length=2, seed=4, **options)
    (_, seen), _ = both
    assert [one.settled[0].tolist() for one in seen.passes] == [[slot < n for slot in range(4)] for n in range(1, 5)]
    for n, one in enumerate(seen.passes, 1):
        assert bool((one.chances.sum(-1) > 0)[:, :n].all()) and not one.chances[:, n:].any()
        assert bool((one.probabilities[:, :n] > 0).all()) and one.seconds is not None
    for before, after in zip(seen.passes, seen.passes[1:], strict=False):  # what is settled stays
        assert torch.equal(before.tokens[before.settled], after.tokens[before.settled])


def test_a_pass_in_parts_keeps_what_was_read_before() -> None:
    watcher = Watcher(alternatives=2)
    chances = torch.tensor([[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    watcher.read(chances[:1], torch.tensor([1]))
    watcher.read(chances[1:], torch.tensor([1]))
    watcher.end(torch.tensor([[True, True]]))
    watcher.read(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([2]))
    watcher.end(torch.tensor([[False, True]]))
    first, second = watcher.passes
    assert first.tokens.tolist() == [[1, 1]] and second.tokens.tolist() == [[1, 2]]
    torch.testing.assert_close(second.probabilities, torch.tensor([[0.8, 1.0]]))
    watcher.wrote(torch.tensor([[0, 2]]))
    torch.testing.assert_close(watcher.passes[-1].probabilities, torch.tensor([[0.2, 1.0]]))
