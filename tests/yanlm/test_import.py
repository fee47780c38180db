"""The public names of yanlm and its folders."""

import importlib
from pathlib import Path

import pytest

import yanlm


@pytest.mark.parametrize("name", yanlm.__all__)
def test_public_names(name: str) -> None:
    assert getattr(yanlm, name).__name__ == name


@pytest.mark.parametrize("folder", ["data", "tokenization", "objectives", "generation", "modeling", "training", "runs"])
def test_names_that_a_folder_offers(folder: str) -> None:
    package = importlib.import_module(f"yanlm.{folder}")
    files = {path.stem for path in Path(str(package.__file__)).parent.iterdir()}
    assert package.__all__ and not files & set(package.__all__), "a name of a file would hide the file"
    assert all(getattr(package, name) is not None for name in package.__all__)


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match="YanModle"):
        _ = yanlm.YanModle
