"""Optimizer steps against the clock: every stage of a flow, and the models beside it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

from yanlm.studies.tools.flops import count_flops
from yanlm.studies.tools.memory import PeakMemory
from yanlm.studies.tools.models import Named
from yanlm.studies.tools.study import Json
from yanlm.studies.tools.timing import CLOCKS, Rules, wait
from yanlm.tokenization.collation import Batch, Example, collate
from yanlm.tokenization.masking import mask_spans, span_lengths
from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import TrainSettings


class TrainStep:
    """One optimizer step of a model in a stage: forward, backward, clipping, AdamW.

    Args:
        model: A model of any method.
        stage: 1 or 2.
        length: Tokens of a text.
        batch: Texts of a step.
        dtype: bfloat16 computes under autocast; weights stay in float32.
        rules: Share of the text to write, and the seed.
    """

    def __init__(self, model: Any, stage: int, length: int, batch: int, dtype: torch.dtype, rules: Rules) -> None:
        self.model, self.stage, self.dtype, self.device = model, stage, dtype, model.device
        self.seeds = [rules.seed + row for row in range(batch)]
        self.batch = training_batch(model.config, stage, length, batch, rules)
        self.batch = {name: tensor.to(self.device) for name, tensor in self.batch.items()}
        self.prepare()
        self.optimizer = make_optimizer(model, TrainSettings(steps=1, lr=1e-5))

    def prepare(self) -> None:
        """Make trainable the parts that this stage trains."""
        self.model.train()
        self.model.prepare_stage(self.stage)

    def __call__(self) -> None:
        """Take the step."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            loss = self.model(stage=self.stage, seeds=self.seeds, **self.batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self, clock: str) -> float:
        """Take the step and time it."""
        self.prepare()
        now = CLOCKS[clock]
        wait(self.device)
        began = now()
        self()
        wait(self.device)
        return now() - began


def training_batch(config: Any, stage: int, length: int, batch: int, rules: Rules) -> Batch:
    """Texts of random tokens, equally long and masked at the same places, as a stage of a model takes them.

    Example:
        >>> from yanlm.config import YanConfig
        >>> made = training_batch(YanConfig(), 1, 20, 2, Rules(rate=0.15))
        >>> made["source_ids"].shape, int(made["slot_mask"].sum())
        (torch.Size([2, 20]), 6)
    """
    rng = random.Random(rules.seed)
    hidden = mask_spans(length, rng, rate=(rules.rate, rules.rate))
    behind, mask = set(hidden), config.mask_token_id
    form = config.form if stage == 2 else "slots"  # stage 1 decodes the text that it encodes
    kept = [i for i in range(length) if form == "slots" or not (i in behind and i - 1 in behind)]
    slots = hidden if form == "slots" else [*range(length)]
    rows = []
    for _ in range(batch):
        text = [rng.randrange(min(config.pad_token_id, mask)) for _ in range(length)]
        source = [mask if i in behind else text[i] for i in kept]
        rows.append(Example(source, text, slots, span_lengths(hidden)))
    with_lengths = hasattr(config, "max_span") and (stage == 2 or config.method != "flow")
    return collate(rows, pad=config.pad_token_id, mask=mask, form=form, with_lengths=with_lengths)


def train_timed(
    models: Sequence[Named], length: int, batch: int, dtype: torch.dtype, rules: Rules
) -> tuple[dict[str, Json], dict[str, float]]:
    """Seconds of an optimizer step of every model, round by round, its memory, and 10^12 operations of each.

    A flow of two stages enters once for each.
    """
    runs: dict[str, Json] = {}
    tflop: dict[str, float] = {}
    steps: dict[str, TrainStep] = {}
    for named in models:
        stages = named.model.can.stages
        for stage in range(1, stages + 1):
            label = f"{named.label}, stage {stage}" if stages > 1 else named.label
            with PeakMemory(named.model) as memory:
                steps[label] = TrainStep(named.model, stage, length, batch, dtype, rules)
                first = [steps[label].seconds(rules.clock) for _ in range(2)]  # the second has the optimizer's moments
            runs[label] = {"seconds": first[1:], "nfe": 1, "peak_memory_gb": memory.gigabytes}
            with torch.compiler.set_stance("force_eager"):  # kernels of the compiler are not counted
                tflop[label] = count_flops(steps[label]) / 1e12
    for turn in range(rules.repeats):
        for label, step in steps.items():
            seconds = runs[label]["seconds"]
            if seconds[0] > rules.slow:
                continue
            if turn == 0:
                seconds.clear()
            seconds.append(step.seconds(rules.clock))
    return runs, tflop
