"""Scores of texts without a model: answers, overlap, diversity, and the uncertainty of a mean."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from moefm.installation import install

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """``text`` as SQuAD v1.1 compares answers: lower case, no punctuation, no articles, single spaces.

    Example:
        >>> normalize("The  Eiffel Tower, (in a park).")
        'eiffel tower in park'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalized prediction equals one of the normalized references, else 0, as in SQuAD v1.1.

    Two texts without a word left are equal.

    Raises:
        ValueError: There is no reference, or ``references`` is one string.
        TypeError: The prediction or a reference is no text.

    Example:
        >>> exact_match("The attic.", ["hall", "attic"])
        1.0
    """
    return _best(lambda text, reference: float(text == reference), prediction, references)


def f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the words that prediction and reference share (with repeats) after normalization; the best reference.

    As in SQuAD v1.1, F1 is 0 if no word is shared. This includes two empty texts, whose exact match is 1.

    Raises:
        ValueError: There is no reference, or ``references`` is one string.
        TypeError: The prediction or a reference is no text.

    Example:
        >>> f1("in the old attic", ["the attic"]), f1("the", ["a"])
        (0.5, 0.0)
    """
    return _best(lambda text, reference: _f1(text.split(), reference.split()), prediction, references)


def _best(score: Callable[[str, str], float], prediction: str, references: Sequence[str]) -> float:
    """The best score of a text with any of the references, all of them normalized."""
    [text] = check_texts("prediction", [prediction])
    known = check_texts("references", references)
    if not known:
        raise ValueError("references must be a list of at least one text, got an empty one")
    return max(score(normalize(text), normalize(reference)) for reference in known)


def _f1(prediction: list[str], reference: list[str]) -> float:
    """2 P R / (P + R) = 2 shared / (words of both), and 0 where nothing is shared."""
    shared = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * shared / (len(prediction) + len(reference)) if shared else 0.0


def rouge_reads(text: str) -> bool:
    """Whether ROUGE can judge a reference: the package rouge-score only keeps the letters a to z and digits.

    True if these are at least half of the letters and digits of ``text``. In Russian, or in Japanese text with a name
    in Latin letters, they are fewer, and ROUGE would depend on the little that is left.

    Example:
        >>> [rouge_reads(text) for text in ("the 2 cats", "déjà vu", "Кот сидел", "猫は IBM を見た。", "?!")]
        [True, True, False, False, False]
    """
    characters = [character for character in text.lower() if character.isalnum()]
    read = sum(character.isascii() for character in characters)
    return 0 < len(characters) <= 2 * read


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """ROUGE-1 and ROUGE-L F-measure of every text, in [0, 1], by the package rouge-score without stemming.

    Its words are runs of a to z and digits in the lower-cased text; everything else separates them. A reference without
    such words scores 0, whatever the prediction: leave out what :func:`rouge_reads` does not read.

    Returns:
        Lists ``"rouge1"`` and ``"rougeL"`` with a value for each text.

    Raises:
        ValueError: There is not one reference for each prediction.
        TypeError: One of them is no text.

    Example:
        >>> {kind: [round(x, 2) for x in values] for kind, values in rouge(["the cat sat"], ["the cat ran"]).items()}
        {'rouge1': [0.67], 'rougeL': [0.67]}
    """
    from rouge_score.rouge_scorer import RougeScorer

    texts, known = check_texts("predictions", predictions), check_texts("references", references)
    check_pairs(texts, known)
    scorer = RougeScorer(["rouge1", "rougeL"])
    pairs = [scorer.score(reference, text) for text, reference in zip(texts, known, strict=True)]
    return {kind: [float(pair[kind].fmeasure) for pair in pairs] for kind in ("rouge1", "rougeL")}


def rouge_best(text: str, references: Sequence[str]) -> dict[str, float]:
    """ROUGE-1 and ROUGE-L F-measure with the best reference that ROUGE can read; nothing if it can read none.

    Example:
        >>> rouge_best("the cat", ["a dog", "the cat", "кот"]), rouge_best("кот", ["кот"])
        ({'rouge1': 1.0, 'rougeL': 1.0}, {})
    """
    known = list(filter(rouge_reads, check_texts("references", references)))
    return {kind: max(values) for kind, values in rouge([text] * len(known), known).items() if values}


def check_pairs(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    """Raise ``ValueError`` unless there is one reference for each prediction."""
    if len(predictions) != len(references):
        given = f"{len(references)} for {len(predictions)}"
        raise ValueError(f"references must be a list of one text for each prediction, got {given}")


def check_texts(name: str, texts: Iterable[str]) -> list[str]:
    """``texts`` as a list.

    Raises:
        ValueError: They are a single text, or have no members.
        TypeError: One of them is no text.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        given = f"one {type(texts).__name__}; put it into a list" if isinstance(texts, str) else f"{texts!r:.60}"
        raise ValueError(f"{name} must be a list of texts, got {given}")
    listed = list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            where = f" at position {place}" if len(listed) > 1 else ""
            raise TypeError(f"{name} must hold texts, got {type(text).__name__}{where}: {text!r:.60}")
    return listed


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Dist-n: distinct n-grams of words over all n-grams of all texts, in [0, 1]; 0 if no text has n words.

    Raises:
        ValueError: ``n`` is below 1, or ``texts`` is one string.
        TypeError: One of the texts is none.

    Example:
        >>> distinct(["a b a b"]), distinct(["a b c"]), distinct(["a"])
        (0.6666666666666666, 1.0, 0.0)
    """
    from moefm.checks import check_count  # here, since moefm loads torch

    check_count("n", n)
    words = [text.split() for text in check_texts("texts", texts)]
    grams = [tuple(line[i : i + n]) for line in words for i in range(len(line) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU of each text against all others, in [0, 1]: 1 if all are equal, lower the more they differ.

    BLEU is sacreBLEU's of sentences: exponential smoothing, and n-grams up to the length of the text. A text without
    words, whose BLEU would be 0, has 1 if there is another and 0 if there is none. The cost grows
    with the square of the number of texts, so compare samples of one prompt, not a whole test set.

    Raises:
        ValueError: There are fewer than two texts, or sacrebleu is not installed.
        TypeError: One of the texts is none.

    Example:
        >>> self_bleu(["the cat sat on the mat"] * 2), self_bleu(["", ""]), self_bleu(["", "the cat"])
        (1.0, 1.0, 0.0)
    """
    texts = check_texts("texts", texts)
    if len(texts) < 2:
        raise ValueError(f"texts must be a list of at least two for self-BLEU, got {texts!r:.60}")
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise ValueError(f"self-BLEU needs the package sacrebleu; {install('eval')}") from None

    bleu = BLEU(smooth_method="exp", effective_order=True)
    others = ([*texts[:i], *texts[i + 1 :]] for i in range(len(texts)))
    scores = [
        bleu.sentence_score(text, rest).score if text.strip() else 100.0 * any(not other.strip() for other in rest)
        for text, rest in zip(texts, others, strict=True)
    ]
    return min(1.0, float(np.mean(scores)) / 100)


def bootstrap(values: Sequence[float], *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean: the middle ``level`` of the means of ``draws`` samples with replacement.

    Args:
        values: One score for each example.
        level: Share of the means inside the interval, in (0, 1).
        draws: Number of samples.
        seed: Seed of the draws; the same values, seed and draws give the same interval.

    Returns:
        Lower and upper end; both are the value where there is one only.

    Raises:
        ValueError: There is no value, one is no finite number, or an option is out of its range.

    Example:
        >>> bootstrap([1.0]), bootstrap([0.0, 1.0] * 50)
        ((1.0, 1.0), (0.4, 0.6))
    """
    from moefm.checks import check_count

    check_count("draws", draws)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    try:
        data = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):  # texts, lists of different lengths
        data = np.empty(0)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"values must hold at least one number, and finite ones alone, got {values!r:.60}")
    if len(data) == 1:
        return float(data[0]), float(data[0])
    rng = np.random.default_rng(seed)
    means = [data[rng.integers(len(data), size=len(data))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
