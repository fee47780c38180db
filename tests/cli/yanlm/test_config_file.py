"""Settings in a TOML file."""

from pathlib import Path

import pytest

from moefm_cli.common import UsageError
from moefm_cli.yanlm.config_file import table_of


def test_a_file_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    assert table_of(None) == {}
    path.write_text("steps1 = 3\n[model]\nd_model = 16\n")
    assert table_of(path) == {"steps1": 3, "model": {"d_model": 16}}
    path.write_bytes(b"\xef\xbb\xbfsteps1 = 3\r\n")  # as Notepad writes it
    assert table_of(path) == {"steps1": 3}


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for content, reason in ((b"steps1 =", "is no TOML"), (b"\xff", "is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=rf"--config .*a\.toml {reason}"):
            table_of(path)
    with pytest.raises(UsageError, match=r"--config .*none\.toml cannot be read: No such file or directory; check"):
        table_of(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"cannot be read: Is a directory"):
        table_of(tmp_path)
