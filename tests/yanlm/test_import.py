"""Importing yanlm is free; its names come on first use."""

import subprocess
import sys

import pytest

import yanlm


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, yanlm; print(sorted({'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


@pytest.mark.parametrize("name", yanlm.__all__)
def test_public_names(name: str) -> None:
    assert getattr(yanlm, name).__name__ == name


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match="YanModle"):
        _ = yanlm.YanModle
