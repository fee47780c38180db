"""Names that are loaded on first use."""

from __future__ import annotations

import sys

import pytest

from yanlm.data import rows
from yanlm.faces import named


def test_a_name_is_that_of_its_module() -> None:
    assert named("yanlm.data", {"DataError": "rows", "Corpus": "corpus"}, "DataError") is rows.DataError


def test_only_the_module_of_the_name_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yanlm.data.delimited", raising=False)
    assert named("yanlm.data", {"DataError": "rows", "records": "delimited"}, "DataError")
    assert "yanlm.data.delimited" not in sys.modules


def test_other_names_are_errors_of_the_package() -> None:
    with pytest.raises(AttributeError, match=r"module 'yanlm\.data' has no attribute 'DataEror'"):
        named("yanlm.data", {"DataError": "rows"}, "DataEror")
