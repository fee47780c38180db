"""Baselines on rows where the right guess is known."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import pytest

from yanlm.tasks.heuristics import last_mentioned, logistic, majority, retrieval
from yanlm.tasks.task import TASKS, get_task


def question(context: str, asked: str, answer: str = "?") -> dict[str, str]:
    return {"context": context, "question": asked, "answer": answer}


def labelled(count: int, seed: int) -> list[dict[str, str]]:
    """Texts whose label two words together decide."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        first, second = rng.choice(("good", "bad")), rng.choice(("film", "meal"))
        filler = " ".join(rng.choices(["really", "some", "my", "today", "again"], k=3))
        rows.append({"text": f"{filler} {first} {second} !", "label": f"{first}-{second}"})
    return rows


class TestMajority:
    def test_most_frequent_and_first_of_equals(self) -> None:
        assert majority(["b", "a", " a "], 2) == ["a", "a"]
        assert majority(["b", "a"], 1) == ["b"] and majority(["b"], 0) == []

    @pytest.mark.parametrize("guess", [lambda rows, test: majority(rows, len(test)), retrieval, logistic])
    def test_nothing_to_learn_from(self, guess) -> None:
        with pytest.raises(ValueError, match="train_rows holds nothing"):
            guess([], [])


class TestLastMentioned:
    TRAIN = tuple(question("", "", answer) for answer in ("hall", "attic", "New York", "yes", "the", "..."))

    @pytest.mark.parametrize(
        ("context", "expected"),
        [
            ("Ann is in the hall. Bob went to the attic.", "attic"),  # punctuation need not stand apart
            ("Attic? No, hall !", "hall"),
            ("He came from New York, and left.", "New York"),
            ("He came from new york", "New York"),
            ("A hallway", ""),  # no part of a word
            ("New things in York", ""),
            ("", ""),
        ],
    )
    def test_by_hand(self, context: str, expected: str) -> None:
        assert last_mentioned(self.TRAIN, [question(context, "Where?")]) == [expected]

    def test_one_answer_a_row(self) -> None:
        rows = [question("in the hall", str(i)) for i in range(3)] + [question("in the attic", "")]
        assert last_mentioned(self.TRAIN, rows) == ["hall"] * 3 + ["attic"]
        assert last_mentioned([], rows) == [""] * 4


class TestRetrieval:
    TRAIN = (
        question("The river runs through the town.", "What runs through the town?", "river"),
        question("The king had three daughters.", "How many daughters?", "three"),
        question("The king had three daughters.", "Who had daughters?", " king "),
    )

    def test_finds_itself(self) -> None:
        assert retrieval(self.TRAIN, self.TRAIN) == ["river", "three", "king"]

    def test_question_and_context_both_count(self) -> None:
        rows = [
            question("The king had three daughters.", "Who had them?"),
            question("An old queen.", "How many daughters?"),
            question("The river in the town.", "Where?"),
        ]
        assert retrieval(self.TRAIN, rows) == ["king", "three", "river"]

    def test_empty_and_unknown_words(self) -> None:
        rows = [question("", "xyz"), question("", "How many?"), question("", "")]
        assert retrieval(self.TRAIN, rows) == ["river", "three", "river"]
        assert retrieval(self.TRAIN, []) == []

    def test_batches_change_nothing(self) -> None:
        rows = [question(f"w{i} v{i % 7}", f"q{i % 11}", str(i)) for i in range(600)]
        assert retrieval(rows, rows) == [row["answer"] for row in rows]


class TestLogistic:
    def test_learns_what_words_decide(self) -> None:
        test = labelled(60, 1)
        assert logistic(labelled(200, 0), test) == [row["label"] for row in test]

    def test_one_label_and_no_test_row(self) -> None:
        assert logistic([{"text": "x", "label": "a"}] * 2, labelled(2, 0)) == ["a", "a"]
        assert logistic(labelled(9, 0), []) == []

    def test_better_than_the_majority_by_name(self) -> None:
        train, test = labelled(200, 0), labelled(60, 1)
        found = get_task("classify").guesses(train, test)
        truth = [row["label"] for row in test]
        hits = {name: sum(map(str.__eq__, made, truth)) for name, made in found.items()}
        assert set(hits) == {"majority", "tfidf_logreg"} and hits["majority"] < 30 < hits["tfidf_logreg"] == 60


class TestGuesses:
    ROWS: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "infill": [{"text": "a b c"}],
        "sentence": [{"source": "A. <mask> C.", "target": "B."}],
        "completion": [{"source": "The cat sat on the <mask>.", "target": "mat"}],
        "qa": [{**question("Ann is in the hall.", "Where is Ann?", "hall"), "answers": ["hall", "the hall"]}],
        "classify": labelled(4, 0),
    }
    NAMES: ClassVar[dict[str, set[str]]] = {
        "sentence": {"neighbour", "frequent_words"},
        "completion": {"majority", "ngram"},
        "qa": {"majority", "last_mentioned", "retrieval"},
        "classify": {"majority", "tfidf_logreg"},
    }

    @pytest.mark.parametrize("task", TASKS)
    def test_names_and_lengths(self, task: str) -> None:
        found = get_task(task).guesses(self.ROWS[task], self.ROWS[task] * 3)
        assert set(found) == self.NAMES.get(task, set())
        assert all(len(made) == 3 * len(self.ROWS[task]) for made in found.values())

    def test_sentences(self) -> None:
        rows = [{"source": "<mask> He woke. It rained.", "target": "The cat, the cat ran and ran!"}]
        rows += [{"source": "<mask>", "target": ["He ran.", "A dog sat."]}]  # of two masks, which a task never has
        found = get_task("sentence").guesses(rows, rows)
        assert found["neighbour"] == ["He woke.", ""]  # nothing before the mask
        assert found["frequent_words"] == ["ran cat and he"] * 2  # the shorter has four words without articles
        assert get_task("sentence").guesses(rows[:1], [{"source": "One. Two. <mask> Four."}])["neighbour"] == ["Two."]

    def test_completions(self) -> None:
        rows = self.ROWS["completion"] + [{"source": r"I saw <mask>!", "target": r"\1"}] * 2  # no pattern of re
        found = get_task("completion").guesses(rows, self.ROWS["completion"])
        assert found == {"majority": [r"\1"], "ngram": ["mat"]}

    def test_no_rows(self) -> None:
        with pytest.raises(ValueError, match="train_rows holds nothing"):
            get_task("qa").guesses([], self.ROWS["qa"])
        with pytest.raises(ValueError, match="train_rows holds nothing"):
            get_task("sentence").guesses([], self.ROWS["sentence"])
        assert get_task("infill").guesses([], []) == {}
