"""The command that was called: its version, where its help is, and its options as a message should call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

SETTINGS = {"num_experts": "experts"}
"""Settings that have another name than the option they come from."""
_SAYS = r"(?= (?:must|goes|needs|takes|cannot|lies|is an option)\b)"
_PLACE = r"(?:(?:model|stage1|stage2|recipe1|recipe2|denoising)(?:: |\.))?"
"""The table of a settings file at the beginning of a message; the command line has no tables."""

_SUBJECT = re.compile(rf"^{_PLACE}(?P<name>\w++){_SAYS}")
_GIVEN = re.compile(r"(?<![\w.-])(?P<name>[a-z]\w*+)=(?:True\b|'?(?P<value>[\w.]+?)'?(?=[\s,;:)]|$))")
_LONG = re.compile(r"(?<![\w.=/-])(?P<name>[a-z][^\W_]*+_\w*+)(?![=/.])")
"""Names of settings in a message: its subject, one with a value, or one with an underscore, unlike ordinary words."""


def called(app: typer.Typer, name: str, arguments: Sequence[str]) -> tuple[str, Any]:
    """The whole name of the command that is called, such as ``yanlm study steps``, and what typer made of it."""
    command: Any = typer.main.get_command(app)
    for word in arguments:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        name, command = f"{name} {word}", inner
    return name, command


def with_dashes(message: str, command: Any, arguments: Sequence[str]) -> str:
    """A message of the library in which settings have the names of the command's options.

    With a settings file only options that were typed are renamed, since other settings may come from the file.

    Example:
        >>> app = typer.Typer(add_completion=False)
        >>> @app.command()
        ... def train(batch_size: int = 1, reread: bool = False) -> None: ...
        >>> command = called(app, "yanlm", [])[1]
        >>> with_dashes("recipe1: batch_size must be at least 1; it goes with reread=True", command, [])
        '--batch-size must be at least 1; it goes with --reread'
    """
    options = _options(command)
    if "--config" in {word.partition("=")[0] for word in arguments}:
        typed = {word.partition("=")[0] for word in arguments}
        options = {name: option for name, option in options.items() if option in typed}

    def called_by_option(found: re.Match[str]) -> str:
        option = options.get(found["name"])
        if option is None:
            return found[0]
        value = found.groupdict().get("value")
        return f"{option} {value}" if value else option

    for pattern in (_SUBJECT, _GIVEN, _LONG):
        message = pattern.sub(called_by_option, message)
    return message


def _options(command: Any) -> dict[str, str]:
    """The long option by the name of its parameter, and by that of its setting."""
    known = {p.name: next((o for o in p.opts if o.startswith("--")), None) for p in command.params}
    named = {name: option for name, option in known.items() if option is not None}
    return named | {setting: named[name] for setting, name in SETTINGS.items() if name in named}


def _tell_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        from moefm import __version__  # loads no torch

        print(f"{ctx.info_name} {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")]
"""The option of a program that prints its name and version, and exits."""
