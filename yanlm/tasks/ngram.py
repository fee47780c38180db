"""A word n-gram model, which guesses the word between two pieces of text: what last-word completion has to beat."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from yanlm.tasks.metrics import check_texts

TOKENS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
"""Words, with their apostrophes, and single punctuation marks."""


class NGram:
    """Interpolated trigram of lower-cased words, which fills the gap between two pieces of text with one word.

    p(w | u, v) = a_1 f(w) + a_2 f(w | v) + a_3 f(w | u, v) with relative frequencies f. Orders whose history never
    occurred drop out, and the weights of the rest are scaled to sum to 1. The weights maximize the likelihood of every
    tenth text under the frequencies of the others; the frequencies that predict are those of all texts.

    Attributes:
        weights: a_1, a_2, a_3.

    Example:
        >>> model = NGram().fit(["The cat sat on the mat.", "The dog sat on the mat.", "A cat ran to the dog."])
        >>> model.predict("Then it sat on the", "."), model.predict("a", "ran")
        ('mat', 'cat')
    """

    def __init__(self) -> None:
        self.weights = (0.1, 0.3, 0.6)
        self._forms: dict[str, Counter[str]] = defaultdict(Counter)
        self._count([])

    def fit(self, texts: Sequence[str]) -> NGram:
        """Count the words of ``texts`` and choose the weights.

        Raises:
            ValueError: There is no word, or ``texts`` is one string.
            TypeError: One of the texts is none.
        """
        sentences = []
        for text in check_texts("texts", texts):
            tokens = TOKENS.findall(text)
            for token in tokens:
                self._forms[token.lower()][token] += 1
            sentences.append(["", "", *(token.lower() for token in tokens)])
        if not any(map(_is_word, self._forms)):
            raise ValueError("texts holds no word to learn an n-gram model from; give --data with training rows")
        if held_out := sentences[::10] if len(sentences) >= 10 else []:
            self._count([words for i, words in enumerate(sentences) if i % 10])
            self.weights = self._likeliest(held_out)
        self._count(sentences)
        return self

    def predict(self, context_words: str, next_words: str = "") -> str:
        """The word w that is likeliest between two pieces of text: argmax p(w | u, v) p(next | v, w).

        Args:
            context_words: The text before the word.
            next_words: The text after it, such as the full stop of a last word.

        Returns:
            One word, in the form in which it is most frequent; never punctuation.

        Raises:
            ValueError: The model was not fitted.
        """
        if not self._histories[()]:
            raise ValueError("the n-gram model has not counted any text; call fit(texts) first")
        *_, u, v = ["", "", *(token.lower() for token in TOKENS.findall(context_words))]
        after = [token.lower() for token in TOKENS.findall(next_words)][:1]
        fitting = self._before[after[0]] if after and after[0] in self._before else self._histories[()]
        options = dict.fromkeys([*self._followers((u, v)), *self._followers((v,)), *_top(fitting)])

        def likelihood(word: str) -> float:
            rest = self.probability(after[0], v, word) if after else 1.0
            return self.probability(word, u, v) * rest

        words = [word for word in options if _is_word(word)] or [word for word in self._forms if _is_word(word)]
        return self._forms[max(words, key=likelihood)].most_common(1)[0][0]

    def probability(self, word: str, u: str, v: str) -> float:
        """p(word | u, v), where "" stands for the beginning of a text."""
        total = mass = 0.0
        for weight, history in zip(self.weights, ((), (v,), (u, v)), strict=True):
            if count := self._totals.get(history):
                mass += weight
                total += weight * self._histories[history][word] / count
        return total / mass if mass else 0.0

    def _followers(self, history: tuple[str, ...]) -> Sequence[str]:
        return list(self._histories[history]) if history in self._histories else []

    def _count(self, sentences: Sequence[Sequence[str]]) -> None:
        """What follows each history of none, one and two words, and what stands before each word."""
        trigrams: Counter[tuple[str, str, str]] = Counter()
        for words in sentences:
            trigrams.update(zip(words, words[1:], words[2:], strict=False))
        histories: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        before: dict[str, Counter[str]] = defaultdict(Counter)
        for (u, v, word), count in trigrams.items():
            for history in ((), (v,), (u, v)):
                histories[history][word] += count
            before[word][v] += count
        self._histories, self._before = histories, before
        self._totals = {history: counts.total() for history, counts in histories.items()}

    def _likeliest(self, sentences: Sequence[Sequence[str]]) -> tuple[float, float, float]:
        """Weights by expectation maximization, on the words whose histories of every length are known."""
        by_length = []
        for words in sentences:
            for u, v, word in zip(words, words[1:], words[2:], strict=False):
                if (u, v) in self._totals and self._histories[()][word]:
                    by_length.append([self._histories[h][word] / self._totals[h] for h in ((), (v,), (u, v))])
        weights = np.array(self.weights)
        if by_length:
            frequencies = np.array(by_length)
            for _ in range(100):
                shares = weights * frequencies
                weights = (shares / shares.sum(1, keepdims=True)).mean(0)
        return float(weights[0]), float(weights[1]), float(weights[2])


def has_words(text: str) -> bool:
    """Whether a text has a word, which begins with a letter or digit.

    Example:
        >>> has_words("So!"), has_words("😀 ...")
        (True, False)
    """
    return any(map(_is_word, TOKENS.findall(text)))


def _is_word(token: str) -> bool:
    return token[:1].isalnum()


def _top(counts: Counter[str]) -> list[str]:
    return [word for word, _ in counts.most_common(100)]
