"""What a trained model has learned, on held-out rows of any kind, next to copying and guessing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch

from yanlm.evaluation.held_out import HELD_OUT, Row, held_out_examples, marked_text, masked_positions, placed
from yanlm.evaluation.inference import BATCH, ONE_PASS, Way, Written, write_ways
from yanlm.evaluation.portions import Portions, texts_of
from yanlm.evaluation.token_scores import token_baselines, token_scores
from yanlm.evaluation.windows import windows
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
    seconds: float | None = None,
    hear: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score a model on held-out rows, next to baselines.

    Rows are masked and filled as in :func:`yanlm.evaluation.evaluator.evaluate_task`, with one seed. Scores are by
    token and not by task, so that rows of all kinds can be mixed.

    Args:
        model: The model.
        builder: Makes the examples; its masking is the one reported on.
        train: Rows from which baselines learn.
        test: Held-out rows.
        steps: Numbers of steps T; ignored for a model that writes token by token.
        flow: Also evaluate the flow; False for a model of stage 1.
        examples: Number of filled examples to show.
        seconds: Time limit for filling rows; at least twenty are filled.
        hear: Called with the number of rows done, and their total.

    Returns:
        ``method``, ``rows``, ``of`` how many, ``texts`` if these are fewer, ``masked_tokens``, ``baselines``,
        ``examples``; of a model with a flow ``reconstruction`` and ``one_pass``; once there is something to generate
        with ``by_steps`` (for ``gpt2`` and ``bart`` with the one entry ``tokens``), and with a flow ``experts`` (share
        of slots by expert) and ``effective_experts``.
    """
    can, was_training = model.can, model.training
    model.eval()
    ways = {"one_pass": ONE_PASS} if can.one_pass else {}
    if flow or not can.routing:
        counts = steps if can.steps else steps[:1]
        ways |= {str(count) if can.steps else "tokens": _way(count) for count in counts}
    prompts = held_out_examples(builder, test)
    written = [Written() for _ in ways]
    survived, portions = [0, 0], Portions(len(prompts), seconds)
    for portion in portions:
        part = [prompts[i] for i in portion]
        if can.reconstruct:
            survived = [a + b for a, b in zip(survived, _survivors(model, builder, part), strict=True)]

        def told(done: int) -> None:
            hear(portions.done + done, portions.expected)

        more = write_ways(model, builder, part, list(ways.values()), places=portion, hear=told) if ways else []
        for own, new in zip(written, more, strict=True):
            own.add(new)
    model.train(was_training)
    prompts = prompts[: portions.done]
    texts = texts_of(test[: len(prompts)])
    different = len(set(texts))
    report: dict[str, Any] = {
        "method": can.method,
        "rows": len(prompts),
        "of": len(test),
        **({"texts": different} if different < len(prompts) else {}),
        "masked_tokens": sum(len(masked_positions(prompt, builder)) for prompt in prompts),
        "baselines": token_baselines(builder, prompts, test[: len(prompts)], train),
    }
    if can.reconstruct:
        report["reconstruction"] = survived[0] / max(1, survived[1])
    filled = {name: _placed(prompts, own.first) for name, own in zip(ways, written, strict=True)}
    scores = {name: token_scores(builder, prompts, ids, texts) for name, ids in filled.items()}
    if can.one_pass:
        report["one_pass"] = scores.pop("one_pass")
    if flow or not can.routing:
        report["by_steps"] = scores
        if can.routing:
            report |= _expert_use(written[-1].experts, model.config.num_experts)
    shown = filled.get(str(SHOWN)) or next(iter([filled[name] for name in scores] or filled.values()), [])
    report["examples"] = [
        _example(builder, prompt, ids) for prompt, ids in list(zip(prompts, shown, strict=False))[:examples]
    ]
    return report


def example_of(model: YanModel, builder: Builder, row: Row, flow: bool, steps: int = SHOWN) -> dict[str, Any]:
    """One held-out row as the model fills it: by one pass of the decoder alone before there is a flow."""
    prompts = held_out_examples(builder, [row])
    fills = flow or not model.can.routing
    [written] = write_ways(model, builder, prompts, [_way(steps) if fills else ONE_PASS])
    return _example(builder, prompts[0], placed(prompts[0], written.first[0]))


@torch.no_grad()
def _survivors(model: YanModel, builder: Builder, examples: Sequence[Example]) -> tuple[int, int]:
    """How many tokens of whole held-out texts survive encoding and decoding, and how many there are."""
    right = total = 0
    for start in range(0, len(examples), BATCH):
        batch = builder.collate(examples[start : start + BATCH])
        ids, mask = batch["target_ids"].to(model.device), batch["target_mask"].to(model.device)
        right += int(((model.decoder.tokens(model.encode(ids, mask)) == ids) & mask).sum())
        total += int(mask.sum())
    return right, total


def _way(steps: int) -> Way:
    return Way(GenerationOptions(steps=steps), HELD_OUT)


def _placed(prompts: Sequence[Example], tokens: Sequence[Ids]) -> list[Ids]:
    return [placed(prompt, ids) for prompt, ids in zip(prompts, tokens, strict=True)]


def _expert_use(experts: Counter[int], count: int) -> dict[str, Any]:
    """Share of the slots by expert, and how many equally used experts would be as uncertain."""
    total = max(1, sum(experts.values()))
    shares = [experts[k] / total for k in range(count)]
    return {"experts": shares, "effective_experts": math.exp(-sum(p * math.log(p) for p in shares if p))}


def _example(builder: Builder, example: Example, ids: Ids) -> dict[str, Any]:
    """Source with masks, the filled text, the truth, and what was written into each mask."""
    return {
        "source": marked_text(builder, example.source, repeat(" <mask>")),
        "filled": decode(builder.tokenizer, ids).strip(),
        "truth": decode(builder.tokenizer, example.target).strip(),
        "masks": windows(builder, example, ids),
    }
