"""The one line that a bad file gets."""

from pathlib import Path

import numpy as np
import pytest

from moefm_toy.named_points import DataError, NamedPoints, fail


def test_the_fault_is_one_printable_line_with_the_file_and_the_cause() -> None:
    cause = OSError("gone")
    with pytest.raises(DataError) as caught:
        fail(Path("a\x1b[31m.csv"), "cannot\nbe read", cause)
    assert str(caught.value) == r"a\x1b[31m.csv: cannot be read"
    assert isinstance(caught.value, ValueError) and caught.value.__cause__ is cause


def test_points_have_no_names_unless_they_are_given() -> None:
    assert NamedPoints(np.zeros((2, 1))).names == ()
