"""Autoregressive baselines that fill masks token by token: GPT-2 and BART, small and trained from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from moefm._checks import check_choice, check_count
from yanlm.ar_layout import Prefix, answer, padded, prefixes, rows
from yanlm.ar_networks import network
from yanlm.baseline import AUTOREGRESSIVE
from yanlm.config import check_options
from yanlm.cross_entropy import token_cross_entropy
from yanlm.modeling import YanOutput
from yanlm.collation import Batch
from yanlm.stage1 import kept, token_mean


class ARConfig(PretrainedConfig):
    """Configuration of :class:`ARModel`, saved as ``config.json``.

    Args:
        method: ``gpt2`` (one stack reads the source and writes on) or ``bart`` (an encoder reads, a decoder writes).
        vocab_size: V, the padding and mask tokens included.
        d_model: Width.
        num_heads: Attention heads.
        layers: Layers; of ``bart`` half of them, rounded up, are the encoder's.
        ffn_mult: Width of feed-forward layers over d.
        max_length: Longest text in tokens.
        dropout: Everywhere, in training.
        stage: 1 once the model is trained.
        pad_to: Slots given to an answer whose end the model was trained to mark with padding, 0 if it was not.
        pad_token_id: Id of ``<|padding|>``, which ends what is written.
        mask_token_id: Id of ``<|mask|>``, which begins it and separates its spans.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> ARConfig(method="bart", layers=5).form
        'slots'
    """

    model_type = "yan-ar"
    form = "slots"

    method: str = "gpt2"
    vocab_size: int = 4096
    d_model: int = 128
    num_heads: int = 4
    layers: int = 4
    ffn_mult: int = 4
    max_length: int = 256
    dropout: float = 0.0
    stage: int = 0
    pad_to: int = 0
    pad_token_id: int | None = 4094
    mask_token_id: int | None = 4095

    def __post_init__(self, **kwargs: Any) -> None:
        check_options(type(self).__name__, kwargs)
        super().__post_init__(**kwargs)
        check_choice("method", self.method, AUTOREGRESSIVE)
        for name in ("vocab_size", "d_model", "num_heads", "ffn_mult", "max_length"):
            check_count(name, getattr(self, name))
        check_count("layers", self.layers, minimum=2 if self.method == "bart" else 1)
        check_count("pad_to", self.pad_to, minimum=0)
        if self.d_model % self.num_heads:
            raise ValueError(f"d_model must be a multiple of num_heads={self.num_heads}, got {self.d_model}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        for name in ("pad_token_id", "mask_token_id"):  # they end and separate what is written
            if not 0 <= (-1 if (id := getattr(self, name)) is None else id) < self.vocab_size:
                raise ValueError(f"{name} must lie in 0 .. {self.vocab_size - 1}, got {id}")


class ARModel(PreTrainedModel):
    r"""Baseline :math:`p(y | x) = \prod_i p(y_i | y_{<i}, x)`: one pass of the network for every token.

    Texts are laid out as in :mod:`yanlm.ar_layout`, so that a source may have several masks, of any length.

    Example:
        >>> model = ARModel(ARConfig(vocab_size=50, d_model=16, layers=2, pad_token_id=48, mask_token_id=49)).eval()
        >>> source = torch.tensor([[5, 49, 49, 7]])
        >>> model.generate(source, slots=torch.tensor([[1, 2]])).nfe
        2
    """

    config_class = ARConfig
    base_model_prefix = "net"
    main_input_name = "source_ids"
    _supports_sdpa = True

    def __init__(self, config: ARConfig) -> None:
        super().__init__(config)
        self.net: Any = network(config)
        self.stage1: Any = None  # objectives of the flow, which a run hands to every model
        self.stage2: Any = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the network initializes itself."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return cast(nn.Module, self.net.get_input_embeddings())

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

        ``gpt2`` learns its source as well, as it is pre-trained elsewhere: a share ``known`` (:class:`Stage1
        <yanlm.objectives.Stage1>`), 0 in fine-tuning. ``bart`` reads it in both directions: nothing to predict there.

        Args:
            stage: Of no consequence.
            seeds: Of each row, for the share of its source that is learned.
            totals: What :meth:`counts` returns, over which means are taken; that of this batch by default.
            batch: Tensors of :mod:`yanlm.tasks` in the slots form.
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
        answers = [answer(ids, one.spans, mask, end) for ids, one in zip(hidden, before, strict=True)]
        labels = torch.tensor([id for written in answers for id in written], dtype=torch.long, device=self.device)
        share = 0.0 if self.config.method == "bart" else getattr(self.stage1, "known", 1.0)
        states, (known, tokens) = self._states(before, answers, share, seeds)
        parts = {"ce": token_mean(self._losses(states, labels), totals[1])}
        if share:
            parts["source_ce"] = token_mean(self._losses(known, tokens), totals[0]) / share
        return YanOutput(torch.stack([*parts.values()]).sum(), {name: part.detach() for name, part in parts.items()})

    def _losses(self, states: Tensor, labels: Tensor) -> Tensor:
        return token_cross_entropy(states, self.net.lm_head.weight, None, labels)

    def read(
        self, source_ids: Tensor, slots: Tensor, source_mask: Tensor | None = None, slot_mask: Tensor | None = None
    ) -> list[Prefix]:
        """Prefix of every row, :func:`yanlm.ar_layout.prefixes`.

        Raises:
            ValueError: A source is longer than the model takes.
        """
        if source_ids.shape[1] > self.config.max_length:
            raise ValueError(
                f"source_ids must hold at most max_length={self.config.max_length} tokens a row, "
                f"got {source_ids.shape[1]}"
            )
        return prefixes(source_ids, slots, source_mask, slot_mask)

    def states(self, before: Sequence[Prefix], answers: Sequence[list[int]]) -> Tensor:
        """States ``(N, d)`` from which every token of every answer is predicted, row after row."""
        return self._states(before, answers)[0]

    def _states(
        self,
        before: Sequence[Prefix],
        answers: Sequence[list[int]],
        share: float = 0,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """States of the answers' tokens, and those of a ``share`` of the sources' tokens, with these tokens."""
        pad, mask = self.config.pad_token_id, self.config.mask_token_id
        written = [[mask, *ids[:-1]] for ids in answers]  # each token is read off the one before it
        wanted = [[bool(ids)] * len(own) for ids, own in zip(answers, written, strict=True)]
        if self.config.method == "bart":
            ids, seen = padded([one.ids for one in before], pad, self.device)
            own, held = padded(written, pad, self.device)
            out = self.net.model(ids, seen, decoder_input_ids=own, decoder_attention_mask=held, use_cache=False)
            states = out.last_hidden_state
            return states[self._where(wanted)], (states[:0, 0], ids[:0, 0])
        ids, seen = padded([one.ids + own for one, own in zip(before, written, strict=True)], pad, self.device)
        states = self.net.transformer(ids, attention_mask=seen, use_cache=False).last_hidden_state
        read = self._where([[id != mask for id in one.ids[1:]] for one in before], ids.shape[1])
        read &= kept(read, share, range(len(before)) if seeds is None else seeds)
        wanted = [[False] * len(one.ids) + here for one, here in zip(before, wanted, strict=True)]
        return states[self._where(wanted)], (states[read], ids.roll(-1, 1)[read])

    def _where(self, rows: Sequence[Sequence[bool]], width: int = 0) -> Tensor:
        """Rows of booleans as a mask, at least ``width`` columns wide."""
        mask = padded(rows, False, self.device)[0]
        return nn.functional.pad(mask, (0, max(0, width - mask.shape[1])))

    def generate(self, source_ids: Tensor, **options: Any) -> Any:
        """Fill slots token by token: :func:`yanlm.ar_generation.write`."""
        from yanlm.ar_generation import write

        return write(self, source_ids, **options)

    def generate_free(self, source_ids: Tensor, **options: Any) -> list[list[list[int]]]:
        """Fill masks with as many tokens as the model wants: :func:`yanlm.ar_generation.write_free`."""
        from yanlm.ar_generation import write_free

        return write_free(self, source_ids, **options)


AutoConfig.register("yan-ar", ARConfig)
AutoModel.register(ARConfig, ARModel)
