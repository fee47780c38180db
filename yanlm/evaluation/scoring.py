"""Scores of what was written, by task: sums and counts for every item, and from these means with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from yanlm.evaluation.items import Fill, Item
from yanlm.tasks import metrics
from yanlm.tasks.task import Task, get_task

if TYPE_CHECKING:
    from yanlm.evaluation.semantic import BertScore

Sum = tuple[float, float]
"""What an item adds to the numerator and to the denominator of a metric."""

Sums = dict[str, Sum]
"""By the name of the metric."""

Pair = tuple[str, tuple[str, ...]]
"""A text, and those that count as right."""

LONG = 3  # tokens of a span that span_exact_3 counts


def label_key(text: str) -> str:
    """A label up to case and spacing; punctuation stays, for labels may be made of it.

    Example:
        >>> label_key(" Sci/Tech "), label_key("Very  good") == label_key("very good")
        ('sci/tech', True)
    """
    return " ".join(text.casefold().split())


def prediction(task: str | Task, fill: Fill) -> str:
    """What is compared with the references: the whole text if the task compares texts, else what was written."""
    return fill.text if get_task(task).whole else written(fill)


def written(fill: Fill) -> str:
    """Texts of all spans in a row."""
    return " ".join(fill.fills).strip()


class Scorer:
    """Scores fills of the items of one task. Repeated scores are looked up.

    Args:
        task: The task.
        items: The items.
        labels: Labels known from training, if the task has labels.
        aligned: Whether slots and true tokens correspond, as they do with given lengths.
        bert: BERTScore, if it is wanted.

    Raises:
        ValueError: The task has a metric that is not in :data:`METRICS` and not its own.
    """

    def __init__(
        self,
        task: str | Task,
        items: Sequence[Item],
        *,
        labels: Sequence[str] = (),
        aligned: bool = True,
        bert: BertScore | None = None,
    ) -> None:
        self.task, self.items, self.bert = get_task(task), items, bert
        self.labels = {label_key(label) for label in labels}
        possible = {"masked_accuracy": aligned, "valid_labels": bool(labels)}
        self.names = [name for name in self.task.metrics if possible.get(name, True)]
        if bert is not None and not self.task.closed:
            self.names.append("bert_score")
        for name in self.names:
            if name not in METRICS and name not in self.task.own_metrics:
                known = ", ".join((*METRICS, *self.task.own_metrics))
                raise ValueError(f"task {self.task.name}: metrics must be among {known}, got {name!r}")
        self._rouge: dict[Pair, dict[str, float]] = {}
        self._bert: dict[Pair, float] = {}

    def score(self, fills: Sequence[Fill]) -> list[Sums]:
        """Sums of every item for one fill each."""
        columns = {name: self._column(name, fills) for name in self.names}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(fills))]

    def _column(self, name: str, fills: Sequence[Fill]) -> list[Sum]:
        if name in self.task.own_metrics:
            return self.answers(self.task.own_metrics[name], fills)
        return [(float(total), float(count)) for total, count in METRICS[name](self, fills)]

    def texts(self, fills: Sequence[Fill]) -> list[str]:
        """What is compared of each fill."""
        return [prediction(self.task, fill) for fill in fills]

    def answers(self, metric: Callable[[str, Sequence[str]], float], fills: Sequence[Fill]) -> list[Sum]:
        """Scores after normalisation; references that it leaves empty, such as an article, are compared as they are."""
        scores = []
        for text, item in zip(self.texts(fills), self.items, strict=True):
            key = label_key(text)
            same = key != "" and key in map(label_key, item.references)
            kept = [known for known in item.references if metrics.normalize(known) or not label_key(known)]
            scores.append((1.0 if same else metric(text, kept) if kept else 0.0, 1.0))
        return scores

    def exact(self, fills: Sequence[Fill]) -> list[Sum]:
        """Whether the answer is right; of a whole text, whether every span is."""
        if self.task.whole:
            return [(float(all(hits)), 1.0) for hits in self.spans_right(fills)]
        return self.answers(metrics.exact_match, fills)

    def tokens_right(self, fills: Sequence[Fill]) -> list[Sum]:
        """Masked tokens that are right, of all of them."""
        sums: list[Sum] = []
        for fill, item in zip(fills, self.items, strict=True):
            pairs = zip(fill.spans, item.truth, strict=True)
            right = sum(a == b for span, true in pairs for a, b in zip(span, true, strict=False))
            sums.append((right, sum(map(len, item.truth))))
        return sums

    def spans_right(self, fills: Sequence[Fill]) -> list[list[bool]]:
        """Which spans of each item have every token right."""
        pairs = zip(fills, self.items, strict=True)
        return [[a == b for a, b in zip(fill.spans, item.truth, strict=True)] for fill, item in pairs]

    def spans(self, fills: Sequence[Fill], at_least: int = 0) -> list[Sum]:
        """Spans that are right, of all with so many tokens."""
        sums: list[Sum] = []
        for hits, item in zip(self.spans_right(fills), self.items, strict=True):
            counted = [hit for hit, true in zip(hits, item.truth, strict=True) if len(true) >= at_least]
            sums.append((sum(counted), len(counted)))
        return sums

    def label_right(self, fills: Sequence[Fill]) -> list[Sum]:
        """Whether the label is the true one."""
        pairs = zip(self.texts(fills), self.items, strict=True)
        return [(float(label_key(text) == label_key(item.references[0])), 1.0) for text, item in pairs]

    def label_known(self, fills: Sequence[Fill]) -> list[Sum]:
        """Whether the label is one that training shows."""
        return [(float(label_key(text) in self.labels), 1.0) for text in self.texts(fills)]

    def rouge(self, kind: str, pairs: Sequence[Pair]) -> list[Sum]:
        """ROUGE with the best reference; items do not count if ROUGE reads none of their references."""
        for pair in pairs:
            if pair not in self._rouge:
                self._rouge[pair] = metrics.rouge_best(*pair)
        return [(self._rouge[pair].get(kind, 0.0), kind in self._rouge[pair]) for pair in pairs]

    def compared(self, fills: Sequence[Fill]) -> list[Pair]:
        """What is compared, and the texts that count as right."""
        return [(text, tuple(item.references)) for text, item in zip(self.texts(fills), self.items, strict=True)]

    def whole_texts(self, fills: Sequence[Fill]) -> list[Pair]:
        """The whole text, and the true one."""
        return [(fill.text, (item.text,)) for fill, item in zip(fills, self.items, strict=True)]

    def span_texts(self, fills: Sequence[Fill]) -> list[Pair]:
        """What was written into all spans, and what stood there."""
        return [(written(fill), (" ".join(item.words),)) for fill, item in zip(fills, self.items, strict=True)]

    def meaning(self, fills: Sequence[Fill]) -> list[Sum]:
        """BERTScore with the best of the texts that count as right."""
        assert self.bert is not None
        pairs = self.compared(fills)
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._bert]
        if new:
            scores = self.bert([text for text, _ in new], [references for _, references in new])
            self._bert |= dict(zip(new, scores, strict=True))
        return [(self._bert[pair], 1.0) for pair in pairs]


METRICS: dict[str, Callable[[Scorer, Sequence[Fill]], Sequence[Sum]]] = {
    "masked_accuracy": Scorer.tokens_right,
    "span_exact": Scorer.spans,
    f"span_exact_{LONG}": lambda scorer, fills: scorer.spans(fills, LONG),
    "exact_match": Scorer.exact,
    "f1": lambda scorer, fills: scorer.answers(metrics.f1, fills),
    "accuracy": Scorer.label_right,
    "valid_labels": Scorer.label_known,
    "rouge1": lambda scorer, fills: scorer.rouge("rouge1", scorer.compared(fills)),
    "rougeL": lambda scorer, fills: scorer.rouge("rougeL", scorer.compared(fills)),
    "text_rouge1": lambda scorer, fills: scorer.rouge("rouge1", scorer.whole_texts(fills)),
    "masked_rouge1": lambda scorer, fills: scorer.rouge("rouge1", scorer.span_texts(fills)),
    "masked_rougeL": lambda scorer, fills: scorer.rouge("rougeL", scorer.span_texts(fills)),
    "bert_score": Scorer.meaning,
}
"""Metrics of an item by name: what the fill of each adds to the numerator and to the denominator of the mean."""
