"""Baselines on rows where the right guess is known."""

from __future__ import annotations

import pytest
from toys import labelled

from yanlm.tasks.heuristics import last_mentioned, logistic, majority, retrieval


def question(context: str, asked: str, answer: str = "?") -> dict[str, str]:
    return {"context": context, "question": asked, "answer": answer}


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

    def test_texts_that_share_no_word(self) -> None:
        rows = [{"text": f"w{i}", "label": str(i % 2)} for i in range(1000)]
        assert logistic(rows, rows[:4]) == ["0", "1", "0", "1"]

    def test_one_label_and_no_test_row(self) -> None:
        assert logistic([{"text": "x", "label": "a"}] * 2, labelled(2, 0)) == ["a", "a"]
        assert logistic(labelled(9, 0), []) == []
