"""Autoregressive baselines: layout, loss and caching against plain recomputation, given lengths and their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toys import TEXT_ROWS, Batch, learn_sentences, trimmed
from transformers import AutoModel

from yanlm.config import ARConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.build import matched_layers
from yanlm.modeling.io import load_model, save_model
from yanlm.nn.ar_layout import answer, prefixes
from yanlm.objectives.settings import Stage1
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

Make = Callable[..., ARModel]
KINDS = ["gpt2", "bart"]


@pytest.fixture
def make(tokenizer: Any) -> Make:
    def make_one(**options: Any) -> ARModel:
        ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        sizes = {"vocab_size": len(tokenizer), "d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48}
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = ARModel(ARConfig(**{**sizes, **ids, **options}))
            for parameter in model.parameters():  # as they begin, all tokens are about as likely
                parameter.data += 0.2 * torch.randn_like(parameter)
        return model.eval()

    return make_one


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make: Make) -> ARModel:
    return make(method=request.param)


@pytest.fixture
def batch(tokenizer: Any) -> Batch:
    builder = Builder(tokenizer, max_length=48, masking=Masking(rate=(0.4, 0.4)))
    return builder.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])


def given(part: Batch) -> dict[str, torch.Tensor]:
    return {name: part[name] for name in ("source_mask", "slots", "slot_mask")}


def generate(model: ARModel, part: Batch, seeds: list[int], **options: Any) -> Any:
    return model.generate(part["source_ids"], **given(part), seeds=seeds, **options)


def logits_of(model: ARModel, prefix: list[int], written: list[int]) -> torch.Tensor:
    """Logits after each written token, by the plain forward pass of transformers."""
    if model.config.method == "bart":
        return model.net(input_ids=torch.tensor([prefix]), decoder_input_ids=torch.tensor([written])).logits[0]
    return model.net(input_ids=torch.tensor([prefix + written])).logits[0, len(prefix) :]


def row_of(model: ARModel, part: Batch) -> tuple[list[int], list[int], list[int]]:
    [prefix] = prefixes(part["source_ids"], part["slots"])
    tokens = part["target_ids"].gather(1, part["slots"])[0].tolist()
    return *prefix, answer(tokens, prefix.spans, model.config.mask_token_id, model.config.pad_token_id)


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


def test_a_share_of_the_source_stands_for_all_of_it(make: Make, batch: Batch) -> None:
    model = make(method="gpt2")
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


def test_padding_may_end_an_answer_of_a_model_that_was_taught_so(make: Make) -> None:
    model = make(pad_to=3)
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


@pytest.mark.parametrize("method", KINDS)
def test_layers_that_match_a_size(method: str) -> None:
    sizes = {"vocab_size": 100, "d_model": 16, "num_heads": 2, "max_length": 32}
    sizes |= {"pad_token_id": 98, "mask_token_id": 99}
    totals = {}
    with torch.device("meta"):
        for layers in range(2, 12):
            model = ARModel(ARConfig(method=method, layers=layers, **sizes))
            totals[layers] = sum(p.numel() for p in model.parameters())
    for target in (20_000, 26_500, 33_000):
        best = min(totals, key=lambda layers: abs(totals[layers] - target))
        assert matched_layers(target, method=method, **sizes) == best
    assert matched_layers(1, method=method, **sizes) == (2 if method == "bart" else 1)


def test_saved_and_loaded_models_are_equal(model: ARModel, batch: Batch, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}
    for loaded in (load_model(tmp_path), AutoModel.from_pretrained(tmp_path).eval()):
        assert isinstance(loaded, ARModel) and loaded.config.to_diff_dict() == model.config.to_diff_dict()
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        assert loaded.net.lm_head.weight is loaded.get_input_embeddings().weight
        assert torch.equal(generate(loaded, batch, [1] * 3).tokens, generate(model, batch, [1] * 3).tokens)


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
def test_four_sentences_are_learned(make: Make, tokenizer: Any, method: str) -> None:
    model = make(method=method, d_model=32)
    builder = Builder(tokenizer, max_length=48, masking=Masking(rate=(0.2, 0.4)))
    held = learn_sentences(model, builder, 300, decay=True)
    wanted = held["target_ids"].gather(1, held["slots"])
    tokens = generate(model, held, [0] * 16).tokens[:, 0]
    assert (tokens == wanted)[held["slot_mask"]].float().mean() > 0.9
    spans = [one.spans for one in prefixes(held["source_ids"], held["slots"], held["source_mask"], held["slot_mask"])]
    found = model.generate_free(held["source_ids"], **given(held))
    right = [len(a) == b for row, lengths in zip(found, spans, strict=True) for a, b in zip(row, lengths, strict=True)]
    assert sum(right) / len(right) > 0.7
