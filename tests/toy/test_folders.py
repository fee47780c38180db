"""The folder that a command writes to."""

from pathlib import Path

import pytest

from moefm_toy.folders import FIELDS, prepare_folder, refuse_foreign


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a").rglob("*")) == [tmp_path / "a" / "b"]
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--out must be a folder that can be written to, got .*file"):
        prepare_folder(tmp_path / "file" / "b")


def test_a_users_own_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "samples.npz").touch()
    with pytest.raises(ValueError, match=r"--out must be a folder without samples\.npz"):
        refuse_foreign(tmp_path)
    (tmp_path / FIELDS).mkdir()
    refuse_foreign(tmp_path)
