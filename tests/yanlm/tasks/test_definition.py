"""What a task must fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from own_task import own_task

from yanlm.tasks.task import get_task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "must have a name"),
        ({"kind": "poem"}, "task first_word: kind must be one of qa, seq2seq, classify, text, got 'poem'"),
        ({"main": ()}, "main must name at least one metric"),
        ({"main": ("f1",)}, "main must be among masked_accuracy, exact_match, first_letter, got 'f1'"),
        ({"exact": "accuracy"}, "exact must be among .*, got 'accuracy'"),
        ({"stops_on": "rougeL"}, "stops_on must be among .*, got 'rougeL'"),
    ],
)
def test_what_does_not_fit_is_named(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        own_task(**changes)


def test_what_follows_from_the_kind() -> None:
    assert get_task("qa").fields == ("context", "question", "answer") and get_task("qa").written == "answer"
    assert get_task("infill").whole and not own_task().whole
