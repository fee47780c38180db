"""Tasks whose words have to agree: rows with masks, the right answers to each, and how completed texts are judged.

An answer has one or several parts (a group of codes, a statement), each right or wrong on its own. All right answers to
a part are equally likely, and parts are independent, so the scores of chance and of a perfect writer are known exactly.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from yanlm.data.builtin.setting import check_settings, in_order, setting
from yanlm.data.rows import MASKS

BOUND_ROWS = 300
"""Number of test rows over which a bound is averaged, unless rows are given."""


@dataclass(frozen=True, kw_only=True)
class Puzzle(ABC):
    """One task and its settings; see :func:`yanlm.data.builtin.puzzles.puzzle` for the way to write them.

    Attributes:
        name: As in ``builtin:NAME``.
        tokenizer: A tokenizer in which every word of an answer is a single token.
        by_parts: Whether ``valid`` counts parts, or texts in which every part is right.
        train: Number of training rows of ``builtin:NAME``; 0 for the default of all built-in tasks.
    """

    name: ClassVar[str]
    tokenizer: ClassVar[str] = "words:512"
    by_parts: ClassVar[bool] = False

    train: int = setting(0, range(10_000_001))

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def spec(self) -> str:
        """Its name for ``--data``, with the settings that differ from the defaults.

        Example:
            >>> from yanlm.data.builtin.codes import Codes
            >>> Codes(vocabulary=64, groups=4).spec
            'builtin:codes:vocabulary=64,groups=4'
        """
        values = [(item, getattr(self, item.name)) for item in in_order(self)]
        changed = ",".join(f"{item.name}={value}" for item, value in values if value != item.default)
        return f"builtin:{self.name}" + (f":{changed}" if changed else "")

    @abstractmethod
    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        """Rows of a source with masks and the target, the words in their places.

        The first rows are the same whatever ``n`` is.

        Args:
            split: ``train``, ``validation`` or ``test``.
            n: How many rows.
            seed: Which rows; the same seed gives the same rows everywhere.

        Raises:
            ValueError: The split is unknown or n is negative.
        """

    @abstractmethod
    def answers(self, text: str) -> tuple[str | None, ...]:
        """Which right answer each part of a text gives, or None for a wrong part; any text is accepted."""

    @abstractmethod
    def choices(self, source: str) -> tuple[int, ...]:
        """How many right answers each part has."""

    @abstractmethod
    def chances(self, source: str) -> tuple[float, ...]:
        """How often each part is right if every slot is drawn independently from its exact distribution."""

    @abstractmethod
    def draw(self, source: str, rng: random.Random) -> str:
        """The source completed correctly, all right answers being equally likely."""

    def valid(self, text: str) -> bool:
        """Whether a completed text is right in every part."""
        answers = self.answers(text)
        return bool(answers) and None not in answers

    def answer_key(self, text: str) -> str:
        """Which of the right answers a text gives; '' if it is wrong."""
        return " ".join(str(answer) for answer in self.answers(text)) if self.valid(text) else ""

    @cached_property
    def bound(self) -> float:
        """The ``valid`` of :meth:`bounds` over test rows."""
        return self.bounds()["valid"]

    def bounds(self, sources: Sequence[str] | None = None) -> dict[str, float]:
        """The factorized bound: the scores by :meth:`judge` of a writer who draws every slot independently.

        The writer knows the exact distribution of each slot given the source, but not how slots depend on one another.

        Args:
            sources: Those to complete; by default those of test rows.

        Example:
            >>> from yanlm.data.builtin.codes import Codes
            >>> Codes(vocabulary=16).bounds() == {"valid": 16**-3, "all": 16**-6, "parts": 16**-3}
            True
        """
        if sources is None:
            sources = [row["source"] for row in self.rows("test", BOUND_ROWS)]
        known = {source: self.chances(source) for source in dict.fromkeys(sources)}
        chances = [known[source] for source in sources]
        parts = sum(map(sum, chances)) / max(1, sum(map(len, chances)))
        whole = sum(map(math.prod, chances)) / max(1, len(chances))
        return {"valid": parts if self.by_parts else whole, "all": whole, "parts": parts}

    def judge(self, sources: Sequence[str], texts: Sequence[Sequence[str]]) -> dict[str, float]:
        """How right and how varied the completed texts of each source are.

        A text that changes what its source shows is wrong. Variety is measured among the right answers alone.

        Args:
            sources: Texts with masks.
            texts: For each source its completed texts.

        Returns:
            ``valid``, the share that is right: of the parts if the task counts them, else of the texts; ``all``, the
            share of texts, and ``parts``, that of parts; ``entropy`` of the right answers to each source, divided by
            the average entropy of as many draws by a perfect writer: 1 is as varied as the data.

        Raises:
            ValueError: There is not one list of texts for each source.
        """
        if len(sources) != len(texts):
            raise ValueError(f"texts must hold one list for each of the {len(sources)} sources, got {len(texts)}")
        right = {"all": 0, "parts": 0}
        total = {"all": 0, "parts": 0}
        chosen: dict[tuple[str, int], Counter[str]] = {}
        sizes: dict[tuple[str, int], int] = {}
        for source, written in zip(sources, texts, strict=True):
            choices = self.choices(source)
            units = choices if self.by_parts else (math.prod(choices),)
            sizes |= {(source, place): size for place, size in enumerate(units)}
            for text in written:
                answers = self._answers_to(source, text, len(choices))
                whole = None if None in answers else " ".join(map(str, answers))
                for name, given in (("all", (whole,)), ("parts", answers)):
                    right[name] += sum(answer is not None for answer in given)
                    total[name] += len(given)
                for place, answer in enumerate(answers if self.by_parts else (whole,)):
                    if answer is not None:
                        chosen.setdefault((source, place), Counter())[answer] += 1
        shares = {name: right[name] / max(1, total[name]) for name in right}
        variety = _variety([(counts, sizes[place]) for place, counts in chosen.items()])
        return {"valid": shares["parts" if self.by_parts else "all"], **shares, "entropy": variety}

    def _answers_to(self, source: str, text: str, parts: int) -> tuple[str | None, ...]:
        """The answers of a text; none is right if the text is no completion of the source."""
        answers = self.answers(text) if completes(source, text) else ()
        return answers if len(answers) == parts else (None,) * parts


def completes(source: str, text: str) -> bool:
    """Whether a text is its source with one word for every mask.

    Example:
        >>> completes("1 <mask> . <mask> 1 .", "1 2 . 2 1 ."), completes("1 <mask> .", "2 1 .")
        (True, False)
    """
    shown, written = source.split(), text.split()
    return len(shown) == len(written) and all(
        word == other or MASKS.fullmatch(word) for word, other in zip(shown, written, strict=True)
    )


def completed(source: str, words: Sequence[str]) -> str:
    """The source with these words for its masks.

    Raises:
        ValueError: There is not one word for each mask.

    Example:
        >>> completed("<mask> is in the <mask> .", ["Mary", "attic"])
        'Mary is in the attic .'
    """
    if len(words) != (masks := len(MASKS.findall(source))):
        raise ValueError(f"words must hold one for each of the {masks} masks, got {len(words)}")
    left = iter(words)
    return MASKS.sub(lambda _: next(left), source)


def _variety(chosen: Sequence[tuple[Counter[str], int]]) -> float:
    """Entropy of counts of right answers over the entropy expected of even draws, both summed over all places."""
    expected = math.fsum(expected_entropy(counts.total(), size) for counts, size in chosen)
    if expected == 0:  # nothing right, or a single answer wherever there is more than one draw
        return float(bool(chosen))
    return math.fsum(_entropy(counts) for counts, _ in chosen) / expected


def _entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return -math.fsum(count / total * math.log(count / total) for count in counts.values())


@lru_cache(maxsize=4096)
def expected_entropy(draws: int, choices: int) -> float:
    r"""Mean entropy, in nats, of the counts of ``draws`` even draws from ``choices``.

    .. math:: -N \sum_{k=1}^{n} \binom{n}{k} N^{-k} (1 - 1/N)^{n-k} \frac{k}{n} \log\frac{k}{n}

    Example:
        >>> round(expected_entropy(2, 2) / math.log(2), 9), expected_entropy(5, 1)
        (0.5, 0.0)
    """
    if choices == 1 or draws < 2:
        return 0.0
    miss, hit = math.log1p(-1 / choices), -math.log(choices)
    terms = []
    for k in range(1, draws):
        log_ways = math.lgamma(draws + 1) - math.lgamma(k + 1) - math.lgamma(draws - k + 1)
        terms.append(math.exp(log_ways + (k - 1) * hit + (draws - k) * miss) * k / draws * math.log(draws / k))
    return math.fsum(terms)
