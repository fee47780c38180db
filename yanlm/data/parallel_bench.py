"""Test rows of ParallelBench, read from a local folder as rows of the built-in tasks of the same kind.

Its files hold one object per line, with the question in ``input``: a list of people (``context``) to shuffle or of
which one is to be replaced by ``word``, the ``symbols`` of a latin square, or a ``puzzle`` of sudoku. The rows ask the
same in the words of our task, so that a model trained on it can answer and the task can judge. People become words of
its lists and symbols the numbers from 1. Only lists and squares are used.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from yanlm.data import reading
from yanlm.data.builtin.grids import GridPuzzle
from yanlm.data.builtin.puzzle import Puzzle
from yanlm.data.builtin.word_lists import WORDS, ListPuzzle
from yanlm.data.rows import MASKS, DataError, Row

FILES = {"shuffle": "shuffle", "replace": "replace_random", "latin": "latin_square_n4", "sudoku": "sudoku_n4"}
"""The end of the name of the file of each task, which is a ``.jsonl``."""


def parallel_bench_rows(folder: str | Path, task: Puzzle) -> list[Row]:
    """The rows of ParallelBench that ask what a task asks.

    Args:
        folder: With the file of the task in it or in a folder of it, as ``waiting_line/shuffle.jsonl``.
        task: ``shuffle``, ``replace``, ``latin`` or ``sudoku``; its lists have to be as long as those of the file.

    Returns:
        Rows of a source and one of its right answers.

    Raises:
        DataError: The task has no file there, or a line of it does not ask what the task asks.

    Example:
        >>> import tempfile
        >>> from yanlm.data.builtin.puzzles import puzzle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "sudoku_n4.jsonl"
        ...     _ = file.write_text(json.dumps({"input": {"puzzle": "1_3_\\n341_\\n2_4_\\n4_2_"}}))
        ...     parallel_bench_rows(folder, puzzle("sudoku"))[0]["target"]
        ['2', '4', '2', '1', '3', '3', '1']
    """
    if task.name not in FILES:
        raise DataError(f"{task.spec}: ParallelBench has no such task; give one of {', '.join(FILES)}")
    path = _file(Path(folder), FILES[task.name])
    rows = [_row(task, asked, path, line) for line, asked in _inputs(path)]
    if not rows:
        raise DataError(f"{path}: holds no line")
    return rows


def _file(folder: Path, stem: str) -> Path:
    files = sorted(folder.rglob(f"*{stem}.jsonl")) if folder.is_dir() else [folder] * folder.is_file()
    if len(files) != 1:
        named = "no such folder" if not folder.exists() else f"it holds {len(files) or 'no'} files *{stem}.jsonl"
        raise DataError(f"{folder}: {named}; give the folder of ParallelBench's test rows, or the file")
    return files[0]


def _inputs(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """What each line asks, and its number."""
    for number, line in enumerate(reading.read_bytes(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            asked = record["input"]
            yield number, dict(json.loads(asked) if isinstance(asked, str) else asked)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f"{path}:{number}: has no object 'input'; give a file of ParallelBench's test rows"
            ) from None


def _row(task: Puzzle, asked: dict[str, Any], path: Path, line: int) -> Row:
    rng = random.Random(f"parallel bench {line}")
    make: Callable[[Any, dict[str, Any], random.Random], str] = _list if isinstance(task, ListPuzzle) else _square
    try:
        source = make(task, asked, rng)
        text = task.draw(source, rng)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = error if isinstance(error, DataError) else f"asks for no {task.name}"
        raise DataError(f"{path}:{line}: {why}") from None
    words = zip(source.split(), text.split(), strict=True)
    return {"source": source, "target": [word for shown, word in words if MASKS.fullmatch(shown)]}


def _list(task: ListPuzzle, asked: dict[str, Any], rng: random.Random) -> str:
    """The source of a list, a word for each person."""
    people = list(_people(asked["context"]))
    least = task.least or task.words
    if not least <= len(people) <= task.words:
        lengths = f"least={min(least, len(people))},words={max(task.words, len(people))}"
        raise DataError(f"a list of {len(people)} is not one of {task.spec}; give builtin:{task.name}:{lengths}")
    words = rng.sample(WORDS, len(people) + 1)
    return task.source([words[-1]] if str(asked.get("word", "")) else [], words[:-1])


def _people(context: Any) -> Sequence[str]:
    people = json.loads(context) if isinstance(context, str) else context
    if not isinstance(people, list) or len(set(map(str, people))) != len(people):
        raise ValueError(f"context must be a list of different people, got {context!r:.60}")
    return [str(person) for person in people]


def _square(task: GridPuzzle, asked: dict[str, Any], rng: random.Random) -> str:
    """The source of a square; one with symbols has no givens."""
    n = task.rules.size
    if "puzzle" not in asked:
        symbols = [symbol for symbol in str(asked["symbols"]).strip("[]").split(",") if symbol.strip()]
        if len(symbols) != n:
            raise DataError(f"a square of {len(symbols)} symbols is not one of {task.spec}, which has {n}")
        return task.source((0,) * n**2)
    lines = str(asked["puzzle"]).split()
    if len(lines) != n or any(len(line) != n for line in lines):
        raise DataError(f"a square of {len(lines)} rows is not one of {task.spec}, which has {n}")
    return task.source([0 if cell in "_0." else int(cell) for cell in "".join(lines)])
