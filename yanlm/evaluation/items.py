"""Held-out rows as a task asks them: the example, the text of every span, and what counts as right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from yanlm.data.rows import MASKS, kind_of
from yanlm.evaluation.held_out import Row, marked_text, mask_seed, masked_positions, writes_all
from yanlm.evaluation.own_text import own_text
from yanlm.tasks.task import Task, get_task
from yanlm.tokenization.collation import Example, Ids, collapse, split_spans, until_padding
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.pieces import decode_piece
from yanlm.tokenization.tokenizer import decode


class Item(NamedTuple):
    """A held-out row.

    Attributes:
        id: Its place among the rows.
        row: The row itself.
        example: Its example, with as many slots as the truth has tokens, or padded.
        source: Ids with one mask for each span.
        truth: Ids of each span, without padding.
        words: Text of each span.
        references: Texts that count as right: of the whole text for infilling, else of what is written.
        text: The true whole text.
        cut: Whether the row lost tokens of its text or answer to ``max_length`` or ``pad_to``.
        masked: The row's own text with a mask for each span, if decoding its ids would not give it back.
    """

    id: int
    row: Row
    example: Example
    source: Ids
    truth: list[Ids]
    words: list[str]
    references: list[str]
    text: str
    cut: bool
    masked: str | None = None


class Fill(NamedTuple):
    """What was written into the spans of an item.

    Attributes:
        spans: Ids of each span, without padding.
        fills: Text of each.
        text: The whole text.
    """

    spans: list[Ids]
    fills: list[str]
    text: str


def items(builder: Builder, rows: Sequence[Row], task: str | Task, places: Sequence[int] | None = None) -> list[Item]:
    """Items of rows; texts are masked as their place decides, the same for every model.

    Args:
        builder: Makes the examples.
        rows: Held-out rows.
        task: Theirs.
        places: Their places among all held-out rows; by default they are all.

    Raises:
        ValueError: There is no row, or one is not of the task or has no token to write.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> builder = Builder(train_tokenizer(["ab ab"], 258), max_length=16)
        >>> [item] = items(builder, [{"context": "a", "question": "b ?", "answer": "b"}], "qa")
        >>> masked_source(builder, item), item.references, item.cut
        ('a b ? <mask>', ['b'], False)
    """
    task = get_task(task)
    if not rows:
        raise ValueError(f"there are no held-out rows to evaluate the task {task.name} on")
    endless = builder.endless()
    places = range(len(rows)) if places is None else places
    return [_item(builder, endless, place, row, task) for place, row in zip(places, rows, strict=True)]


def _item(builder: Builder, endless: Builder, place: int, row: Row, task: Task) -> Item:
    try:
        if kind_of(row) != task.kind:
            raise ValueError(f"its fields are those of {kind_of(row)}, not of the task {task.name}")
        example = builder.example(row, mask_seed(place))
        if not example.slots:
            raise ValueError("no token of it is masked; evaluate with a masking that has clean=0")
        cut = endless.example(row, mask_seed(place)) != example
    except ValueError as error:
        raise ValueError(f"row {place + 1}: {error}") from None
    source = collapse(example, builder.form)
    truth = spans_of(builder, example, [example.target[slot] for slot in example.slots])
    words = [decode_piece(builder.tokenizer, span).strip() for span in truth]
    text, masked = joined(builder, source, truth), None
    if builder.form == "slots" and (text not in row["text"] if task.kind == "text" else not cut):
        own = own_text(builder.tokenizer, row, example.target, masked_positions(example, builder), example.spans)
        if own is not None and own[0].strip() != text:
            text, masked = own[0].strip(), own[1]
    references = [text] if task.references is None else task.references(row)
    if builder.pad_to is not None and task.kind != "text":
        cut = cut or len(builder.ids(f" {references[0]}", "")) > builder.pad_to
    return Item(place, row, example, source, truth, words, references, text, cut, masked)


def spans_of(builder: Builder, example: Example, tokens: Sequence[int]) -> list[Ids]:
    """Ids of each masked span among the tokens of all slots; padding ends a span.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> example = Example([7, 9, 9, 8, 9], [], slots=[1, 2, 4], spans=[2, 1])
        >>> spans_of(Builder(train_tokenizer(["ab ab"], 258)), example, [3, 5, 6])
        [[3, 5], [6]]
    """
    written = dict(zip(example.slots, tokens, strict=False))
    hidden = [written[place] for place in masked_positions(example, builder)]
    return split_spans(hidden, example.spans, builder.pad)


def joined(builder: Builder, source: Sequence[int], spans: Sequence[Ids]) -> str:
    """Text of a source with one mask for each span, with the spans in their places."""
    left = iter(spans)
    ids = [id for token in source for id in (next(left, []) if token == builder.mask else [token])]
    return decode(builder.tokenizer, ids).strip()


def filled(builder: Builder, item: Item, spans: list[Ids], text: str | None = None) -> Fill:
    """The fill of an item that these spans make."""
    fills = [decode_piece(builder.tokenizer, span).strip() for span in spans]
    if text is None and item.masked is not None:
        text = fill(builder.tokenizer, item.masked, spans).strip()
    return Fill(spans, fills, joined(builder, item.source, spans) if text is None else text)


def read_fill(builder: Builder, item: Item, prompt: Example, tokens: Ids) -> Fill:
    """The fill that the tokens of a prompt's slots make."""
    whole = until_padding(tokens, builder.pad) if writes_all(builder, prompt) else None
    text = None if whole is None else decode(builder.tokenizer, whole).strip()
    return filled(builder, item, spans_of(builder, prompt, tokens), text)


def masked_source(builder: Builder, item: Item) -> str:
    """The text for people, with ``<mask>`` for each span."""
    if item.masked is not None:
        return item.masked if MASKS.search(item.masked) else f"{item.masked} <mask>"
    spaced = (decode_piece(builder.tokenizer, span).startswith(" ") for span in item.truth)
    return marked_text(builder, item.source, (" <mask>" if space else "<mask>" for space in spaced))
