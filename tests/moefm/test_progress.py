"""The progress bar."""

import sys

import pytest

from moefm.progress import progress_bar


def test_without_it_nothing_is_written(capfd):
    with progress_bar("fit", 3, False) as advance:
        advance("loss 1")
    assert capfd.readouterr() == ("", "")


def test_the_bar_is_on_stderr(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("fit", 3, True) as advance:
        for step in range(3):
            advance(f"loss {step}")
    out, err = capfd.readouterr()
    assert out == "" and all(part in err for part in ("fit", "3/3", "loss 2"))


def test_it_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(ImportError, match="progress needs rich: pip install rich"), progress_bar("fit", 3, True):
        pass
