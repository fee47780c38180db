"""A progress bar on request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(label: str, steps: int, shown: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function to call with a note after every step. It moves a bar on stderr if ``shown`` is true.

    Raises:
        ImportError: The bar is wanted, and rich is not installed.
    """
    if not shown:
        yield lambda note: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise ImportError("progress needs rich: pip install rich, or leave it out") from None
    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=steps, note="")
        yield lambda note: bar.update(task, advance=1, note=note)
