"""Variants of training that an ablation compares: one choice changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanlm.config import YanConfig
from yanlm.modeling.description import FLOW_SETTINGS
from yanlm.runs.settings import RunSettings

Options = dict[str, Any]
BASE = "base"

CHOICES: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "K": ("model", "num_experts", (1, 4, 8)),
    "sigma": ("model", "sigma", (0.1, 0.3, 1.0, 3.0)),
    "objective": ("stage2", "objective", ("paper", "consistent")),
    "ce": ("stage2", "ce", ("rollout", "onestep", "unrolled")),
    "prediction": ("model", "prediction", ("data", "velocity")),
    "align": ("model", "align", (True, False)),
    "noise": ("stage1", "noise", (0.0, 0.2)),
    "mmd": ("stage1", "mmd", (0.0, 1.0)),
    "freeze": ("stage2", "freeze", ("none", "all")),
    "scope": ("model", "scope", ("token", "span", "sequence")),
}
"""For each choice the table and the setting that it changes, and its values."""


def variants(base: RunSettings, only: Sequence[str] = ()) -> dict[str, Options]:
    """Options of every variant by name, :data:`BASE` first; a variant with the value of the base is the base.

    Args:
        base: What all variants share.
        only: Beginnings of names: ``K``, ``ce = onestep``; all if there is none. The base is always there.

    Raises:
        ValueError: A beginning fits no variant.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> list(variants(resolve({}), ["K", "scope"]))
        ['base', 'K = 1', 'K = 8', 'scope = span', 'scope = sequence']
    """
    named = {
        f"{choice} = {_value(value)}": {table: {setting: value}}
        for choice, (table, setting, values) in CHOICES.items()
        for value in values
        if value != _setting(base, table, setting)
    }
    for start in only:
        if not any(_fits(name, start) for name in named):
            raise ValueError(f"no variant begins with {start!r}; there are {', '.join(named)}")
    chosen = {name: options for name, options in named.items() if not only or any(_fits(name, s) for s in only)}
    return {BASE: {}, **chosen}


def base_line(base: RunSettings) -> str:
    """What the base has for each choice.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> base_line(resolve({"preset": "tiny"})).split(", ")[:2]
        ['K = 4', 'sigma = 1']
    """
    return ", ".join(f"{name} = {_value(_setting(base, table, key))}" for name, (table, key, _) in CHOICES.items())


def shares_stage1(options: Mapping[str, Any]) -> bool:
    """Whether a variant has the autoencoder of the base: it only changes the flow or stage 2.

    Example:
        >>> shares_stage1({"model": {"num_experts": 1}}), shares_stage1({"stage1": {"mmd": 0.0}})
        (True, False)
    """
    return set(options) <= {"model", "stage2"} and set(options.get("model", ())) <= set(FLOW_SETTINGS)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Options:
    """Options with others laid over them, table by table.

    Example:
        >>> laid_over({"model": {"d_model": 64, "sigma": 1.0}}, {"model": {"sigma": 0.1}, "seed": 1})
        {'model': {'d_model': 64, 'sigma': 0.1}, 'seed': 1}
    """
    options = dict(below)
    for name, value in above.items():
        under = options.get(name)
        options[name] = {**under, **value} if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return options


def _setting(base: RunSettings, table: str, setting: str) -> Any:
    if table == "model":
        return base.model.get(setting, getattr(YanConfig, setting))
    return getattr(getattr(base, table), setting)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _fits(name: str, start: str) -> bool:
    """``K`` is the choice K and no other that begins with the letter."""
    return name.split(" = ")[0] == start or (" " in start and name.startswith(start))
