"""What the commands of ``yanlm study`` share: lists of numbers, and a call of the study in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moefm.installation import install
from moefm_cli.common import UsageError, command_line, err, print_json, show


def run_study(name: str, out: Path | None, page: Path | None, json_: bool, **options: Any) -> None:
    """Call the study of that name, in a module of its own; print its table and files, or JSON."""
    from importlib import import_module

    try:
        module = import_module(f"yanlm.studies.{name}")
        from yanlm.studies.tools.study import Study
    except ModuleNotFoundError as error:
        raise UsageError(f"yanlm needs {error.name}, which is not installed: {install('lm,eval')}") from None

    def say(line: str) -> None:
        err.print(line, style="dim", soft_wrap=True)

    folder = out or Path("runs") / f"study-{name}"
    study = Study(folder, name, page=page, command=command_line("yanlm"), say=say)
    try:
        document = getattr(module, f"{name}_study")(study, **options)
    except KeyboardInterrupt:
        say(f"stopped; what is finished is in {folder}, and the same command goes on from there")
        raise
    if json_:
        print_json(document)
        return
    text = Path(document["files"]["page"]).read_text(encoding="utf-8")
    show("\n".join(line for line in text.splitlines() if line.startswith("|") or line.startswith("## ")))
    for kind, path in document["files"].items():
        show(f"{kind + ':':<9} {path}")


def integers(option: str, text: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} must be whole numbers with commas between them, got {text!r}") from None


def floats(option: str, text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} must be numbers with commas between them, got {text!r}") from None


def set_threads(count: int) -> None:
    """Say how many threads torch uses."""
    import torch

    if count < 1:
        raise UsageError(f"--threads must be at least 1, got {count}")
    torch.set_num_threads(count)


def names(text: str) -> list[str]:
    """Names separated by commas."""
    return [part.strip() for part in text.split(",")]
