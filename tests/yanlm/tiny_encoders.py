"""Folders with tiny encoders, the same in every version of torch and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BartConfig, BartModel, BertConfig, BertModel, RobertaConfig, RobertaModel

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "to", "red", "house", "##s", ".", "old"]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def _word_pieces() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = {"single": "[CLS] $A [SEP]", "special_tokens": [("[CLS]", 2), ("[SEP]", 3)]}
    tokenizer.post_processor = processors.TemplateProcessing(**ends)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


def _bytes() -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    merges = [("t", "h"), ("th", "e"), ("c", "a"), ("ca", "t"), ("Ġ", "the"), ("Ġ", "cat"), ("d", "o"), ("do", "g")]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: i for i, word in enumerate([*special, *letters, *(a + b for a, b in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


def make_encoder(path: Path, kind: str) -> Path:
    """A folder with an encoder of three layers, its weights from a generator that never changes."""
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = _bytes() if kind == "roberta" else _word_pieces()
    names = ["<s>", "</s>", "<unk>", "<pad>"] if kind == "roberta" else ["[CLS]", "[SEP]", "[UNK]", "[PAD]"]
    options = dict(zip(("cls_token", "sep_token", "unk_token", "pad_token"), names, strict=True))
    owner = "RobertaTokenizer" if kind == "roberta" else "BertTokenizer"
    length = {} if kind == "roberta" else {"model_max_length": 16}
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": owner, **length, **options}))
    model = _model(kind, tokenizer.get_vocab_size())
    rng = np.random.RandomState(0)
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            norm = "layernorm" in name.lower() or "layer_norm" in name
            drawn = torch.from_numpy(rng.standard_normal(tuple(tensor.shape)))
            tensor.copy_(drawn * (0.1 if norm else 0.5) + float(norm and name.endswith("weight")))
    model.save_pretrained(path)
    return path


def _model(kind: str, size: int) -> Any:
    if kind == "roberta":
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
        config = RobertaConfig(vocab_size=size, max_position_embeddings=42, type_vocab_size=1, **ids, **SIZES)
        return RobertaModel(config)
    if kind == "bert":
        return BertModel(BertConfig(vocab_size=size, max_position_embeddings=24, **SIZES))
    parts = ("layers", "attention_heads", "ffn_dim")
    sizes = {f"{side}_{part}": 2 for side in ("encoder", "decoder") for part in parts}
    return BartModel(BartConfig(vocab_size=size, d_model=16, max_position_embeddings=24, pad_token_id=0, **sizes))
