"""``yanlm generate --show probabilities``: what was written, how sure the model was, and what else it thought of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moefm_cli.common import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from yanlm.generation.watching import Watched

SHOWN = ("probabilities",)
ALTERNATIVES = 3
"""Other tokens that are named beside the one that was written."""


def check_shown(name: str | None) -> None:
    """Check what is to be shown beside the texts.

    Raises:
        UsageError: There is no such thing.
    """
    if name is not None and name not in SHOWN:
        raise UsageError(f"--show must be {', '.join(SHOWN)}, got {name!r}")


def token_chances(seen: Watched, tokenizer: PreTrainedTokenizerFast) -> list[list[dict[str, Any]]]:
    """For each sample of a text and each of its slots: the token, its probability and the alternatives."""
    from yanlm.tokenization.pieces import decode_piece

    last = seen.passes[-1]
    samples = []
    for tokens, own, best, chances in zip(last.tokens, last.probabilities, last.best, last.chances, strict=True):
        slots = []
        for token, chance, others, theirs in zip(
            tokens.tolist(), own.tolist(), best.tolist(), chances.tolist(), strict=True
        ):
            known = [(i, p) for i, p in zip(others, theirs, strict=True) if i != token and p > 0][:ALTERNATIVES]
            slots.append(
                {
                    "token": decode_piece(tokenizer, [token]),
                    "probability": round(chance, 4),
                    "alternatives": [[decode_piece(tokenizer, [i]), round(p, 4)] for i, p in known],
                }
            )
        samples.append(slots)
    return samples


def chance_lines(slots: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each slot.

    Example:
        >>> chance_lines([{"token": " dog", "probability": 0.5, "alternatives": [[" cat", 0.25], ["s", 0.125]]}])
        ["   50.0%  ' dog'   else ' cat' 25.0%, 's' 12.5%"]
    """
    lines = []
    for slot in slots:
        others = ", ".join(f"{token!r} {own:.1%}" for token, own in slot["alternatives"])
        lines.append(f"{slot['probability']:>8.1%}  {slot['token']!r}" + (f"   else {others}" if others else ""))
    return lines
