"""Texts in, filled texts out: lengths, batching and spacing around :func:`yanlm.generation.flow_sampling.generate`."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_count
from yanlm.generation.lengths import capped, predicted_lengths, written_lengths
from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.generation.watching import Watched, Watcher, watched
from yanlm.seeding import text_seeds
from yanlm.tokenization.collation import Example, call_cost, split_spans, together
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.pieces import decode_piece
from yanlm.tokenization.prompts import Prompt
from yanlm.tokenization.tokenizer import check_pair, decode, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from yanlm.modeling.autoregressive import ARModel
    from yanlm.modeling.yan import YanModel


@dataclass(frozen=True)
class Written:
    """One source and its results.

    Attributes:
        source: The text as given.
        text: The first sample.
        samples: All samples, whole texts.
        fills: For each sample, what was written into each ``<mask>``, or after the text.
        tokens: Number of slots filled in one sample.
        nfe: Evaluations of the network, shared with the texts of the same batch.
    """

    source: str
    text: str
    samples: list[str]
    fills: list[list[str]]
    tokens: int
    nfe: int = field(compare=False)  # of a batch, while the rest is the text's own


class Writer:
    """Fills ``<mask>`` in texts. A text without one is continued or answered, depending on the model's training.

    Args:
        model: A model with a trained flow, or a trained baseline.
        tokenizer: Its tokenizer.

    Raises:
        ValueError: The model was never trained, has fewer tokens than the tokenizer, or another mask or padding.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        >>> config = YanConfig(vocab_size=len(tokenizer), d_model=16, num_heads=2, **ids)
        >>> [out] = Writer(YanModel(config), tokenizer).write(["a <mask> text"], length=1, seed=0)
        >>> out.text.startswith("a"), out.text.endswith(" text"), out.tokens
        (True, True, 1)
    """

    def __init__(self, model: YanModel | ARModel, tokenizer: PreTrainedTokenizerFast) -> None:
        model.can.check_trained()
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.builder = Builder(tokenizer, form=model.config.form, max_length=model.config.max_length)
        check_pair(tokenizer, model.config)

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "cpu", **how: Any) -> Writer:
        """Load a model folder that ``yanlm train`` wrote (``DIR``, ``DIR/stage2`` or ``DIR/stage1``), or the shipped.

        ``how`` is passed to :func:`yanlm.load_model`: ``writing=True`` for a model that only writes and is ready
        sooner, ``precision="bfloat16"``.

        Raises:
            ValueError: The folder is not there or holds no model.
        """
        from yanlm.modeling.io import load_model, model_folder

        folder = model_folder(folder)
        return cls(load_model(folder, device, **how), load_tokenizer(folder))

    def write(
        self,
        texts: str | Sequence[str],
        *,
        length: str | int = "auto",
        seed: int | Sequence[int] = 0,
        batch_size: int = 32,
        options: GenerationOptions | None = None,
        **keywords: Any,
    ) -> list[Written]:
        """Fill or continue ``texts``.

        Args:
            texts: Texts with ``<mask>`` where something is wanted (``[MASK]`` and ``<MASK>`` mean the same), or without
                (to continue or answer them). A single text is accepted too.
            length: Tokens behind each mask: ``auto`` (predicted, or ended by padding if the model was trained to),
                ``source`` (as many as the text has), or a number. A model never gets more than it was trained on.
            seed: Every text has its own random numbers, from this and its place in ``texts``. A list holds one seed for
                each text, which is then written as if it were alone.
            batch_size: Largest number of texts generated together; fewer if their lengths differ much.
            options: Generation options; by default those of the model's ``generation_config.json``.
            keywords: The same options by name, such as ``steps=8``, ``samples=4`` or ``reread=True``; these override
                the others.

        Returns:
            The result for each text, in the same order.

        Raises:
            TypeError: Something other than strings is given.
            ValueError: A text is empty or too long, or an option is unknown, out of range, or not one of the model's.
        """
        options = generation_options(options, keywords, self.model.defaults)
        return [out for out, _ in self._fill(texts, options, length=length, seed=seed, batch_size=batch_size)]

    def watch(
        self, texts: str | Sequence[str], *, options: GenerationOptions | None = None, **how: Any
    ) -> list[tuple[Written, Watched]]:
        """:meth:`write`, and what each pass said about each text; arguments and errors are the same."""
        settings = {name: how.pop(name) for name in ("length", "seed", "batch_size") if name in how}
        filled = self._fill(texts, generation_options(options, how, self.model.defaults), **settings, watching=True)
        return [(out, seen) for out, seen in filled if seen is not None]

    def _fill(
        self,
        texts: str | Sequence[str],
        options: GenerationOptions,
        *,
        length: str | int = "auto",
        seed: int | Sequence[int] = 0,
        batch_size: int = 32,
        watching: bool = False,
    ) -> list[tuple[Written, Watched | None]]:
        texts = _checked_texts(texts)
        check_length(length)
        batch_size, seeds = check_count("batch_size", batch_size), text_seeds(seed, len(texts))
        if options.seeds is not None:
            raise ValueError("seeds of texts follow from seed: give seed, and leave out seeds")
        self.model.can.check(options)
        examples = self._examples(texts, length)
        filled: dict[int, tuple[Written, Watched | None]] = {}
        for rows in together(examples, batch_size, call_cost(self.model.config.d_model, self.model.device.type)):
            batch = self.builder.collate([examples[i] for i in rows])
            batch = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
            alone = len(rows) == 1
            watcher = Watcher() if watching else None
            out = self.model.generate(
                batch["source_ids"],
                slots=batch["slots"],
                source_mask=None if alone else batch["source_mask"],
                slot_mask=None if alone else batch["slot_mask"],
                options=options,
                seeds=[seeds[i] for i in rows],
                **({} if watcher is None else {"watcher": watcher}),
            )
            spans = [self._spans(examples[i]) for i in rows]
            seen = [None] * len(rows) if watcher is None else watched(out, spans, watcher)
            for i, samples, own in zip(rows, out.tokens.tolist(), seen, strict=True):
                filled[i] = self._written(texts[i], examples[i], samples, out.nfe), own
        return [filled[i] for i in range(len(texts))]

    def _examples(self, texts: Sequence[str], length: str | int) -> list[Example]:
        """Every text with its slots; it is tokenized once, with one mask for each span."""
        prompts = [Prompt(self.tokenizer, text) for text in texts]
        short = [self._example(number, prompt, [1] * prompt.masks) for number, prompt in enumerate(prompts, 1)]
        lengths = capped(self._lengths(prompts, short, length), self.model.config.longest_span)
        return [self._example(number, *pair) for number, pair in enumerate(zip(prompts, lengths, strict=True), 1)]

    def _lengths(self, prompts: Sequence[Prompt], short: list[Example], length: str | int) -> list[list[int]]:
        """Number of slots for each mask of each text."""
        if length == "source":
            if empty := [number for number, prompt in enumerate(prompts, 1) if not prompt.known]:
                raise ValueError(f"length=source counts the tokens of text {empty[0]}, which has none: give a number")
            return [[prompt.known] * prompt.masks for prompt in prompts]
        if length != "auto":
            return [[int(length)] * prompt.masks for prompt in prompts]
        if pad_to := self.model.config.pad_to:
            return [[pad_to] * prompt.masks for prompt in prompts]
        if self.model.can.lengths:
            return written_lengths(self.model, short)
        return predicted_lengths(self.model, self.builder, [example.source for example in short])

    def _example(self, number: int, prompt: Prompt, lengths: Sequence[int]) -> Example:
        """A text of this number with so many slots for each of its masks."""
        try:
            return prompt.example(lengths, form=self.builder.form, max_length=self.builder.max_length)
        except ValueError as error:
            raise ValueError(f"text {number}: {error}") from None

    def _written(self, source: str, example: Example, samples: list[list[int]], nfe: int) -> Written:
        count = len(example.slots)
        texts = [self._text(source, example, tokens[:count]) for tokens in samples]
        fills = [self._fills(example, tokens[:count]) for tokens in samples]
        return Written(source, texts[0], texts, fills, count, nfe)

    def _spans(self, example: Example) -> list[int]:
        return list(example.spans) if self.builder.form == "slots" else [len(example.slots)]

    def _text(self, source: str, example: Example, tokens: list[int]) -> str:
        if self.builder.form == "separate":
            return decode(self.tokenizer, tokens).strip()
        return fill(self.tokenizer, source, split_spans(tokens, example.spans, self.builder.pad))

    def _fills(self, example: Example, tokens: list[int]) -> list[str]:
        if self.builder.form == "separate":
            return [decode(self.tokenizer, tokens).strip()]
        spans = split_spans(tokens, example.spans, self.builder.pad)
        return [decode_piece(self.tokenizer, span).strip() for span in spans]


def _checked_texts(texts: object) -> list[str]:
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a string or a list of strings, got {type(texts).__name__}")
    texts = [texts] if isinstance(texts, str) else list(texts)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise TypeError(f"texts must be strings, and text {number} is of type {type(text).__name__}")
        if not text.strip():
            raise ValueError(f"text {number} is empty; give text, with <mask> where something is wanted")
    return texts


def check_length(length: str | int) -> None:
    """Check the number of tokens behind each mask.

    Raises:
        ValueError: It is neither ``auto`` nor ``source`` nor a number of at least 1.

    Example:
        >>> check_length("source"), check_length(3)
        (None, None)
    """
    if isinstance(length, str) and length in ("auto", "source"):
        return
    if isinstance(length, bool) or not isinstance(length, numbers.Integral) or length < 1:
        raise ValueError(f"length must be auto, source or a number of tokens, got {length!r}")
