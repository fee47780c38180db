"""Several models that answer together: of known answers, the one with the highest mean probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from yanlm.generation.capabilities import Capabilities
from yanlm.generation.choices import likeliest
from yanlm.generation.result import Generation
from yanlm.modeling.io import load_model, model_folder
from yanlm.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_ALIKE = ("method", "form", "stage", "vocab_size", "pad_to", "max_length")


class Ensemble(nn.Module):
    r"""Several models of one kind and one tokenizer, trained from different seeds, used as one.

    Each gives every known answer a probability, and the mean decides:
    :math:`\arg\max_c \frac{1}{n} \sum_i p_i(c | x)`. Trainings from different seeds make different mistakes, and the
    mean makes fewer. Freely written text has no such mean, so an ensemble cannot write it.

    Args:
        models: At least one; they go into evaluation mode.

    Raises:
        ValueError: There is no model, or they differ in kind, vocabulary, slots of an answer, or context.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> options = {"vocab_size": 50, "d_model": 16, "num_heads": 2, "pad_token_id": 48, "mask_token_id": 49}
        >>> both = Ensemble([YanModel(YanConfig(**options)).eval() for _ in range(2)])
        >>> source, slots, choices = torch.tensor([[5, 7, 49]]), torch.tensor([[2]]), torch.tensor([[3], [4]])
        >>> out = both.generate(source, slots=slots, choices=choices, steps=1, seeds=[0])
        >>> out.tokens.shape, out.scores.shape, out.nfe
        (torch.Size([1, 1, 1]), torch.Size([1, 1, 2]), 2)
    """

    models: Any

    def __init__(self, models: Sequence[Any]) -> None:
        super().__init__()
        if not models:
            raise ValueError("models must hold at least one model, got none")
        for name in _ALIKE:
            values = [getattr(model.config, name) for model in models]
            if len(set(values)) > 1:
                raise ValueError(f"models that answer together must have one {name}, got {values}")
        self.models = nn.ModuleList(models)
        self.config = models[0].config
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the first model is."""
        device: torch.device = self.models[0].device
        return device

    @property
    def can(self) -> Capabilities:
        """What one of the models supports, except writing freely and sharing one encoding of a source."""
        return replace(self.models[0].can, write=False, reads_once=False)

    @torch.no_grad()
    def generate(self, source_ids: Tensor, *, choices: Tensor | None = None, **given: Any) -> Generation:
        """Fill the slots of each row with one of the known answers ``choices`` ``(C, M)``.

        Args:
            source_ids: ``(B, S)``.
            choices: Known answers, over which the mean is taken.
            given: Arguments for each of the models, see :meth:`yanlm.YanModel.generate`.

        Returns:
            Tokens ``(B, samples, M)``, no assignment, the evaluations of all models together, and the logarithms of the
            mean probabilities ``(B, samples, C)``.
        """
        if choices is None:
            raise ValueError("several models answer together where the answers are known: give choices (labels=known)")
        answers = [model.generate(source_ids, choices=choices, **given) for model in self.models]
        scores = torch.stack([answer.scores.log_softmax(-1).to(self.device) for answer in answers])
        mean = scores.logsumexp(0) - math.log(len(answers))
        return Generation(likeliest(mean, choices), None, sum(answer.nfe for answer in answers), mean)


def load_together(
    folders: Sequence[Path], device: str = "cpu", precision: str = "float32"
) -> tuple[Any, PreTrainedTokenizerFast]:
    """The model of a folder, or the :class:`Ensemble` of several, and the tokenizer.

    Raises:
        ValueError: A folder holds no model, or models do not go together: :class:`Ensemble`, and the same tokenizer.
    """
    holders = [model_folder(folder) for folder in folders]
    tokenizers = [load_tokenizer(holder) for holder in holders]
    spellings = [tokenizer.backend_tokenizer.to_str() for tokenizer in tokenizers]
    for folder, spelling in zip(folders, spellings, strict=True):
        if spelling != spellings[0]:
            raise ValueError(
                f"{folder} has another tokenizer than {folders[0]}, and models that answer together need the same: "
                f"train it with --tokenizer {holders[0]}"
            )
    models = [load_model(holder, device, precision=precision) for holder in holders]
    return (models[0] if len(models) == 1 else Ensemble(models)), tokenizers[0]
