"""Bounds of a server."""

from __future__ import annotations

import pytest

from yanlm.serving.limits import Limits


@pytest.mark.parametrize("name", ["body", "queue", "batch", "seconds"])
def test_bounds_are_at_least_1(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
