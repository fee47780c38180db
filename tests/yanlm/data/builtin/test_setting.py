"""Settings of built-in tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from yanlm.data.builtin.setting import SHARE, check_settings, read_settings, setting
from yanlm.data.rows import DataError


@dataclass(frozen=True)
class Task:
    name: ClassVar[str] = "task"
    size: int = setting(4, (4, 9))
    slots: int = setting(2, range(2, 25, 2))
    givens: float = setting(0.25, SHARE)


TAKES = "builtin:task takes size (4 or 9), slots (2 to 24 in steps of 2), givens (0 to 1)"


def test_settings_are_read_with_their_types() -> None:
    assert read_settings(Task, "givens=1, size=9") == {"givens": 1.0, "size": 9}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "width=3",
            f"builtin:task:width=3: 'width=3' is no setting; {TAKES}, written NAME=NUMBER and divided by commas",
        ),
        ("size", f"builtin:task:size: 'size' is no setting; {TAKES}, written NAME=NUMBER and divided by commas"),
        ("", f"builtin:task:: '' is no setting; {TAKES}, written NAME=NUMBER and divided by commas"),
        ("size=4,size=4", f"builtin:task:size=4,size=4: size is given twice; {TAKES}"),
        ("size=four", f"builtin:task:size=four: size must be 4 or 9, got 'four'; {TAKES}"),
        ("size=4.0", f"builtin:task:size=4.0: size must be 4 or 9, got '4.0'; {TAKES}"),
    ],
)
def test_faults_of_the_text(text: str, fault: str) -> None:
    with pytest.raises(DataError) as told:
        read_settings(Task, text)
    assert str(told.value) == fault


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        (Task(size=5), "builtin:task: size must be 4 or 9, got 5"),
        (Task(slots=3), "builtin:task: slots must be 2 to 24 in steps of 2, got 3"),
        (Task(givens=1.5), "builtin:task: givens must be 0 to 1, got 1.5"),
        (Task(givens=float("nan")), "builtin:task: givens must be 0 to 1, got nan"),
        (Task(givens=True), "builtin:task: givens must be 0 to 1, got True"),
        (Task(size=4.0), "builtin:task: size must be 4 or 9, got 4.0"),  # type: ignore[arg-type]
    ],
)
def test_faults_of_a_value(task: Task, fault: str) -> None:
    with pytest.raises(DataError) as told:
        check_settings(task)
    assert str(told.value) == fault


def test_accepted_values() -> None:
    check_settings(Task(9, 24, 0))
