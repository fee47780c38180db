"""The yanlm command as the tests run it."""

import io
import sys

import pytest

from moefm_cli.yanlm import app as yanlm_app


@pytest.fixture
def yanlm(capsys, monkeypatch, tmp_path):
    """Run the command in a folder of its own; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*args, stdin=None):
        monkeypatch.setattr(sys, "argv", ["yanlm", *map(str, args)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            yanlm_app.main()
        return stop.value.code, *capsys.readouterr()

    return run
