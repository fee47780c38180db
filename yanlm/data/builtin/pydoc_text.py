"""English prose that comes with every Python: the language reference in ``pydoc_data.topics``.

The topics are plain text made from reStructuredText. Headings, code, grammar and tables are left out. The rest is
joined into texts of 40 to 120 words. Validation and test are whole topics. If one of their paragraphs is repeated in
other topics, it is left out there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

from yanlm.data.rows import DataError, Row

WORDS = (40, 120)
"""The number of words of a text: at least (or half of it, where a topic or a long sentence leaves no more), at most."""

_HELD_OUT = {"test": 0.08, "validation": 0.08}  # of all words
_LARGEST = 0.03  # of all words: a longer topic is for training, lest it be most of a held-out split
_BLANK = re.compile(r"\n\s*\n")
_CODE = re.compile(r"::=|>>>|^[^\S\n]*+[+|]", re.M)  # grammar, a session of the interpreter, a table
_ITEM = re.compile(r"\n(?=[^\S\n]*+[*•] )")
_RULE = re.compile(r"[=*\-~^\"'+#]{3,}")
_SENTENCE_END = re.compile(r"(?:(?<=[.!?:])|(?<=[.!?:][\"')]))\s+(?=[A-Z\"'(])")
_WORD = re.compile(r"[\"'(“‘]*+[A-Za-z][A-Za-z’'\-]*+[\"')”’]*+[.,;:!?]*+[\"')”’]*+")
_MARKUP = (
    (re.compile(r"(?<=\w)-\n\s*(?=\w)"), "-"),  # a word broken at its hyphen
    (re.compile(r"^\s*(?:[*•\-]|\d+\.|\[\d+\])\s+"), ""),  # the sign of a list or footnote
    (re.compile(r"(?<!\s)\s*+\[\d++\]"), ""),  # a reference to a footnote
    (re.compile(r"(?<![\w\"'*])\*{1,2}(\w(?:[^*\"]*\w)?)\*{1,2}(?![\w\"'*])"), r"\1"),  # emphasis
    (re.compile(r"[“”]"), '"'),
    (re.compile(r"[‘’]"), "'"),
    (re.compile(r"\s+"), " "),
)


def pydoc_rows() -> dict[str, list[Row]]:
    """The texts of the splits ``train``, ``validation`` and ``test``, each row a ``{"text"}``.

    Raises:
        DataError: This Python was installed without ``pydoc_data``.

    Example:
        >>> rows = pydoc_rows()
        >>> sorted(rows), len(rows["train"]) > 300
        (['test', 'train', 'validation'], True)
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        missing = "builtin:pydoc: this Python was installed without the module pydoc_data.topics"
        raise DataError(f"{missing}; use builtin:rooms or a file of text") from error
    return split_topics(topics)


def split_topics(topics: Mapping[str, str]) -> dict[str, list[Row]]:
    """Texts by split: topics in the order of their hashes fill test, then validation, then train.

    Example:
        >>> split_topics({"a": "Too short."})
        {'test': [], 'validation': [], 'train': []}
    """
    prose = {name: list(paragraphs(text)) for name, text in topics.items()}
    size = {name: sum(len(text.split()) for text in texts) for name, texts in prose.items()}
    total = sum(size.values())
    names = sorted(prose, key=lambda name: hashlib.blake2b(name.encode()).digest())
    splits: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for split in ("test", "validation", "train"):
        room = _HELD_OUT.get(split, 1.0) * total
        chosen = []
        for name in names:
            if split == "train" or (room > 0 and size[name] <= _LARGEST * total):
                chosen.append(name)
                room -= size[name]
        names = [name for name in names if name not in chosen]
        splits[split] = []
        for name in chosen:
            splits[split] += [{"text": text} for text in joined([text for text in prose[name] if text not in seen])]
            seen.update(prose[name])
    return splits


def paragraphs(topic: str) -> Iterator[str]:
    """The prose of a topic, paragraph by paragraph and without markup.

    Example:
        >>> topic = '''The "pass" statement
        ... ********************
        ...
        ...    pass_stmt ::= "pass"
        ...
        ... "pass" is a *null* operation: when it is executed, nothing
        ... happens. It is useful as a place-
        ... holder. [1]
        ... '''
        >>> list(paragraphs(topic))
        ['"pass" is a null operation: when it is executed, nothing happens. It is useful as a place-holder.']
    """
    for block in _BLANK.split(topic):
        lines = [line.strip() for line in block.strip().splitlines()]
        if any(_RULE.fullmatch(line) for line in lines) or _CODE.search(block):
            continue  # a heading, or no prose
        for item in _ITEM.split(block):
            text = item
            for pattern, plain in _MARKUP:
                text = pattern.sub(plain, text)
            if _is_prose(text.strip()):
                yield text.strip()


def _is_prose(text: str) -> bool:
    """Whole sentences in which at least four tokens in five are words: code and signatures are not."""
    tokens = text.split()
    words = sum(_WORD.fullmatch(token) is not None for token in tokens)
    whole = text[:1].isupper() or text[:1] in "\"'("
    return len(tokens) >= 6 and whole and text[-1] in '.!?:)"' and words >= 0.8 * len(tokens)


def joined(texts: list[str]) -> list[str]:
    """Paragraphs of one topic joined, or cut between sentences, into texts of 40 to 120 words.

    Example:
        >>> [len(text.split()) for text in joined(["One two three four five."] * 30)]
        [40, 40, 40, 30]
    """
    least, most = WORDS
    done: list[str] = []
    words: list[str] = []
    for text in texts:
        sentences = _SENTENCE_END.split(text)
        for sentence in sentences[: -1 if text.endswith(":") else None]:  # what the colon announced was left out
            if words and len(words) + len(sentence.split()) > most:
                done.append(" ".join(words))
                words = []
            words += sentence.split()
        if len(words) >= least:
            done.append(" ".join(words))
            words = []
    done.append(" ".join(words))
    return [text for text in done if least // 2 <= len(text.split()) <= most]
