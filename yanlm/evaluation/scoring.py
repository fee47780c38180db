"""Scores of what was written, by task: for every item sums and counts, and from these means with intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from yanlm.evaluation.items import Fill, Item
from yanlm.tasks import metrics

if TYPE_CHECKING:
    from yanlm.evaluation.semantic import Encoder

Sums = dict[str, tuple[float, float]]
"""For each metric what an item adds to its numerator and to its denominator."""

MAIN = {
    "infill": ("masked_accuracy", "span_exact", "exact_match"),
    "sentence": ("f1", "rougeL"),
    "completion": ("exact_match",),
    "qa": ("exact_match", "f1"),
    "classify": ("accuracy",),
}
"""Metrics that come with a bootstrap interval over the items."""

EXACT = {task: "accuracy" if task == "classify" else "exact_match" for task in MAIN}
"""The metric that says whether an item is right."""

LONG = 3  # tokens of a span that span_exact_3 counts
_ROUGE_WORD = re.compile("[a-z0-9]", re.I)  # ROUGE reads nothing else


def label_key(text: str) -> str:
    """A label up to case and spacing; punctuation stays, for labels may be made of it.

    Example:
        >>> label_key(" Sci/Tech "), label_key("Very  good") == label_key("very good")
        ('sci/tech', True)
    """
    return " ".join(text.casefold().split())


def prediction(task: str, fill: Fill) -> str:
    """What is compared with the references: the whole text for infilling, else what was written."""
    return fill.text if task == "infill" else written(fill)


def written(fill: Fill) -> str:
    """Texts of all spans in a row."""
    return " ".join(fill.fills).strip()


class Scorer:
    """Scores fills of the items of one task; what was scored before is looked up.

    Args:
        task: The task.
        made: The items.
        labels: Labels known from training, for ``classify``.
        aligned: Whether slots and true tokens correspond, as they do with given lengths.
        encoder: For BERTScore.
    """

    def __init__(
        self,
        task: str,
        made: Sequence[Item],
        *,
        labels: Sequence[str] = (),
        aligned: bool = True,
        encoder: Encoder | None = None,
    ) -> None:
        self.task, self.made, self.aligned, self.encoder = task, made, aligned, encoder
        self.labels = {label_key(label) for label in labels}
        self._rouge: dict[tuple[str, str], dict[str, float]] = {}
        self._bert: dict[tuple[str, str], float] = {}

    def score(self, fills: Sequence[Fill]) -> list[Sums]:
        """Sums of every item for one fill each."""
        texts = [prediction(self.task, fill) for fill in fills]
        rows: list[Sums] = [{} for _ in fills]
        if self.task in ("infill", "sentence", "completion") and self.aligned:
            self._add(
                rows, "masked_accuracy", [_tokens(fill, item) for fill, item in zip(fills, self.made, strict=True)]
            )
        if self.task == "infill":
            self._score_spans(rows, fills)
        elif self.task == "classify":
            self._score_labels(rows, texts)
        else:
            self._mean(rows, "exact_match", self._answers(metrics.exact_match, texts))
        if self.task in ("sentence", "qa"):
            self._mean(rows, "f1", self._answers(metrics.f1, texts))
        self._score_rouge(rows, fills, texts)
        if self.encoder is not None and self.task != "classify":
            self._mean(rows, "bert_score", self._bert_scores(texts, self.encoder))
        return rows

    def _answers(self, score: Callable[[str, Sequence[str]], float], texts: Sequence[str]) -> list[float]:
        """Scores after normalisation; references that it leaves empty, such as an article, are compared as they are."""
        found = []
        for text, item in zip(texts, self.made, strict=True):
            same = label_key(text) in map(label_key, item.references)
            kept = [reference for reference in item.references if metrics.normalize(reference)]
            found.append(1.0 if same else score(text, kept) if kept else 0.0)
        return found

    def _score_spans(self, rows: list[Sums], fills: Sequence[Fill]) -> None:
        right = [[a == b for a, b in zip(f.spans, i.truth, strict=True)] for f, i in zip(fills, self.made, strict=True)]
        long = [
            [hit for hit, true in zip(hits, item.truth, strict=True) if len(true) >= LONG]
            for hits, item in zip(right, self.made, strict=True)
        ]
        self._add(rows, "span_exact", [(sum(hits), len(hits)) for hits in right])
        self._add(rows, f"span_exact_{LONG}", [(sum(hits), len(hits)) for hits in long])
        self._mean(rows, "exact_match", [float(all(hits)) for hits in right])

    def _score_labels(self, rows: list[Sums], texts: Sequence[str]) -> None:
        keys = [label_key(text) for text in texts]
        truths = [label_key(item.references[0]) for item in self.made]
        self._mean(rows, "accuracy", [float(a == b) for a, b in zip(keys, truths, strict=True)])
        if self.labels:
            self._mean(rows, "valid_labels", [float(key in self.labels) for key in keys])

    def _score_rouge(self, rows: list[Sums], fills: Sequence[Fill], texts: Sequence[str]) -> None:
        whole = [(fill.text, item.text) for fill, item in zip(fills, self.made, strict=True)]
        first = [(text, item.references[0]) for text, item in zip(texts, self.made, strict=True)]
        if self.task == "infill":
            spans = [(written(fill), " ".join(item.words)) for fill, item in zip(fills, self.made, strict=True)]
            self._rouges(rows, whole, rouge1="rouge1", rougeL="rougeL")
            self._rouges(rows, spans, masked_rouge1="rouge1", masked_rougeL="rougeL")
        elif self.task == "sentence":
            self._rouges(rows, first, rouge1="rouge1", rougeL="rougeL")
            self._rouges(rows, whole, text_rouge1="rouge1")
        elif self.task == "qa":
            self._rouges(rows, first, rougeL="rougeL")

    def _rouges(self, rows: list[Sums], pairs: Sequence[tuple[str, str]], **names: str) -> None:
        """ROUGE of (text, reference); references without a word that ROUGE reads do not count."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._rouge]
        if new:
            found = metrics.rouge([text for text, _ in new], [reference for _, reference in new])
            self._rouge |= {pair: {kind: found[kind][i] for kind in found} for i, pair in enumerate(new)}
        for name, kind in names.items():
            counts = [bool(_ROUGE_WORD.search(reference)) for _, reference in pairs]
            values = [self._rouge[pair][kind] for pair in pairs]
            self._add(rows, name, [(value * count, count) for value, count in zip(values, counts, strict=True)])

    def _bert_scores(self, texts: Sequence[str], encoder: Encoder) -> list[float]:
        from yanlm.evaluation.semantic import bert_score

        pairs = [(text, item.references[0]) for text, item in zip(texts, self.made, strict=True)]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._bert]
        if new:
            found = bert_score([text for text, _ in new], [reference for _, reference in new], encoder)
            self._bert |= dict(zip(new, found, strict=True))
        return [self._bert[pair] for pair in pairs]

    def _add(self, rows: list[Sums], name: str, sums: Sequence[tuple[float, float]]) -> None:
        for row, (total, count) in zip(rows, sums, strict=True):
            row[name] = (float(total), float(count))

    def _mean(self, rows: list[Sums], name: str, values: Sequence[float]) -> None:
        self._add(rows, name, [(value, 1.0) for value in values])


def _tokens(fill: Fill, item: Item) -> tuple[int, int]:
    """Masked tokens that are right, and all of them."""
    pairs = zip(fill.spans, item.truth, strict=True)
    right = sum(a == b for span, true in pairs for a, b in zip(span, true, strict=False))
    return right, sum(map(len, item.truth))
