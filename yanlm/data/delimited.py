"""Text in columns, separated by commas, semicolons or tabs, whose quotes may be broken.

Quotes are read as csv and pandas read them: a cell that begins with one goes on to the next single one, over separators
and line ends. If that one is missing, a quote of some later row takes its place, and the rows between are swallowed. So
a record of several lines is accepted only if nothing stands behind its closing quotes, it has as many cells as the
header, and its lines do not read as rows themselves. If it fails, only its first line is lost, and reading goes on
behind that line. With tabs as separators a quoted cell holds no tab, and a quote that does not close in its own cell is
text.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from yanlm.data import reading
from yanlm.data.mapped import Content

# A quoted cell with what stands behind it, by separator; between tabs a quoted cell holds no tab.
_QUOTED = {
    ",": re.compile(rb' *"([^"]*+(?:""[^"]*+)*+)" *(?=[\r\n,]|\Z)'),
    ";": re.compile(rb' *"([^"]*+(?:""[^"]*+)*+)" *(?=[\r\n;]|\Z)'),
    "\t": re.compile(rb' *"([^"\t]*+(?:""[^"\t]*+)*+)" *(?=[\r\n\t]|\Z)'),
}
_WITH_TABS = re.compile(rb' *"([^"]*+(?:""[^"]*+)*+)" *(?=[\r\n\t]|\Z)')
_PLAIN = {",": re.compile(rb"[^\r\n,]*"), ";": re.compile(rb"[^\r\n;]*"), "\t": re.compile(rb"[^\r\n\t]*")}
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+\.0*")
_SAMPLE = (20, 1000)  # how many rows, at least and at most, say what a column holds

NEVER_CLOSED = "a quote opened here is never closed in its row (inside a quoted cell a quote is written twice)"
BEHIND = "text stands behind a closing quote (inside a quoted cell a quote is written twice)"


Reading = tuple[list[str], int]
"""The cells of a record, and where it ends."""


class Record(NamedTuple):
    """Cells, or a fault: the line where the record begins, and how many lines it takes."""

    line: int
    cells: list[str]
    fault: str = ""
    lines: int = 1


def records(text: Content) -> Iterator[Record]:
    """The header of a table in UTF-8, then its rows, without blank ones; nothing behind a header with a fault.

    Example:
        >>> for record in records(b'text,label\\n"One, two",a\\n"Three,b\\nFour,c\\n'):
        ...     print(record.line, record.fault.partition(" (")[0] or record.cells)
        1 ['text', 'label']
        2 ['One, two', 'a']
        3 a quote opened here is never closed in its row
        4 ['Four', 'c']
    """
    table = _Table(text)
    position, line = 0, 1
    while position < len(text):
        record, behind = table.read(position, line)
        if record.fault or any(map(str.strip, record.cells)):
            if not record.fault and not table.width:
                table.begin(len(record.cells), text[position:behind], behind)
            elif not record.fault and len(record.cells) != table.width:
                quoted = b'"' in text[position:behind] and len(record.cells) > table.width  # not counted to the end
                fault = f"has {'at least ' * quoted}{len(record.cells)} columns, {table.width} expected"
                record = record._replace(cells=[], fault=fault)
            yield record
            if not table.width:
                return  # without a header nothing can be said about what follows
        position, line = behind, line + record.lines


Typed = Callable[[str], str | float | bool]
"""Makes a value of a cell."""


def typing_of(kinds: Counter[str]) -> Typed:
    """The function that makes values of the cells of a column, chosen by how many of them are of each :func:`kind`.

    If nine in ten are numbers or booleans, then whole numbers that are written with a point, numbers that are missing
    and booleans become floats and booleans. Other cells stay as they are, and so does a column of something else.

    Example:
        >>> for cells in (["1.0", "0.0", "NA"], ["TRUE", "False"], ["none", "some", "1.0"]):
        ...     print(list(map(typing_of(Counter(map(kind, cells))), cells)))
        [1.0, 0.0, nan]
        [True, False]
        ['none', 'some', '1.0']
    """
    told = max(kinds.total() - kinds["missing"], 1)
    by_kind: dict[str, Callable[[str], float | bool]] = {}
    if 10 * (kinds["number"] + kinds["whole"]) >= 9 * told:
        by_kind = {"missing": lambda cell: math.nan, "whole": float}
    elif 10 * kinds["boolean"] >= 9 * told:
        by_kind = {"boolean": lambda cell: cell.lower() == "true"}
    as_is: Typed = lambda cell: cell  # noqa: E731
    return (lambda cell: by_kind.get(kind(cell), as_is)(cell)) if by_kind else as_is


def kind(cell: str) -> str:
    """``missing``, ``boolean``, ``whole`` (a whole number written with a point), ``number`` or ``text``."""
    bare = cell.strip().lower()
    if not bare or bare in reading.MISSING:
        return "missing"
    if bare in ("true", "false"):
        return "boolean"
    return "whole" if _WHOLE.fullmatch(bare) else "number" if _NUMBER.fullmatch(bare) else "text"


class _Table:
    """A text and what separates its columns; from the header on also their number, and what they hold."""

    def __init__(self, text: Content, trusting: bool = False) -> None:
        self.text = text
        self.trusting = trusting  # whether a record of several lines is accepted as it seems to be
        self.mark = reading.separator(_first_line(text))
        self.byte = ord(self.mark)
        self.width = self.body = 0
        self.spaced = False
        self.quoted, self.plain = _QUOTED[self.mark], _PLAIN[self.mark]
        self.with_tabs = _WITH_TABS if self.mark == "\t" else self.quoted

    def begin(self, width: int, header: bytes, body: int) -> None:
        """Takes the first record for the header; the rows begin at ``body``."""
        self.width, self.body, self.spaced = width, body, f"{self.mark} ".encode() in header

    def read(self, position: int, number: int) -> tuple[Record, int]:
        """The record at a position, which is in the line of that number, and where the next one begins."""
        line = _LINE.match(self.text, position)
        assert line is not None  # it matches an empty line as well
        if b'"' not in line[1]:
            return Record(number, [cell.strip() for cell in line[1].decode().split(self.mark)]), line.end()
        read = (self._tabbed if self.mark == "\t" else self._quoted)(position, line.end(1))
        if read is None:
            return Record(number, [], NEVER_CLOSED if line[1].count(b'"') % 2 else BEHIND), line.end()
        cells, stop = read
        last = _LINE.match(self.text, stop)
        assert last is not None
        return Record(number, cells, "", 1 + reading.line_ends(self.text, position, stop)), last.end()

    def _quoted(self, position: int, stop: int) -> Reading | None:
        """The cells of the record at a position whose line ends at stop, or None if its quotes are broken."""
        line = self._cells(position, stop, self.with_tabs)
        if line is not None:
            return line
        record = self._cells(position, len(self.text), self.with_tabs)
        if record is not None and self.width:
            cells, end = record
            if len(cells) != self.width or (not self.trusting and self._swallows(self.text[position:end])):
                return None
        return record

    def _tabbed(self, position: int, stop: int) -> Reading | None:
        """The same with tabs between cells: the first of several readings that has as many cells as the header."""
        line = self._cells(position, stop, self.quoted, literal=True)
        whole = self._cells(position, len(self.text), self.quoted, literal=True)
        for cells in (whole, line, self._quoted(position, stop)):
            if cells is not None and len(cells[0]) == (self.width or len(cells[0])):
                return cells
        return line

    def _cells(self, position: int, stop: int, quoted: re.Pattern[bytes], literal: bool = False) -> Reading | None:
        """Cells up to a line end outside of quotes, or one too many; a broken quote is text if ``literal``."""
        cells: list[str] = []
        while True:
            cell = quoted.match(self.text, position, stop)
            if cell is not None:
                cells.append(cell[1].decode().replace('""', '"'))
            else:
                cell = self.plain.match(self.text, position, stop)
                assert cell is not None
                if cell[0].lstrip(b" ").startswith(b'"') and not literal:
                    return None
                cells.append(cell[0].decode().strip())
            position = cell.end()
            if position >= stop or self.text[position] != self.byte or 0 < self.width < len(cells):
                return cells, position
            position += 1

    def _swallows(self, record: bytes) -> bool:
        """Whether more lines of a record are rows of the table by themselves than chance makes of a text."""
        rows = [line.split(self.mark) for line in reading.lines(record.decode()) if line.strip()]
        alike = sum(map(self._is_row, rows))
        least = 2 if any(kind for kind, _ in self._columns) else 3
        return self.width > 1 and alike >= least and 3 * alike > len(rows) + 3  # the first or last is one in any text

    def _is_row(self, cells: list[str]) -> bool:
        """Whether cells are like those of other rows; in a sentence a space follows the comma, or the line ends."""
        if len(cells) != self.width or (not self.spaced and any(cell.startswith(" ") for cell in cells[1:])):
            return False
        for cell, (kind, values) in zip(cells, self._columns, strict=True):
            bare = cell.strip(' "')
            if (kind == "few" or not bare) and bare not in values:
                return False
            if kind == "numbers" and bare and not _NUMBER.fullmatch(bare):
                return False
        return True

    @functools.cached_property
    def _columns(self) -> list[tuple[str, set[str]]]:
        """For each column the kind of its cells, if the first one-line rows show it, and its usual values."""
        table = _Table(self.text, trusting=True)
        table.begin(self.width, b"", self.body)
        position = self.body
        rows: list[list[str]] = []
        while position < len(self.text) and len(rows) < _SAMPLE[1]:
            record, position = table.read(position, 0)
            if record.lines == 1 and len(record.cells) == self.width:
                rows.append([cell.strip() for cell in record.cells])
        columns: list[tuple[str, set[str]]] = []
        for cells in zip(*rows, strict=True) if len(rows) >= _SAMPLE[0] else [()] * self.width:
            counts = Counter(cells)
            blanks = {""} if 10 * counts.pop("", 0) > len(cells) else set()
            if counts and all(map(_NUMBER.fullmatch, counts)):
                columns.append(("numbers", blanks))
            elif counts and 2 * len(counts) <= len(cells):
                columns.append(("few", blanks | set(counts)))
            else:
                columns.append(("", blanks))
        return columns


def _first_line(text: Content) -> str:
    """The first line that is not blank."""
    lines = (match[1].decode() for match in _LINE.finditer(text) if match[1])
    return next(filter(str.strip, lines), "")
