"""Published GPT-2 and BART as baselines: the same numbers as in transformers, and one line for what is not them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from published import published
from safetensors.torch import load_file, save_file
from transformers import BartForConditionalGeneration, GPT2LMHeadModel

from yanlm.modeling.pretrained import load_pretrained
from yanlm.nn.ar_layout import Prefix
from yanlm.tokenization.tokenizer import load_tokenizer


def loaded(folder: Path, method: str) -> Any:
    return load_pretrained(folder, load_tokenizer(folder), method).eval()


def test_gpt2_computes_what_transformers_does(tmp_path: Path) -> None:
    folder = published(tmp_path / "gpt2", "gpt2")
    model = loaded(folder, "gpt2")
    config = model.config
    assert (config.d_model, config.layers, config.max_length, config.dropout) == (32, 2, 49, 0.1)
    theirs = GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.randint(0, 290, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = theirs(ids).logits, model.net(ids).logits[..., : theirs.config.vocab_size]
    assert torch.equal(wanted, found)
    assert model.net.lm_head.weight is model.net.transformer.wte.weight


def test_bart_computes_what_transformers_does(tmp_path: Path) -> None:
    folder = published(tmp_path / "bart", "bart")
    model = loaded(folder, "bart")
    assert (model.config.ffn_mult, model.config.layers, model.config.max_length) == (2, 4, 48)
    theirs = BartForConditionalGeneration.from_pretrained(folder).eval()
    ids = torch.randint(0, 290, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = theirs(ids, decoder_input_ids=ids[:, :9]).logits
        found = model.net(ids, decoder_input_ids=ids[:, :9]).logits[..., : theirs.config.vocab_size]
        states = model.states([Prefix(ids[0].tolist(), [3])], [[5, 6, 7]])
    assert torch.allclose(wanted, found, atol=1e-6) and states.shape == (3, 32)


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_padding_and_mask_have_places_of_their_own(tmp_path: Path, method: str) -> None:
    folder = published(tmp_path / method, method)
    tokenizer = load_tokenizer(folder)
    state = torch.get_rng_state()
    one, two, other = (load_pretrained(folder, tokenizer, method, seed=seed, pad_to=3) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert one.config.vocab_size == len(tokenizer) == one.get_input_embeddings().num_embeddings
    assert one.config.pad_token_id == tokenizer.pad_token_id and one.config.mask_token_id == tokenizer.mask_token_id
    assert one.config.pad_to == 3
    weights = [model.get_input_embeddings().weight for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0][-1], weights[2][-1])
    assert torch.equal(weights[0][:-2], weights[2][:-2]), "published rows stay"


def test_other_folders_are_refused_in_a_line(tmp_path: Path) -> None:
    folder = published(tmp_path / "gpt2", "gpt2")
    tokenizer = load_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())

    def refused(words: str, method: str = "gpt2") -> None:
        with pytest.raises(ValueError, match=words) as caught:
            load_pretrained(folder, tokenizer, method)
        assert "\n" not in str(caught.value)

    refused("holds a model of type 'gpt2', and --baseline is bart", "bart")
    for change, words in (
        ({"activation_function": "relu"}, "has activation_function = 'relu', and the baseline gpt2 'gelu_new'"),
        ({"n_layer": 100_000_000}, "do not fit together"),
        ({"n_embd": 64}, "do not fit together"),
        ({"vocab_size": 10**9}, "do not fit together"),
        ({"n_inner": 40}, "feed-forward layers 40 wide"),
        ({"model_type": "llama"}, "of type 'llama'"),
        ({"model_type": "unheard-of"}, "config.json cannot be used"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        refused(words)
    (folder / "config.json").write_text("{")
    refused("config.json cannot be used")
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {n: t for n, t in weights.items() if "h.1.mlp.c_fc.bias" not in n},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    refused("lacks transformer.h.1.mlp.c_fc.bias")
    weights["transformer.ln_f.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused("not finite")
    (folder / "model.safetensors").write_bytes(b"x")
    refused("cannot be read")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused("holds no model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decoder_layers": 1}, None),
        ({"decoder_layers": 4}, "different layers"),
        ({"decoder_attention_heads": 2}, "different attention heads"),
        ({"decoder_ffn_dim": 32}, "different widths of feed-forward layers"),
        ({"scale_embedding": True}, "has scale_embedding = True"),
    ],
)
def test_barts_of_other_shapes(tmp_path: Path, change: dict[str, Any], words: str | None) -> None:
    folder = published(tmp_path / "bart", "bart", **change)
    if words is None:
        assert loaded(folder, "bart").config.layers == 3
        return
    with pytest.raises(ValueError, match=words):
        loaded(folder, "bart")
