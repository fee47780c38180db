"""Explanations of the parts of a training loss, whose names the log shows."""

from __future__ import annotations

from collections.abc import Iterable

PARTS = {
    "ce": "cross-entropy of the words, a mean over tokens",
    "slot_ce": "the same of masked words",
    "source_ce": "the same of the text around the masks",
    "mmd": "how far the latents are from a normal distribution",
    "scale": "mean square of the latents",
    "flow": "squared error of the experts' velocities",
    "gate": "how far the gate's choice of an expert is from the best one",
    "mixture": "-log probability of the words under all experts",
    "latent": "squared distance of the written latents from those of the true words",
    "entropy": "how undecided the gate is",
    "balance": "how unevenly the experts are used",
    "length": "cross-entropy of the number of tokens behind a mask",
    "plain": "cross-entropy of masked words in one pass",
    "denoise": "the same with noise at the masks, under all experts",
    "distill": "squared distance of the student's steps from its teacher's",
    "words": "cross-entropy of the teacher's words",
}


def explained(names: Iterable[str]) -> str:
    """One line that explains the parts with these names; parts of stage 1 that go on in stage 2 are one entry.

    Example:
        >>> explained(["scale", "stage1_ce"])
        'parts of the loss: scale, mean square of the latents; stage1_..., those of stage 1'
    """
    meanings = [f"{name}, {PARTS[name]}" for name in names if name in PARTS]
    again = ["stage1_..., those of stage 1"] if any(name.startswith("stage1_") for name in names) else []
    return "parts of the loss: " + "; ".join(meanings + again) if meanings or again else ""
