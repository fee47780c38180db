"""The built-in corpora: worlds that are true, unseen by construction and not to be guessed; prose without code."""

import itertools
import random
import re
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.builtin.pydoc_text import WORDS, joined, paragraphs, pydoc_rows, split_topics
from yanlm.data.builtin.rooms import (
    PEOPLE,
    ROOMS,
    _draw_facts,
    is_true,
    last_mentioned,
    locations,
    rooms_rows,
    says_true,
    split_of,
)
from yanlm.data.corpus import load_corpus
from yanlm.data.rows import DataError

SPLITS = ("train", "validation", "test")


Worlds = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return {split: rooms_rows(split, 1000) for split in SPLITS}


class TestRooms:
    def test_answers_are_true_and_one_word(self, worlds: Worlds) -> None:
        for row in itertools.chain.from_iterable(worlds.values()):
            asked = re.fullmatch(rf"Where is ({'|'.join(PEOPLE)}) \?", row["question"])
            assert asked and row["answer"] in ROOMS
            assert [room for room in ROOMS if is_true(row["context"], asked[1], room)] == [row["answer"]]

    def test_every_sentence_is_understood(self, worlds: Worlds) -> None:
        lengths = Counter()
        for row in itertools.chain.from_iterable(worlds.values()):
            sentences = row["context"].split(" .")[:-1]
            lengths[len(sentences)] += 1
            assert all(locations(sentence) for sentence in sentences)
        assert sorted(lengths) == [2, 3, 4, 5, 6, 7, 8]

    def test_nobody_leaves_or_stays_where_they_are_not(self, worlds: Worlds) -> None:
        for row in itertools.chain.from_iterable(worlds.values()):
            before = ""
            for sentence in row["context"].split(" .")[:-1]:
                left = re.search(r"(?:left|from) the (\w+)", sentence)
                stayed = re.search(r"(?:stayed|waited|remained) in the (\w+)", sentence)
                for person in locations(sentence):
                    if room := left or stayed:
                        assert is_true(before, person, room[1])
                before += sentence + " ."

    @pytest.mark.parametrize("split", SPLITS)
    def test_heuristics_fail(self, worlds: Worlds, split: str) -> None:
        rows = worlds[split]
        assert 0.45 < sum(last_mentioned(row) == row["answer"] for row in rows) / len(rows) < 0.60
        assert Counter(row["answer"] for row in rows).most_common(1)[0][1] < 0.2 * len(rows)

    def test_splits_share_no_world(self, worlds: Worlds) -> None:
        contexts = [{row["context"] for row in worlds[split]} for split in SPLITS]
        for one, other in itertools.combinations(contexts, 2):
            assert not one & other

    @pytest.mark.parametrize("split", SPLITS)
    def test_the_facts_of_a_world_alone_say_its_split(self, worlds: Worlds, split: str) -> None:
        for row in worlds[split]:
            told = [locations(sentence) for sentence in row["context"].split(" .")[:-1]]
            assert split_of([(tuple(fact), next(iter(fact.values()))) for fact in told]) == split

    def test_seeds(self) -> None:
        assert rooms_rows("test", 20, 3) == rooms_rows("test", 40, 3)[:20] != rooms_rows("test", 20, 4)
        assert rooms_rows("train", 0) == []
        assert load_corpus("builtin:rooms", seed=1).rows[:5] == rooms_rows("train", 5, 1)

    def test_shares(self) -> None:
        draw = random.Random(0)
        counts = Counter(split_of(_draw_facts(draw)) for _ in range(4000))
        assert 0.87 < counts["train"] / 4000 < 0.93 and counts["test"] > 120 < counts["validation"]

    def test_errors(self) -> None:
        with pytest.raises(ValueError, match="'train', 'validation' or 'test', got 'dev'"):
            rooms_rows("dev", 1)
        with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
            rooms_rows("test", -1)

    def test_statements(self) -> None:
        context = "Mary and John ran to the attic . John left the attic for the garden . Mary waited in the attic ."
        assert says_true(context, "Mary is in the attic .") and says_true(context, "John went to the garden .")
        assert not says_true(context, "John is in the attic .")
        assert not says_true(context, "Ruth is in the attic .")
        assert not says_true(context, "Mary is the attic in .")
        assert last_mentioned({"context": "Nobody ran ."}) == ""


class TestPydoc:
    def test_texts(self) -> None:
        splits = pydoc_rows()
        sizes = {split: sum(len(row["text"].split()) for row in rows) for split, rows in splits.items()}
        assert sizes["train"] > 20_000 and min(sizes["validation"], sizes["test"]) > 1500
        for row in itertools.chain.from_iterable(splits.values()):
            text = row["text"]
            assert list(row) == ["text"] and WORDS[0] / 2 <= len(text.split()) <= WORDS[1]
            assert not re.search(r"::=|>>>|\n|  |\+--|====|\*\*\*\*|----", text)

    def test_held_out_paragraphs_are_unseen(self) -> None:
        shared = "This paragraph stands in very many topics at once, word for word."
        own = "\n\n".join(f"Topic {{0}} says for the time number {n} what nobody else says there." for n in range(9))
        splits = split_topics({f"topic {n}": f"{shared}\n\n{own.format(n)}" for n in range(60)})
        assert all(splits.values())
        first = splits["test"][0]["text"]
        assert first.startswith(shared)
        rows = [row["text"] for part in ("validation", "train") for row in splits[part]]
        assert not any(shared in text for text in rows)
        topics = [set(re.findall(r"Topic (\d+)", str(rows))) for rows in splits.values()]
        assert not any(one & other for one, other in itertools.combinations(topics, 2))

    def test_what_is_left_out(self) -> None:
        topic = (
            'The "with" statement\n********************\n\nThe "with" statement is used to wrap the execution of a\n'
            'block with methods defined by a *context manager*. [1]\n\n   with_stmt ::= "with" items ":" suite\n\n'
            "   with EXPRESSION as TARGET:\n       SUITE(one, two)\n\n+----+----+\n| a  | b  |\n+----+----+\n\n"
            "* Bullet one says that the item is **always** evaluated first.\n\n* Short.\n\n"
            "   Nested text is kept as well, since it is prose like the rest."
        )
        assert list(paragraphs(topic)) == [
            'The "with" statement is used to wrap the execution of a block with methods defined by a context manager.',
            "Bullet one says that the item is always evaluated first.",
            "Nested text is kept as well, since it is prose like the rest.",
        ]
        assert list(paragraphs('Statements with the operators "*=" and "**=" are augmented assignments, too.')) == [
            'Statements with the operators "*=" and "**=" are augmented assignments, too.'
        ]

    @given(st.lists(st.lists(st.integers(3, 60), min_size=1, max_size=9), max_size=9))
    def test_joining_keeps_the_order(self, sizes: list[list[int]]) -> None:
        count = itertools.count()
        texts = [
            " ".join(" ".join(["W"] + [f"w{next(count)}" for _ in range(n)]) + "." for n in part) for part in sizes
        ]
        made = joined(texts)
        assert all(WORDS[0] / 2 <= len(text.split()) <= WORDS[1] for text in made)
        numbers = [int(number) for number in re.findall(r"w(\d+)", " ".join(made))]
        assert numbers == sorted(set(numbers))

    def test_without_the_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
        with pytest.raises(
            DataError, match=r"builtin:pydoc: .* without the module pydoc_data.topics; use builtin:rooms"
        ):
            load_corpus("builtin:pydoc")
