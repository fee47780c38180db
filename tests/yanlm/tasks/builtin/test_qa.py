"""Questions and their answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yanlm.data.rows import Row
from yanlm.tasks.rows import load_task, task_rows

QA: Row = {"context": "c", "question": "q", "answer": "a", "answers": ["a", "b"], "task": "3"}
NAMED = [{"passage": f"Tom has {n} pens .", "question": f"How many , {n} ?", "n": n} for n in range(9)]


def test_questions_keep_their_references() -> None:
    assert task_rows([QA], "qa") == [QA]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_fields_of_other_names_keep_their_question(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(NAMED), file)
    elif ending == "csv":
        lines = ["passage,question,n", *(f'{row["passage"]},"{row["question"]}",{row["n"]}' for row in NAMED)]
        file.write_text("\n".join(lines))
    else:
        file.write_text("\n".join(map(json.dumps, NAMED)))
    corpus = load_task(str(file), "qa", source_field="passage", target_field="n")
    rows = [*(corpus.rows or ()), *corpus.validation, *corpus.test]
    wanted = [{"context": row["passage"], "question": row["question"], "answer": str(row["n"])} for row in NAMED]
    assert sorted(rows, key=str) == sorted(wanted, key=str)
