"""Masks of a held-out text as lines of a terminal: what was written, in a column of its own, and what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from yanlm.evaluation.windows import Window

SIDE = 34
"""Characters shown before a mask, and after it."""
MOST = 3
"""Masks of a text that are shown."""


def mask_lines(masks: Sequence[Window], most: int = MOST) -> Text:
    """A line for each mask: the text before it, what was written in brackets, the text after it, and the right word.

    Example:
        >>> mask = {"before": "The cat", "written": " sad", "truth": " sat", "after": " on the mat."}
        >>> print(mask_lines([mask]).plain.strip())
        The cat [sad] on the mat.   right: sat
    """
    lines = []
    for mask in masks[:most]:
        written, truth = mask["written"], mask["truth"]
        space = " " if written[:1].isspace() else ""
        before = " ".join(mask["before"].split()) + space
        after = _words(mask["after"])
        right = written.strip() == truth.strip()
        line = Text(f"{_cut(before, -SIDE):>{SIDE}}", "dim", end="")
        line.append(f"[{' '.join(written.split())}]", "bold green" if right else "bold yellow")
        line.append(_cut(after, SIDE), "dim")
        if not right:
            line.append(f"   right: {' '.join(truth.split())}")
        lines.append(line)
    return Text("\n").join(lines)


def _words(text: str) -> str:
    """The text on one line; a space at its beginning is kept."""
    return " " * text[:1].isspace() + " ".join(text.split())


def _cut(text: str, room: int) -> str:
    """The first characters of a text, or the last where ``room`` is negative."""
    if len(text) <= abs(room):
        return text
    return "…" + text[room + 1 :] if room < 0 else text[: room - 1] + "…"
