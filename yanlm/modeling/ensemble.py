"""Several models that answer together: of known answers, the one with the highest mean probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from yanlm.generation.choices import likeliest
from yanlm.generation.result import Generation
from yanlm.modeling.io import load_model, model_folder
from yanlm.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_ALIKE = ("method", "form", "stage", "vocab_size", "pad_to", "max_length")


class Ensemble(nn.Module):
    r"""Models of one kind and one tokenizer, trained from different seeds or beginnings, as one.

    Each gives every known answer a probability among the known ones, and the mean decides:
    :math:`\arg\max_c \frac{1}{n} \sum_i p_i(c | x)`. Training again from another seed gives other mistakes, and
    the mean has fewer of them. What is written freely has no such mean, and is no task for an ensemble.

    Args:
        models: At least one; they go into evaluation mode.

    Raises:
        ValueError: There is none, or they differ in kind, vocabulary, slots of an answer, or context.

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
            values = [getattr(one.config, name) for one in models]
            if len(set(values)) > 1:
                raise ValueError(f"models that answer together must have one {name}, got {values}")
        self.models = nn.ModuleList(models)
        self.config = models[0].config
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the first model is."""
        found: torch.device = self.models[0].device
        return found

    @torch.no_grad()
    def generate(self, source_ids: Tensor, *, choices: Tensor | None = None, **options: Any) -> Generation:
        """Fill the slots of each row with one of the known answers ``choices`` ``(C, M)``.

        Args:
            source_ids: ``(B, S)``.
            choices: Known answers; without them there is nothing to take a mean of.
            options: As every one of the models takes them.

        Returns:
            Tokens ``(B, samples, M)``, no assignment, the evaluations of all models together, and the logarithms of the
            mean probabilities ``(B, samples, C)``.
        """
        if choices is None:
            raise ValueError("several models answer together where the answers are known: give choices (labels=known)")
        found = [one.generate(source_ids, choices=choices, **options) for one in self.models]
        scores = torch.stack([one.scores.log_softmax(-1).to(self.device) for one in found])
        mean = scores.logsumexp(0) - math.log(len(found))
        return Generation(likeliest(mean, choices), None, sum(one.nfe for one in found), mean)


def load_together(folders: Sequence[Path], device: str = "cpu") -> tuple[Any, PreTrainedTokenizerFast]:
    """The model of a folder, or of several the :class:`Ensemble`, and the tokenizer.

    Raises:
        ValueError: A folder holds no model, or models do not go together: :class:`Ensemble`, and the same tokenizer.
    """
    found = [model_folder(folder) for folder in folders]
    tokenizers = [load_tokenizer(folder) for folder in found]
    spelled = [tokenizer.backend_tokenizer.to_str() for tokenizer in tokenizers]
    for folder, one in zip(folders, spelled, strict=True):
        if one != spelled[0]:
            raise ValueError(
                f"{folder} has another tokenizer than {folders[0]}, and models that answer together need the same: "
                f"train it with --tokenizer {found[0]}"
            )
    models = [load_model(folder, device) for folder in found]
    return (models[0] if len(models) == 1 else Ensemble(models)), tokenizers[0]
