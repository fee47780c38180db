"""The built-in corpora: worlds that are true, unseen by construction and not to be guessed; prose without code."""

import itertools
import random
import re
from collections import Counter

import pytest

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
