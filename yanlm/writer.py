"""Texts in, filled texts out: lengths, batching and spacing around :func:`yanlm.generation.flow_sampling.generate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.checks import check_count
from yanlm.generation.lengths import predicted_lengths
from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Example, split_spans
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import span_lengths
from yanlm.tokenization.prompts import fill, split_at_masks
from yanlm.tokenization.tokenizer import decode, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from yanlm.modeling.autoregressive import ARModel
    from yanlm.modeling.yan import YanModel


@dataclass(frozen=True)
class Written:
    """One source and what became of it.

    Attributes:
        source: The text as given.
        text: The first sample.
        samples: All samples, whole texts.
        fills: For each sample, what was written into each ``<mask>``, or after the text.
        tokens: Number of slots filled in one sample.
    """

    source: str
    text: str
    samples: list[str]
    fills: list[list[str]]
    tokens: int


class Writer:
    """Fills ``<mask>`` in texts; a text without one is continued, or answered, as the model was trained.

    Args:
        model: A model with a trained flow, or a trained baseline.
        tokenizer: Its tokenizer.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> config = YanConfig(vocab_size=262, pad_token_id=260, mask_token_id=261, d_model=16, num_heads=2)
        >>> [out] = Writer(YanModel(config), tokenizer).write(["a <mask> text"], length=1, seed=0)
        >>> out.text.startswith("a"), out.text.endswith(" text"), out.tokens
        (True, True, 1)
    """

    def __init__(self, model: YanModel | ARModel, tokenizer: PreTrainedTokenizerFast) -> None:
        model.can.check_trained()
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.builder = Builder(tokenizer, form=model.config.form, max_length=model.config.max_length)
        if len(tokenizer) > model.config.vocab_size:
            raise ValueError(
                f"the tokenizer has {len(tokenizer)} tokens and the model {model.config.vocab_size}: "
                "they do not belong together"
            )

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Writer:
        """Load a model folder that ``yanlm train`` wrote (``DIR``, ``DIR/stage2`` or ``DIR/stage1``).

        Raises:
            ValueError: The folder is not there or holds no model.
        """
        from yanlm.modeling.io import load_model, model_folder

        folder = model_folder(folder)
        return cls(load_model(folder, device), load_tokenizer(folder))

    def write(
        self,
        texts: Sequence[str],
        *,
        length: str | int = "auto",
        samples: int = 1,
        seed: int = 0,
        batch_size: int = 32,
        **options: Any,
    ) -> list[Written]:
        """Fill or continue ``texts``.

        Args:
            texts: With ``<mask>`` where something is wanted, or nowhere (continue, answer).
            length: Tokens behind each mask: ``auto`` (predicted, or ended by padding where the model was trained to),
                ``source`` (as many as the text has), or a number.
            samples: Results for each text.
            seed: Every text has its own randomness, from this and its place in ``texts``.
            batch_size: Texts generated together.
            options: ``steps``, ``routing``, ``solver``, ``z0_scale`` of
                :func:`yanlm.generation.flow_sampling.generate`, or ``reread=True`` and those of
                :func:`yanlm.generation.rereading.reread`; a baseline takes ``steps`` and ``temperature``.

        Raises:
            ValueError: A text is empty or too long, or an option is out of range.
        """
        if length not in ("auto", "source"):
            if not isinstance(length, int):
                raise ValueError(f"length must be auto, source or a number of tokens, got {length!r}")
            check_count("length", length)
        if any(not text.strip() for text in texts):
            number = 1 + next(i for i, text in enumerate(texts) if not text.strip())
            raise ValueError(f"text {number} is empty; give text, with <mask> where something is wanted")
        examples = self._examples(list(texts), length)
        order = sorted(range(len(texts)), key=lambda i: len(examples[i].source))  # equal lengths together: less padding
        found: dict[int, Written] = {}
        self.nfe = 0
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = self.builder.collate([examples[i] for i in chosen])
            batch = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
            one = len(chosen) == 1
            out = self.model.generate(
                batch["source_ids"],
                slots=batch["slots"],
                source_mask=None if one else batch["source_mask"],
                slot_mask=None if one else batch["slot_mask"],
                samples=samples,
                seeds=[row_seed(seed, 0, i) for i in chosen],
                **options,
            )
            self.nfe = out.nfe
            for i, tokens in zip(chosen, out.tokens.tolist(), strict=True):
                found[i] = self._written(texts[i], examples[i], tokens)
        return [found[i] for i in range(len(texts))]

    def _examples(self, texts: list[str], length: str | int) -> list[Example]:
        masks = [len(split_at_masks(text)) - 1 for text in texts]
        single = [
            self._prompt(i, text, [1] * count, 0 if count else 1)
            for i, (text, count) in enumerate(zip(texts, masks, strict=True))
        ]
        if length == "auto" and self.model.config.pad_to:
            wanted = [[self.model.config.pad_to] * max(1, count) for count in masks]
        elif length == "auto":
            wanted = self._predicted(single)
        else:
            wanted = [
                [len(example.source) - max(1, count) if length == "source" else int(length)] * max(1, count)
                for example, count in zip(single, masks, strict=True)
            ]
        return [
            self._prompt(i, text, lengths if count else [], 0 if count else lengths[0])
            for i, (text, count, lengths) in enumerate(zip(texts, masks, wanted, strict=True))
        ]

    def _prompt(self, number: int, text: str, lengths: list[int], append: int) -> Example:
        try:
            return self.builder.prompt(text if lengths else text.rstrip(), slots_per_mask=lengths, append=append)
        except ValueError as error:
            raise ValueError(f"text {number + 1}: {error}") from None

    def _predicted(self, examples: list[Example]) -> list[list[int]]:
        """Number of tokens behind each single mask: what the length head finds most probable there.

        A model that writes token by token comes to its own; masks without a word between them share what it wrote.
        """
        if not self.model.can.lengths:
            return predicted_lengths(self.model, self.builder, [example.source for example in examples])
        lengths = []
        for example in examples:
            ids = torch.tensor([example.source], device=self.model.device)
            [spans] = self.model.generate_free(ids, slots=torch.tensor([example.slots], device=ids.device))
            lengths.append(shared_lengths(example.slots, [len(span) for span in spans]))
        return lengths

    def _written(self, source: str, example: Example, samples: list[list[int]]) -> Written:
        texts, fills = [], []
        for tokens in samples:
            tokens = tokens[: len(example.slots)]
            if self.builder.form == "slots":
                texts.append(fill(self.tokenizer, example.source, example.slots, tokens).strip())
            else:
                texts.append(decode(self.tokenizer, tokens).strip())
            fills.append(self._fills(example, tokens))
        return Written(source, texts[0], texts, fills, len(example.slots))

    def _fills(self, example: Example, tokens: list[int]) -> list[str]:
        if self.builder.form == "separate":
            return [decode(self.tokenizer, tokens).strip()]
        spans = split_spans(tokens, example.spans, self.builder.pad)
        return [decode(self.tokenizer, span).strip() for span in spans]


def shared_lengths(masks: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Tokens behind each mask where every run of adjacent ones has a length: the first get one more if need be.

    Example:
        >>> shared_lengths([1, 2, 5], [5, 4])
        [3, 2, 4]
    """
    shares = []
    for masks_of, length in zip(span_lengths(masks), lengths, strict=True):
        each, more = divmod(max(length, masks_of), masks_of)
        shares += [each + (i < more) for i in range(masks_of)]
    return shares
