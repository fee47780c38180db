"""YanModel: encoder, latent flow and decoder as one Hugging Face model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import AutoModel

from yanlm.config import YanConfig
from yanlm.generation.capabilities import Capabilities, capabilities
from yanlm.generation.cuda_graphs import prepare
from yanlm.generation.denoising import denoise, denoise_in_turns
from yanlm.generation.flow_sampling import generate
from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.generation.rereading import reread
from yanlm.generation.result import Generation
from yanlm.generation.unmasking import unmask
from yanlm.modeling.output import YanOutput
from yanlm.nn.network import YanNetwork
from yanlm.objectives.denoising import denoising_loss
from yanlm.objectives.distilling import distillation_loss
from yanlm.objectives.masked import masked_loss
from yanlm.objectives.settings import Denoising, Stage1, Stage2
from yanlm.objectives.stage1 import stage1_loss
from yanlm.objectives.stage2 import stage2_loss
from yanlm.seeding import fresh_seeds


class YanModel(YanNetwork):
    r"""Non-autoregressive language model :math:`p(y | x) = \int p_\theta(y | z) p_\psi(z | x) dz`, Eq. (6).

    The encoder turns texts into latents, the flow transports noise to the latents of the masked slots given the
    encoded text, the decoder reads tokens off them, all slots at once.

    With the methods ``mlm`` and ``mdlm`` there is no flow, and the decoder reads tokens off the encoder's states at the
    slots: the baselines of :mod:`yanlm.generation.unmasking`, trained in one stage. With ``denoiser="encoder"`` the
    flow carries vectors of tokens, and the encoder itself denoises them (:mod:`yanlm.nn.denoiser`); one stage, too.

    Attributes:
        stage1: Settings of the autoencoder's objective.
        stage2: Settings of the flow's objective.
        denoising: Settings of the only objective, where the encoder is the flow's denoiser.

    Example:
        >>> import torch
        >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
        >>> source = torch.tensor([[5, 49, 7]])  # the token in the middle is masked
        >>> model.generate(source, slots=torch.tensor([[1]]), steps=3, seeds=[0]).tokens.shape  # (B, samples, slots)
        torch.Size([1, 1, 1])
    """

    def __init__(self, config: YanConfig) -> None:
        super().__init__(config)
        self.stage1, self.stage2, self.denoising = Stage1(), Stage2(), Denoising()
        self._frozen: tuple[nn.Module, ...] = ()
        self._teacher: tuple[YanModel, ...] = ()  # in a tuple, or it would be a part of this model

    @property
    def can(self) -> Capabilities:
        """What the model can, by its method and form."""
        return capabilities(self.config)

    def prepare_stage(self, stage: int) -> None:
        """Choose what trains: the autoencoder in stage 1; in stage 2 the flow and whatever is not frozen.

        Without a flow, and where the encoder is its denoiser, there is one stage, and everything trains.
        """
        if stage not in (1, 2):
            raise ValueError(f"stage must be 1 or 2, got {stage!r}")
        if self.can.stages == 1:
            self.requires_grad_(True)
            self.length_head.requires_grad_(not self._teacher)  # a student learns no lengths
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

    def learn_from(self, teacher: YanModel) -> None:
        """Train this model from here on to go in ``denoising.student_steps`` steps where ``teacher`` goes in more."""
        self._teacher = (teacher.requires_grad_(False).eval(),)

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
            seeds: One integer a row; all randomness of the row follows from it.
            totals: Numbers of tokens and slots, ``(2,)``, that means are taken over; those of this batch by default.
            batch: Tensors of :mod:`yanlm.tokenization.examples`.
        """
        seeds = fresh_seeds(len(batch["source_ids"])) if seeds is None else seeds
        totals = self.counts(batch) if totals is None else totals.to(self.device)
        if self.flow is None:
            return YanOutput(*masked_loss(self, batch, seeds, totals))
        for teacher in self._teacher:
            return YanOutput(*distillation_loss(self, teacher, batch, self.denoising, seeds, totals))
        if self.can.denoises:
            return YanOutput(*denoising_loss(self, batch, self.denoising, seeds, totals))
        if stage == 1:
            return YanOutput(*stage1_loss(self, batch, self.stage1, seeds, totals))
        return YanOutput(*stage2_loss(self, batch, self.stage2, self.stage1, seeds, totals))

    def generate(
        self,
        source_ids: Tensor,
        *,
        slots: Tensor,
        source_mask: Tensor | None = None,
        slot_mask: Tensor | None = None,
        choices: Tensor | None = None,
        wanted: Tensor | None = None,
        options: GenerationOptions | None = None,
        **keywords: Any,
    ) -> Generation:
        """Fill slots by :func:`yanlm.generation.flow_sampling.generate`.

        Without a flow it is :func:`yanlm.generation.unmasking.unmask`. With ``reread=True`` a flow reads what it wrote
        after each step: :func:`yanlm.generation.rereading.reread`.

        Args:
            source_ids: Tokens ``(B, S)``, with the mask token at the slots (slots form) or one mask a span (separate
                form).
            slots: Positions to fill ``(B, M)``: in the source (slots form) or in the target (separate form).
            source_mask: Boolean ``(B, S)``, True = a token.
            slot_mask: Boolean ``(B, M)``, True = a slot.
            choices: Known answers ``(C, M)``, one of which is to fill a row's slots: the one most probable as a whole.
            wanted: Boolean ``(B, M)``, True = a slot whose token is wanted, for a flow behind its encoder that does not
                reread; the others come back as padding.
            options: How slots are filled.
            keywords: The same by name, as ``steps=8``; they have the last word.

        Returns:
            Tokens ``(B, samples, M)`` and what belongs to them.

        Raises:
            ValueError: An option is unknown, out of range, or of the other kind of model, or shapes do not fit.
        """
        options = generation_options(options, keywords)
        where: dict[str, Any] = {"slots": slots, "source_mask": source_mask, "slot_mask": slot_mask, "options": options}
        if wanted is not None:
            if self.flow is None or self.can.denoises or options.reread:
                raise ValueError("wanted goes with a flow behind its encoder that does not reread: leave it out")
            return generate(self, source_ids, **where, choices=choices, wanted=wanted)
        if self.flow is None or options.sampler == "diffusion":
            return unmask(self, source_ids, **where, choices=choices)
        if not options.reread:
            return (denoise if self.can.denoises else generate)(self, source_ids, **where, choices=choices)
        self.can.check(options, choosing=choices is not None)
        return (denoise_in_turns if self.can.denoises else reread)(self, source_ids, **where)

    def prepare_for_generation(
        self,
        shapes: Iterable[Sequence[int]],
        *,
        most: int | None = None,
        memory: int | None = None,
        compile: bool = False,
        options: GenerationOptions | None = None,
        **keywords: Any,
    ) -> int:
        """Record generations as CUDA graphs before the first request; without a GPU there is nothing to record.

        :meth:`generate` records by itself what comes a second time: the first request of a shape takes as long as ever,
        and the second some tenths of a second more. A server that knows its shapes has that behind it. Lengths are
        rounded up to the next of few, so texts of like lengths share a recording. One text alone is taken to come
        without masks, several to come with them, as :class:`yanlm.Writer` has it.

        Args:
            shapes: Numbers of texts, of tokens and of slots, three for each shape.
            most: Recordings that are kept, 32 if it was never said.
            memory: Bytes that they may hold, 8 GB if it was never said.
            compile: Whether ``torch.compile`` fuses the operations of these and later recordings first. Each then takes
                a minute or so; for the Mamba backbone only where mamba-ssm is not installed.
            options: How slots will be filled; seeds are of no consequence.
            keywords: The same by name.

        Returns:
            How many recordings there are.

        Raises:
            ValueError: A shape is none, or an option is unknown or out of range.

        Example:
            >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
            >>> model.eval().prepare_for_generation([(1, 128, 16), (8, 128, 16)], steps=3)  # on a CPU
            0
        """
        return prepare(self, shapes, generation_options(options, keywords), most=most, memory=memory, compile=compile)


AutoModel.register(YanConfig, YanModel)
