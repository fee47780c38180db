"""What a trained model learned, on held-out rows of any kind, beside what costs nothing: copying, guessing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch

from yanlm.evaluation.held_out import HELD_OUT, Row, held_out_examples, marked_text, masked_positions, placed
from yanlm.evaluation.inference import BATCH, Written, one_pass, write_slots
from yanlm.evaluation.token_scores import token_baselines, token_scores
from yanlm.generation.options import GenerationOptions
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

SHOWN = 3
"""Steps of the examples that are shown."""


def evaluate(
    model: YanModel,
    builder: Builder,
    train: Sequence[Row],
    test: Sequence[Row],
    *,
    steps: Sequence[int] = (1, 2, SHOWN, 8),
    flow: bool = True,
    examples: int = 5,
) -> dict[str, Any]:
    """Score a model on held-out rows beside baselines.

    Rows are masked and filled as :func:`yanlm.evaluation.evaluator.evaluate_task` does it, with one seed. Scores are by
    token and not by task, so that rows of all kinds may come together.

    Args:
        model: The model.
        builder: Makes the examples; its masking is the one reported on.
        train: Rows that baselines learn from.
        test: Held-out rows.
        steps: Numbers of steps T; a model that writes token by token has no such choice.
        flow: Also evaluate the flow; False for a model of stage 1 alone.
        examples: Filled examples to show.

    Returns:
        ``method``, ``rows``, ``masked_tokens``, ``baselines``, ``examples``; of a model with a flow ``reconstruction``
        and ``one_pass``; once there is something to generate with ``by_steps`` (for ``gpt2`` and ``bart`` with the one
        entry ``tokens``), and with a flow ``experts`` (share of slots by expert) and ``effective_experts``.
    """
    can, was_training = model.can, model.training
    model.eval()
    prompts = held_out_examples(builder, test)
    report: dict[str, Any] = {
        "method": can.method,
        "rows": len(prompts),
        "masked_tokens": sum(len(masked_positions(prompt, builder)) for prompt in prompts),
        "baselines": token_baselines(builder, prompts, test, train),
    }
    shown: list[Ids] = []
    if can.reconstruct:
        report["reconstruction"] = reconstruction(model, builder, prompts)
    if can.one_pass:
        shown = _placed(prompts, one_pass(model, builder, prompts))
        report["one_pass"] = token_scores(builder, prompts, shown)
    if flow or not can.routing:
        report["by_steps"] = {}
        for count in steps if can.steps else steps[:1]:
            written = _written(model, builder, prompts, count)
            filled = _placed(prompts, written.first)
            report["by_steps"][str(count) if can.steps else "tokens"] = token_scores(builder, prompts, filled)
            if count in (SHOWN, steps[0]):
                shown = filled
        if can.routing:
            report |= _expert_use(written.experts, model.config.num_experts)
    pairs = list(zip(prompts, shown, strict=False))[:examples]
    report["examples"] = [_example(builder, prompt, ids) for prompt, ids in pairs]
    model.train(was_training)
    return report


def example_of(model: YanModel, builder: Builder, row: Row, flow: bool, steps: int = SHOWN) -> dict[str, str]:
    """One held-out row as the model fills it: by one pass of the decoder alone before there is a flow."""
    prompts = held_out_examples(builder, [row])
    fills = flow or not model.can.routing
    tokens = _written(model, builder, prompts, steps).first if fills else one_pass(model, builder, prompts)
    return _example(builder, prompts[0], placed(prompts[0], tokens[0]))


@torch.no_grad()
def reconstruction(model: YanModel, builder: Builder, examples: Sequence[Example]) -> float:
    """Share of the tokens of whole held-out texts that survive encoding and decoding."""
    right = total = 0
    for start in range(0, len(examples), BATCH):
        batch = builder.collate(examples[start : start + BATCH])
        ids, mask = batch["target_ids"].to(model.device), batch["target_mask"].to(model.device)
        right += int(((model.decoder.tokens(model.encode(ids, mask)) == ids) & mask).sum())
        total += int(mask.sum())
    return right / max(1, total)


def _written(model: YanModel, builder: Builder, prompts: Sequence[Example], steps: int) -> Written:
    return write_slots(model, builder, prompts, GenerationOptions(steps=steps), HELD_OUT)


def _placed(prompts: Sequence[Example], tokens: Sequence[Ids]) -> list[Ids]:
    return [placed(prompt, ids) for prompt, ids in zip(prompts, tokens, strict=True)]


def _expert_use(experts: Counter[int], count: int) -> dict[str, Any]:
    """Share of the slots by expert, and how many equally used experts would be as uncertain."""
    total = max(1, sum(experts.values()))
    shares = [experts[k] / total for k in range(count)]
    return {"experts": shares, "effective_experts": math.exp(-sum(p * math.log(p) for p in shares if p))}


def _example(builder: Builder, example: Example, ids: Ids) -> dict[str, str]:
    """Source with masks, the filled text and the truth."""
    return {
        "source": marked_text(builder, example.source, repeat(" <mask>")),
        "filled": decode(builder.tokenizer, ids).strip(),
        "truth": decode(builder.tokenizer, example.target).strip(),
    }
