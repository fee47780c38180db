"""What every study shares: a folder whose results survive a kill, a table, a page of Markdown."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from yanlm.files import check_writable, printable, replacing, write_json, write_text, writing_to
from yanlm.studies.tools.kept_settings import FINGERPRINTS, conflicts, with_entries_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = "results.json"
COUNTED_STEPS = (
    "T counts Euler steps, each an evaluation of the flow. The paper's code counts the points of the time grid, one "
    "more: its T = 3 is two Euler steps, and its T = 1 returns the noise"
)
"""A note wherever numbers of steps stand next to the paper's."""

Json = dict[str, Any]
Say = Callable[[str], None]


class Study:
    """A folder with ``results.json``, written after each piece: a study that is stopped continues where it was.

    Args:
        out: The folder.
        name: Name of the study.
        page: Another place for the page, with the figure beside it.
        command: As it was typed, for the page.
        say: Called with one line for each piece.

    Raises:
        ValueError: The page is no .md file, or a folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = Study(Path(folder), "steps").begin({"rows": 9}).piece("T = 1", lambda: {"right": 0.5})
        ...     again = Study(Path(folder), "steps").begin({"rows": 9}).piece("T = 1", lambda: 1 / 0)
        >>> again
        {'right': 0.5}
    """

    def __init__(
        self, out: Path, name: str, *, page: Path | None = None, command: str = "", say: Say | None = None
    ) -> None:
        self.out, self.name, self.page, self.say = Path(out), name, page, say or (lambda line: None)
        if page is not None and page.suffix != ".md":  # the figure would replace a page that ends in .png
            raise ValueError(f"page must be a FILE.md, got {str(page)!r}; the figure goes beside it as FILE.png")
        check_writable(self.out)
        if page is not None:
            check_writable(page.parent, "--page")
        self.command = command or f"yanlm study {name}"
        self.settings: Json = {}
        self.pieces: Json = {}
        self.notes: list[str] = []

    def begin(self, settings: Mapping[str, Any]) -> Study:
        """Continue with what the folder holds, if it was measured with the same settings.

        Args:
            settings: What decides a piece beside its key; ``metric`` only says what is shown. Of ``models`` and
                ``fingerprints`` (of the data), both mappings, only the entries that both have are compared, so that
                models and sets can be added.

        Raises:
            ValueError: The folder holds another study or other settings.
        """
        self.settings = json.loads(json.dumps(settings))  # as the file will give them back
        known = self._read()
        if known is not None:
            self._check(known)
            self.pieces = known["pieces"]
            self.settings = with_entries_of(known["settings"], self.settings)
        return self

    def piece(self, key: str, make: Callable[[], Any]) -> Any:
        """The result of ``make``, or the one stored under this key."""
        if key in self.pieces:
            self.say(f"{key}: done before")
            return self.pieces[key]
        began = time.perf_counter()
        self.put(key, make())
        self.say(f"{key}: {time.perf_counter() - began:.1f} s")
        return self.pieces[key]

    def put(self, key: str, value: Any) -> None:
        """Store a piece that exists already."""
        self.pieces[key] = json.loads(json.dumps(value))
        self.write(self._document())

    def note(self, text: str) -> None:
        """Something the reader of the page should know; each line once."""
        if text not in self.notes:
            self.notes.append(text)
            self.say(text)

    def finish(
        self, title: str, words: str, tables: Mapping[str, str], figure: Figure | Mapping[str, Figure], summary: Json
    ) -> Json:
        """Write figure and page, and ``results.json`` with the summary; return what ``--json`` prints.

        Args:
            title: Title of the page.
            words: What was measured, in a sentence or two.
            tables: Markdown tables by heading; an empty heading is left out.
            figure: The figure; or several, by what their files' names end with, the first one at the top of the page.
            summary: Numbers of the tables, JSON-able.

        Raises:
            ValueError: A folder cannot be written.
        """
        files = {"figure": self.out / f"{self.name}.png", "page": self.out / f"{self.name}.md"}
        places = [(files["page"], files["figure"])]
        places += [(self.page, self.page.with_suffix(".png"))] if self.page else []
        figures = figure if isinstance(figure, Mapping) else {"": figure}
        try:
            for page, picture in places:
                page.parent.mkdir(parents=True, exist_ok=True)
                pictures = {picture.with_stem(picture.stem + end): drawn for end, drawn in figures.items()}
                for file, drawn in pictures.items():
                    with replacing(file) as beside:
                        drawn.savefig(beside, dpi=120)
                write_text(page, self._page(title, words, tables, [file.name for file in pictures]))
        except OSError as error:
            raise ValueError(f"cannot write the page: {error}; choose another --out or --page") from None
        shown = {kind: str(path) for kind, path in files.items()} | {"results": str(self.out / RESULTS)}
        document = self._document() | {"summary": json.loads(json.dumps(summary)), "notes": self.notes}
        self.write(document)
        return document | {"files": shown}

    def write(self, document: Json) -> None:
        """Write ``results.json`` whole or not at all."""
        with writing_to(self.out):
            write_json(self.out / RESULTS, document)

    def _page(self, title: str, words: str, tables: Mapping[str, str], pictures: Sequence[str]) -> str:
        first, *others = (f"![{title}]({picture})" for picture in pictures)
        parts = [f"# {title}", words, first]
        for heading, table in tables.items():
            parts += [f"## {heading}"] if heading else []
            parts.append(table)
        parts += others
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        parts.append(f"`{self.command}`; {machine()}.")
        return printable("\n\n".join(parts) + "\n")

    def _document(self) -> Json:
        head = {"study": self.name, "command": self.command, "machine": machine()}
        return head | {"settings": self.settings, "pieces": self.pieces}

    def _read(self) -> Json | None:
        file = self.out / RESULTS
        if not file.is_file():
            return None
        try:
            known: Json = json.loads(file.read_text(encoding="utf-8"))
            if {"study", "settings", "pieces"} <= known.keys():
                return known
        except (OSError, ValueError, AttributeError):
            pass
        raise ValueError(f"{file} is damaged or no study's; choose another --out")

    def _check(self, known: Json) -> None:
        if known["study"] != self.name:
            raise ValueError(f"{self.out} holds the study {known['study']!r}; choose another --out")
        if changed := conflicts(known["settings"], self.settings):
            named = [name for name in changed if not name.startswith(FINGERPRINTS)]
            what = f"another {', '.join(named)}" if named else "other data"
            raise ValueError(f"{self.out} was measured with {what}; choose another --out")


def machine() -> str:
    """Hardware and versions in a phrase."""
    if torch.cuda.is_available():
        hardware = torch.cuda.get_device_name(0)
    else:
        threads = torch.get_num_threads()
        hardware = f"{platform.machine()}, {threads} thread{'s' * (threads > 1)}"
    return f"{hardware}, torch {torch.__version__}, Python {platform.python_version()}"


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Median, and the range if there are several values.

    Example:
        >>> spread([0.2, 0.1, 0.4]), spread([1.0], ".1f"), spread([])
        ('0.200 (0.100-0.400)', '1.0', '')
    """
    if not values:
        return ""
    middle, low, high = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}-{high})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; ``|`` in a cell is escaped, and a cell is a single line.

    Example:
        >>> print(markdown(["", "right"], [["flow", ".5"]]))
        | | right |
        |---|---|
        | flow | .5 |
    """

    def line(cells: Sequence[str]) -> str:
        escaped = [" ".join(cell.replace("|", "\\|").splitlines()) for cell in cells]
        return "|" + "|".join(f" {cell} " if cell else " " for cell in escaped) + "|"

    return "\n".join([line(head), "|---" * len(head) + "|", *map(line, rows)])


def over_seeds(seeds: Sequence[int]) -> str:
    """What a page says about the seeds.

    Example:
        >>> over_seeds([0]), over_seeds([0, 1, 2])
        ('1 seed', '3 seeds: median and range')
    """
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds: median and range"


def integers(name: str, values: Sequence[int], minimum: int = 1) -> list[int]:
    """Whole numbers of at least ``minimum``, each once, in order.

    Example:
        >>> integers("steps", [8, 1, 1])
        [1, 8]
    """
    if not values or any(value < minimum for value in values):
        raise ValueError(f"{name} must be whole numbers of at least {minimum}, got {list(values)}")
    return sorted(set(values))
