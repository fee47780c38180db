"""LLaMA-3's tokenizer from the file it comes in: a line for each token, its bytes in base64 and its rank."""

from __future__ import annotations

import base64
import binascii
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}


def llama3_file() -> Path:
    """The file in the package llama-models.

    Raises:
        ValueError: The package is not installed.
    """
    spec = find_spec("llama_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "llama3", "tokenizer.model")
        if path.exists():
            return path
    raise ValueError(
        "tokenizer 'llama3' is not on this machine; pip install --no-deps llama-models==0.3.0 (Llama 3 Community "
        "License), or give the folder or the tokenizer.model of LLaMA-3"
    )


def is_llama3(path: Path) -> bool:
    """Whether a file is of this form, by its first line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "tokenizer.model"
        ...     _ = file.write_text("IQ== 0\\nIg== 1\\n")
        ...     is_llama3(file)
        True
    """
    with path.open("rb") as file:
        return re.fullmatch(rb"[A-Za-z0-9+/]+=* \d+\s*", file.readline(200)) is not None


def read_llama3(path: Path) -> Any:
    """The tokenizer of such a file, as one of the library tokenizers.

    Raises:
        ValueError: A line is damaged.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    try:
        lines = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (ValueError, binascii.Error):
        raise ValueError(f"{path} is damaged: each line must hold a token in base64 and its rank") from None
    letters = _byte_letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(a, b) for a, b in halves if a in ranks and b in ranks]
        merges += [(spelled[a], spelled[b]) for a, b in sorted(known, key=lambda ab: (ranks[ab[0]], ranks[ab[1]]))]
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    reserved = (f"reserved_special_token_{n}" for n in range(256))
    names = [_SPECIAL.get(n) or next(reserved) for n in range(256)]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", normalized=False, special=True) for name in names])
    return tokenizer


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte: printable ones for themselves, the others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
