"""Autoregressive baselines: their loss against the plain forward pass, what trains, what they learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toys import TEXT_ROWS, Batch, generate, given, learn_sentences, logits_of, row_of, trimmed
from transformers import AutoModel

from yanlm.config import ARConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.io import load_model, save_model
from yanlm.nn.ar_layout import prefixes
from yanlm.objectives.settings import Stage1
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

Make = Callable[..., ARModel]
KINDS = ["gpt2", "bart"]


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_ar: Make) -> ARModel:
    return make_ar(method=request.param)


@pytest.fixture
def batch(spans_batch: Batch) -> Batch:
    names = ("source_ids", "source_mask", "target_ids", "target_mask", "slots", "slot_mask")
    return {name: spans_batch[name] for name in names}


def test_the_loss_is_the_cross_entropy_of_all_that_is_written(model: ARModel, batch: Batch) -> None:
    mask = model.config.mask_token_id
    total = count = source = 0.0
    for row in range(3):
        prefix, _, written = row_of(model, trimmed(batch, row))
        logits = logits_of(model, prefix, [mask, *written[:-1]])
        total += F.cross_entropy(logits, torch.tensor(written), reduction="sum").item()
        count += len(written)
        if model.config.method == "gpt2":  # the text it reads is text to learn from
            read = model.net(input_ids=torch.tensor([prefix])).logits[0, :-1]
            following = torch.tensor(prefix[1:])
            source += F.cross_entropy(read, following.where(following != mask, -100), reduction="sum").item()
    tokens = float(batch["target_mask"].sum())
    assert model.counts(batch).tolist() == [tokens, count]
    out = model(**batch, stage=1, seeds=[1, 2, 3])
    assert out.parts["ce"].item() == pytest.approx(total / count, rel=1e-5)
    assert out.loss.item() == pytest.approx(total / count + source / tokens, rel=1e-5)
    assert ("source_ce" in out.parts) == (model.config.method == "gpt2")


def test_a_share_of_the_source_stands_for_all_of_it(make_ar: Make, batch: Batch) -> None:
    model = make_ar(method="gpt2")
    with torch.no_grad():
        whole = model(**batch).parts
        model.stage1 = Stage1(known=0.3)
        shares = [model(**batch, seeds=[n, n + 999, n + 5000]).parts for n in range(300)]
        assert {float(part["ce"]) for part in shares} == {float(whole["ce"])}
        mean = sum(float(part["source_ce"]) for part in shares) / 300
        assert mean == pytest.approx(float(whole["source_ce"]), rel=0.1)
        model.stage1 = Stage1(known=0.0)
        assert model(**batch).parts == {"ce": whole["ce"]} and model(**batch).loss == whole["ce"]


@pytest.mark.parametrize("known", [1.0, 0.5])
def test_parts_of_a_batch_add_up(model: ARModel, batch: Batch, known: float) -> None:
    model.stage1 = Stage1(known=known)
    totals = model.counts(batch) / 2
    seeds = [4, 2, 8]
    loss = model(**batch, stage=1, seeds=seeds).loss
    halves = [
        model(**{n: x[at] for n, x in batch.items()}, stage=1, seeds=seeds[at], totals=totals).loss / 2
        for at in (slice(0, 2), slice(2, 3))
    ]
    assert sum(half.item() for half in halves) == pytest.approx(loss.item(), rel=1e-5)


def test_rows_without_a_slot_give_nothing(model: ARModel, batch: Batch, tokenizer: Any) -> None:
    clean = Builder(tokenizer, max_length=48, masking=Masking(clean=1.0)).batch([{"text": TEXT_ROWS[1]}], [0])
    assert model.counts(clean)[1] == 0
    clean_loss = model(**clean, stage=1)
    clean_loss.loss.backward()
    assert clean_loss.parts["ce"] == 0 and (model.config.method == "gpt2" or clean_loss.loss == 0)
    out = generate(model, clean, [1])
    assert out.nfe == 0 and (out.tokens == tokenizer.pad_token_id).all()
    one = trimmed(batch, 2)
    both = Builder(tokenizer, max_length=48).collate(
        [Builder(tokenizer, max_length=48, masking=Masking(clean=1.0)).example({"text": TEXT_ROWS[1]}, 0)]
    )
    wide = both["source_ids"].shape[1] - one["source_ids"].shape[1]
    mixed = {n: torch.cat([F.pad(one[n], (0, wide)), both[n]]) for n in ("source_ids", "source_mask")}
    mixed |= {n: torch.cat([F.pad(one[n], (0, wide)), both[n]]) for n in ("target_ids", "target_mask")}
    more = one["slots"].shape[1] - both["slots"].shape[1]
    mixed |= {n: torch.cat([one[n], F.pad(both[n], (0, more))]) for n in ("slots", "slot_mask")}
    written = [model(**part, stage=1).parts["ce"].item() for part in (mixed, one)]
    assert written[0] == pytest.approx(written[1], rel=1e-5)


def test_gradients_reach_every_parameter(model: ARModel, batch: Batch) -> None:
    model.prepare_stage(1)
    model.train()(**batch, stage=1, seeds=[1, 2, 3]).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("k_proj.bias"), name  # a softmax ignores it
    with pytest.raises(ValueError, match="stage"):
        model.prepare_stage(3)


def test_saved_and_loaded_models_are_equal(model: ARModel, batch: Batch, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja", ".md"}
    for loaded in (load_model(tmp_path), AutoModel.from_pretrained(tmp_path).eval()):
        assert isinstance(loaded, ARModel) and loaded.config.to_diff_dict() == model.config.to_diff_dict()
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        assert loaded.net.lm_head.weight is loaded.get_input_embeddings().weight
        assert torch.equal(generate(loaded, batch, [1] * 3).tokens, generate(model, batch, [1] * 3).tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "t5"}, "method must be one of"),
        ({"layers": 0}, "layers"),
        ({"method": "bart", "layers": 1}, "layers"),
        ({"d_model": 30, "num_heads": 4}, "d_model"),
        ({"dropout": 1.0}, "dropout"),
        ({"layer": 3}, "no option layer"),
        ({"mask_token_id": None}, "mask_token_id"),
        ({"vocab_size": 100}, "pad_token_id must lie in 0 .. 99"),
    ],
)
def test_bad_configurations_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARConfig(**options)


def test_bad_batches_are_named(model: ARModel, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="max_length=48"):
        model.generate(torch.zeros(1, 49, dtype=torch.long), slots=torch.tensor([[1]]))
    separate = Builder(tokenizer, form="separate", max_length=48).batch([{"text": TEXT_ROWS[1] * 2}], [0])
    with pytest.raises(ValueError, match="slots form"):
        model(**separate, stage=1)
    with pytest.raises(ValueError, match="max_new"):
        model.generate_free(torch.tensor([[1, 2]]), slots=torch.tensor([[1]]), max_new=0)


@pytest.mark.parametrize("method", KINDS)
def test_four_sentences_are_learned(make_ar: Make, tokenizer: Any, method: str) -> None:
    model = make_ar(method=method, d_model=32)
    builder = Builder(tokenizer, max_length=48, masking=Masking(rate=(0.2, 0.4)))
    held = learn_sentences(model, builder, 300, decay=True)
    wanted = held["target_ids"].gather(1, held["slots"])
    tokens = generate(model, held, [0] * 16).tokens[:, 0]
    assert (tokens == wanted)[held["slot_mask"]].float().mean() > 0.9
    spans = [one.spans for one in prefixes(held["source_ids"], held["slots"], held["source_mask"], held["slot_mask"])]
    found = model.generate_free(held["source_ids"], **given(held))
    right = [len(a) == b for row, lengths in zip(found, spans, strict=True) for a, b in zip(row, lengths, strict=True)]
    assert sum(right) / len(right) > 0.7
