"""Kinds of small models, texts that they are given, one row of their batches, four sentences learned by heart."""

from __future__ import annotations

from typing import Any

import torch

from yanlm.tokenization.examples import Builder

Batch = dict[str, torch.Tensor]
TEXT_ROWS = ["the cat sat on the mat", "the dog ran to the red house near a small river", "the old town"]
SENTENCES = [
    "the cat sat on the mat .",
    "a dog ran to a red house .",
    "on the small river we saw",
    "near old town it sat",
]

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
