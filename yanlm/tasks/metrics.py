"""Scores of texts that need no model: answers, overlap, diversity, and how sure a mean is."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

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
    """1 if the normalized prediction equals one of the normalized references, else 0.

    Raises:
        ValueError: There is no reference, or ``references`` is one string.

    Example:
        >>> exact_match("The attic.", ["hall", "attic"])
        1.0
    """
    return _best(lambda reference: float(normalize(prediction) == normalize(reference)), references)


def f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the words that prediction and reference share (with repeats) after normalization; the best reference.

    Two texts without a word left agree, so F1 is 1; against one that has words it is 0.

    Raises:
        ValueError: There is no reference, or ``references`` is one string.

    Example:
        >>> f1("in the old attic", ["the attic"])
        0.5
    """
    return _best(lambda reference: _f1(normalize(prediction).split(), normalize(reference).split()), references)


def _best(score: Callable[[str], float], references: Sequence[str]) -> float:
    if isinstance(references, str) or not references:
        raise ValueError(f"references must be a list of at least one text, got {references!r:.60}")
    return max(map(score, references))


def _f1(prediction: list[str], reference: list[str]) -> float:
    """2 P R / (P + R) = 2 shared / (words of both)."""
    if not prediction and not reference:
        return 1.0
    shared = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * shared / (len(prediction) + len(reference))


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """ROUGE-1 and ROUGE-L F-measure of every text, in [0, 1], without stemming.

    Returns:
        Lists ``"rouge1"`` and ``"rougeL"`` with a value for each text.

    Raises:
        ValueError: There is not one reference for each prediction.

    Example:
        >>> {kind: [round(x, 2) for x in values] for kind, values in rouge(["the cat sat"], ["the cat ran"]).items()}
        {'rouge1': [0.67], 'rougeL': [0.67]}
    """
    from rouge_score.rouge_scorer import RougeScorer

    check_pairs(predictions, references)
    scorer = RougeScorer(["rouge1", "rougeL"])
    pairs = [scorer.score(reference, text) for text, reference in zip(predictions, references, strict=True)]
    return {kind: [float(pair[kind].fmeasure) for pair in pairs] for kind in ("rouge1", "rougeL")}


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Raise ``ValueError`` unless there is one reference for each prediction."""
    if isinstance(predictions, str) or isinstance(references, str) or len(predictions) != len(references):
        given = ["a string" if isinstance(texts, str) else str(len(texts)) for texts in (predictions, references)]
        raise ValueError(f"references must be a list of one text for each prediction, got {given[1]} for {given[0]}")


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Dist-n: distinct n-grams of words over all n-grams of all texts, in [0, 1]; 0 if no text has n words.

    Raises:
        ValueError: ``n`` is below 1.

    Example:
        >>> distinct(["a b a b"]), distinct(["a b c"]), distinct(["a"])
        (0.6666666666666666, 1.0, 0.0)
    """
    from moefm.checks import check_count  # here, since moefm takes torch along

    check_count("n", n)
    words = [text.split() for text in texts]
    grams = [tuple(line[i : i + n]) for line in words for i in range(len(line) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU of each text against all others, in [0, 1]: 1 if all are alike, lower the more they differ.

    BLEU is sacreBLEU's of sentences: exponential smoothing, and n-grams up to the length of the text. The cost grows
    with the square of the number of texts, so compare samples of one prompt, not a whole test set.

    Raises:
        ValueError: There are fewer than two texts, or sacrebleu is not installed.

    Example:
        >>> round(self_bleu(["the cat sat on the mat"] * 2), 6)
        1.0
    """
    if isinstance(texts, str) or len(texts) < 2:
        raise ValueError(f"texts must be a list of at least two for self-BLEU, got {texts!r:.60}")
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise ValueError("self-BLEU needs the package sacrebleu; pip install 'moefm[eval]'") from None

    bleu = BLEU(smooth_method="exp", effective_order=True)
    others = ([*texts[:i], *texts[i + 1 :]] for i in range(len(texts)))
    scores = [bleu.sentence_score(text, rest).score for text, rest in zip(texts, others, strict=True)]
    return float(np.mean(scores)) / 100


def bootstrap(values: Sequence[float], *, level: float = 0.95, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean: the middle ``level`` of the means of ``draws`` samples with replacement.

    Args:
        values: One score for each example.
        level: Share of the means inside the interval, in (0, 1).
        draws: Number of samples.
        seed: Of the draws; the same values, seed and draws give the same interval.

    Returns:
        Lower and upper end; both are the value where there is one only.

    Raises:
        ValueError: There is no value, or an option is out of its range.

    Example:
        >>> bootstrap([1.0]), bootstrap([0.0, 1.0] * 50)
        ((1.0, 1.0), (0.4, 0.6))
    """
    from moefm.checks import check_count

    check_count("draws", draws)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data):
        raise ValueError(f"values must hold at least one number for an interval of their mean, got {values!r:.60}")
    if len(data) == 1:
        return float(data[0]), float(data[0])
    rng = np.random.default_rng(seed)
    means = [data[rng.integers(len(data), size=len(data))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
