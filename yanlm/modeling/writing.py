"""A model that only fills slots, without training and without Hugging Face's own methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from yanlm.config import YanConfig
from yanlm.generation.capabilities import Capabilities, capabilities
from yanlm.generation.cuda_graphs import prepare
from yanlm.generation.denoising import denoise
from yanlm.generation.denoising_turns import denoise_in_turns
from yanlm.generation.flow_sampling import generate
from yanlm.generation.options import DEFAULTS, GenerationOptions, generation_options
from yanlm.generation.rereading import reread
from yanlm.generation.result import Generation
from yanlm.generation.unmasking import unmask
from yanlm.generation.watching import Watcher
from yanlm.modeling.weights import shapes_alone
from yanlm.nn.network import YanNetwork

TIED = {"decoder.head.weight": "encoder.embedding.weight"}
"""A weight, and the one that it equals if the configuration ties them."""


class WritingModel(YanNetwork):
    """The part of :class:`yanlm.modeling.yan.YanModel` that fills slots.

    A program that only writes starts in half the time with it, because PreTrainedModel takes longer to import than
    torch. It can load itself, and no more.
    """

    config_class = YanConfig
    defaults: GenerationOptions = DEFAULTS
    """How texts are filled by default."""

    def __init__(self, config: YanConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.build(config)
        if config.tie_word_embeddings:
            self.decoder.head.weight = self.encoder.embedding.weight

    @classmethod
    def load(cls, files: Iterable[Path], config: YanConfig) -> WritingModel:
        """A model of this configuration with the weights of safetensors files, in their type.

        Raises:
            RuntimeError: The weights are of another model.
        """
        from safetensors.torch import load_file

        weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
        if config.tie_word_embeddings:  # a file holds one of the two
            for name, source in TIED.items():
                weights |= {name: weights[source]} if source in weights else {source: weights[name]}
        with shapes_alone():
            model = cls(config)
        model.load_state_dict(weights, assign=True)
        if config.tie_word_embeddings:
            model.decoder.head.weight = model.encoder.embedding.weight
        return model

    @property
    def can(self) -> Capabilities:
        """What the model supports, by its method and form."""
        return capabilities(self.config)

    def generate(
        self,
        source_ids: Tensor,
        *,
        slots: Tensor,
        source_mask: Tensor | None = None,
        slot_mask: Tensor | None = None,
        choices: Tensor | None = None,
        wanted: Tensor | None = None,
        watcher: Watcher | None = None,
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
            watcher: Receives what every pass would write (:mod:`yanlm.generation.watching`).
            options: How slots are filled.
            keywords: The same options by name, such as ``steps=8``; these override ``options``.

        Returns:
            Tokens ``(B, samples, M)`` and their details.

        Raises:
            ValueError: An option is unknown, out of range, or of the other kind of model, or shapes do not fit.
        """
        options = generation_options(options, keywords)
        where: dict[str, Any] = {"slots": slots, "source_mask": source_mask, "slot_mask": slot_mask, "options": options}
        where["watcher"] = watcher
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

        :meth:`generate` records by itself when a shape comes a second time. The first request of a shape then takes as
        long as before, and the second some tenths of a second more. A server that knows its shapes can do this in
        advance. Lengths are rounded up to one of a few values, so texts of similar length share a recording. A single
        text is assumed to come without masks, several texts with them, as in :class:`yanlm.Writer`.

        Args:
            shapes: Numbers of texts, of tokens and of slots, three for each shape.
            most: Largest number of recordings, 32 by default.
            memory: Largest number of bytes that they hold, 8 GB by default.
            compile: Whether ``torch.compile`` fuses the operations of these and later recordings first. Each then takes
                a minute or so; for the Mamba backbone only where mamba-ssm is not installed.
            options: Generation options; seeds are ignored.
            keywords: The same options by name.

        Returns:
            The number of recordings.

        Raises:
            ValueError: A shape is none, or an option is unknown or out of range.

        Example:
            >>> config = YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49)
            >>> model = WritingModel(config)
            >>> model.eval().prepare_for_generation([(1, 128, 16), (8, 128, 16)], steps=3)  # on a CPU
            0
        """
        return prepare(self, shapes, generation_options(options, keywords), most=most, memory=memory, compile=compile)
