"""Corpora: what ``--data`` names, as rows for training, validation and test.

A spec is ``builtin:NAME``, with settings as in ``builtin:codes:groups=4``, a file, ``hf:NAME[:CONFIG][:SPLIT]`` (read
as a stream) or ``paper``. If it exists as a path, it is read as a path. Several specs are mixed by their weights,
written at the end: ``stories.txt@0.75``.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from yanlm.data.row_store import digests, kinds_of
from yanlm.data.rows import Columns, DataError, Row, kind_of
from yanlm.data.sources import Say, Source, read_source
from yanlm.data.specs import weighted_specs

__all__ = ["Corpus", "Source", "corpus_of", "load_corpus", "read_sources"]


@dataclass(frozen=True)
class Corpus:
    """Rows for training and held-out rows, from one or several sources.

    Attributes:
        sources: The parts, each with its own rows or stream.
        weights: The share of the training rows drawn from each source; they sum to 1.
        kind: ``text``, ``qa``, ``classify``, ``seq2seq``, or ``mixed``.
        skipped: What could not be used, as ``file:line: reason``.
    """

    name: str
    sources: tuple[Source, ...]
    weights: tuple[float, ...]
    validation: list[Row] = field(repr=False)
    test: list[Row] = field(repr=False)
    kind: str
    skipped: list[str] = field(repr=False)

    @functools.cached_property
    def rows(self) -> Sequence[Row] | None:
        """All training rows, or None if a source is a stream."""
        parts = [source.rows for source in self.sources if source.rows is not None]
        if len(parts) < len(self.sources):
            return None
        return parts[0] if len(parts) == 1 else list(itertools.chain.from_iterable(parts))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hexadecimal, of the rows and weights, or of the specs if one is a stream.

        It is computed on first use, which takes a fifth of the time of reading the rows.
        """
        return _fingerprint(self.sources, self.weights)


def load_corpus(
    specs: str | Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    text_column: str | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    seed: int = 0,
    whole: bool = False,
    on_note: Say | None = None,
) -> Corpus:
    """Reads the corpus that one or several specs name.

    If the file is called ``train``, the files ``validation`` and ``test`` next to it hold the held-out rows. From any
    other file 5% of the rows go to each of the two. A hash of the text decides, so equal texts (for questions: all
    questions about one context) stay together. From a stream 200 rows go to each.

    Args:
        specs: What to read; see the module.
        weights: The share of the training rows drawn from each spec. By default each row in memory counts the same, or
            each spec if one of them is a stream.
        text_column: The name of the text's field in files and data sets, if it is not ``text``.
        source_field: The same, or with ``target_field`` the field of each row's ``source``.
        target_field: The field of each row's ``target``.
        seed: Seed of the worlds of ``builtin:rooms``.
        whole: Read data sets of the hub into memory, up to a million rows of each split.
        on_note: Called with each line that the user should see.

    Raises:
        DataError: A spec cannot be read; one line with the fault and the remedy. A ``ValueError``.

    Example:
        >>> corpus = load_corpus("builtin:rooms")
        >>> corpus.kind, len(corpus.rows), len(corpus.validation), len(corpus.test)
        ('qa', 20000, 500, 1000)
    """
    named = {"text_column": text_column, "source_field": source_field, "target_field": target_field}
    return corpus_of(*read_sources(specs, weights=weights, **named, seed=seed, whole=whole, on_note=on_note))


def read_sources(
    specs: str | Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    text_column: str | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    seed: int = 0,
    whole: bool = False,
    on_note: Say | None = None,
) -> tuple[str, list[Source], tuple[float, ...]]:
    """Reads the parts of a corpus; the arguments are those of :func:`load_corpus`.

    Returns:
        The corpus's name, its sources and their shares, as :func:`corpus_of` takes them.
    """
    texts = [specs] if isinstance(specs, str) else [str(spec) for spec in specs]
    if not texts:
        raise DataError("no data named; give a file, builtin:rooms, builtin:pydoc, hf:NAME or paper")
    say = on_note or (lambda note: None)
    parsed = weighted_specs(texts, weights)
    columns = _columns(text_column, source_field, target_field)
    sources = [read_source(text, columns, seed, say, whole) for text, _ in parsed]
    shares = _shares(sources, [weight for _, weight in parsed])
    if len(sources) > 1:
        say("rows are drawn from " + ", ".join(f"{s.name} {w:.3g}" for s, w in zip(sources, shares, strict=True)))
    return " + ".join(texts), sources, shares


def corpus_of(name: str, sources: Sequence[Source], weights: tuple[float, ...]) -> Corpus:
    """A corpus of sources that are read already.

    Example:
        >>> rows = [{"text": letter} for letter in "abc"]
        >>> corpus_of("letters", [Source("letters", rows[:1], rows[1:2], rows[2:])], (1.0,)).kind
        'text'
    """
    validation = [row for source in sources for row in source.validation]
    test = [row for source in sources for row in source.test]
    kinds = {kind for source in sources for kind in kinds_of(source.rows or ())}
    kinds |= {kind_of(row) for row in itertools.chain(validation, test)}
    return Corpus(
        name=name,
        sources=tuple(sources),
        weights=weights,
        validation=validation,
        test=test,
        kind=kinds.pop() if len(kinds) == 1 else "mixed",
        skipped=[fault for source in sources for fault in source.skipped],
    )


def _columns(text_column: str | None, source_field: str | None, target_field: str | None) -> Columns:
    if text_column is not None and source_field is not None:
        raise DataError("text_column and source_field both name the text; give one of --text-column and --source-field")
    text = source_field if text_column is None else text_column
    if target_field is None:
        return text
    if text is None:
        raise DataError(f"target_field is {target_field!r} without a source; give --source-field as well")
    if text == target_field:
        raise DataError(f"source_field and target_field are both {text!r}; --target-field must name another field")
    return text, target_field


def _shares(sources: list[Source], weights: list[float | None]) -> tuple[float, ...]:
    sizes = [len(source.rows) if source.rows is not None else 0 for source in sources]
    equal = [1.0 if 0 in sizes else float(size) for size in sizes]
    raw = [size if weight is None else weight for weight, size in zip(weights, equal, strict=True)]
    return tuple(weight / math.fsum(raw) for weight in raw)


def _fingerprint(sources: Iterable[Source], weights: tuple[float, ...]) -> str:
    digest = hashlib.sha256(repr([round(weight, 9) for weight in weights]).encode())
    for source in sources:
        if source.rows is None:
            digest.update(repr((source.name, source.columns)).encode())
        for rows in (source.rows or [], source.validation, source.test):
            digest.update(f"\n{len(rows)}\n".encode())
            for content in digests(rows) if source.rows is not None else ():
                digest.update(content)
    return digest.hexdigest()
