"""YanModel: encoder, latent flow and decoder as one Hugging Face model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from yanlm.config import YanConfig, check_new_size
from yanlm.modeling.card import CardedMixin
from yanlm.modeling.output import YanOutput
from yanlm.modeling.sequences import SlotGenerationMixin
from yanlm.modeling.writing import TIED, WritingModel
from yanlm.objectives.denoising import denoising_loss
from yanlm.objectives.distilling import distillation_loss
from yanlm.objectives.masked import masked_loss
from yanlm.objectives.reflow import Pairs
from yanlm.objectives.settings import Denoising, Stage1, Stage2
from yanlm.objectives.stage1 import stage1_loss
from yanlm.objectives.stage2 import stage2_loss
from yanlm.seeding import fresh_seeds


class YanModel(SlotGenerationMixin, CardedMixin, WritingModel, PreTrainedModel):  # type: ignore[misc, override]  # its config is a YanConfig
    r"""Non-autoregressive language model :math:`p(y | x) = \int p_\theta(y | z) p_\psi(z | x) dz`, Eq. (6).

    The encoder turns texts into latents. Given the encoded text, the flow transports noise to the latents of the masked
    slots. The decoder reads tokens off them, all slots at once.

    With the methods ``mlm`` and ``mdlm`` there is no flow, and the decoder reads tokens off the encoder's states at the
    slots. These are the baselines of :mod:`yanlm.generation.unmasking`, trained in one stage. With
    ``denoiser="encoder"`` the flow carries vectors of tokens, and the encoder itself denoises them
    (:mod:`yanlm.nn.denoiser`). This also takes one stage.

    Attributes:
        stage1: Settings of the autoencoder's objective.
        stage2: Settings of the flow's objective.
        denoising: Settings of the single objective if the encoder is the flow's denoiser.

    Args:
        config: Sizes and choices.

    Example:
        >>> import torch
        >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
        >>> source = torch.tensor([[5, 49, 7]])  # the token in the middle is masked
        >>> model.generate(source, slots=torch.tensor([[1]]), steps=3, seeds=[0]).tokens.shape  # (B, samples, slots)
        torch.Size([1, 1, 1])
    """

    config_class = YanConfig
    base_model_prefix = "yan"
    main_input_name = "source_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Block"]  # noqa: RUF012 - the name and form that Hugging Face reads

    def __init__(self, config: YanConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self._tied_weights_keys = TIED if config.tie_word_embeddings else {}
        self.build(config)
        self.post_init()
        self.stage1, self.stage2, self.denoising = Stage1(), Stage2(), Denoising()
        self._frozen: tuple[nn.Module, ...] = ()
        self._teacher: tuple[tuple[YanModel, Pairs], ...] = ()  # in a tuple, or it would be a part of this model

    def prepare_stage(self, stage: int) -> None:
        """Choose what trains: the autoencoder in stage 1; in stage 2 the flow and whatever is not frozen.

        Without a flow, and where the encoder is its denoiser, there is one stage, and everything trains that the loss
        reads: several processes wait for the gradient of each part that trains.

        Raises:
            ValueError: ``stage`` is neither 1 nor 2.
        """
        if stage not in (1, 2):
            raise ValueError(f"stage must be 1 or 2, got {stage!r}")
        if self.can.stages == 1:
            self.requires_grad_(True)
            lengths = self.flow is None or (self.denoising.length > 0 and not self.denoising.student_steps)
            self.length_head.requires_grad_(lengths)  # a student learns no lengths
            self._frozen = ()
            return
        freeze = self.stage2.freeze
        trains = {
            "encoder": stage == 1 or freeze != "all",
            "positions": stage == 1 or freeze != "all",
            "decoder": stage == 1 or freeze == "none",
            "flow": stage == 2,
            "length_head": stage == 2 and self.stage2.length > 0,
        }
        for name, module in self.named_children():
            module.requires_grad_(trains[name])
        if stage == 2 and freeze == "decoder" and self.config.tie_word_embeddings:
            self.encoder.embedding.requires_grad_(False)  # it is the decoder's too
        self._frozen = tuple(module for name, module in self.named_children() if not trains[name])
        self.train(self.training)

    def learn_from(self, teacher: YanModel) -> None:
        """From now on, train this model on what ``teacher`` does, by ``denoising.student_steps`` or ``.reflow``."""
        self._teacher = ((teacher.requires_grad_(False).eval(), Pairs(teacher)),)

    def train(self, mode: bool = True) -> YanModel:
        """Set the training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen if mode else ():
            module.eval()
        return self

    def forward(
        self, *, stage: int, seeds: Sequence[int] | None = None, totals: Tensor | None = None, **batch: Tensor
    ) -> YanOutput:
        """Loss of one stage on a batch.

        Args:
            stage: 1 or 2.
            seeds: One integer for each row; all random numbers of the row follow from it.
            totals: Numbers of tokens and slots, ``(2,)``, that means are taken over; those of this batch by default.
            batch: Tensors of :mod:`yanlm.tokenization.examples`.

        Example:
            >>> from yanlm import Builder, train_tokenizer
            >>> builder = Builder(train_tokenizer(["a small text"], 260), max_length=16)
            >>> config = YanConfig(vocab_size=262, pad_token_id=260, mask_token_id=261, d_model=16, num_heads=2)
            >>> model = YanModel(config)
            >>> model.prepare_stage(1)
            >>> out = model(stage=1, seeds=[0], **builder.batch([{"text": "a small text"}], seeds=[0]))
            >>> out.loss.shape, out.loss.requires_grad
            (torch.Size([]), True)
        """
        rows = len(batch["source_ids"])
        seeds = fresh_seeds(rows) if seeds is None else seeds
        if len(seeds) != rows:
            raise ValueError(f"seeds must hold one integer for each of the {rows} rows, got {len(seeds)}")
        totals = self.counts(batch) if totals is None else totals.to(self.device)
        if self.flow is None:
            return YanOutput(*masked_loss(self, batch, seeds, totals))
        for teacher, pairs in self._teacher:
            nn.Module.to(teacher, self.device)  # it is no part of this model, so nobody else moves it
            if self.denoising.student_steps:
                return YanOutput(*distillation_loss(self, teacher, batch, self.denoising, seeds, totals))
            batch = dict(pairs.of(batch, self.denoising, seeds))
        if self.can.denoises:
            return YanOutput(*denoising_loss(self, batch, self.denoising, seeds, totals))
        if stage == 1:
            return YanOutput(*stage1_loss(self, batch, self.stage1, seeds, totals))
        return YanOutput(*stage2_loss(self, batch, self.stage2, self.stage1, seeds, totals))

    # Methods that Hugging Face asks for

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

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the map to the vocabulary."""
        self.decoder.head = cast(nn.Linear, value)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Change the number of tokens of the embedding, the output map, the token vectors and ``config.vocab_size``.

        New tokens have no vector for the noise of an encoder that denoises: it is 0 until they are learned, and so what
        slots show of the other tokens stays what it was.

        Arguments and result are those of :meth:`transformers.PreTrainedModel.resize_token_embeddings`.

        Raises:
            ValueError: There would be no room for padding or mask.
        """
        check_new_size(self.config, new_num_tokens)
        embedding: nn.Embedding = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        vectors, size = getattr(self.flow, "vectors", None), embedding.num_embeddings
        if vectors is not None and vectors.num_embeddings != size:
            kept = vectors.weight.detach()[:size]
            rows = nn.functional.pad(kept, (0, 0, 0, size - len(kept)))
            self.denoiser.vectors = nn.Embedding.from_pretrained(rows, freeze=False)
        return embedding

    def _set_gradient_checkpointing(self, *args: Any, **kwargs: Any) -> None:
        """Called by :meth:`gradient_checkpointing_enable`."""
        checkpoint = kwargs.get("gradient_checkpointing_func")
        if getattr(checkpoint, "keywords", {}).get("use_reentrant"):
            raise ValueError(
                "use_reentrant must be False: blocks read a source beside their input, whose gradient would be lost"
            )
        super()._set_gradient_checkpointing(*args, **kwargs)


AutoModel.register(YanConfig, YanModel)
