"""The folder that a command writes to."""

from pathlib import Path

import pytest

from moefm_toy.folders import prepare_folder


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a").rglob("*")) == [tmp_path / "a" / "b"]
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--out must be a folder that can be written to, got .*file"):
        prepare_folder(tmp_path / "file" / "b")
