"""Items: what is masked, what counts as right, what is cut, and that nothing is tokenized twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from oracle import ROWS, TEXT

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.items import items, masked_source
from yanlm.tokenization import token_cache
from yanlm.tokenization.examples import Builder

LONG = " ".join(["the cat sat on the mat"] * 12)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each text is tokenized."""
    counts: Counter[str] = Counter()
    original = token_cache.encode_piece

    def encode_piece(tokenizer: Any, text: str, **around: Any) -> list[int]:
        counts[text] += 1
        return original(tokenizer, text, **around)

    monkeypatch.setattr(token_cache, "encode_piece", encode_piece)
    return counts


@pytest.mark.parametrize("padding", [{}, {"lengths": "padding", "pad_to": 6}], ids=["given", "padding"])
def test_each_text_is_tokenized_once(tokenizer: Any, encoded: Counter[str], padding: dict[str, Any]) -> None:
    builder = Builder(tokenizer, max_length=48, **padding)
    row = {"context": "the cat sat", "question": "where ?", "answer": "mat"}
    items(builder, [row] * 3, "qa")
    assert encoded == {"the cat sat": 1, " where ?": 1, " mat": 1}


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize(
    ("task", "row", "field"),
    [
        ("infill", {"text": ""}, "text"),
        ("qa", {"context": "", "question": "where ?", "answer": "mat"}, "context"),
        ("classify", {"text": "", "label": "mat"}, "text"),
        ("completion", {"source": "", "target": "mat"}, "source"),
    ],
)
def test_rows_that_lose_tokens_are_marked(
    tokenizer: Any, form: str, task: str, row: dict[str, str], field: str
) -> None:
    builder = Builder(tokenizer, form=form, max_length=48)
    end = " <mask> ." if task == "completion" else ""
    short, long = ({**row, field: f"{text}{end}"} for text in ("the cat sat on", LONG))
    assert [item.cut for item in items(builder, [short, long], task)] == [False, True]


def test_answers_that_lose_tokens_are_marked(tokenizer: Any) -> None:
    builder = Builder(tokenizer, max_length=48, lengths="padding", pad_to=3)
    rows = [{"text": "the cat", "label": label} for label in ("mat", "the cat sat on the mat and the dog")]
    assert [item.cut for item in items(builder, rows, "classify")] == [False, True]


@pytest.mark.parametrize(
    ("task", "row", "references"),
    [
        ("infill", {"text": "the cat sat"}, ["the cat sat"]),
        ("sentence", {"source": "a <mask> c", "target": " the old town "}, ["the old town"]),
        ("completion", {"source": "<mask> and <mask>", "target": ["cat", " dog"]}, ["cat dog"]),
        ("qa", {"context": "c", "question": "?", "answer": "a", "answers": [" a ", "b"]}, ["a", "b"]),
        ("qa", {"context": "c", "question": "?", "answer": " a "}, ["a"]),
        ("classify", {"text": "t", "label": " l "}, ["l"]),
    ],
)
def test_what_counts_as_right(builder: Builder, task: str, row: dict[str, Any], references: list[str]) -> None:
    assert items(builder, [row], task)[0].references == references


def test_rows_that_are_too_long_are_counted(make_model: Callable[..., Any], builder: Builder) -> None:
    rows = [{"text": TEXT}, {"text": " ".join([TEXT] * 20)}]
    assert evaluate_task(make_model(), builder, rows, rows, "infill", steps=[1]).report["cut"] == 1


def test_sources_have_one_mask_for_each_span(builder: Builder) -> None:
    for item in items(builder, ROWS["infill"], "infill"):
        assert masked_source(builder, item).count("<mask>") == len(item.truth)
        text = masked_source(builder, item)
        for word in item.words:
            text = text.replace("<mask>", word, 1)
        assert text == item.text
