"""YanModel: encoder, latent flow and decoder as one Hugging Face model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from yanlm.autoencoder import Decoder, Encoder, Positions
from yanlm.condition import Condition, Readings
from yanlm.config import YanConfig
from yanlm.flow import LatentFlow
from yanlm.generation import generate
from yanlm.noise import fresh_seeds
from yanlm.objectives import Stage1, Stage2
from yanlm.rereading import reread
from yanlm.stage1 import Batch, stage1_loss
from yanlm.stage2 import stage2_loss
from yanlm.unmasking import masked_loss, unmask


@dataclass
class YanOutput(ModelOutput):
    """Loss of a stage and its detached parts."""

    loss: Tensor | None = None
    parts: dict[str, Tensor] | None = None


class YanModel(PreTrainedModel):
    r"""Non-autoregressive language model :math:`p(y | x) = \int p_\theta(y | z) p_\psi(z | x) dz`, Eq. (6).

    The encoder turns texts into latents, the flow transports noise to the latents of the masked slots given the
    encoded text, the decoder reads tokens off them, all slots at once.

    With the methods ``mlm`` and ``mdlm`` there is no flow, and the decoder reads tokens off the encoder's states at the
    slots: the baselines of :mod:`yanlm.unmasking`, trained in one stage.

    Attributes:
        stage1: Settings of the autoencoder's objective.
        stage2: Settings of the flow's objective.

    Example:
        >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
        >>> source = torch.tensor([[5, 49, 7]])  # the token in the middle is masked
        >>> model.generate(source, slots=torch.tensor([[1]]), steps=3, seeds=[0]).tokens.shape  # (B, samples, slots)
        torch.Size([1, 1, 1])
    """

    config_class = YanConfig
    base_model_prefix = "yan"
    main_input_name = "source_ids"
    _supports_sdpa = True
    _no_split_modules = ["Block"]  # noqa: RUF012 - the name and form that Hugging Face reads

    def __init__(self, config: YanConfig) -> None:
        super().__init__(config)
        self._tied_weights_keys = (
            {"decoder.head.weight": "encoder.embedding.weight"} if config.tie_word_embeddings else {}
        )
        self.positions = Positions(config) if config.positions == "learned" else None
        self.encoder = Encoder(config)
        if config.method != "flow" and config.form != "slots":
            raise ValueError(f"method {config.method!r} needs form='slots', got {config.form!r}")
        # None without a flow; the type is that of the models whose code reads it.
        self.flow = cast(LatentFlow, LatentFlow(config) if config.method == "flow" else None)
        self.decoder = Decoder(config)
        self.length_head = nn.Sequential(
            nn.Linear(config.d_model, config.d_model), nn.GELU(), nn.Linear(config.d_model, config.max_span)
        )
        self.stage1, self.stage2 = Stage1(), Stage2()
        self._frozen: tuple[nn.Module, ...] = ()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: every module initializes itself."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.encoder.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.encoder.embedding = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the map to the vocabulary."""
        return self.decoder.head

    def encode(self, ids: Tensor, mask: Tensor | None = None, marks: Tensor | None = None) -> Tensor:
        """Latents ``(B, L, d)`` of tokens ``(B, L)``; ``marks`` ``(B, d)`` are added to every mask of a row."""
        states: Tensor = self.encoder(ids, mask, self.positions, marks)
        return states

    def condition(
        self,
        states: Tensor,
        ids: Tensor,
        mask: Tensor | None,
        slots: Tensor,
        slot_mask: Tensor | None,
    ) -> Condition:
        """The source ``ids`` ``(B, S)``, encoded as ``states``, as the flow sees it."""
        flow, positions = self.flow, self.positions
        cond = flow.condition(states, mask, slots, slot_mask, positions)
        if flow.marks is None:
            return cond

        def read(index: Tensor) -> Condition:
            times = index.numel() // len(ids)

            def rows(x: Tensor | None) -> Tensor | None:
                return None if x is None else x.repeat_interleave(times, 0)

            seen, there = cast(Tensor, rows(ids)), cast(Tensor, rows(slots))
            marks = cast(Tensor, flow.marks)[index.flatten()]
            again = self.encode(seen, rows(mask), marks)
            return flow.condition(again, rows(mask), there, rows(slot_mask), positions)

        return cond._replace(readings=Readings(read, flow.num_experts))

    def prepare_stage(self, stage: int) -> None:
        """Choose what trains: the autoencoder in stage 1; in stage 2 the flow and whatever is not frozen.

        Without a flow there is one stage, and everything trains.
        """
        if stage not in (1, 2):
            raise ValueError(f"stage must be 1 or 2, got {stage!r}")
        if self.config.method != "flow":
            self.requires_grad_(True)
            self._frozen = ()
            return
        freeze = self.stage2.freeze
        trains = {
            "encoder": stage == 1 or freeze != "all",
            "positions": stage == 1 or freeze != "all",
            "decoder": stage == 1 or freeze == "none",
            "flow": stage == 2,
            "length_head": stage == 2,
        }
        for name, module in self.named_children():
            module.requires_grad_(trains[name])
        if stage == 2 and freeze == "decoder" and self.config.tie_word_embeddings:
            self.encoder.embedding.requires_grad_(False)  # it is the decoder's too
        self._frozen = tuple(module for name, module in self.named_children() if not trains[name])
        self.train(self.training)

    def train(self, mode: bool = True) -> YanModel:
        """Set the training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen if mode else ():
            module.eval()
        return self

    @staticmethod
    def counts(batch: Batch) -> Tensor:
        """Numbers of target tokens and of slots in a batch, float ``(2,)``: what the losses are means over."""
        return torch.stack([batch["target_mask"].sum(), batch["slot_mask"].sum()]).float()

    def forward(
        self, *, stage: int, seeds: Sequence[int] | None = None, totals: Tensor | None = None, **batch: Tensor
    ) -> YanOutput:
        """Loss of one stage on a batch.

        Args:
            stage: 1 or 2.
            seeds: One integer a row; all randomness of the row follows from it.
            totals: Numbers of tokens and slots, ``(2,)``, that means are taken over; those of this batch by default.
            batch: Tensors of :mod:`yanlm.tasks`.
        """
        seeds = fresh_seeds(len(batch["source_ids"])) if seeds is None else seeds
        totals = self.counts(batch) if totals is None else totals.to(self.device)
        if self.config.method != "flow":
            return YanOutput(*masked_loss(self, batch, seeds, totals))
        if stage == 1:
            return YanOutput(*stage1_loss(self, batch, self.stage1, seeds, totals))
        return YanOutput(*stage2_loss(self, batch, self.stage2, seeds, totals))

    def generate(self, source_ids: Tensor, **options: Any) -> Any:
        """Fill slots: :func:`yanlm.generation.generate`, or :func:`yanlm.unmasking.unmask` without a flow.

        With ``reread=True`` a flow reads what it wrote after each step: :func:`yanlm.rereading.reread`.

        Raises:
            ValueError: An option is out of range, or of the other kind of model.
        """
        if self.config.method != "flow":
            return unmask(self, source_ids, **options)
        if options.pop("reread", False):
            return reread(self, source_ids, **options)
        if options.pop("temperature", 0.0):
            raise ValueError("temperature goes with reread=True where there is a flow; z0_scale changes its diversity")
        return generate(self, source_ids, **options)


AutoConfig.register("yan", YanConfig)
AutoModel.register(YanConfig, YanModel)
