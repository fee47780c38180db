"""Settings of a study beside those that its folder was measured with: which of them differ, and both together."""

from __future__ import annotations

from typing import Any

MODELS, FINGERPRINTS = "models", "fingerprints"
GROWING = (MODELS, FINGERPRINTS)
"""Settings of a study to which entries may be added."""

SHOWN = ("metric",)
"""Settings that say which of the scores is shown; the folder holds all of them."""

Json = dict[str, Any]


def conflicts(old: Json, new: Json) -> list[str]:
    """Settings under which a study would have measured something else.

    Example:
        >>> old = {"rows": 3, "metric": "f1", "models": {"a": "1"}}
        >>> conflicts(old, {"rows": 4, "metric": "rougeL", "models": {"b": "2"}})
        ['rows']
    """
    changed = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if name in SHOWN:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            keys = before.keys() & after.keys() if name in GROWING else before.keys() | after.keys()
            changed += [f"{name} {key}" for key in sorted(keys) if before.get(key) != after.get(key)]
        elif before != after:
            changed.append(name)
    return changed


def with_entries_of(old: Json, new: Json) -> Json:
    """The new settings, with the entries that the old ones have of models and data.

    Example:
        >>> with_entries_of({"rows": 3, "models": {"a": "1"}}, {"rows": 3, "models": {"b": "2"}})
        {'rows': 3, 'models': {'a': '1', 'b': '2'}}
    """
    return new | {name: old[name] | new[name] for name in GROWING if name in old and name in new}
