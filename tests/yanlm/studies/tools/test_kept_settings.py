"""Settings of a study that goes on: what may be added or shown anew, and what would be measured otherwise."""

from __future__ import annotations

import pytest

from yanlm.studies.tools.kept_settings import conflicts, with_entries_of


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"rows": 3}, {"rows": 3}, []),
        ({"rows": 3}, {"rows": 4}, ["rows"]),
        ({"rows": 3}, {}, ["rows"]),
        ({}, {"threads": None}, []),
        ({}, {"threads": 1}, ["threads"]),
        ({"metric": "f1"}, {"metric": "rougeL"}, []),
        ({"metric": "f1"}, {}, []),
        ({"models": {"a": "1"}}, {"models": {"b": "2"}}, []),
        ({"models": {"a": "1"}}, {"models": {"a": "2"}}, ["models a"]),
        ({"options": {"lr": 1}}, {"options": {}}, ["options lr"]),
    ],
)
def test_what_would_be_measured_otherwise(old: dict[str, object], new: dict[str, object], changed: list[str]) -> None:
    assert conflicts(old, new) == changed


def test_entries_are_kept_of_models_and_data_alone() -> None:
    old = {"models": {"a": "1"}, "options": {"lr": 1}}
    assert with_entries_of(old, {"models": {"b": "2"}, "options": {}}) == {
        "models": {"a": "1", "b": "2"},
        "options": {},
    }
