"""The page of the table."""

from __future__ import annotations

import pytest

from yanlm.studies.tools import table_page


def test_the_figure_of_the_table_has_a_mark_for_any_number_of_columns() -> None:
    columns = {f"flow, T = {count}": [0.1] for count in range(40)}
    figure = table_page.table_figure({"infill=a": {"data": "a", "columns": columns, "guesses": {}}})
    assert len(figure.axes[0].lines) == 40


@pytest.mark.parametrize("method", ["flow", "mdlm", "gpt2"])
def test_one_step_alone_makes_a_table(method: str) -> None:
    result = {"data": "a", "n": 1, "by_steps": {"1": {"masked_accuracy": 0.5}}, "baselines": {}}
    found = table_page.summary_of("infill", {method: [result]}, [1])
    assert list(found["columns"].values()) == [[0.5]]


def test_names_of_sets_in_the_table() -> None:
    assert table_page.short("data/ag_news/train.jsonl.gz") == "ag_news"
    assert table_page.short("stories.jsonl") == "stories.jsonl"
    assert table_page.short("builtin:rooms") == "builtin:rooms"
