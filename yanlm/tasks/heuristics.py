"""Baselines that need no trained network: each learns from the training rows and answers the test rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import median_low
from typing import Any

import numpy as np

from yanlm.data.rows import MASKS
from yanlm.tasks.metrics import normalize
from yanlm.tasks.ngram import TOKENS
from yanlm.tasks.sentences import sentence_spans

Row = Mapping[str, Any]

_BATCH = 256  # test rows compared with all training rows at a time


def around_mask(source: str) -> tuple[str, str]:
    """What stands before and after the first mask.

    Example:
        >>> around_mask("Tom <mask>.")
        ('Tom ', '.')
    """
    before, *after = MASKS.split(source, maxsplit=1)
    return before, "".join(after)


def majority(train_answers: Sequence[str], n: int) -> list[str]:
    """The most frequent answer, n times; of equally frequent ones the first.

    Raises:
        ValueError: There is no answer.

    Example:
        >>> majority(["hall", "attic ", "attic"], 2)
        ['attic', 'attic']
    """
    _check_rows(train_answers)
    return [Counter(answer.strip() for answer in train_answers).most_common(1)[0][0]] * n


def neighbour(source: str) -> str:
    """The sentence before the mask or, if there is none, the one after it; an empty string without either.

    Example:
        >>> neighbour("It rained. Tom slept. <mask> Then he woke.")
        'Tom slept.'
    """
    before, after = around_mask(source)
    if spans := sentence_spans(before):
        return before[slice(*spans[-1])]
    return after[slice(*spans[0])] if (spans := sentence_spans(after)) else ""


def frequent_words(train_sentences: Sequence[str]) -> str:
    """The most frequent words, without articles, as many as the median sentence has.

    They carry no information. If they have a higher F1 than a model, the model's F1 does not mean much either.

    Raises:
        ValueError: There is no sentence.

    Example:
        >>> frequent_words(["The cat sat.", "A cat ran and ran.", "He ran."])
        'ran cat'
    """
    _check_rows(train_sentences)
    sentences = [normalize(sentence).split() for sentence in train_sentences]
    counts = Counter(word for words in sentences for word in words)
    length = median_low([len(words) for words in sentences])
    return " ".join(word for word, _ in counts.most_common(length))


def last_mentioned(train_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[str]:
    """The training answer that occurs last in each test row's context, or an empty string."""
    answers = {_spaced(row["answer"]): row["answer"].strip() for row in train_rows}
    first_words: dict[str, list[str]] = defaultdict(list)  # an answer can only occur where its first word does
    for answer in filter(None, answers):
        first_words[answer.split()[0]].append(answer)

    @cache  # several questions often share a context
    def last(context: str) -> str:
        spaced = _spaced(context)
        possible = (answer for word in set(spaced.split()) for answer in first_words.get(word, ()))
        return answers.get(_last(spaced, possible), "")

    return [last(row["context"]) for row in test_rows]


def _last(context: str, answers: Iterable[str]) -> str:
    """The known answer that occurs last in the context, or nothing.

    Example:
        >>> _last("Ann is in the hall . Bob went to the attic .", ["attic", "hall"])
        'attic'
    """
    padded = f" {context} "
    places = {answer: padded.rfind(f" {answer} ") for answer in answers}
    last = max(places, key=lambda answer: places[answer], default="")
    return last if last and places[last] >= 0 else ""


def _spaced(text: str) -> str:
    """Lower-cased words and punctuation with a space between any two."""
    return " ".join(TOKENS.findall(text.lower()))


def retrieval(train_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[str]:
    """The answer of the training row whose question and context are nearest to the test row's.

    Nearness is cos(questions) + cos(contexts) of TF-IDF vectors: a short question counts as much as a long context.

    Raises:
        ValueError: There is no training row.
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    _check_rows(train_rows)
    fields = ("question", "context")
    texts = (row[field] for row in train_rows for field in fields)
    vectors = TfidfVectorizer(token_pattern=TOKENS.pattern, sublinear_tf=True, dtype=np.float32).fit(texts)

    def parts(rows: Sequence[Row]) -> Any:
        return hstack([vectors.transform([row[field] for row in rows]) for field in fields], format="csr")

    known = parts(train_rows).T.tocsr()
    nearest = [
        (parts(test_rows[start : start + _BATCH]) @ known).toarray().argmax(1)
        for start in range(0, len(test_rows), _BATCH)
    ]
    return [train_rows[i]["answer"].strip() for batch in nearest for i in batch]


def logistic(train_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[str]:
    """Labels by logistic regression on TF-IDF weights of words and pairs of words.

    Raises:
        ValueError: There is no training row.
    """
    from sklearn.linear_model import LogisticRegression

    _check_rows(train_rows)
    labels = [row["label"].strip() for row in train_rows]
    if len(set(labels)) == 1:
        return labels[:1] * len(test_rows)
    if not test_rows:
        return []
    texts = [row["text"] for row in train_rows]
    try:
        vectors, known = _words_and_pairs(texts, 2 if len(texts) >= 1000 else 1)  # those of a single text cost time
    except ValueError:  # each is of a single text
        vectors, known = _words_and_pairs(texts, 1)
    model = LogisticRegression(C=10, max_iter=1000).fit(known, labels)
    return [str(label) for label in model.predict(vectors.transform([row["text"] for row in test_rows]))]


def _words_and_pairs(texts: Sequence[str], least: int) -> tuple[Any, Any]:
    """Vectors of the words and pairs of words that so many texts hold, and the texts as such vectors.

    Raises:
        ValueError: There is none.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(token_pattern=TOKENS.pattern, ngram_range=(1, 2), sublinear_tf=True, min_df=least)
    return vectors, vectors.fit_transform(texts)


def _check_rows(rows: Sequence[Any]) -> None:
    if not rows:
        raise ValueError("train_rows holds nothing to learn baselines from; give --data with training rows")
