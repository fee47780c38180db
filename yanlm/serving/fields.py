"""The JSON object of a request, read field by field: each is checked, and none is ignored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from yanlm.serving.refusal import Refusal, bad

MISSING = object()


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refusal: There is none.

    Example:
        >>> read_object(b'{"text": "a <mask>"}')
        {'text': 'a <mask>'}
    """
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise bad(None, "the body is not UTF-8") from None
    except RecursionError:
        raise bad(None, "the body is nested too deeply") from None
    except ValueError as error:
        raise bad(None, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad(None, f"the body must be a JSON object, got {_kind(document)}")
    return document


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


class Fields:
    """Fields of an object, taken one by one.

    Args:
        document: The object.

    Example:
        >>> fields = Fields({"steps": 3})
        >>> fields.integer("steps", 1, 1, 64), fields.integer("samples", 1, 1, 32), fields.end()
        (3, 1, None)
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.left = dict(document)
        self.known: list[str] = []

    def take(self, name: str, default: Any = None) -> Any:
        """Any value; ``default`` if it is missing or null."""
        self.known.append(name)
        value = self.left.pop(name, None)
        return default if value is None else value

    def end(self) -> None:
        """Check that all fields were read.

        Raises:
            Refusal: There is another field.
        """
        if self.left:
            name = min(self.left)
            raise bad(name[:80], f"unknown field {name[:80]!r}; fields are {', '.join(sorted(self.known))}")

    def texts(self, name: str, most: int) -> list[str]:
        """One text, or a list of some."""
        value = self.take(name)
        if value is None:
            raise bad(name, f"{name} is missing: the text, or a list of texts")
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise bad(name, f"{name} must be a string or a list of strings, got {_kind(value)}")
        if not 1 <= len(texts) <= most:
            raise bad(name, f"{name} must hold 1 to {most} texts, got {len(texts)}")
        if any(not text.strip() for text in texts):
            raise bad(name, f"{name} is empty; give some text")
        for text in texts:
            _check_characters(name, text)
        return texts

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.take(name, default)
        if not isinstance(value, str):
            raise bad(name, f"{name} must be a string, got {_kind(value)}")
        _check_characters(name, value)
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise bad(name, f"{name} must be a whole number from {least} to {most}, got {_shown(value)}")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number from ``least`` to ``most``."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise bad(name, f"{name} must be a number from {least:g} to {most:g}, got {_shown(value)}")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise bad(name, f"{name} must be true or false, got {_shown(value)}")
        return value

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.take(name, default)
        if not isinstance(value, str) or value not in choices:
            raise bad(name, f"{name} must be one of {', '.join(choices)}, got {_shown(value)}")
        return value


def refuse_all(fields: Fields, accepted: dict[str, tuple[Any, ...]], why: str) -> None:
    """Accept fields at values that change nothing, and refuse them at any other.

    Raises:
        Refusal: One has another value; no option is silently ignored.
    """
    for name, values in accepted.items():
        value = fields.take(name)
        if value is not None and value not in values:
            raise Refusal(400, f"{name} is not supported: {why}; leave it out", name)


def _check_characters(name: str, text: str) -> None:
    """JSON can write half a character, which no text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad(name, f"{name} holds half a character (a lone surrogate) at place {error.start}") from None


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shown(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | bool) else _kind(value)
