"""Test rows of ParallelBench as rows of our tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.builtin.puzzle import completed
from yanlm.data.builtin.puzzles import puzzle
from yanlm.data.parallel_bench import parallel_bench_rows
from yanlm.data.rows import DataError

PEOPLE = '["Patrick Hicks", "Roy Ortiz", "Eric Reynolds"]'
EXAMPLE = {"input": {"context": PEOPLE}, "answer": {"input": ["Patrick Hicks"], "example": PEOPLE}}
ASKED: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "shuffle:words=6,least=3,moved=1": (
        "waiting_line/shuffle.jsonl",
        [{"context": PEOPLE, "icl_examples": [EXAMPLE]}, {"context": PEOPLE.replace("]", ', "Ann Lee"]')}],
    ),
    "replace:words=3": ("waiting_line/replace_random.jsonl", [{"context": PEOPLE, "word": "Virginia Hayes"}]),
    "latin:givens=0": ("puzzles/latin_square_n4.jsonl", [{"size": 4, "symbols": "[H, T, 6, P]"}]),
    "sudoku": (
        "puzzles/sudoku_n4.jsonl",
        [{"size": 4, "puzzle": "_41_\n_2_3\n__3_\n4_21"}, {"size": 4, "puzzle": "4312\n0103\n3421\n1004"}],
    ),
}


def written(folder: Path, name: str, asked: list[Any], as_text: bool = False) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [json.dumps(item) if as_text else item for item in asked]
    path.write_text("".join(json.dumps({"input": item, "answer": "", "metadata": {}}) + "\n" for item in inputs))
    return path


@pytest.mark.parametrize("spec", ASKED)
@pytest.mark.parametrize("as_text", [False, True])
def test_rows_are_answered_and_judged(spec: str, as_text: bool, tmp_path: Path) -> None:
    for name, asked in ASKED.values():  # all of them lie in one folder
        path = written(tmp_path, name, asked, as_text)
    name, asked = ASKED[spec]
    task = puzzle(spec)
    rows = parallel_bench_rows(tmp_path, task)
    assert len(rows) == len(asked) and rows == parallel_bench_rows(tmp_path / name, task) and path.exists()
    for row in rows:
        assert task.judge([row["source"]], [[completed(row["source"], row["target"])]])["all"] == 1


def test_what_is_asked_stays(tmp_path: Path) -> None:
    written(tmp_path, *ASKED["sudoku"])
    first, second = parallel_bench_rows(tmp_path, puzzle("sudoku"))
    assert first["source"].startswith(". <mask> 4 1 <mask> . <mask> 2 <mask> 3 .")
    assert second["target"] == ["2", "4", "2", "3"]
    path = written(tmp_path, *ASKED["shuffle:words=6,least=3,moved=1"])
    rows = parallel_bench_rows(path, puzzle("shuffle:words=4,least=2"))
    assert [len(row["target"]) for row in rows] == [3, 4]


@pytest.mark.parametrize(
    ("spec", "asked", "fault"),
    [
        ("shuffle", {"context": PEOPLE},
         ":1: a list of 3 is not one of builtin:shuffle; give builtin:shuffle:least=3,words=5"),
        ("shuffle:words=3", {"context": '["Ann", "Ann", "Eve"]'}, ":1: asks for no shuffle"),
        ("shuffle:words=3", {"text": "Ann"}, ":1: asks for no shuffle"),
        ("shuffle:words=3", "Ann", ":1: has no object 'input'; give a file of ParallelBench's test rows"),
        ("shuffle:words=3", {"context": PEOPLE, "word": "Eve"}, ":1: asks for no shuffle"),
        ("replace:words=3", {"context": PEOPLE}, ":1: asks for no replace"),
        ("sudoku", {"puzzle": "12\n21"}, ":1: a square of 2 rows is not one of builtin:sudoku, which has 4"),
        ("sudoku", {"puzzle": "1x34\n3412\n2143\n4321"}, ":1: asks for no sudoku"),
        ("sudoku", {"puzzle": "1133\n3412\n2143\n4321"}, ":1: asks for no sudoku"),
        ("latin", {"symbols": "[H, T]"}, ":1: a square of 2 symbols is not one of builtin:latin, which has 4"),
    ],
)  # fmt: skip
def test_faults_of_a_line(spec: str, asked: Any, fault: str, tmp_path: Path) -> None:
    path = written(tmp_path, "task.jsonl", [asked])
    with pytest.raises(DataError) as told:
        parallel_bench_rows(path, puzzle(spec))
    assert str(told.value) == f"{path}{fault}"


def test_faults_of_a_folder(tmp_path: Path) -> None:
    def fault(folder: Path, spec: str = "sudoku") -> str:
        with pytest.raises(DataError) as told:
            parallel_bench_rows(folder, puzzle(spec))
        return str(told.value).removeprefix(f"{folder}: ")

    give = "give the folder of ParallelBench's test rows, or the file"
    assert fault(tmp_path / "no") == f"no such folder; {give}"
    assert fault(tmp_path) == f"it holds no files *sudoku_n4.jsonl; {give}"
    for split in ("test", "train"):
        written(tmp_path / split, *ASKED["sudoku"])
    assert fault(tmp_path) == f"it holds 2 files *sudoku_n4.jsonl; {give}"
    assert "builtin:codes: ParallelBench has no such task; give one of shuffle, " in fault(tmp_path, "codes")
    (empty := tmp_path / "empty.jsonl").write_text("\n")
    assert fault(empty) == "holds no line"
