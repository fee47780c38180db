"""Scores of texts, against values computed by hand, laws, and the implementations of torchmetrics."""

from __future__ import annotations

import random
import string
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.tasks.metrics import (
    bootstrap,
    distinct,
    exact_match,
    f1,
    normalize,
    rouge,
    rouge_best,
    rouge_reads,
    self_bleu,
)

WORDS = st.sampled_from(["the", "a", "an", "cat", "Cat", "sat", "mat.", "3", "-", "old", "café", ""])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)
PAIRS = [
    ("the cat sat", "a cat sat"),
    ("cat sat on", "the mat"),
    ("", "cat"),
    ("cat", ""),
    ("", ""),
    ("the", "an"),
    ("The.", "?!"),
    ("cat cat sat", "cat sat sat"),
    ("U.S.A.", "usa"),
    ("in an attic", "the Attic"),
]


class TestAnswers:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("The  Cat,\n(a) sat!", "cat sat"),
            ("U.S.", "us"),
            ("an", ""),
            ("?!", ""),
            ("theatre another", "theatre another"),
            ("the-cat", "thecat"),
            ("“the cat”", "“ cat”"),  # as the script has it: only ASCII punctuation goes
        ],
    )
    def test_normalize(self, text: str, expected: str) -> None:
        assert normalize(text) == expected

    @pytest.mark.parametrize(
        ("prediction", "references", "exact", "overlap"),
        [
            ("the attic", ["Attic."], 1, 1),
            ("in the attic", ["attic"], 0, 2 / 3),
            ("old attic", ["hall", "old red attic"], 0, 4 / 5),
            ("cat cat", ["cat"], 0, 2 / 3),  # repeats count as often as both have them
            ("", ["attic"], 0, 0),
            ("attic", [""], 0, 0),
            ("", [""], 1, 0),  # SQuAD v1.1: no word is shared
            ("the", ["a"], 1, 0),  # nothing is left of either
            ("...", ["attic", "!"], 1, 0),
            ("...", ["!", "attic ..."], 1, 0),
        ],
    )
    def test_by_hand(self, prediction: str, references: list[str], exact: float, overlap: float) -> None:
        assert exact_match(prediction, references) == exact
        assert f1(prediction, references) == pytest.approx(overlap)

    @pytest.mark.parametrize("score", [exact_match, f1])
    @pytest.mark.parametrize("references", [[], "attic", None, 3])
    def test_references_must_be_a_list_of_texts(self, score: Any, references: Any) -> None:
        with pytest.raises(ValueError, match="references must be a list"):
            score("attic", references)

    @pytest.mark.parametrize("score", [exact_match, f1])
    @pytest.mark.parametrize(
        ("prediction", "references", "fault"),
        [
            (["attic"], ["attic"], "prediction must hold texts, got list"),
            (None, ["attic"], "prediction must hold texts, got NoneType"),
            ("attic", ["attic", float("nan")], "references must hold texts, got float at position 1: nan"),
        ],
    )
    def test_what_is_no_text_is_named(self, score: Any, prediction: Any, references: Any, fault: str) -> None:
        with pytest.raises(TypeError, match=fault):
            score(prediction, references)

    @given(TEXTS, TEXTS)
    def test_laws(self, a: str, b: str) -> None:
        assert f1(a, [b]) == f1(b, [a]) and 0 <= f1(a, [b]) <= 1
        assert exact_match(a, [b]) == exact_match(b, [a])
        words = bool(normalize(a))
        assert exact_match(a, [a]) == 1 and f1(a, [a]) == f1(a, [a, b]) == words
        assert f1(b, ["x", a]) >= f1(b, ["x"])
        assert exact_match(a, [b]) <= f1(a, [b]) or not words
        assert normalize(normalize(a)) == normalize(a)
        shuffled = a.split()
        random.Random(0).shuffle(shuffled)
        assert f1(" ".join(shuffled), [b]) == f1(a, [b])

    @given(st.text(string.printable, max_size=20))
    def test_normalized_texts_hold_words_only(self, text: str) -> None:
        words = normalize(text).split()
        assert not set("".join(words)) & set(string.punctuation) and not set(words) & {"a", "an", "the"}

    def test_equal_to_torchmetrics(self) -> None:
        squad = pytest.importorskip("torchmetrics.functional.text").squad
        for prediction, reference in PAIRS:
            found = squad(
                {"prediction_text": prediction, "id": "0"},
                {"answers": {"answer_start": [0, 0], "text": [reference, "zebra"]}, "id": "0"},
            )
            assert exact_match(prediction, [reference, "zebra"]) == float(found["exact_match"]) / 100
            if normalize(prediction):  # of two empty texts its F1 is that of SQuAD v2
                assert f1(prediction, [reference, "zebra"]) == pytest.approx(float(found["f1"]) / 100, abs=1e-6)

    @given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
    def test_equal_to_the_definition_of_squad(self, prediction: str, references: list[str]) -> None:
        def score(reference: str) -> float:
            a, b = normalize(prediction).split(), normalize(reference).split()
            shared = sum(min(a.count(word), b.count(word)) for word in set(a))
            if shared == 0:
                return 0
            precision, recall = shared / len(a), shared / len(b)
            return 2 * precision * recall / (precision + recall)

        assert f1(prediction, references) == pytest.approx(max(map(score, references)))


class TestRouge:
    def test_by_hand(self) -> None:
        scores = rouge(["sat the cat", "", "x"], ["the cat sat", "the cat", "y"])
        assert scores["rouge1"] == [1, 0, 0]
        assert scores["rougeL"] == [pytest.approx(2 / 3), 0, 0]
        assert rouge([], []) == {"rouge1": [], "rougeL": []}

    def test_equal_to_torchmetrics(self) -> None:
        reference = pytest.importorskip("torchmetrics.functional.text").rouge_score
        for prediction, target in PAIRS:
            found = reference(prediction, target, rouge_keys=("rouge1", "rougeL"))
            ours = rouge([prediction], [target])
            for kind in ours:
                assert ours[kind][0] == pytest.approx(float(found[f"{kind}_fmeasure"]), abs=1e-6)

    @pytest.mark.parametrize(
        ("predictions", "references", "fault"),
        [
            (["a"], [], "one text for each prediction, got 0 for 1"),
            (["a"], "a", "references must be a list of texts, got one str; put it into a list"),
            ("a", ["a"], "predictions must be a list of texts"),
        ],
    )
    def test_one_reference_for_each(self, predictions: Any, references: Any, fault: str) -> None:
        with pytest.raises(ValueError, match=fault):
            rouge(predictions, references)

    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ("a cat", True),
            ("7", True),
            ("Zoë naïve déjà vu", True),  # most of their letters
            ("ÉÀ", False),
            ("", False),
            ("...", False),
            ("Кот сидел у окна.", False),
            ("В 1941 году", False),  # the year alone would decide
            ("彼は IBM で働いています", False),
            ("IBM の cat", True),
            ("ｃａｔ", False),  # wide letters are no a to z
        ],
    )
    def test_what_it_reads(self, text: str, read: bool) -> None:
        assert rouge_reads(text) is read

    def test_the_best_reference_that_it_reads(self) -> None:
        assert rouge_best("the cat", ["кот", "a cat", "x"]) == {"rouge1": 0.5, "rougeL": 0.5}
        assert rouge_best("кот", ["кот"]) == {} == rouge_best("the cat", ["!"])
        with pytest.raises(ValueError, match="references must be a list"):
            rouge_best("the cat", "the cat")  # type: ignore[arg-type]


class TestDiversity:
    @pytest.mark.parametrize(
        ("texts", "n", "expected"),
        [
            (["a b c", "a b d"], 2, 3 / 4),
            (["a b c", "a b d"], 1, 4 / 6),
            (["a b"], 3, 0),
            (["", " "], 1, 0),
            ([], 2, 0),
            (["a b", "b a"], 2, 1),  # "b b" crosses texts and does not count
        ],
    )
    def test_distinct_by_hand(self, texts: list[str], n: int, expected: float) -> None:
        assert distinct(texts, n) == pytest.approx(expected)

    @given(st.lists(TEXTS, max_size=5), st.integers(1, 3))
    def test_laws_of_distinct(self, texts: list[str], n: int) -> None:
        value = distinct(texts, n)
        assert 0 <= value <= 1 and (value > 0) == any(len(text.split()) >= n for text in texts)
        assert distinct(texts * 2, n) == pytest.approx(value / 2)
        assert distinct(texts[::-1], n) == value

    @pytest.mark.parametrize("score", [distinct, self_bleu])
    def test_a_text_is_no_list(self, score: Any) -> None:
        with pytest.raises(ValueError, match="texts must be a list of texts, got one str; put it into a list"):
            score("a b a b")
        with pytest.raises(TypeError, match="texts must hold texts, got int at position 1: 3"):
            score(["a b", 3])

    def test_distinct_needs_a_length(self) -> None:
        with pytest.raises(ValueError, match="n must be an integer of at least 1"):
            distinct(["a"], 0)

    def test_self_bleu(self) -> None:
        same = ["the cat sat on the mat ."] * 3
        assert self_bleu(same) == pytest.approx(1)
        apart = ["the cat sat on the mat .", "we went home early that day", "nobody knows why it rains here"]
        assert self_bleu(apart) < 0.1
        assert self_bleu(apart) < self_bleu([*apart[:2], "the cat sat on the red mat ."]) < 1

    def test_samples_that_are_all_empty_do_not_differ(self) -> None:
        assert self_bleu(["", " ", ""]) == self_bleu(["a", "a"]) == 1.0
        assert self_bleu(["", "", "the cat sat on the mat ."]) == pytest.approx(2 / 3)

    def test_self_bleu_by_hand(self) -> None:
        # precisions 3/4, 2/3, 1/2, then nothing in common: 1 of 2, halved by the smoothing
        expected = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)
        assert self_bleu(["a b c d", "a b c e"]) == pytest.approx(expected)

    def test_self_bleu_is_sacrebleu(self) -> None:
        from sacrebleu import sentence_bleu

        texts = ["the cat sat on the mat", "the cat ran", "a dog ran on the mat", ""]
        alone = [sentence_bleu(text, [*texts[:i], *texts[i + 1 :]]).score / 100 for i, text in enumerate(texts)]
        assert self_bleu(texts) == pytest.approx(np.mean(alone))

    @pytest.mark.parametrize("texts", [[], ["one"]])
    def test_self_bleu_needs_two(self, texts: list[str]) -> None:
        with pytest.raises(ValueError, match="at least two"):
            self_bleu(texts)

    def test_self_bleu_without_sacrebleu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("sacrebleu", "sacrebleu.metrics", "sacrebleu.metrics.bleu"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ValueError, match=r"pip install .*\[eval\]"):
            self_bleu(["a", "b"])


class TestBootstrap:
    def test_agrees_with_the_normal_interval(self) -> None:
        values = np.random.default_rng(0).normal(3, 2, size=400)
        low, high = bootstrap(values.tolist(), draws=4000)
        half = 1.96 * values.std() / 20
        assert low == pytest.approx(values.mean() - half, abs=0.02)
        assert high == pytest.approx(values.mean() + half, abs=0.02)

    def test_covers_the_true_mean_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(1)
        inside = [low <= 0.7 <= high for low, high in (bootstrap(rng.random(60) < 0.7, draws=200) for _ in range(200))]
        assert 0.89 <= np.mean(inside) <= 0.99

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(0, 5))
    def test_laws(self, values: list[float], seed: int) -> None:
        low, high = bootstrap(values, seed=seed, draws=200)
        assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
        assert (low, high) == bootstrap(values, seed=seed, draws=200)
        narrow = bootstrap(values, seed=seed, draws=200, level=0.5)
        assert low <= narrow[0] <= narrow[1] <= high
        shifted = bootstrap([value + 1 for value in values], seed=seed, draws=200)
        assert shifted == pytest.approx((low + 1, high + 1))

    @given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60))
    def test_contains_the_mean_of_hits(self, hits: list[float]) -> None:
        low, high = bootstrap(hits, draws=300)
        assert low <= np.mean(hits) <= high

    def test_one_value_and_equal_values(self) -> None:
        assert bootstrap([0.3]) == (0.3, 0.3)
        assert bootstrap([0.25] * 7) == (0.25, 0.25)

    def test_the_global_generator_is_left_alone(self) -> None:
        before = np.random.get_state()[1].tolist()
        bootstrap([0.0, 1.0])
        assert np.random.get_state()[1].tolist() == before

    @pytest.mark.parametrize(
        ("values", "options", "message"),
        [
            ([], {}, "values must hold at least one number"),
            ("0.5", {}, "values must hold at least one number"),
            (["a", "b"], {}, "values must hold at least one number"),
            ([[1.0], [1.0, 2.0]], {}, "values must hold at least one number"),
            ([1.0, float("nan")], {}, "finite ones alone"),
            ([1.0], {"level": 1.0}, "level must be between 0 and 1"),
            ([1.0], {"draws": 0}, "draws must be an integer of at least 1"),
        ],
    )
    def test_wrong_input(self, values, options, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            bootstrap(values, **options)
