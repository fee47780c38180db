"""What users of transformers expect of any model: tests of its common kind, for every kind of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import TEXT_ROWS, Batch
from transformers import AutoConfig, AutoModel

from yanlm.objectives.settings import Denoising, Stage2
from yanlm.tokenization.examples import Builder

KINDS: dict[str, dict[str, Any]] = {
    "flow": {"num_experts": 3},
    "untied": {"num_experts": 3, "tie_word_embeddings": False, "positions": "learned", "conv": 3},
    "mamba": {"num_experts": 2, "backbone": "mamba"},
    "separate": {"form": "separate", "align": False},
    "experts read": {"num_experts": 2, "scope": "sequence", "experts": "source"},
    "encoder denoises": {"denoiser": "encoder", "latent_dim": 6, "num_experts": 3, "scope": "span"},
    "embeddings as vectors": {"denoiser": "encoder", "num_experts": 1},
    "marks": {"denoiser": "encoder", "latent_dim": 6, "num_experts": 2, "experts": "source", "expert_layer": 1},
    "continuum": {"denoiser": "encoder", "latent_dim": 6, "num_experts": 2, "experts": "continuum"},
    "mdlm": {"method": "mdlm"},
    "gpt2": {"method": "gpt2"},
    "bart": {"method": "bart"},
}


@pytest.fixture
def make(make_kind: Callable[..., Any]) -> Callable[[str], Any]:
    def build(kind: str) -> Any:
        options = dict(KINDS[kind])
        return make_kind(options.pop("method", "flow"), **options)

    return build


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make: Callable[[str], Any]) -> Any:
    return make(request.param)


@pytest.fixture
def batch(model: Any, tokenizer: Any) -> Batch:
    builder = Builder(tokenizer, form=model.config.form, max_length=48)
    return builder.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])


def last_stage(model: Any) -> int:
    return int(model.can.stages)


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    loss: torch.Tensor = model(**batch, stage=last_stage(model), seeds=[4, 5, 6]).loss
    return loss


def written(model: Any, batch: Batch) -> torch.Tensor:
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    tokens: torch.Tensor = model.generate(**{name: batch[name] for name in names}, seeds=[1, 2, 3]).tokens
    return tokens


class TestSaving:
    @pytest.mark.parametrize("shard", ["5GB", "10KB"])
    def test_saved_and_loaded_it_is_the_same(self, model: Any, batch: Batch, tmp_path: Path, shard: str) -> None:
        model.save_pretrained(tmp_path, max_shard_size=shard)
        assert (shard == "5GB") == (tmp_path / "model.safetensors").is_file()
        loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
        assert loaded.state_dict().keys() == model.state_dict().keys()
        assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(written(loaded.eval(), batch), written(model, batch))
        assert AutoConfig.from_pretrained(tmp_path).to_dict() == loaded.config.to_dict()
        assert type(AutoModel.from_pretrained(tmp_path)) is type(model)

    def test_half_precision_is_kept(self, model: Any, tmp_path: Path) -> None:
        model.to(torch.bfloat16).save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path)
        assert loaded.dtype == torch.bfloat16
        assert type(model).from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32

    def test_a_copy_is_a_model_of_its_own(self, model: Any, batch: Batch) -> None:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.get_input_embeddings().weight.zero_()
        assert model.get_input_embeddings().weight.abs().sum() > 0
        assert torch.equal(written(copy.deepcopy(model), batch), written(model, batch))


class TestEmbeddings:
    def test_the_map_to_the_vocabulary_is_tied(self, model: Any, tmp_path: Path) -> None:
        tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert tied == getattr(model.config, "tie_word_embeddings", True)
        model.save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path)
        assert tied == (loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight)

    @pytest.mark.parametrize("change", [8, 1])
    def test_a_larger_vocabulary_leaves_the_rest(self, model: Any, batch: Batch, tmp_path: Path, change: int) -> None:
        size, before = model.config.vocab_size, written(model, batch)
        kept = model.get_input_embeddings().weight.detach().clone()
        embedding = model.resize_token_embeddings(size + change, mean_resizing=False)
        with torch.no_grad():
            embedding.weight[size:] = 0  # nobody wants the new ones
            if getattr(model.get_output_embeddings(), "bias", None) is not None:
                model.get_output_embeddings().bias[size:] = -1e4
        assert embedding is model.get_input_embeddings() and torch.equal(embedding.weight[:size], kept)
        assert model.config.vocab_size == len(embedding.weight) == size + change
        assert len(model.get_output_embeddings().weight) == size + change
        self.test_the_map_to_the_vocabulary_is_tied(model, tmp_path)
        if model.config.method not in ("gpt2", "bart"):  # these have no bias that keeps the new ones away
            assert torch.equal(written(model, batch), before)
        loaded = type(model).from_pretrained(tmp_path)
        assert torch.equal(written(loaded.eval(), batch), written(model, batch))
        loss_of(model.train(), batch).backward()

    def test_a_multiple_of_the_vocabulary(self, model: Any) -> None:
        model.resize_token_embeddings(model.config.vocab_size + 1, pad_to_multiple_of=64)
        assert model.config.vocab_size % 64 == 0 and len(model.get_output_embeddings().weight) % 64 == 0
        assert model.resize_token_embeddings() is model.get_input_embeddings()

    def test_padding_and_mask_keep_their_place(self, model: Any) -> None:
        with pytest.raises(ValueError, match="new_num_tokens must be above mask_token_id"):
            model.resize_token_embeddings(model.config.mask_token_id)
        assert model.resize_token_embeddings(model.config.mask_token_id + 1).num_embeddings == model.config.vocab_size

    def test_both_can_be_replaced(self, model: Any) -> None:
        for name in ("input", "output"):
            new = copy.deepcopy(getattr(model, f"get_{name}_embeddings")())
            getattr(model, f"set_{name}_embeddings")(new)
            assert getattr(model, f"get_{name}_embeddings")() is new


def enable_checkpointing(model: Any, options: dict[str, bool] | None) -> None:
    """By its name of today, or that of older versions of transformers."""
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)(options)


@pytest.mark.parametrize("reentrant", [False, None])
def test_gradient_checkpointing_changes_no_gradient(model: Any, batch: Batch, reentrant: bool | None) -> None:
    if last_stage(model) == 2:
        model.stage2 = Stage2(freeze="none")
    if model.can.denoises:
        model.denoising = Denoising(times="uniform")  # else the first loss changes the times of the second
    model.prepare_stage(last_stage(model))

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        loss_of(model.train(), batch).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain, calls = gradients(), []
    enable_checkpointing(model, None if reentrant is None else {"use_reentrant": reentrant})
    for module in model.modules():
        if (checkpoint := getattr(module, "_gradient_checkpointing_func", None)) is not None:
            module._gradient_checkpointing_func = lambda *args, _own=checkpoint: calls.append(1) or _own(*args)  # type: ignore[assignment]
    saved = gradients()
    assert calls and plain.keys() == saved.keys()
    assert all(torch.allclose(saved[name], grad, atol=1e-7) for name, grad in plain.items())


def test_reentrant_checkpointing_would_lose_gradients(make: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="use_reentrant must be False"):
        enable_checkpointing(make("flow"), {"use_reentrant": True})


def test_decoder_and_length_head_are_exported(make: Callable[[str], Any]) -> None:
    """The encoder and the flow have programs of their own, :mod:`yanlm.modeling.export`."""
    model = make("flow")
    states, others = (
        model.encode(torch.randint(0, 200, shape, generator=torch.Generator().manual_seed(0)))
        for shape in ((2, 9), (3, 14))
    )
    shape = {0: torch.export.Dim("rows", max=64), 1: torch.export.Dim("length", max=48)}
    with torch.no_grad():
        for part in (model.decoder, model.length_head):
            exported = torch.export.export(part, (states,), dynamic_shapes=(shape,)).module()
            for values in (states, others):
                assert torch.allclose(exported(values), part(values), atol=1e-5)
