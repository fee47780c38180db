"""Autoregressive baselines that fill masks token by token: GPT-2 and BART, small and trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from yanlm.config import ARConfig
from yanlm.generation.autoregressive import write, write_free
from yanlm.generation.capabilities import Capabilities, capabilities
from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.generation.result import Generation
from yanlm.generation.watching import Watcher
from yanlm.modeling.card import CardedMixin
from yanlm.modeling.output import YanOutput
from yanlm.modeling.sequences import SlotGenerationMixin
from yanlm.nn.ar_layout import answer, rows
from yanlm.nn.ar_network import ARNetwork
from yanlm.nn.cross_entropy import token_cross_entropy
from yanlm.objectives.token_loss import token_mean
from yanlm.tokenization.collation import Batch


class ARWritingModel(ARNetwork):
    """The part of :class:`ARModel` that fills slots."""

    @property
    def can(self) -> Capabilities:
        """What the model supports."""
        return capabilities(self.config)

    def generate(
        self,
        source_ids: Tensor,
        *,
        slots: Tensor,
        source_mask: Tensor | None = None,
        slot_mask: Tensor | None = None,
        choices: Tensor | None = None,
        watcher: Watcher | None = None,
        options: GenerationOptions | None = None,
        **keywords: Any,
    ) -> Generation:
        """Fill slots token by token, :func:`yanlm.generation.autoregressive.write`.

        Arguments are those of :meth:`yanlm.modeling.writing.WritingModel.generate`, without ``wanted``.
        """
        options = generation_options(options, keywords)
        return write(
            self,
            source_ids,
            slots=slots,
            source_mask=source_mask,
            slot_mask=slot_mask,
            options=options,
            choices=choices,
            watcher=watcher,
        )

    def generate_free(self, source_ids: Tensor, **options: Any) -> list[list[list[int]]]:
        """Fill masks with as many tokens as the model wants: :func:`yanlm.generation.autoregressive.write_free`."""
        return write_free(self, source_ids, **options)


class ARModel(SlotGenerationMixin, CardedMixin, ARWritingModel):  # type: ignore[misc]  # its generation config is ours
    r"""Baseline :math:`p(y | x) = \prod_i p(y_i | y_{<i}, x)`: one pass of the network for every token.

    Texts are laid out as in :mod:`yanlm.nn.ar_layout`, so that a source may have several masks, of any length.

    Example:
        >>> from yanlm.config import ARConfig
        >>> model = ARModel(ARConfig(vocab_size=50, d_model=16, layers=2, pad_token_id=48, mask_token_id=49)).eval()
        >>> source = torch.tensor([[5, 49, 49, 7]])
        >>> model.generate(source, slots=torch.tensor([[1, 2]])).nfe
        2
    """

    def __init__(self, config: ARConfig) -> None:
        super().__init__(config)
        self.stage1: Any = None  # objectives of the flow, which a run hands to every model
        self.stage2: Any = None

    def prepare_stage(self, stage: int) -> None:
        """Let everything train: there is one stage."""
        if stage not in (1, 2):
            raise ValueError(f"stage must be 1 or 2, got {stage!r}")
        self.requires_grad_(True)

    @staticmethod
    def counts(batch: Batch) -> Tensor:
        """Numbers of target tokens and of written ones in a batch, float ``(2,)``.

        Written are the slots and what follows each span, a separator or the end: the loss is their mean.
        """
        slots, held = batch["slots"], batch["slot_mask"]
        begins = held.clone()
        begins[:, 1:] &= slots[:, 1:] != slots[:, :-1] + 1
        return torch.stack([batch["target_mask"].sum(), held.sum() + begins.sum()]).float()

    def forward(
        self, *, stage: int = 1, seeds: Sequence[int] | None = None, totals: Tensor | None = None, **batch: Tensor
    ) -> YanOutput:
        """Mean cross-entropy of what is written, given the source and what was written before.

        ``gpt2`` also learns a share ``known`` of its source (:class:`Stage1 <yanlm.objectives.settings.Stage1>`), as in
        pre-training; in fine-tuning it is 0. ``bart`` reads its source in both directions, so there is nothing to
        predict.

        Args:
            stage: Ignored.
            seeds: Seed of each row, for the share of its source that is learned.
            totals: What :meth:`counts` returns, over which means are taken; that of this batch by default.
            batch: Tensors of :mod:`yanlm.tokenization.examples` in the slots form.
        """
        if batch["source_ids"].shape != batch["target_ids"].shape:
            raise ValueError(
                f"{self.config.method} needs a batch in the slots form, got source {tuple(batch['source_ids'].shape)}, "
                f"target {tuple(batch['target_ids'].shape)}"
            )
        totals = self.counts(batch) if totals is None else totals.to(self.device)
        before = self.read(batch["source_ids"], batch["slots"], batch["source_mask"], batch["slot_mask"])
        hidden = rows(batch["target_ids"].gather(1, batch["slots"]), batch["slot_mask"])
        mask, end = self.config.mask_token_id, self.config.pad_token_id
        answers = [answer(ids, prefix.spans, mask, end) for ids, prefix in zip(hidden, before, strict=True)]
        labels = torch.tensor([id for written in answers for id in written], dtype=torch.long, device=self.device)
        share = 0.0 if self.has_encoder else getattr(self.stage1, "known", 1.0)
        states, (known, tokens) = self.answer_states(before, answers, share, seeds)
        parts = {"ce": token_mean(self._losses(states, labels), totals[1])}
        if share:
            parts["source_ce"] = token_mean(self._losses(known, tokens), totals[0]) / share
        return YanOutput(torch.stack([*parts.values()]).sum(), {name: part.detach() for name, part in parts.items()})

    def _losses(self, states: Tensor, labels: Tensor) -> Tensor:
        return token_cross_entropy(states, self.net.lm_head.weight, None, labels)


AutoModel.register(ARConfig, ARModel)
