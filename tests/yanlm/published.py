"""GPT-2 and BART as others publish them, tiny and with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BartConfig, BartForConditionalGeneration, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

TEXTS = [f"the cat number {n} sat near the old house and saw the dog ." for n in range(60)]
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 101, "resid_pdrop": 0.1}
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 50,
}  # fmt: skip


def published(folder: Path, method: str, **options: Any) -> Path:
    """A tiny model with random weights and a tokenizer of its own, as others save them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(TEXTS, trainer)
    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        if method == "gpt2":
            model: Any = GPT2LMHeadModel(GPT2Config(**(GPT2 | {"vocab_size": len(own)} | options)))
        else:
            model = BartForConditionalGeneration(BartConfig(**(BART | {"vocab_size": len(own)} | options)))
    model.save_pretrained(folder)
    own.save_pretrained(folder)
    return folder
