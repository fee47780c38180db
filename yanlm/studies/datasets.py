"""Table 2 of the paper for any data: how many rows there are, and how long they are in words and in tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.rows import KINDS, DataError
from yanlm.figures import printed
from yanlm.studies.tools.study import Json, Study, markdown
from yanlm.tokenization.llama3 import llama3_file
from yanlm.tokenization.specs import tokenizer_of, trained_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedTokenizerFast

Counts = tuple[float, float, float]
"""Smallest, mean and largest."""

PAPER: dict[str, tuple[str, str, Counts, Counts]] = {
    "finewikifineweb": ("FineWiki + FineWeb", "8.7M", (7, 501.16, 1770), (20, 769.67, 2048)),
    "narrativeqa": ("NarrativeQA", "46.8k", (212, 600.74, 1048), (267, 765.88, 1406)),
    "rocstories": ("ROCStories", "98.2k", (19, 43.96, 71), (26, 53.19, 88)),
    "simplestories": ("SimpleStories", "2.1M", (42, 225.77, 606), (55, 280.65, 754)),
    "babi": ("bAbI", "11k", (17, 38.05, 65), (32, 59.33, 92)),
    "squad": ("SQuAD", "98.2k", (34, 139.53, 599), (56, 191.53, 787)),
    "agnews": ("AG News", "127.6k", (17, 43.75, 162), (31, 64.47, 227)),
    "dbpedia": ("DBpedia", "630k", (9, 54.69, 226), (23, 86.48, 303)),
    "sst2": ("SST-2", "68.2k", (5, 12.89, 49), (15, 24.94, 69)),
}
"""The paper's rows of Table 2, by name: size, words, tokens of LLaMA-3."""

TRAINED = "bpe:8192"
"""The tokenizer if LLaMA-3's is not installed: one for each data set, trained on it."""

_TOGETHER = 1000


def datasets_study(
    study: Study,
    specs: Sequence[str],
    *,
    tokenizer: str | None = None,
    text_column: str | None = None,
) -> Json:
    """Number of rows, and words and tokens of a row, of each data set, next to the paper's numbers if the paper has it.

    Args:
        study: Its folder.
        specs: Each as :func:`yanlm.data.corpus.load_corpus` takes it.
        tokenizer: ``bpe:SIZE`` or ``words:SIZE``, trained on each data set, or what
            :func:`yanlm.tokenization.tokenizer.load_tokenizer` takes; by default ``llama3`` if it is installed, else
            ``bpe:8192``.
        text_column: Name of the text's column in files.

    Raises:
        ValueError: A data set or the tokenizer cannot be read.
    """
    if not specs:
        raise DataError("no data named; give a file, builtin:rooms, builtin:pydoc, hf:NAME or paper")
    tokenizer = tokenizer or _default_tokenizer()
    study.begin({"tokenizer": tokenizer, "text_column": text_column})
    sets: dict[str, Json] = {}
    for spec in specs:
        corpus = load_corpus(spec, text_column=text_column, on_note=study.say)
        sets[spec] = study.piece(f"{spec}, {corpus.fingerprint[:12]}", partial(_measured, corpus, tokenizer))
    for spec, counts in sets.items():
        if counts["streamed"]:
            study.note(f"{spec} is a stream: its size is unknown, and its lengths are those of {counts['rows']} rows")
    words = (
        f"Size (all splits), and words and tokens of a row: its text, or context, question and answer. "
        f"Tokenizer: {tokenizer}{', trained on each data set' if trained_size(tokenizer) else ''}."
    )
    return study.finish("Data sets", words, {"": _table(sets)}, datasets_figure(sets), sets)


def lengths_of(rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerFast) -> dict[str, list[float]]:
    """Smallest, mean and largest number of words and of tokens of a row.

    Example:
        >>> tokenizer = tokenizer_of("bpe:258", lambda: ["a b"])
        >>> lengths_of([{"text": "a b"}, {"context": "a", "question": "b c ?", "answer": "d"}], tokenizer)["words"]
        [2, 3.5, 5]
    """
    texts = [whole_text(row) for row in rows]
    words = [len(text.split()) for text in texts]
    tokens: list[int] = []
    for start in range(0, len(texts), _TOGETHER):  # many at once are several times faster than one by one
        batch = tokenizer(texts[start : start + _TOGETHER], add_special_tokens=False, split_special_tokens=True,
                          return_attention_mask=False, verbose=False)  # fmt: skip
        tokens += map(len, batch["input_ids"])
    return {"words": _range(words), "tokens": _range(tokens)}


def whole_text(row: Mapping[str, Any]) -> str:
    """The text of a row that a model reads and writes, without a label.

    Example:
        >>> whole_text({"text": "Dull .", "label": "negative"}), whole_text({"source": "<mask> .", "target": ["a"]})
        ('Dull .', '<mask> . a')
    """
    fields = next(fields for fields in KINDS.values() if all(field in row for field in fields))
    values = [row[field] for field in fields if field != "label"]
    return " ".join(value if isinstance(value, str) else " ".join(value) for value in values)  # a cloze has several


def papers_row(spec: str) -> str | None:
    """Key of the paper's row that a spec names, if it does.

    Example:
        >>> papers_row("data/ag_news/train.jsonl.gz"), papers_row("hf:stanfordnlp/sst2"), papers_row("stories.txt")
        ('agnews', 'sst2', None)
    """
    parts = {re.sub(r"[^a-z0-9]", "", part.split(".")[0]) for part in re.split(r"[/:\\]", spec.lower())}
    return "finewikifineweb" if spec == "paper" else next((key for key in PAPER if key in parts), None)


def _default_tokenizer() -> str:
    try:
        llama3_file()
    except ValueError:
        return TRAINED
    return "llama3"


def _measured(corpus: Corpus, tokenizer: str) -> Json:
    rows = [*(corpus.rows or []), *corpus.validation, *corpus.test]
    known = corpus.rows or rows
    lengths = lengths_of(rows, tokenizer_of(tokenizer, lambda: map(whole_text, known[:200_000])))
    return {"rows": len(rows), "streamed": corpus.rows is None, "kind": corpus.kind, **lengths}


def _range(values: Sequence[int]) -> list[float]:
    return [min(values), sum(values) / len(values), max(values)]


def _table(sets: Mapping[str, Json]) -> str:
    head = ["data", "rows", "words: min", "mean", "max", "tokens: min", "mean", "max"]
    rows = []
    for spec, counts in sets.items():
        size = "stream" if counts["streamed"] else f"{counts['rows']:,}"
        rows.append([spec, size, *_cells(counts["words"]), *_cells(counts["tokens"])])
        if key := papers_row(spec):
            name, size, words, tokens = PAPER[key]
            rows.append([f"{name}, paper", size, *_cells(words), *_cells(tokens)])
    return markdown(head, rows)


def _cells(counts: Sequence[float]) -> list[str]:
    low, mean, high = counts
    return [f"{low:.0f}", f"{mean:.1f}", f"{high:.0f}"]


def datasets_figure(sets: Mapping[str, Json]) -> Figure:
    """A line from the shortest to the longest row of each data set, in tokens; a dot at the mean."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import PALETTE

    figure = Figure(figsize=(9.0, 1.5 + 0.5 * len(sets)), layout="constrained")
    ax = figure.subplots()
    for place, (spec, counts) in enumerate(sets.items()):
        paper = papers_row(spec)
        ranges = [("here", counts["tokens"], PALETTE[0], 0.0 if paper is None else -0.14)]
        ranges += [("paper", PAPER[paper][3], PALETTE[1], 0.14)] if paper else []
        for label, (low, mean, high), colour, shift in ranges:
            ax.plot([low, high], [place + shift] * 2, color=colour, linewidth=3, alpha=0.55, solid_capstyle="butt")
            marker = "o" if label == "here" else "D"
            ax.plot([mean], [place + shift], marker, color=colour, markersize=6, label=label)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    names = [printed(spec if len(spec) <= 40 else f"...{spec[-37:]}") for spec in sets]
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(sets) - 0.5, -0.5)
    ax.set_xlabel("tokens a row: shortest to longest, the mean marked")
    ax.grid(alpha=0.25, axis="x", which="both")
    known = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if len(known) > 1:
        figure.legend(known.values(), known.keys(), loc="outside upper right", ncols=2, fontsize=9, frameon=False)
    return figure
