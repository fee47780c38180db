"""English prose without code, held-out topics that are unseen."""

import itertools
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.builtin.pydoc_text import WORDS, joined, paragraphs, pydoc_rows, split_topics
from yanlm.data.corpus import load_corpus
from yanlm.data.rows import DataError


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
