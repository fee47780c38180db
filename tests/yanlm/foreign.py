"""Tokenizers as other people have them, one of each common kind, trained on a few sentences."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from yanlm.tokenization.tokenizer import load_tokenizer

SENTENCES = [
    "The boat left (late) on Sunday.",
    "My aunt's boat, the old one, isn't here.",
    "Who left, and why? Who knows!",
    "a letter x of the old alphabet 7 q",
] * 6


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _metaspace(scheme: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _bytes(prefix: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=not prefix)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _byte_fallback() -> Tokenizer:
    """As LLaMA-2's."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([word for text in SENTENCES for word in text.split()], trainer)
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = written["added_tokens"][:1]  # bytes are words like others
    return Tokenizer.from_str(json.dumps(written))


def _unigram() -> Tokenizer:
    """As T5's: runs of spaces are one."""
    tokenizer = Tokenizer(models.Unigram())
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), spaces])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    options = {"unk_token": "<unk>", "special_tokens": ["<unk>"], "show_progress": False}
    tokenizer.train_from_iterator(SENTENCES, trainers.UnigramTrainer(vocab_size=120, **options))
    return tokenizer


def _words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _word_ends() -> Tokenizer:
    """As CLIP's: lower case, and a mark at the end of a word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.decoder = normalizers.Lowercase(), decoders.BPEDecoder()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    options = {"special_tokens": ["<unk>"], "end_of_word_suffix": "</w>", "show_progress": False}
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=200, **options))
    return tokenizer


_MADE = {
    "wordpiece": _wordpiece,
    "metaspace": lambda: _metaspace("always"),
    "metaspace-first": lambda: _metaspace("first"),
    "metaspace-never": lambda: _metaspace("never"),
    "bytes": lambda: _bytes(False),
    "bytes-prefix": lambda: _bytes(True),
    "byte-fallback": _byte_fallback,
    "unigram": _unigram,
    "words": _words,
    "word-ends": _word_ends,
}
FOREIGN = list(_MADE)
"""Names of the kinds."""


@cache
def foreign_tokenizer(kind: str) -> Any:
    """A tokenizer of a kind, as it loads from a folder that its owner saved."""
    tokenizer = _MADE[kind]()
    unknown = {"unk_token": "<unk>"} if "<unk>" in tokenizer.get_vocab() else {}
    with TemporaryDirectory() as folder:
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **unknown).save_pretrained(Path(folder))
        return load_tokenizer(folder)
