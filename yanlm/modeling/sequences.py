"""``generate`` as transformers has it: sequences with masks in, sequences with words in their place out."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.modeling.folder_options import OPTIONS, TOKENS, check_known
from yanlm.modeling.generation_config import YanGenerationConfig, set_options
from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Example, collate

NEW_TOKENS = 16
"""Number of masks behind a row without any, if nothing says how many."""


@dataclass
class YanGenerationOutput(ModelOutput):
    """What ``generate`` returns; N are the rows times ``num_return_sequences``, those of a row one below the other.

    Attributes:
        sequences: Tokens ``(N, S)``, the given ones and those in place of the masks; ``(N, S + max_new_tokens)`` where
            a row had no mask.
        tokens_per_forward: New tokens, padding left out, over the evaluations of the network, ``(N,)``.
        nfe: These evaluations.
        experts: Expert of every slot ``(N, M)``; ``None`` where there is none.
    """

    sequences: Tensor | None = None
    tokens_per_forward: Tensor | None = None
    nfe: int | None = None
    experts: Tensor | None = None


class SlotGenerationMixin:
    """The part of a model that transformers calls: ``generate`` by token ids, and its configuration.

    Example:
        >>> from yanlm import YanConfig, YanModel
        >>> config = YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49)
        >>> model = YanModel(config).eval()
        >>> out = model.generate(torch.tensor([[5, 49, 7]]), steps=2, seed=0)
        >>> out.sequences.shape, out.tokens_per_forward
        (torch.Size([1, 3]), tensor([0.5000]))
    """

    generation_config_class = YanGenerationConfig
    config: Any

    @property
    def generation_config(self) -> Any:
        """How masks are filled by default: a :class:`YanGenerationConfig`. One of transformers' own class becomes one.

        Raises:
            ValueError: It sets an option that we do not have.
        """
        return self._generation_config

    @generation_config.setter
    def generation_config(self, config: Any) -> None:
        ours = isinstance(config, YanGenerationConfig)
        self._generation_config = config if ours else YanGenerationConfig(**set_options(config))

    @property
    def defaults(self) -> GenerationOptions:
        """How texts are filled by default: as ``generation_config`` says, with one sample."""
        return replace(self.generation_config.options(), samples=1)

    def generate(self, input_ids: Tensor | None = None, **given: Any) -> Any:
        """Fill masks, as transformers asks for it, or as :meth:`yanlm.modeling.writing.WritingModel.generate` does.

        Args:
            input_ids: Tokens ``(B, S)`` with a mask token for each token that is wanted. Behind a row without any,
                ``max_new_tokens`` are written. A word's space is part of it: write ``"on<|mask|>"``.
            given: ``attention_mask`` ``(B, S)``, 1 where there is a token, with padding at either side; by default all
                but the padding token;
                ``generation_config``, a :class:`YanGenerationConfig`, or one of transformers' own class, of which the
                options count that it sets; and options by name, which override it.
                With ``slots`` the arguments are those of our own ``generate``, and ``input_ids`` its ``source_ids``.

        Returns:
            A :class:`YanGenerationOutput`, or its sequences alone.

        Raises:
            ValueError: An option is unknown or out of range, or a row is too long.
        """
        if "slots" in given or "source_ids" in given:
            source = {} if input_ids is None else {"source_ids": input_ids}
            return super().generate(**source, **given)  # type: ignore[misc]
        if input_ids is None:
            raise ValueError("input_ids must be given: tokens (B, S) with a mask for each token that is wanted")
        given.pop("token_type_ids", None)  # tokenizers offer them
        mask, config = given.pop("attention_mask", None), given.pop("generation_config", None)
        if config is not None and not isinstance(config, YanGenerationConfig):
            given, config = set_options(config) | given, None
        check_known(name for name in given if name not in TOKENS)
        config = copy.deepcopy(config or self.generation_config)
        how = generation_options(None, {name: given[name] for name in OPTIONS if name in given}, config.options())
        config.update(**given | {name: getattr(how, name) for name in OPTIONS})
        out = _filled(self, input_ids, mask, config)
        return out if config.return_dict_in_generate else out.sequences

    def adjust_generation_fn(
        self, generation_config: Any, from_auto_class: Any, from_pipeline: Any, name: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Take the configuration that is given, or the one beside the weights; called by ``from_pretrained``."""
        kwargs.pop("trust_remote_code", None)
        if name is not None and hasattr(self, "take_card"):
            self.take_card(name)
        if generation_config is not None:
            self.generation_config = generation_config
        elif name is not None:
            try:
                self.generation_config = self.generation_config_class.from_pretrained(name, **kwargs)
            except OSError:  # a folder without one
                self.generation_config = self.generation_config_class()


@torch.no_grad()
def _filled(model: Any, input_ids: Tensor, attention_mask: Tensor | None, config: Any) -> YanGenerationOutput:
    if input_ids.ndim != 2 or input_ids.is_floating_point():
        raise ValueError(f"input_ids must be integers of shape (B, S), got {tuple(input_ids.shape)}")
    if model.config.form != "slots":
        raise ValueError("generate by input_ids needs a model of form='slots': use yanlm.Writer, which writes texts")
    padding = -1 if model.config.pad_token_id is None else model.config.pad_token_id
    seen = input_ids != padding if attention_mask is None else attention_mask.bool()
    if seen.shape != input_ids.shape:
        raise ValueError(f"attention_mask must have shape {tuple(input_ids.shape)}, got {tuple(seen.shape)}")
    mask, pad, width = model.config.mask_token_id, model.config.pad_token_id or 0, input_ids.shape[1]
    examples, places = [], []
    for ids, held in zip(input_ids.cpu(), seen.cpu(), strict=True):
        row, where = ids[held].tolist(), held.nonzero().flatten().tolist()
        if row and not 0 <= min(row) <= max(row) < model.config.vocab_size:
            raise ValueError(f"input_ids must lie in 0 .. {model.config.vocab_size - 1}, got {min(row)} .. {max(row)}")
        if mask not in row:
            more = _new_tokens(model.config, config)
            row, where = row + [mask] * more, [*where, *range(width, width + more)]
        slots = [i for i, token in enumerate(row) if token == mask]
        if len(row) > model.config.max_length:
            raise ValueError(f"a row and its new tokens must fit into {model.config.max_length} tokens, got {len(row)}")
        examples.append(Example(row, row, slots, [1] * len(slots)))
        places.append([where[i] for i in slots])
    batch = collate(examples, pad=pad, mask=mask)
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    seeds = None if config.seed is None else [row_seed(config.seed, 0, i) for i in range(len(examples))]
    out = model.generate(
        batch["source_ids"],
        slots=batch["slots"],
        source_mask=batch["source_mask"],
        slot_mask=batch["slot_mask"],
        options=config.options(),
        seeds=seeds,
    )
    tokens, samples = out.tokens.to(input_ids.device), config.num_return_sequences
    longest = max([width, *(place + 1 for row in places for place in row)])
    sequences = input_ids.new_full((len(places), samples, longest), pad)
    sequences[:, :, :width] = input_ids.unsqueeze(1)
    for i, row in enumerate(places):
        sequences[i, :, row] = tokens[i, :, : len(row)]
    written = ((tokens != pad) & batch["slot_mask"].to(tokens.device).unsqueeze(1)).sum(-1).flatten()
    experts = None if out.assignment is None else out.assignment.flatten(0, 1)
    return YanGenerationOutput(sequences.flatten(0, 1), written / max(1, out.nfe), out.nfe, experts)


def _new_tokens(model: Any, config: Any) -> int:
    """Masks behind a row that has none: no more than the model was trained on."""
    most = model.longest_span
    wanted: int = config.max_new_tokens or model.pad_to or most or NEW_TOKENS
    if most and wanted > most:
        told = f"the model never saw more than {most} tokens behind a mask: {most} are written in place of {wanted}"
        warnings.warn(told, stacklevel=4)
        return int(most)
    return wanted
