"""Reads points from csv: what separates columns, what is a header, and what is wrong in which line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from moefm.plain_text import MISSING, lines, separator
from moefm_toy.named_points import NamedPoints, fail

UNCLOSED = "a quote opened here is never closed in its line"


def read_csv(path: Path, content: bytes) -> NamedPoints:
    """Points and the names of the header, if there is one.

    Raises:
        DataError: The text cannot be read as points.
    """
    text = csv_text(path, content)
    mark = separator(text)
    rows = csv_rows(path, text, mark)
    header = _header(path, rows[0][1]) if rows else []
    body = rows[1:] if header else rows
    inside = lines(text.replace('"', ""))[rows[0][0] : rows[0][2]] if header else []
    if any(None not in map(number, line.split(mark)) for line in inside):
        fail(path, f"line {rows[0][0]}: {UNCLOSED}; name each column in one line")
    if not body:
        fail(path, "holds no row of numbers; it needs one point per row")
    width = len(rows[0][1])
    for line, row, _ in body:
        if any("\n" in cell.strip() for cell in row):
            fail(path, f"line {line}: {UNCLOSED}; leave the quotes out")
        if len(row) != width:
            fail(path, f"line {line} has {len(row)} columns, {width} expected; make all rows equally long")
    numbers = [_numbers(path, line, row, header) for line, row, _ in body]
    return NamedPoints(np.array(numbers, dtype=np.float64), tuple(header))


def csv_text(path: Path, content: bytes) -> str:
    """The text of a csv file.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")  # also takes off the mark that spreadsheets write first
    except UnicodeDecodeError as error:
        fail(path, f"is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'", error)


def csv_rows(path: Path, text: str, mark: str) -> list[tuple[int, list[str], int]]:
    """The rows with their first and last line. A row of empty cells, as spreadsheets append, counts as a blank line.

    Raises:
        DataError: A row cannot be taken apart.
    """
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=mark, skipinitialspace=True)
    rows = []
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, row, reader.line_num))
            line = reader.line_num + 1
    except csv.Error as error:
        fail(path, f"line {line} is not valid CSV ({error}); save it again", error)
    return rows


def _header(path: Path, row: list[str]) -> list[str]:
    """The names of the columns, or [] where the first row is data: a cell is a number or has no letter."""
    cells = [cell.strip() for cell in row]
    if all(cell.lower() in MISSING for cell in cells):
        return []
    if any(cell and (number(cell) is not None or not any(map(str.isalpha, cell))) for cell in cells):
        return []  # cells such as 1,5 or 1 2 are broken data, to be reported and not skipped as names
    if "" in cells:  # what pandas and R write above the row index, which would pass for a coordinate
        column = cells.index("") + 1
        fail(path, f"column {column} has no name in the header (a row index?); name it or leave it out")
    return cells


def _numbers(path: Path, line: int, row: list[str], header: list[str]) -> list[float]:
    numbers = [np.nan if cell.strip().lower() in MISSING else number(cell) for cell in row]
    if None in numbers:
        column = numbers.index(None)
        name = f" ('{header[column]}')" if header else ""
        cell = row[column].strip()
        fault = f"{cell[:40]!r} is not a number" if cell else "the cell is empty"
        hint = "columns are separated by comma, semicolon or tab, decimals by a point"
        fail(path, f"line {line}, column {column + 1}{name}: {fault}; {hint}")
    return [value for value in numbers if value is not None]


def number(cell: str) -> float | None:
    """The number that a cell holds, or None."""
    try:
        return None if "_" in cell else float(cell)  # Python would read 1_000 as a number
    except ValueError:
        return None
