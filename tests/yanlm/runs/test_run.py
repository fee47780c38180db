"""What a run puts together: the model a stage begins from, batches, the tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.data.corpus import load_corpus
from yanlm.data.loader import RowStream
from yanlm.modeling.build import with_flow
from yanlm.modeling.yan import YanModel
from yanlm.runs.record import samples_text
from yanlm.runs.run import BatchDraw
from yanlm.runs.settings import resolve
from yanlm.runs.setup import make_tokenizer
from yanlm.tokenization.examples import Builder


def test_another_flow_on_the_same_autoencoder(make_model: Callable[..., YanModel]) -> None:
    model = make_model()
    own = {"cross_layers": [0, 1], "d_time": 8, "sigma": 0.1}
    assert with_flow(model, own, 0) is model
    other = with_flow(model, {**own, "num_experts": 6}, 0)
    assert other.config.num_experts == 6 and other.flow.num_experts == 6
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(other.encode(ids), model.encode(ids))
    assert torch.equal(other.decoder(model.encode(ids)), model.decoder(model.encode(ids)))


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


def test_tokenizers_as_asked_for(tmp_path: Any, tokenizer: Any) -> None:
    corpus = load_corpus("builtin:rooms")
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:300"}), corpus)) == 300
    tokenizer.save_pretrained(tmp_path)
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": str(tmp_path)}), corpus)) == len(tokenizer)
    with pytest.raises(ValueError, match="bpe:SIZE"):
        make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:many"}), corpus)


def test_samples_are_readable() -> None:
    text = samples_text({"examples": [{"source": "a <mask>", "filled": "a b", "truth": "a c"}]})
    assert text == "source  a <mask>\nfilled  a b\ntruth   a c\n"
