"""Rows of every task, and a stand-in for a model that knows the truth of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from yanlm.evaluation.evaluator import Evaluation
from yanlm.evaluation.items import items
from yanlm.generation.capabilities import capabilities
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation
from yanlm.tokenization.examples import Builder

TEXT = "the cat sat on the mat and the dog ran to the red house near a small river"


ROWS: dict[str, list[dict[str, Any]]] = {
    "infill": [{"text": TEXT}, {"text": "the red house near a small river in the old town"}],
    "sentence": [{"source": "the cat sat . <mask> the dog ran .", "target": "the old town near a river ."}],
    "completion": [{"source": "the cat sat on the <mask> .", "target": "mat"}, {"source": "a <mask>", "target": "dog"}],
    "qa": [
        {
            "context": "the cat sat on the mat .",
            "question": "where ?",
            "answer": "the mat",
            "answers": ["the mat", "mat"],
        },
        {"context": "the dog ran to the house .", "question": "where ?", "answer": "house"},
    ],
    "classify": [{"text": "the cat sat", "label": "mat"}, {"text": "the dog ran", "label": "red house"}],
}


TASKS = tuple(ROWS)


class Oracle:
    """Stands in for a model of any kind: writes what ``answer`` makes of the true tokens of a row."""

    def __init__(self, builder: Builder, rows: list[Any], task: str, answer: Callable[[list[int]], list[int]]) -> None:
        tokenizer = builder.tokenizer
        ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        sizes = {"vocab_size": len(tokenizer), "d_model": 16, "max_length": 48, "pad_to": builder.pad_to or 0}
        self.config = SimpleNamespace(method="mdlm", stage=1, form=builder.form, **sizes, **ids)
        made = [item.example for item in items(builder, rows, task)]
        self.known = {tuple(one.source): answer([one.target[slot] for slot in one.slots]) for one in made}
        self.device, self.training = torch.device("cpu"), False
        self.can = capabilities(self.config)
        self.calls: list[tuple[int, int]] = []

    def eval(self) -> None:
        pass

    def train(self, mode: bool) -> None:
        pass

    def parameters(self) -> list[Any]:
        return [torch.zeros(3)]

    def generate(
        self, source_ids: Any, *, slots: Any, source_mask: Any, options: GenerationOptions, **_: Any
    ) -> Generation:
        self.calls.append((len(slots), options.steps))
        tokens = torch.zeros(len(slots), options.samples, slots.shape[1], dtype=torch.long)
        for i, (row, mask) in enumerate(zip(source_ids, source_mask, strict=True)):
            answer = self.known[tuple(row[mask].tolist())]
            tokens[i, :, : len(answer)] = torch.tensor(answer)
        return Generation(tokens, None, options.steps)


EXPECTED = {
    "infill": {"masked_accuracy", "span_exact", "exact_match", "rouge1", "rougeL", "masked_rouge1", "masked_rougeL"},
    "sentence": {"masked_accuracy", "exact_match", "f1", "rouge1", "rougeL", "text_rouge1"},
    "completion": {"masked_accuracy", "exact_match"},
    "qa": {"exact_match", "f1", "rougeL"},
    "classify": {"accuracy", "macro_f1", "valid_labels"},
}


def metrics_of(found: Evaluation) -> dict[str, float]:
    """Metrics of the first number of steps, without speed and intervals."""
    [scores, *_] = found.report["by_steps"].values()
    out = ("nfe", "seconds", "tokens_per_second")
    return {name: value for name, value in scores.items() if isinstance(value, float) and name not in out}
