"""Values of settings by the annotations of a class: a value of another type is reported by name before it is used."""

from __future__ import annotations

import dataclasses
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", type(None): "nothing"}


def parsed(kind: Any, where: str, values: Any) -> dict[str, Any]:
    """Values of a table, each as the field of its name in ``kind`` is annotated.

    Args:
        kind: A class with annotated fields. A field of another such class takes a table, of which only what changes
            has to be given: it stays a mapping.
        where: Name of the table, empty for the settings themselves.
        values: The table.

    Raises:
        ValueError: It is no table, a name is unknown, or a value is of another type; names what, and what is accepted.

    Example:
        >>> from yanlm.tokenization.masking import Masking
        >>> parsed(Masking, "masking", {"rate": [0, 0.1], "tail": 1})
        {'rate': (0.0, 0.1), 'tail': 1.0}
        >>> parsed(Masking, "masking", {"tail": "0.1"})
        Traceback (most recent call last):
        ValueError: masking.tail must be a number, got '0.1'
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a table of settings, got {shown(values)}")
    hints = fields_of(kind)
    for name in values:
        if name not in hints:
            owner, others = (f"{where} has", "it has") if where else ("there is", "there are")
            raise ValueError(f"{owner} no setting {name!r}; {others} {', '.join(sorted(hints))}")
    return {name: _value(hints[name], f"{where}.{name}" if where else name, value) for name, value in values.items()}


def replaced(part: Any, where: str, values: Any) -> Any:
    """Settings with some values changed, and checked.

    Args:
        part: An object of a settings class.
        where: Its name, for errors.
        values: What changes, by name; of a table inside, again what changes.

    Raises:
        ValueError: A name is unknown, or a value is of another type or out of range.
    """
    changes = parsed(type(part), where, values)
    for name, value in changes.items():
        own = getattr(part, name)
        if dataclasses.is_dataclass(own) and isinstance(value, Mapping):
            changes[name] = replaced(own, f"{where}.{name}" if where else name, value)
    try:
        return dataclasses.replace(part, **changes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None


def checked_model(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a model, as JSON holds them, all checked before any data is read.

    Raises:
        ValueError: A name is unknown, or a value is of another type or out of range.
    """
    from yanlm.config import YanConfig  # it takes an import of transformers

    values = parsed(YanConfig, "model", options)
    ids = {"vocab_size": 4, "pad_token_id": 2, "mask_token_id": 3}  # the tokenizer's, once it is known
    try:
        YanConfig(**(values | ids))
    except ValueError as error:
        raise ValueError(f"model: {error}") from None
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def fields_of(kind: Any) -> dict[str, Any]:
    """The fields of a class that are settings, with their types."""
    names = {field.name for field in dataclasses.fields(kind)}
    notes = {name: note for name, note in kind.__annotations__.items() if name in names}  # its own, not its bases'
    return typing.get_type_hints(type("Own", (), {"__annotations__": notes, "__module__": kind.__module__}))


def shown(value: Any) -> str:
    """A value as an error shows it, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _value(hint: Any, where: str, value: Any) -> Any:
    """A value as its annotation says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _union([option for option in inner], where, value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else parsed(hint, where, value)  # type: ignore[arg-type]
    if origin in (tuple, list):
        return _sequence(origin, inner, where, value)
    if origin is dict or hint is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a table of settings, got {shown(value)}")
        return dict(value)
    return _plain(hint, where, value)


def _plain(hint: Any, where: str, value: Any) -> Any:
    fits = isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)
    if hint is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if not fits:
        raise ValueError(f"{where} must be {_NAMES.get(hint, hint.__name__)}, got {shown(value)}")
    return value


def _sequence(origin: Any, inner: Sequence[Any], where: str, value: Any) -> Any:
    many = origin is list or (len(inner) == 2 and inner[1] is Ellipsis)
    size = "" if many else f"{len(inner)} "
    if not isinstance(value, list | tuple) or not (many or len(value) == len(inner)):
        what = _NAMES.get(inner[0], "a value").split(" ", 1)[1]
        raise ValueError(f"{where} must be a list of {size}{what}s, got {shown(value)}")
    hints = [inner[0]] * len(value) if many else inner
    items = [
        _value(hint, f"{where}[{place}]", item) for place, (hint, item) in enumerate(zip(hints, value, strict=True))
    ]
    return items if origin is list else tuple(items)


def _union(options: Sequence[Any], where: str, value: Any) -> Any:
    if value is None and type(None) in options:
        return None
    errors = []
    for option in options:
        if option is not type(None):
            try:
                return _value(option, where, value)
            except ValueError as error:
                errors.append(error)
    raise errors[0]
