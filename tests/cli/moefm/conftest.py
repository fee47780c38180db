"""The moefm command as the tests run it."""

import sys

import pytest

from moefm_cli.moefm import app as moefm_app


@pytest.fixture
def moefm(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["moefm", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            moefm_app.main()
        return stop.value.code, *capsys.readouterr()

    return run
