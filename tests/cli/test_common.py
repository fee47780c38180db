"""What every command shares: values that are empty, and terminals that cannot show a result."""

import io
import sys

import pytest
import typer

from moefm_cli.common import run_app


def run(monkeypatch, *args):
    """Exit code, and the options that the command was given."""
    app, given = typer.Typer(add_completion=False), []

    @app.command()
    def command(text: str = typer.Argument(""), out: str = "", quick: bool = False) -> None:
        given.extend([text, out, quick])
        print(text)

    monkeypatch.setattr(sys, "argv", ["name", *args])
    with pytest.raises(SystemExit) as stop:
        run_app(app, "name")
    return stop.value.code, given


@pytest.mark.parametrize("args", [["--out", ""], ["--out="], ["--out", "  "], ["a", "--quick", "--out", "", "--quick"]])
def test_an_empty_value_is_refused(monkeypatch, capsys, args):
    assert run(monkeypatch, *args) == (2, [])
    assert capsys.readouterr().err == "error: --out is followed by an empty value; give one, or leave --out out\n"


@pytest.mark.parametrize("args", [["a", "--out", "b"], ["--out=b", "a"], ["--out", "b", "--quick", "--", "--a", ""]])
def test_other_values_are_taken(monkeypatch, args):
    code, given = run(monkeypatch, *args)
    assert (code, given[:2]) == (0, ["a", "b"]) or (code, given) == (2, [])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_result_gets_it_escaped(monkeypatch, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(monkeypatch, "\u6771 \ud800")[0] == 0
    terminal.flush()
    shown = terminal.buffer.getvalue().decode(encoding)
    assert shown.startswith("\u6771" if encoding == "utf-8" else "\\u6771") and shown.endswith("\\ud800\n")
