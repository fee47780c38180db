"""Scores token by token, of rows of any kind: what the report of a training holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yanlm.data.rows import kind_of
from yanlm.evaluation.aggregate import interval
from yanlm.evaluation.baselines import COUNTED, most_frequent_token
from yanlm.evaluation.held_out import Row, masked_positions
from yanlm.evaluation.portions import texts_of
from yanlm.tasks import metrics
from yanlm.tasks.heuristics import last_mentioned, majority
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode

Scores = dict[str, Any]
_ANSWERS = {"qa": "answer", "classify": "label"}


def token_scores(
    builder: Builder, examples: Sequence[Example], filled: Sequence[Ids], texts: Sequence[Any] | None = None
) -> Scores:
    """Accuracy on masked and on copied tokens, whole masked rows exact, ROUGE of the whole text.

    ``masked_accuracy_ci95`` is an interval over rows, or over ``texts``, if any token is masked.

    Args:
        builder: Made the examples.
        examples: Held-out examples.
        filled: The target of each, as a model wrote it.
        texts: What tells the texts of the examples apart, where one may come several times.
    """
    masked: list[tuple[float, float]] = []  # right and all masked tokens of each row
    copied = shown = exact = 0
    for example, ids in zip(examples, filled, strict=True):
        right = {i for i, token in enumerate(example.target) if ids[i] == token}
        behind = set(masked_positions(example, builder))
        masked.append((len(right & behind), len(behind)))
        copied, shown = copied + len(right - behind), shown + len(example.target) - len(behind)
        exact += behind <= right
    total, hidden = (sum(pair[k] for pair in masked) for k in (0, 1))
    scores: Scores = {"masked_accuracy": total / max(1, hidden), "exact_match": exact / max(1, len(examples))}
    if hidden and (ends := interval(masked, texts)):
        scores["masked_accuracy_ci95"] = ends
    if shown:
        scores["copied_accuracy"] = copied / shown
    return scores | rouge_scores(_texts(builder, filled), _texts(builder, [example.target for example in examples]))


def rouge_scores(texts: Sequence[str], references: Sequence[str]) -> Scores:
    """Mean ROUGE-1 and ROUGE-L F-measures of whole texts, in [0, 1]; nothing where ROUGE reads none of the references.

    Example:
        >>> rouge_scores(["the cat", "кот"], ["the cat", "кот"]), rouge_scores(["кот"], ["кот"])
        ({'rouge1': 1.0, 'rougeL': 1.0}, {})
    """
    pairs = zip(texts, references, strict=True)
    scores = [best for text, reference in pairs if (best := metrics.rouge_best(text, [reference]))]
    return {kind: sum(pair[kind] for pair in scores) / len(scores) for kind in (scores[0] if scores else ())}


def token_baselines(
    builder: Builder, examples: Sequence[Example], rows: Sequence[Row], train: Sequence[Row]
) -> dict[str, Scores]:
    """Scores that need no model: the source alone, the most frequent token; for questions also simple answers."""
    kinds = {kind_of(row) for row in rows}
    baselines: dict[str, Scores] = {}
    if "text" in kinds:
        common = most_frequent_token(builder, [row["text"] for row in train[:COUNTED] if "text" in row])
        copies, guesses = [], []
        for example in examples:
            hidden = set(masked_positions(example, builder))
            copies.append([token for i, token in enumerate(example.target) if i not in hidden])
            guesses.append([common if i in hidden else token for i, token in enumerate(example.target)])
        references = _texts(builder, [example.target for example in examples])
        baselines["copy_source"] = {"masked_accuracy": 0.0} | rouge_scores(_texts(builder, copies), references)
        baselines["unigram"] = token_scores(builder, examples, guesses, texts_of(rows))
    hits: dict[str, list[bool]] = {}
    for kind in sorted(kinds & _ANSWERS.keys()):
        for name, right in _answer_baselines(kind, rows, train).items():
            hits.setdefault(name, []).extend(right)
    return baselines | {name: {"exact_match": sum(right) / len(right)} for name, right in hits.items()}


def _answer_baselines(kind: str, rows: Sequence[Row], train: Sequence[Row]) -> dict[str, list[bool]]:
    """Whether each baseline is right, for the rows of a kind that have an answer."""
    field = _ANSWERS[kind]
    asked = [row for row in rows if kind_of(row) == kind]
    known = [row[field] for row in train if field in row]  # not the rows: a large file's would not fit into memory
    common = majority(known, 1)[0] if known else ""
    answers = {"majority": [common] * len(asked)}
    if kind == "qa":
        answers["last_mentioned"] = last_mentioned([{field: answer} for answer in known], asked)
    truths = [row[field].strip() for row in asked]
    return {name: [text == truth for text, truth in zip(texts, truths, strict=True)] for name, texts in answers.items()}


def _texts(builder: Builder, rows: Sequence[Ids]) -> list[str]:
    return [decode(builder.tokenizer, ids) for ids in rows]
