"""Kinds of small models, texts that they are given, one row of their batches, four sentences learned by heart."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from yanlm.nn.ar_layout import answer, prefixes
from yanlm.tokenization.examples import Builder

Batch = dict[str, torch.Tensor]
TEXT_ROWS = ["the cat sat on the mat", "the dog ran to the red house near a small river", "the old town"]
SENTENCES = [
    "the cat sat on the mat .",
    "a dog ran to a red house .",
    "on the small river we saw",
    "near old town it sat",
]

HEADS: dict[str, Any] = {"num_experts": 3, "scope": "span"}
MARKS: dict[str, Any] = {"num_experts": 3, "scope": "sequence", "experts": "source", "expert_layer": 1}
EXPERTS: list[dict[str, Any]] = [{"num_experts": 1}, HEADS, MARKS]
"""Where the encoder denoises."""
DENOISERS: dict[str, dict[str, Any]] = {
    "one expert": {"num_experts": 1},
    "heads": {"num_experts": 4, "scope": "span"},
    "marks": {"num_experts": 4, "scope": "sequence", "experts": "source", "expert_layer": 1},
    "continuum": {"num_experts": 4, "scope": "sequence", "experts": "continuum"},
}
"""Where experts sit in an encoder that denoises."""

KINDS: dict[str, dict[str, Any]] = {
    "transformer": {},
    "transformer-conv": {"conv": 3},
    "mamba": {"backbone": "mamba"},
    "learned": {"positions": "learned", "prediction": "velocity"},
    "mamba-paper": {
        "backbone": "mamba",
        "positions": "learned",
        "prediction": "velocity",
        "align": False,
        "form": "separate",
        "tie_word_embeddings": False,
    },
    "one-expert": {"num_experts": 1},
    "span": {"scope": "span"},
    "sequence": {"scope": "sequence", "prediction": "velocity"},
    "trunk": {"scope": "sequence", "experts": "trunk"},
    "source": {"scope": "sequence", "experts": "source"},
}
"""Models of every kind, by name: options of :class:`yanlm.YanConfig`."""


def trimmed(batch: Batch, row: int) -> Batch:
    """One row of a batch without its padding."""
    alone = {}
    for name, mask in (("source_ids", "source_mask"), ("target_ids", "target_mask"), ("slots", "slot_mask")):
        keep = batch[mask][row]
        alone |= {name: batch[name][row : row + 1, keep], mask: keep[keep][None]}
    return alone


def given(part: Batch) -> dict[str, torch.Tensor]:
    """What a generation is told of a batch beside its source."""
    return {name: part[name] for name in ("source_mask", "slots", "slot_mask")}


def generate(model: Any, part: Batch, seeds: list[int], **options: Any) -> Any:
    return model.generate(part["source_ids"], **given(part), seeds=seeds, **options)


def learn_sentences(model: Any, builder: Builder, steps: int, decay: bool = False) -> Batch:
    """Train on four sentences, each masked anew at every step; returns a batch of them with masks never seen."""
    rows = [{"text": text} for text in 4 * SENTENCES]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        if decay:
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        seeds = [16 * step + i for i in range(16)]
        loss = model(**builder.batch(rows, seeds), stage=1, seeds=seeds).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return builder.batch(rows, range(10_000, 10_016))


def logits_of(model: Any, prefix: list[int], written: list[int]) -> torch.Tensor:
    """Logits after each written token, by the plain forward pass of transformers."""
    if model.config.method == "bart":
        return model.net(input_ids=torch.tensor([prefix]), decoder_input_ids=torch.tensor([written])).logits[0]
    return model.net(input_ids=torch.tensor([prefix + written])).logits[0, len(prefix) :]


def row_of(model: Any, part: Batch) -> tuple[list[int], list[int], list[int]]:
    """Prefix, spans and answer of the one row of a batch."""
    [prefix] = prefixes(part["source_ids"], part["slots"])
    tokens = part["target_ids"].gather(1, part["slots"])[0].tolist()
    return *prefix, answer(tokens, prefix.spans, model.config.mask_token_id, model.config.pad_token_id)


LABELLED = [
    {"text": "the cat sat", "label": "mat"},
    {"text": "the dog ran", "label": "red house"},
    {"text": "a cat", "label": "mat"},
]


def asked(builder: Builder, rows: Sequence[Mapping[str, str]] = LABELLED) -> Batch:
    """What a model is given to answer the rows."""
    batch = builder.batch(rows, seeds=range(len(rows)))
    return {name: batch[name] for name in ("source_ids", "source_mask", "slots", "slot_mask")}


def speaking(model: Any) -> Any:
    """The model without its special tokens, and with weights so large that what it writes depends on what it reads."""
    with torch.no_grad():
        model.decoder.head.bias[[model.config.mask_token_id, model.config.pad_token_id]] = -1e4
        for parameter in [*model.encoder.blocks.parameters(), *model.flow.parameters()]:
            parameter.mul_(4)
    return model


def labelled(count: int, seed: int) -> list[dict[str, str]]:
    """Texts whose label two words together decide."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        first, second = rng.choice(("good", "bad")), rng.choice(("film", "meal"))
        filler = " ".join(rng.choices(["really", "some", "my", "today", "again"], k=3))
        rows.append({"text": f"{filler} {first} {second} !", "label": f"{first}-{second}"})
    return rows
