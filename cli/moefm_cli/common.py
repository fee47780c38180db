"""What every command shares: one-line errors with exit codes, progress, the choice of a device."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from moefm.installation import install
from moefm_cli import governor
from moefm_cli.usage import called, with_dashes
from yanlm.files import printable


class Screen(Console):
    """A console that prints text as it is: brackets are not markup, and control characters are escaped."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Pieces of styled text, those that carry data made :func:`yanlm.files.printable`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


err = Screen(stderr=True)
"""People read standard error; standard output is for results and JSON."""

Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


class UsageError(Exception):
    """A user's mistake: shown as one line, exit code 2."""


class Failure(Exception):
    """What went wrong while a command worked: shown as one line, exit code 1."""


def run_app(app: typer.Typer, name: str) -> NoReturn:
    """Run a typer app. A user's mistake ends in one line and code 2, a failure in code 1, Ctrl-C in 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no result is lost to a terminal that cannot show it
            stream.reconfigure(errors="backslashreplace")
    governor.begin()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # on one line, like every message
    try:
        _refuse_empty_values(sys.argv[1:])
        code = app(sys.argv[1:] or ["--help"], prog_name=name, standalone_mode=False)
        sys.stdout.flush()  # show results before the interpreter shuts down, which with torch takes a third of a second
    except typer.TyperException as error:
        fail(f"{error.format_message().rstrip('.')}; see {called(app, name, sys.argv[1:])[0]} --help", error.exit_code)
    except UsageError as error:
        fail(str(error), 2)
    except ValueError as error:
        fail(with_dashes(str(error), called(app, name, sys.argv[1:])[1], sys.argv[1:]), 2)
    except Failure as error:
        fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:  # the reader of our output has left, as in `moefm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (OSError, RuntimeError, ImportError) as error:
        fail(f"{type(error).__name__}: {error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_empty_values(arguments: Sequence[str]) -> None:
    """Refuse empty values: ``--out ""`` would be the current folder, and usually means an unset variable in a script.

    Raises:
        UsageError: An option is followed by nothing but spaces.
    """
    for option, value in pairwise([*arguments, "--"]):
        if option == "--":
            return
        name, given, own = option.partition("=")
        if name.startswith("--") and not (own if given else value).strip():
            raise UsageError(f"{name} is followed by an empty value; give one, or leave {name} out")


def fail(message: str, code: int) -> NoReturn:
    """Print one line to standard error and exit."""
    print("error: " + printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(code)


def need_extra() -> None:
    """Say what to install if packages of the language model are missing.

    Raises:
        UsageError: One of them is.
    """
    for name in ("accelerate", "transformers"):  # not imported: that takes seconds, and not every command needs both
        if find_spec(name) is None:
            raise UsageError(f"yanlm needs {name}, which is not installed: {install('lm')}")


def show(text: str) -> None:
    """Print a line of results: unchanged into a file or a pipe, with control characters escaped on a terminal."""
    print(printable(text) if sys.stdout.isatty() else text)


def labelled(lines: Iterable[tuple[str, str]], most: int = 400) -> Text:
    """Print short texts, each on a line of its own behind its pale label."""
    shown = Text()
    for label, text in lines:
        plain = " ".join(text.split())
        shown.append(label, "dim").append(f"  {plain if len(plain) <= most else f'{plain[: most - 1]}…'}\n")
    return shown


def print_json(document: dict[str, Any]) -> None:
    """JSON alone on standard output."""
    print(json.dumps(document, indent=2))


def command_line(name: str) -> str:
    """The command as it was typed."""
    return shlex.join([name, *sys.argv[1:]])


def given_options(ctx: typer.Context) -> dict[str, Any]:
    """Options that were typed, by the name of their parameter."""
    return {name: value for name, value in ctx.params.items() if _source(ctx, name) == "COMMANDLINE"}


def _source(ctx: typer.Context, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return "" if source is None else source.name


def only_changeable(given: Iterable[str], changeable: Iterable[str], instead: str) -> None:
    """Check that every option typed beside ``--resume`` is one that a continued run may change.

    Raises:
        UsageError: One is not.
    """
    changeable = list(changeable)
    if fixed := [name for name in given if name not in (*changeable, "resume", "device", "json_")]:
        options = [", ".join(f"--{name.replace('_', '-')}" for name in names) for names in (fixed, changeable)]
        others = f"{options[1]} and --device can"
        raise UsageError(f"{options[0]} cannot change in a run that goes on, {others}: leave it out, or {instead}")


def pick_device(name: str) -> str:
    """``auto`` becomes cuda, mps or cpu; a device that is not there is a mistake."""
    import torch

    governor.look()
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if name not in there:
        raise UsageError(f"--device must be one of auto, cpu, cuda, mps, got {name!r}")
    if not there[name]:
        raise UsageError(f"--device {name} is not available here; use --device auto")
    return name


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "", style="cyan")


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Installed versions, ``None`` where a package is missing."""
    from importlib import metadata

    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def machine_facts() -> dict[str, Any]:
    """What every ``doctor`` says first: versions, threads, devices."""
    import platform

    import torch

    import moefm

    return {
        "moefm": moefm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **governor.threads_in_force(),
        "device": pick_device("auto"),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress display on standard error; yields ``report(stage, done, total)``."""
    columns = (
        TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=err, transient=not err.is_terminal) as display:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            governor.look()
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total)
            display.update(tasks[stage], completed=done)

        yield report


def keep_memory() -> None:
    """Let the C library keep freed memory; else large tensors return to the system and are faulted in at each step.

    Training on a CPU gains about a tenth. Without glibc nothing happens.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**26)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        mallopt(option, value)
