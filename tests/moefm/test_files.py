"""The mode of files that are written for others, too."""

import os
import stat
from pathlib import Path

import pytest

from moefm import MLPMixtureField, save_field
from moefm.files import usual_mode

MODES = {0o022: 0o644, 0o002: 0o664, 0o027: 0o640, 0o077: 0o600}


@pytest.fixture(params=MODES)
def wanted(request):
    """The mode of a new file, under an umask of its own."""
    before = os.umask(request.param)
    yield MODES[request.param]
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_gets_the_mode_of_a_new_one(wanted, tmp_path):
    private = tmp_path / "file"
    private.touch(0o600)
    usual_mode(private)
    assert mode(private) == wanted and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_private_folder_gets_the_mode_of_a_new_one(wanted, tmp_path):
    private, usual = tmp_path / "folder", tmp_path / "usual"
    private.mkdir(0o700)
    usual.mkdir()
    usual_mode(private)
    assert mode(private) == mode(usual) and len(list(tmp_path.iterdir())) == 2


def test_all_files_of_a_saved_field_have_it(wanted, tmp_path):
    save_field(MLPMixtureField(2, 2, hidden=4), tmp_path / "field")
    assert {mode(path) for path in (tmp_path / "field").iterdir()} == {wanted}
