"""Tokenizer files from other people: checks before they are used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_BYTES = 2**28
"""Largest tokenizer.json that is read: those of vocabularies of 250,000 tokens have 2**24."""

_ATOM = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[[^\[\]]*+\]|[^\]\\])*\]|\(\??[:=!<>imx-]*|.", re.DOTALL)
_UNBOUNDED = re.compile(r"(?:[+*]|\{\d*,\})([+?]?)")


def read_tokenizer_json(path: Path) -> Any:
    """The tokenizer of a tokenizer.json, as one of the library tokenizers.

    Raises:
        ValueError: The file is damaged or too large, or a pattern in it would take forever on some text.
    """
    from tokenizers import Tokenizer

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
        for pattern in _patterns(json.loads(text)):
            if explodes(pattern):
                raise ValueError(f"its pattern {pattern!r} repeats what repeats itself: it takes forever on some text")
        with no_panic():
            return Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises bare exceptions
        raise ValueError(f"{path} is not a tokenizer.json that tokenizers can read: {first_line(error)}") from None


@contextmanager
def no_panic() -> Iterator[None]:
    """A failure inside the library tokenizers, which is no ordinary exception, as a ValueError.

    It happens if a pattern takes too long on a text, or if parts of a file do not fit together.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the tokenizer fails, its files may be damaged: {first_line(error)}") from None


def check_ids(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Check that the ids of a tokenizer have no gaps: a model has a row of weights for each id.

    Raises:
        ValueError: A number lies beyond the count of tokens.
    """
    size = len(tokenizer)
    token, highest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1], default=("", -1))
    if highest >= size:
        raise ValueError(f"the tokenizer has {size} tokens, and its token {token!r} the number {highest} beyond them")
    return tokenizer


def explodes(pattern: str) -> bool:
    """Whether a regular expression repeats without limit a group in which something is repeated without limit.

    Example:
        >>> explodes("(e+)+$"), explodes(r"[^\\r\\n\\p{L}]?\\p{L}+|\\s*[\\r\\n]+")
        (True, False)
    """
    repeats, at = [False], 0  # for every open group, whether something in it is repeated
    while at < len(pattern):
        atom = _ATOM.match(pattern, at)
        assert atom is not None  # a single character at least
        at = atom.end()
        inner = False
        if atom[0] == "[":
            return False  # a class that never ends is no pattern, which the library says itself
        if atom[0].startswith("("):
            repeats.append(False)
            continue
        if atom[0] == ")" and len(repeats) > 1:
            inner = repeats.pop()
        if quantifier := _UNBOUNDED.match(pattern, at):
            at = quantifier.end()
            if inner and quantifier[1] != "+":  # possessive ones never go back
                return True
            inner = quantifier[1] != "+"
        repeats[-1] |= inner
    return False


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _patterns(value: Any) -> Iterator[str]:
    """All regular expressions in a tokenizer.json."""
    if isinstance(value, dict):
        if isinstance(value.get("Regex"), str):
            yield value["Regex"]
        value = [inner for name, inner in value.items() if name not in ("vocab", "merges")]
    for inner in value if isinstance(value, list) else ():
        yield from _patterns(inner)
