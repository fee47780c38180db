"""One form for every task: text with mask slots, and what fills them.

A row is a dict of strings; :class:`Builder` turns rows into examples and batches. In the form ``"slots"`` source and
target have equal length and differ only at the slots, where the source holds the mask: infilling has slots inside the
text, and an answer, a label or a continuation is slots after it. In the form ``"separate"``, the paper's, source and
target are different sequences: the source has one mask for each span, or for the whole answer, and every position of
the target is a slot.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from moefm.checks import check_choice, check_count
from yanlm.data.rows import KINDS, MASKS, field, kind_of, words
from yanlm.tokenization.collation import Example, collapse, collate
from yanlm.tokenization.masked_text import spaces_at_masks, split_at_masks
from yanlm.tokenization.masking import Masking, drop_tokens, mask_spans, mask_tail, span_lengths
from yanlm.tokenization.prompts import prompt
from yanlm.tokenization.token_cache import TokenCache
from yanlm.tokenization.tokenizer import mask_id, pad_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Builder:
    """Turns rows into examples and batches. The result depends only on the row and its seed.

    A text longer than ``max_length`` becomes a window of that length, drawn with the seed. If there is an answer, the
    answer and the question stay, and the beginning of the context is cut. A text to classify loses its end.

    Args:
        tokenizer: A tokenizer with a padding and a mask token, such as those of :mod:`yanlm.tokenization.tokenizer`.
        form: ``"slots"``, or ``"separate"`` for the paper's.
        max_length: Largest number of tokens of a source, and of a target.
        masking: How texts are masked.
        lengths: ``"given"``: an answer has as many slots as tokens. ``"padding"``: answers and continuations have
            ``pad_to`` slots, and the model learns to end by filling the rest with padding.
        pad_to: Number of these slots.
        reserve: Largest number of tokens of an answer, which is cut after them; half of ``max_length`` by default.

    Raises:
        ValueError: An option is out of its range, or the tokenizer lacks the padding or the mask.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> builder = Builder(train_tokenizer(["ab ab"], 258), max_length=16)
        >>> batch = builder.batch([{"text": "ab"}, {"context": "ab", "question": "?", "answer": "a"}], seeds=[0, 1])
        >>> {name: tuple(batch[name].shape) for name in batch}
        {'source_ids': (2, 6), 'source_mask': (2, 6), 'target_ids': (2, 6), 'target_mask': (2, 6),
         'slots': (2, 2), 'slot_mask': (2, 2)}
        >>> builder.prompt("a <mask> b", slots_per_mask=[2]).slots
        [1, 2]
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        *,
        form: str = "slots",
        max_length: int = 2048,
        masking: Masking | None = None,
        lengths: str = "given",
        pad_to: int | None = None,
        reserve: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.mask, self.pad = mask_id(tokenizer), pad_id(tokenizer)
        self.unknown = [] if tokenizer.unk_token_id is None else [int(tokenizer.unk_token_id)]
        self.form = check_choice("form", form, ("slots", "separate"))
        self.max_length = check_count("max_length", max_length, 2)
        self.masking = Masking() if masking is None else masking
        self.lengths = check_choice("lengths", lengths, ("given", "padding"))
        if (pad_to is None) != (lengths == "given"):
            raise ValueError(f'pad_to goes with lengths="padding", got pad_to={pad_to!r} and lengths={lengths!r}')
        self.pad_to = None if pad_to is None else check_count("pad_to", pad_to)
        self.reserve = check_count("reserve", max(1, max_length // 2) if reserve is None else reserve)
        if max(self.reserve, self.pad_to or 0) >= max_length:
            raise ValueError(
                f"reserve and pad_to must be below max_length = {max_length}, got {self.reserve} and {pad_to}"
            )
        self._cache = TokenCache(tokenizer)

    def endless(self) -> Builder:
        """The same builder for a model that takes texts of any length; it knows all ids that this one knows."""
        builder = copy.copy(self)
        builder.max_length, builder.reserve = 2**30, 2**29
        return builder

    def example(self, row: Mapping[str, Any], seed: int) -> Example:
        """Ids of one row, masked as ``seed`` decides.

        Raises:
            ValueError: No kind of row has these fields, or a field that must hold text is empty or not a string.
        """
        rng = random.Random(seed)
        clean = (draw := rng.random()) < self.masking.clean
        if (kind := kind_of(row)) == "seq2seq" and not isinstance(row["target"], str):
            return self._cloze(row)
        if kind != "text":
            before, answer, after = self._parts(row, kind)
            answer = self._known(answer, row, KINDS[kind][-1])
            if clean:
                return _unmasked(self._window([*before, *answer, *after], rng)[0])
            hide = rng if rng.random() < self.masking.context else None
            before = drop_tokens(before, rng, self.masking.drop)
            return self._answer(before, answer, after, hide, keep_start=kind == "classify")
        text = self._known(self.ids(field(row, "text")), row, "text")
        if clean:
            return _unmasked(self._window(text, rng)[0])
        if draw < self.masking.clean + self.masking.tail:
            return self._tail(text, rng)
        return self._infill(self._window(text, rng)[0], rng)

    def batch(
        self, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int], with_lengths: bool = False
    ) -> dict[str, Tensor]:
        """Batch of :meth:`example` for every row and its seed; see :meth:`collate`.

        Raises:
            ValueError: There is no row, not one seed for each row, or a row is wrong.
        """
        if len(rows) != len(seeds):
            raise ValueError(f"seeds must hold one integer for each of the {len(rows)} rows, got {len(seeds)}")
        return self.collate([self.example(row, seed) for row, seed in zip(rows, seeds, strict=True)], with_lengths)

    def collate(self, examples: Sequence[Example], with_lengths: bool = False) -> dict[str, Tensor]:
        """Batch of examples; see :func:`yanlm.tokenization.collation.collate`."""
        return collate(examples, pad=self.pad, mask=self.mask, form=self.form, with_lengths=with_lengths)

    def prompt(self, text: str, *, slots_per_mask: Sequence[int] | None = None, append: int = 0) -> Example:
        """Example to generate from; see :func:`yanlm.tokenization.prompts.prompt`."""
        return prompt(self.tokenizer, text, slots_per_mask, append, form=self.form, max_length=self.max_length)

    def _known(self, ids: list[int], row: Mapping[str, Any], name: str) -> list[int]:
        """Ids of a field, or the unknown token where the tokenizer drops all of it."""
        if ids or self.unknown:
            return ids or self.unknown
        raise ValueError(f"field {name!r} gives no token with this tokenizer: {row[name]!r:.60}; leave the row out")

    def _parts(self, row: Mapping[str, Any], kind: str) -> tuple[list[int], list[int], list[int]]:
        """What comes before the answer, the answer, and what comes after it."""
        answer = words(row, KINDS[kind][-1])
        if kind == "qa":
            context, question = words(row, "context", empty=True), words(row, "question", empty=True)
            asked = self.ids(f" {question}", "") if context and question else self.ids(question)
            if not (context or question):
                raise ValueError("context and question are both empty; a question needs at least one of them")
            return self.ids(context) + asked, self.ids(f" {answer}", ""), []
        text = words(row, KINDS[kind][0])
        if kind == "seq2seq" and (masks := MASKS.findall(text)):
            if len(masks) > 1:
                raise ValueError(f"source holds {len(masks)} masks, and target fills one; give one, or none at the end")
            (left, right), [space] = split_at_masks(text), spaces_at_masks(text)
            answer_ids = self.ids(f"{space}{answer}" if left else answer, left[-1:] or None)
            return self.ids(left, following=space), answer_ids, self.ids(right, "")
        return self.ids(text), self.ids(f" {answer}", ""), []

    def _answer(
        self,
        before: list[int],
        answer: list[int],
        after: list[int],
        rng: random.Random | None = None,
        keep_start: bool = False,
    ) -> Example:
        """An answer's example; with ``rng`` what comes before it is masked as well.

        Where there is no room for all of ``before``, what is nearest to the answer stays; a text that is to be
        classified keeps its start, which says more about it.
        """
        answer = answer[: self.pad_to or self.reserve]
        answer = answer + [self.pad] * ((self.pad_to or 0) - len(answer))
        room = self.max_length - (len(answer) if self.form == "slots" else 1)
        after = after[: max(room - len(before), room // 2)]
        cut = max(0, len(before) + len(after) - room)
        before = before[: len(before) - cut] if keep_start else before[cut:]
        if self.form == "separate":
            return Example([*before, self.mask, *after], answer, list(range(len(answer))), [len(answer)])
        hidden: list[int] = []
        if rng is not None and before:
            hidden = mask_spans(len(before), rng, rate=self.masking.context_rate, spans=self.masking.spans)
        slots = [*hidden, *range(len(before), len(before) + len(answer))]
        full = [*before, *answer, *after]
        return Example(self._hide(full, slots), full, slots, [*span_lengths(hidden), len(answer)])

    def _cloze(self, row: Mapping[str, Any]) -> Example:
        """A source with several masks, filled by as many targets."""
        source, targets = words(row, "source"), list(row["target"])
        if not targets or len(MASKS.findall(source)) != len(targets):
            raise ValueError(
                f"source holds {len(MASKS.findall(source))} masks and target {len(targets)} texts; give one for each"
            )
        parts, spaces = split_at_masks(source), [*spaces_at_masks(source), None]
        full = self.ids(parts[0], following=spaces[0])
        slots, spans = list[int](), list[int]()
        for left, target, right, space, following in zip(parts, targets, parts[1:], spaces, spaces[1:], strict=False):
            target = words({"target": target}, "target")
            ids = self.ids(f"{space}{target}" if full else target, left[-1:] if full else None) or self.unknown
            slots += range(len(full), len(full) + len(ids))
            spans.append(len(ids))
            full += ids + self.ids(right, "", following)
        cut = max(0, len(full) - self.max_length)
        if cut > (slots[0] if slots else 0):
            raise ValueError(f"source and targets make {len(full)} tokens, and the model takes {self.max_length}")
        full, slots = full[cut:], [slot - cut for slot in slots]
        return self._formed(full, slots, spans)

    def _infill(self, text: list[int], rng: random.Random) -> Example:
        slots = mask_spans(len(text), rng, rate=self.masking.rate, spans=self.masking.spans)
        return self._formed(text, slots, span_lengths(slots))

    def _formed(self, text: list[int], slots: list[int], spans: list[int]) -> Example:
        """A text with masked spans in the builder's form."""
        example = Example(self._hide(text, slots), text, slots, spans)
        if self.form == "slots":
            return example
        return Example(collapse(example), text, list(range(len(text))), spans)

    def _hide(self, ids: list[int], slots: Sequence[int]) -> list[int]:
        masked = set(slots)
        return [self.mask if i in masked else id for i, id in enumerate(ids)]

    def _tail(self, text: list[int], rng: random.Random) -> Example:
        """The end of a text as its answer."""
        text, ends = self._window(text, rng)
        longest = min(self.masking.tail_max, self.reserve, self.pad_to or self.reserve)
        count = len(mask_tail(len(text), rng, longest=longest))
        if self.pad_to and not ends:
            count = min(self.pad_to, len(text) - 1)  # the text goes on, so padding would be wrong
        return self._answer(text[:-count], text[-count:], [])

    def _window(self, ids: list[int], rng: random.Random) -> tuple[list[int], bool]:
        """At most ``max_length`` tokens in a row, and whether the last is the text's."""
        start = rng.randint(0, max(0, len(ids) - self.max_length))
        return ids[start : start + self.max_length], start + self.max_length >= len(ids)

    def ids(self, text: str, before: str | None = None, following: str | None = None) -> list[int]:
        """Ids of a piece of a text; see :func:`yanlm.tokenization.pieces.encode_piece`."""
        return self._cache.ids(text, before, following)


def _unmasked(ids: list[int]) -> Example:
    return Example(ids, list(ids), [], [])
