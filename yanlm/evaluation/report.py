"""What a trained model learned, on held-out rows, beside what costs nothing: copying, guessing, one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from yanlm.config import AUTOREGRESSIVE
from yanlm.data.rows import kind_of
from yanlm.evaluation.cases import Case, Row, baselines, score
from yanlm.nn.slots import gather_tokens
from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

HELD_OUT = 0x5EED
"""Seed of the masks of held-out rows: the same ones for every model."""


def repeated(rows: Sequence[Row], count: int) -> list[Row]:
    """``count`` held-out rows: where there are fewer texts, each comes several times and is masked anew each time.

    Example:
        >>> len(repeated([{"text": "a b"}] * 3, 7)), len(repeated([{"context": "", "question": "", "answer": ""}], 7))
        (7, 1)
    """
    if not rows or any(kind_of(row) != "text" for row in rows):
        return list(rows[:count])  # a question is asked in one way
    return [rows[i % len(rows)] for i in range(count)]


def cases(builder: Builder, rows: Sequence[Row], seed: int = HELD_OUT) -> list[Case]:
    """Mask held-out rows, each as its place decides."""
    made = []
    for i, row in enumerate(rows):
        example = builder.example(row, row_seed(seed, 0, i))
        made.append(Case(example, masked_positions(example, builder), kind_of(row)))
    return made


def masked_positions(example: Example, builder: Builder) -> list[int]:
    """Positions of the target whose token the source does not show.

    In the slots form these are the slots. In the separate form every position is generated; hidden are those behind a
    mask of the source, or all where the target is an answer.
    """
    if builder.form == "slots" or (
        len(example.spans) == 1 == example.source.count(builder.mask) and len(example.target) == example.spans[0]
    ):
        return list(example.slots)
    hidden: list[int] = []
    at, spans = 0, iter(example.spans)
    for token in example.source:
        length = next(spans) if token == builder.mask else 1
        hidden += range(at, at + length) if token == builder.mask else ()
        at += length
    return hidden


def _batches(builder: Builder, made: Sequence[Case], size: int) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    for start in range(0, len(made), size):
        yield start, builder.collate([case.example for case in made[start : start + size]])


def fill_cases(
    model: YanModel, builder: Builder, made: Sequence[Case], steps: int, *, batch_size: int = 50, **options: Any
) -> tuple[list[Ids], Counter[int]]:
    """Targets as the model completes them, and how often each expert was used for a slot."""
    filled, usage = [], Counter[int]()
    for start, batch in _batches(builder, made, batch_size):
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        seeds = [row_seed(HELD_OUT, 1, start + i) for i in range(len(batch["slots"]))]
        out = model.generate(
            batch["source_ids"],
            slots=batch["slots"],
            source_mask=batch["source_mask"],
            slot_mask=batch["slot_mask"],
            steps=steps,
            seeds=seeds,
            **options,
        )
        for case, row in zip(made[start : start + batch_size], out.tokens[:, 0].tolist(), strict=True):
            filled.append(_placed(case.example, row))
        if out.assignment is not None:
            usage.update(out.assignment[:, 0][batch["slot_mask"]].tolist())
    return filled, usage


def _placed(example: Example, tokens: Sequence[int]) -> Ids:
    ids = list(example.target)
    for slot, token in zip(example.slots, tokens, strict=False):
        ids[slot] = token
    return ids


@torch.no_grad()
def one_pass(
    model: YanModel,
    builder: Builder,
    made: Sequence[Case],
    *,
    batch_size: int = 50,
) -> list[Ids]:
    """Targets filled by the stage-1 decoder from the encoder's own state at each slot: a one-pass masked model."""
    filled = []
    for start, batch in _batches(builder, made, batch_size):
        states = model.encode(batch["source_ids"].to(model.device), batch["source_mask"].to(model.device))
        at = gather_tokens(states, batch["slots"].to(model.device))
        tokens = model.decoder.tokens(at)
        for case, row in zip(made[start : start + batch_size], tokens.tolist(), strict=True):
            filled.append(_placed(case.example, row[: len(case.example.slots)]))
    return filled


@torch.no_grad()
def reconstruction(model: YanModel, builder: Builder, made: Sequence[Case], *, batch_size: int = 50) -> float:
    """Share of the tokens of whole held-out texts that survive encoding and decoding."""
    right = total = 0
    for _, batch in _batches(builder, made, batch_size):
        ids, mask = batch["target_ids"].to(model.device), batch["target_mask"].to(model.device)
        right += int(((model.decoder.tokens(model.encode(ids, mask)) == ids) & mask).sum())
        total += int(mask.sum())
    return right / max(1, total)


def evaluate(
    model: YanModel,
    builder: Builder,
    train: Sequence[Row],
    test: Sequence[Row],
    *,
    steps: Sequence[int] = (1, 2, 3, 8),
    flow: bool = True,
    examples: int = 5,
) -> dict[str, Any]:
    """Report on held-out rows: by number of steps, beside one pass and what needs no model.

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
    method = model.config.method
    was_training = model.training
    model.eval()
    made = cases(builder, test)
    report: dict[str, Any] = {
        "method": method,
        "rows": len(made),
        "masked_tokens": sum(len(case.masked) for case in made),
        "baselines": baselines(builder, made, train, test),
    }
    shown: list[Ids] = []
    if method == "flow":
        report["reconstruction"] = reconstruction(model, builder, made)
    if method == "flow" and builder.form == "slots":
        shown = one_pass(model, builder, made)
        report["one_pass"] = score(builder, made, shown)
    usage = Counter[int]()
    if flow or method != "flow":
        report["by_steps"] = {}
        for count in steps[:1] if method in AUTOREGRESSIVE else steps:
            filled, usage = fill_cases(model, builder, made, count)
            name = "tokens" if method in AUTOREGRESSIVE else str(count)
            report["by_steps"][name] = score(builder, made, filled)
            if count == 3 or count == steps[0]:
                shown = filled
    if flow and method == "flow":
        total = max(1, sum(usage.values()))
        shares = [usage[k] / total for k in range(model.config.num_experts)]
        report["experts"] = shares
        report["effective_experts"] = math.exp(-sum(p * math.log(p) for p in shares if p))
    report["examples"] = [_example(builder, case, ids) for case, ids in zip(made[:examples], shown, strict=False)]
    model.train(was_training)
    return report


def example_of(model: YanModel, builder: Builder, row: Row, flow: bool, steps: int = 3) -> dict[str, str]:
    """One held-out row as the model fills it: by one pass of the decoder alone before there is a flow."""
    made = cases(builder, [row])
    fills = flow or model.config.method != "flow"
    [ids] = fill_cases(model, builder, made, steps)[0] if fills else one_pass(model, builder, made)
    return _example(builder, made[0], ids)


def _example(builder: Builder, case: Case, ids: Ids) -> dict[str, str]:
    """Source with masks, the filled text and the truth."""
    tokenizer, example = builder.tokenizer, case.example
    parts: list[str] = []
    run: Ids = []
    for token in example.source:
        if token == builder.mask:
            parts += [decode(tokenizer, run), " <mask>"]
            run = []
        else:
            run.append(token)
    return {
        "source": "".join([*parts, decode(tokenizer, run)]).strip(),
        "filled": decode(tokenizer, ids).strip(),
        "truth": decode(tokenizer, example.target).strip(),
    }
