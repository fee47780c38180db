"""What every command shares: values that are empty, and terminals that cannot show a result."""

import io
import sys

import pytest
import typer
from rich.color import ColorSystem
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from moefm_cli.common import Screen, fail, labelled, run_app, show


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


ODD = "[/b] [red]x :smile: \x1b[31mred\x1b]0;title"
SHOWN = "[/b] [red]x :smile: \\x1b[31mred\\x1b]0;title"


def test_text_on_a_screen_is_no_markup_and_moves_no_cursor():
    table = Table(title=ODD)
    table.add_column(ODD, no_wrap=True)
    table.add_row(ODD)
    for shown in (ODD, Text(ODD), table, Panel(Text(ODD)), labelled([("masked", ODD)])):
        screen = Screen()
        screen.file, screen.width = io.StringIO(), 200
        screen.print(shown)
        assert "\x1b" not in screen.file.getvalue() and SHOWN in screen.file.getvalue()


def test_a_coloured_terminal_still_gets_its_colours():
    screen = Screen()
    screen.file, screen._color_system, screen._force_terminal = io.StringIO(), ColorSystem.STANDARD, True
    screen.print(Text("masked", "bold"), "\x1b")
    assert screen.file.getvalue() == "\x1b[1mmasked\x1b[0m \\x1b\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_results_are_escaped_on_a_terminal_alone(monkeypatch, terminal):
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    show("a\x1bb")
    assert out.getvalue() == ("a\\x1bb\n" if terminal else "a\x1bb\n")


def test_an_error_that_quotes_data_is_text(capsys):
    with pytest.raises(SystemExit):
        fail("row \x1b[2J\nis blank", 2)
    assert capsys.readouterr().err == "error: row \\x1b[2J is blank\n"


def test_texts_are_one_line_each_and_cut():
    assert labelled([("masked", "a  b\nc"), ("filled", "x" * 9)], most=6).plain == "masked  a b c\nfilled  xxxxx…\n"
