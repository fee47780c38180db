"""Scores of filled texts, and those of what needs no model: copying, guessing, simple answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from yanlm.tasks import metrics
from yanlm.tasks.heuristics import last_mentioned
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode, encode

Row = Mapping[str, Any]
Scores = dict[str, float]


class Case(NamedTuple):
    """A held-out row: its example, which target positions were masked, and the kind of row."""

    example: Example
    masked: list[int]
    kind: str


def score(builder: Builder, made: Sequence[Case], filled: Sequence[Ids], rouge: bool = True) -> Scores:
    """Accuracy on masked and on copied tokens, whole masked rows exact, ROUGE of the whole text."""
    masked = hidden = copied = shown = exact = 0
    for case, ids in zip(made, filled, strict=True):
        right = {i for i, token in enumerate(case.example.target) if ids[i] == token}
        behind = set(case.masked)
        masked, hidden = masked + len(right & behind), hidden + len(behind)
        copied, shown = copied + len(right - behind), shown + len(case.example.target) - len(behind)
        exact += behind <= right
    scores = {"masked_accuracy": masked / max(1, hidden), "exact_match": exact / max(1, len(made))}
    if shown:
        scores["copied_accuracy"] = copied / shown
    if rouge:
        texts = [decode(builder.tokenizer, ids) for ids in filled]
        scores |= rouge_scores(texts, [decode(builder.tokenizer, case.example.target) for case in made])
    return scores


def rouge_scores(texts: Sequence[str], references: Sequence[str]) -> Scores:
    """Mean ROUGE-1 and ROUGE-L F-measures of whole texts, in [0, 1]."""
    return {kind: sum(values) / max(1, len(values)) for kind, values in metrics.rouge(texts, references).items()}


def baselines(builder: Builder, made: Sequence[Case], train: Sequence[Row], test: Sequence[Row]) -> dict[str, Scores]:
    """Scores that need no model: the source alone, the most frequent token; for questions also simple answers."""
    found: dict[str, Scores] = {}
    tokenizer = builder.tokenizer
    references = [decode(tokenizer, case.example.target) for case in made]
    if any(case.kind == "text" for case in made):
        texts = (row["text"] for row in train[:5000] if "text" in row)
        counts = Counter(token for text in texts for token in encode(tokenizer, text))
        common = counts.most_common(1)[0][0] if counts else builder.pad
        copies, guesses = [], []
        for case in made:
            hidden = set(case.masked)
            copies.append(decode(tokenizer, [t for i, t in enumerate(case.example.target) if i not in hidden]))
            guesses.append([common if i in hidden else t for i, t in enumerate(case.example.target)])
        found["copy_source"] = {"masked_accuracy": 0.0} | rouge_scores(copies, references)
        found["unigram"] = score(builder, made, guesses)
    asked = [row for row, case in zip(test, made, strict=True) if case.kind in ("qa", "classify")]
    if asked:
        name = "answer" if "answer" in asked[0] else "label"
        answers = Counter(row[name].strip() for row in train if name in row)
        majority = answers.most_common(1)[0][0] if answers else ""
        found["majority"] = {"exact_match": sum(row[name].strip() == majority for row in asked) / len(asked)}
        if name == "answer":
            said = last_mentioned([row for row in train if name in row], asked)
            hits = sum(guess == row[name].strip() for guess, row in zip(said, asked, strict=True))
            found["last_mentioned"] = {"exact_match": hits / len(asked)}
    return found
